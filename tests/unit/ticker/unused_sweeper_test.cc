#include "services/ticker/unused_sweeper.h"

#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/store_failure.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/ticker_store/in_memory_ticker_store.h"
#include "tests/unit/ticker/fakes.h"

namespace stockalert::ticker {
namespace {

using testing::Eventually;

struct Fixture {
  testing::FakeClock clock;
  testing::FakeMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  testing::InMemoryTickerStore store;
  testing::InMemoryPriceStore price_store;
  PriceBoard board{clock, monotonic_clock};
  MemoryFetcher fetcher;
  MemoryTickerUse use;
  TickerLogic logic{TickerLogicOptions{}, store, price_store, board, fetcher, use, clock, monotonic_clock, ids};
};

TEST_CASE("what nobody uses is forgotten by itself, and the sweeper may rest as long as its interval is") {
  Fixture f;
  REQUIRE(f.store.Register({"AAPL"}, f.clock.NowUs(), 0, "").ok());
  f.clock.Advance(absl::Hours(24));
  const absl::Duration interval = absl::Hours(3);
  UnusedSweeper sweeper(f.logic, interval);
  REQUIRE(Eventually([&] { return f.store.Find({"AAPL"})->empty(); }));
  CHECK(process::Liveness::OfProcess().Ages().at("ticker_unused_sweeper").bound > interval);
  // Its end does not wait for the interval.
}

TEST_CASE("a round that fails is counted, and tried again before the interval is over") {
  auto& failures =
      metrics::GetCounter("stockalert_ticker_sweep_failures_total", "Rounds of looking for unused tickers that failed");
  const double before = failures.Value();
  Fixture f;
  REQUIRE(f.store.Register({"AAPL"}, f.clock.NowUs(), 0, "").ok());
  f.clock.Advance(absl::Hours(24));
  f.store.Fail(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  UnusedSweeper sweeper(f.logic, absl::Hours(3));
  REQUIRE(Eventually([&] { return failures.Value() > before; }));
  // And rests in between: without that it would be hundreds by now.
  absl::SleepFor(absl::Milliseconds(20));
  CHECK(failures.Value() < before + 20);
  f.store.Fail(absl::OkStatus());
  CHECK(Eventually([&] { return f.store.Find({"AAPL"})->empty(); }));
}

}  // namespace
}  // namespace stockalert::ticker
