#include "services/alert/outbox_sweeper.h"

#include <catch2/catch.hpp>

#include "services/alert/change_publisher.h"
#include "services/alert/event_rules.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/store_failure.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/memory_producer/memory_producer.h"

namespace stockalert::alert {
namespace {

using testing::FakeIds;

struct Bench {
  testing::FakeClock clock;
  InMemoryAlertStore store;
  testing::MemoryProducer producer;
  ChangePublisher publisher{producer, clock.monotonic(), ChangePublisher::Options()};
  OutboxSweeper::Options options;

  // Of alerts that the evaluator has confirmed, ids from 1.
  void Create(uint64_t number, const std::string& symbol) {
    StoredAlert alert;
    alert.id = FakeIds::Uuid(number);
    alert.user_id = FakeIds::Uuid(0xaa);
    alert.symbol = symbol;
    alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
    REQUIRE(store.Create(alert.user_id, {alert}, 100'000, clock.NowUs()).ok());
    REQUIRE(ApplyEvents(store, {{{alert.id, 1}}, {}, {}}, clock.NowUs()).ok());
  }
};

}  // namespace

TEST_CASE("resyncs are done one after the other, without a pause between, and no more of them wait than is bearable") {
  Bench bench;
  bench.options.resyncs_max = 2;
  for (uint64_t i = 1; i <= 3; ++i) bench.Create(i, "AAPL");
  bench.Create(4, "MSFT");
  OutboxSweeper sweeper(bench.store, bench.publisher, bench.clock, bench.options);
  REQUIRE(sweeper.RequestResync("AAPL").ok());
  REQUIRE(sweeper.RequestResync("MSFT").ok());
  const absl::Status busy = sweeper.RequestResync("");
  CHECK(busy.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::ReasonOf(busy) == "RESYNC_BUSY");
  while (sweeper.RunOnce()) {
  }
  REQUIRE(bench.producer.records().size() == 4);
  CHECK(bench.producer.records().back().key == "MSFT");
  CHECK(sweeper.RequestResync("").ok());
}

TEST_CASE("a store that does not answer fails the sweeper's turns, which are counted, and it goes on when it does") {
  auto& failures =
      metrics::GetCounter("stockalert_alert_sweeper_failures_total", "Turns of the outbox sweeper that failed");
  auto& changes =
      metrics::GetGauge("stockalert_alert_open_changes", "Changes of alerts that the evaluator has not confirmed");
  Bench bench;
  bench.options.measure_interval = absl::ZeroDuration();
  bench.options.purge_interval = absl::ZeroDuration();
  bench.Create(1, "AAPL");
  OutboxSweeper sweeper(bench.store, bench.publisher, bench.clock, bench.options);
  REQUIRE(sweeper.RequestResync("").ok());
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  const double before = failures.Value();
  CHECK(!sweeper.RunOnce());
  // The resync, what is due, the measure and the purge.
  CHECK(failures.Value() == before + 4);
  bench.store.FailWith(absl::OkStatus());
  CHECK(sweeper.RunOnce());
  CHECK(failures.Value() == before + 4);
  CHECK(bench.producer.records().size() == 1);
  CHECK(changes.Value() == 1);
}

}  // namespace stockalert::alert
