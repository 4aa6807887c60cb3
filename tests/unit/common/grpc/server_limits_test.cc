#include <catch2/catch.hpp>

#include <optional>
#include <string>
#include <vector>

#include "services/common/grpc/call_settings.h"
#include "services/common/grpc/server_limits.h"

namespace stockalert::rpc {
namespace {

struct Flags {
  CallSettings calls;
  ServerLimits limits;
  config::ParseResult result;
};

Flags Parse(const std::vector<std::string>& flags) {
  Flags parsed;
  config::Parser parser("stockalert-test", "d", "1");
  DeclareCalls(parser, parsed.calls);
  DeclareWaitingCalls(parser, parsed.calls);
  DeclareLimits(parser, parsed.limits);
  std::vector<const char*> argv = {"stockalert-test"};
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  parsed.result = parser.Parse(static_cast<int>(argv.size()), argv.data(),
                               [](const std::string&) { return std::optional<std::string>(); });
  return parsed;
}

TEST_CASE("each bound of a public port has its flag") {
  const Flags flags = Parse({"--reads_per_user_per_s=1001", "--writes_per_user_per_s=1002",
                             "--creations_per_user_per_h=1003", "--stream_openings_per_user_per_min=1004",
                             "--calls_per_user_max=1005", "--unknown_keys_per_network_per_min=1006",
                             "--trusted_proxies=10.0.0.0/8", "--waiting_threads=101", "--waiting_queue_max=102",
                             "--connections_max=103", "--connections_per_address_max=104", "--call_memory_mib=105"});
  REQUIRE(flags.result.kind == config::ParseResult::Kind::kRun);
  CHECK(flags.calls.reads_per_user_per_s == 1001);
  CHECK(flags.calls.writes_per_user_per_s == 1002);
  CHECK(flags.calls.creations_per_user_per_h == 1003);
  CHECK(flags.calls.stream_openings_per_user_per_min == 1004);
  CHECK(flags.calls.calls_per_user_max == 1005);
  CHECK(flags.calls.unknown_keys_per_network_per_min == 1006);
  CHECK(flags.calls.trusted_proxies == "10.0.0.0/8");
  CHECK(flags.calls.waiting_threads == 101);
  CHECK(flags.calls.waiting_queue_max == 102);
  CHECK(flags.limits.connections_max == 103);
  CHECK(flags.limits.connections_per_address_max == 104);
  CHECK(flags.limits.memory_mib_max == 105);
}

TEST_CASE("a bound that would refuse everybody, or networks that are none, are refused") {
  for (const char* flag : {"--reads_per_user_per_s=0", "--calls_per_user_max=0", "--waiting_threads=0",
                           "--waiting_queue_max=0", "--connections_max=15", "--connections_per_address_max=0",
                           "--call_memory_mib=15", "--trusted_proxies=10.0.0.0/33"}) {
    INFO(flag);
    CHECK(Parse({flag}).result.errors.size() == 1);
  }
  CHECK(Parse({}).result.kind == config::ParseResult::Kind::kRun);
}

}  // namespace
}  // namespace stockalert::rpc
