#include "services/common/boot/flags.h"

#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>

namespace stockalert::boot {
namespace {

TEST_CASE("an instance's name is the given one, else made of its host's name") {
  std::array<char, 256> host{};
  REQUIRE(gethostname(host.data(), host.size() - 1) == 0);
  CHECK(GroupInstance("stockalert-alert", "one") == "one");
  CHECK(GroupInstance("stockalert-alert", "none").empty());
  CHECK(GroupInstance("stockalert-alert", "") == std::string("stockalert-alert-") + host.data());
}

TEST_CASE("only a service that may come and go may have no static name") {
  for (const bool may : {true, false}) {
    std::string group = "group";
    std::string instance;
    config::Parser parser("program", "What it is", "1");
    DeclareGroup(parser, group, instance, may);
    const std::array<const char*, 2> argv = {"program", "--instance_id=none"};
    CHECK(parser.Parse(2, argv.data(), [](const std::string&) { return std::nullopt; }).errors.empty() == may);
  }
}

}  // namespace
}  // namespace stockalert::boot
