#include "services/common/http/admin_server.h"

#include <httplib.h>

#include <atomic>
#include <catch2/catch.hpp>

#include "services/common/metrics/metrics.h"

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

TEST_CASE("an address that cannot be listened on is an error, not a second listener") {
  auto first = AdminServer::Start({.address = "127.0.0.1:0", .not_ready_reasons = {}});
  REQUIRE(first.ok());
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->port());
  CHECK(AdminServer::Start({.address = taken, .not_ready_reasons = {}}).status().code() == absl::StatusCode::kUnavailable);
  CHECK(AdminServer::Start({.address = "nonsense", .not_ready_reasons = {}}).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace stockalert::http
