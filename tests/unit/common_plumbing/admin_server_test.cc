#include "services/common/http/admin_server.h"

#include <httplib.h>

#include <atomic>
#include <catch2/catch.hpp>

#include "services/common/metrics/metrics.h"
#include "services/common/process/liveness.h"
#include "tests/support/fake_clock/fake_monotonic_clock.h"

namespace stockalert::http {
namespace {

TEST_CASE("metrics, health and readiness over HTTP") {
  std::atomic<bool> ready{false};
  auto server = AdminServer::Start({.address = "127.0.0.1:0", .not_ready_reasons = [&ready] {
                                      return ready ? std::vector<std::string>{} : std::vector<std::string>{"the database does not answer"};
                                    }});
  REQUIRE(server.ok());
  REQUIRE((*server)->port() > 0);
  metrics::GetCounter("stockalert_test_http_total", "For the test").Increment();
  httplib::Client client("127.0.0.1", (*server)->port());

  const auto health = client.Get("/healthz");
  REQUIRE(health);
  CHECK(health->status == 200);

  auto readiness = client.Get("/readyz");
  REQUIRE(readiness);
  CHECK(readiness->status == 503);
  CHECK(readiness->body == "not ready: the database does not answer\n");
  ready = true;
  readiness = client.Get("/readyz");
  REQUIRE(readiness);
  CHECK(readiness->status == 200);

  const auto exposition = client.Get("/metrics");
  REQUIRE(exposition);
  CHECK(exposition->body.find("stockalert_test_http_total 1") != std::string::npos);
  const auto other = client.Get("/other");
  REQUIRE(other);
  CHECK(other->status == 404);
}

TEST_CASE("/healthz fails while a loop does not turn, says which, and the gauge shows it") {
  testing::FakeMonotonicClock clock;
  process::Liveness liveness(clock);
  process::Heartbeat heartbeat("test_loop", absl::Seconds(60), liveness);
  auto server = AdminServer::Start({.address = "127.0.0.1:0", .liveness = &liveness});
  REQUIRE(server.ok());
  httplib::Client client("127.0.0.1", (*server)->port());
  const auto get = [&client](const char* path) {
    const auto answer = client.Get(path);
    REQUIRE(answer);
    return std::pair(answer->status, answer->body);
  };
  heartbeat.Beat();
  CHECK(get("/healthz") == std::pair(200, std::string("alive\n")));
  for (int i = 0; i < 61; ++i) {
    clock.Advance(absl::Seconds(1));
    liveness.Look();
  }
  CHECK(get("/healthz") == std::pair(503, std::string("not alive: test_loop has not turned for 61 s (bound 60 s)\n")));
  CHECK(get("/metrics").second.find("stockalert_loop_last_turn_age_seconds{loop=\"test_loop\"} 61") != std::string::npos);
  CHECK(get("/metrics").second.find("stockalert_loop_stuck{loop=\"test_loop\"} 1") != std::string::npos);
  heartbeat.Beat();
  CHECK(get("/healthz").first == 200);
  CHECK(get("/metrics").second.find("stockalert_loop_stuck{loop=\"test_loop\"} 0") != std::string::npos);
  heartbeat.End();
  CHECK(get("/metrics").second.find("test_loop") == std::string::npos);
}

TEST_CASE("an address that cannot be listened on is an error, not a second listener") {
  auto first = AdminServer::Start({.address = "127.0.0.1:0", .not_ready_reasons = {}});
  REQUIRE(first.ok());
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->port());
  CHECK(AdminServer::Start({.address = taken, .not_ready_reasons = {}}).status().code() == absl::StatusCode::kUnavailable);
  CHECK(AdminServer::Start({.address = "nonsense", .not_ready_reasons = {}}).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace stockalert::http
