#include "services/common/config/address.h"

#include <catch2/catch.hpp>

namespace stockalert::config {
namespace {

TEST_CASE("addresses are split into host and port, and malformed ones are refused") {
  CHECK(ParseAddress("127.0.0.1:50051")->host == "127.0.0.1");
  CHECK(ParseAddress("127.0.0.1:50051")->port == 50051);
  CHECK(ParseAddress("[::1]:0")->host == "::1");
  CHECK(ParseAddress("user.mesh:1")->port == 1);
  for (const char* text : {"", ":", ":1", "host", "host:", "host:x", "host:-1", "host:65536", "host:1x", "::1:5",
                           "ho st:1", "[]:1", "host:1 ", "http://host:1"}) {
    INFO(text);
    CHECK_FALSE(ParseAddress(text).ok());
  }
}

}  // namespace
}  // namespace stockalert::config
