// Bars over a real server whose answers the test sets, and the fake that stands for it in other tests.
#include "services/notifier/bars/grpc_bar_source.h"

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <latch>
#include <memory>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "tests/support/fake_bars/fake_bars.h"

namespace stockalert::notifier {
namespace {

namespace ipb = ::stockalert::internal::v1;

class Bars final : public ipb::TickerInternalService::Service {
 public:
  ::grpc::Status ListLastBars(::grpc::ServerContext* context, const ipb::ListLastBarsRequest* request,
                              ipb::ListLastBarsResponse* response) override {
    asked = *request;
    const auto token = context->client_metadata().find(rpc::kMeshTokenMetadata);
    has_token = token != context->client_metadata().end() && token->second == "token";
    if (hold != nullptr) hold->wait();
    *response = answer;
    return rpc::ToGrpc(failure);
  }
  ipb::ListLastBarsRequest asked;
  ipb::ListLastBarsResponse answer;
  absl::Status failure;
  std::latch* hold = nullptr;
  bool has_token = false;
};

struct Fixture {
  explicit Fixture(absl::Duration timeout = absl::Seconds(20)) {
    auto started = rpc::Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {&service},
                                       .service_names = {}});
    REQUIRE(started.ok());
    server = *std::move(started);
    peer = std::make_unique<rpc::Peer>(server->InProcessChannel(), "token");
    source = std::make_unique<GrpcBarSource>(*peer, timeout);
  }
  ~Fixture() { server->Shutdown(absl::Now() + absl::Seconds(5)); }

  Bars service;
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<rpc::Peer> peer;
  std::unique_ptr<GrpcBarSource> source;
};

TEST_CASE("bars are asked for and handed on as the ticker service has them") {
  Fixture f;
  for (int64_t i = 0; i < 2; ++i) {
    ipb::PriceBar& bar = *f.service.answer.add_bars();
    bar.set_start_time_us(60'000'000 * i);
    bar.set_open_micros(1 + i);
    bar.set_high_micros(20 + i);
    bar.set_low_micros(30 + i);
    bar.set_close_micros(40 + i);
  }
  const auto bars = f.source->LastBars("AAPL", 5, 120'000'000, 7);
  REQUIRE(bars.ok());
  CHECK(*bars == std::vector<PriceBar>{{0, 1, 20, 30, 40}, {60'000'000, 2, 21, 31, 41}});
  CHECK(f.service.asked.symbol() == "AAPL");
  CHECK(f.service.asked.start_time_us() == 5);
  CHECK(f.service.asked.end_time_us() == 120'000'000);
  CHECK(f.service.asked.bar_count_max() == 7);
  CHECK(f.service.has_token);
}

TEST_CASE("a ticker service that does not answer, or refuses, is said") {
  Fixture f;
  const auto reason = [&] { return base::ReasonOf(f.source->LastBars("AAPL", 0, 1, 1).status()); };
  f.service.failure = absl::InternalError("what nobody should see");
  CHECK(reason() == "TICKER_SERVICE_UNAVAILABLE");
  f.service.failure = base::Unavailable("DATABASE_UNAVAILABLE", "the database is away");
  CHECK(reason() == "DATABASE_UNAVAILABLE");
  f.service.failure = base::InvalidField("bar_count_max", "must be 1 to 1000");
  CHECK(f.source->LastBars("AAPL", 0, 1, 0).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a call ends with its time") {
  Fixture f(absl::Milliseconds(50));
  std::latch release(1);
  f.service.hold = &release;
  const absl::Status status = f.source->LastBars("AAPL", 0, 1, 1).status();
  release.count_down();
  CHECK(base::ReasonOf(status) == "TICKER_SERVICE_UNAVAILABLE");
}

TEST_CASE("the fake answers as the ticker service does") {
  testing::FakeBars fake;
  fake.SetBars("AAPL", {{0, 1, 1, 1, 1}, {60, 2, 2, 2, 2}, {120, 3, 3, 3, 3}, {180, 4, 4, 4, 4}});
  CHECK(*fake.LastBars("AAPL", 0, 180, 2) == std::vector<PriceBar>{{60, 2, 2, 2, 2}, {120, 3, 3, 3, 3}});
  CHECK(fake.LastBars("AAPL", 0, 1000, 9)->size() == 4);
  CHECK(fake.LastBars("MSFT", 0, 1000, 9)->empty());
  fake.Fail(absl::UnavailableError("away"));
  CHECK_FALSE(fake.LastBars("AAPL", 0, 180, 2).ok());
  CHECK(fake.calls() == 4);
}

}  // namespace
}  // namespace stockalert::notifier
