#include "services/evaluator/config.h"

#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>

namespace stockalert::evaluator {

TEST_CASE(
    "an evaluator says where it is reached: as told, else where it listens, with a name where that is everywhere") {
  Config config;
  CHECK(AdvertisedAddress(config) == "127.0.0.1:12056");
  std::array<char, 256> host{};
  REQUIRE(gethostname(host.data(), host.size() - 1) == 0);
  for (const char* all : {"0.0.0.0:12056", "[::]:12056"}) {
    config.internal_address = all;
    CHECK(AdvertisedAddress(config) == std::string(host.data()) + ":12056");
  }
  config.internal_address = "127.0.0.1:0";
  CHECK(AdvertisedAddress(config).empty());
  config.advertised_address = "evaluator-0.mesh:12056";
  CHECK(AdvertisedAddress(config) == "evaluator-0.mesh:12056");
}

}  // namespace stockalert::evaluator
