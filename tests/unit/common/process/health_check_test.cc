#include "services/common/process/health_check.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <string>

#include "absl/time/clock.h"
#include "services/common/http/admin_server.h"

namespace stockalert::process {
namespace {

TEST_CASE("a health check tells ready from not ready, and why") {
  std::atomic<bool> ready{true};
  auto server =
      http::AdminServer::Start({.address = "127.0.0.1:0", .not_ready_reasons = [&ready] {
                                  return ready ? std::vector<std::string>{} : std::vector<std::string>{"no database"};
                                }});
  REQUIRE(server.ok());
  const std::string port = ":" + std::to_string((*server)->port());
  // What listens on all addresses answers on loopback, too.
  for (const char* host : {"127.0.0.1", "localhost", "0.0.0.0"}) CHECK(CheckHealth(host + port).ok());
  ready = false;
  const absl::Status not_ready = CheckHealth("127.0.0.1" + port);
  CHECK(not_ready.code() == absl::StatusCode::kUnavailable);
  CHECK(std::string(not_ready.message()) == "not ready: no database");
  server->reset();
  CHECK(CheckHealth("127.0.0.1" + port).code() == absl::StatusCode::kUnavailable);
  CHECK(CheckHealth("127.0.0.1:0").code() == absl::StatusCode::kInvalidArgument);
  CHECK(CheckHealth("nonsense").code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a health check of a service that hangs ends within three seconds") {
  std::atomic<bool> go_on{false};
  auto server = http::AdminServer::Start({.address = "127.0.0.1:0", .not_ready_reasons = [&go_on] {
                                            while (!go_on) absl::SleepFor(absl::Milliseconds(1));
                                            return std::vector<std::string>{};
                                          }});
  REQUIRE(server.ok());
  const absl::Time begin = absl::Now();
  CHECK(CheckHealth("127.0.0.1:" + std::to_string((*server)->port())).code() == absl::StatusCode::kUnavailable);
  CHECK(absl::Now() - begin < absl::Seconds(3));
  go_on = true;
}

}  // namespace
}  // namespace stockalert::process
