#include "services/alert/change_publisher.h"

#include <catch2/catch.hpp>

#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/log.pb.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/memory_producer/memory_producer.h"

namespace stockalert::alert {
namespace {

using testing::FakeIds;

prometheus::Counter& Published(const char* result) {
  return metrics::GetCounter("stockalert_alert_changes_published_total",
                             "Changes of alerts handed to the log, by what came of it", {{"result", result}});
}

StoredAlert AlertOf(uint64_t number) {
  StoredAlert alert;
  alert.id = FakeIds::Uuid(number);
  alert.symbol = "AAPL";
  alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
  return alert;
}

struct Bench {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  ChangePublisher::Options options;
  std::vector<std::string> Publish(ChangePublisher& publisher, absl::Duration longest) {
    return publisher.Publish({AlertOf(1), AlertOf(2)}, "", absl::Now() + longest);
  }
};

}  // namespace

TEST_CASE("what the log took and what it did not is told and counted") {
  const double acknowledged = Published("acknowledged").Value(), unanswered = Published("unanswered").Value();
  Bench bench;
  ChangePublisher publisher(bench.producer, bench.clock.monotonic(), bench.options);
  CHECK(publisher.Publish({}, "", absl::Now()).empty());
  CHECK(bench.Publish(publisher, absl::Seconds(10)).empty());
  CHECK(Published("acknowledged").Value() == acknowledged + 2);
  bench.producer.Fail(absl::UnavailableError("down"));
  CHECK(bench.Publish(publisher, absl::Seconds(10)) == std::vector<std::string>{FakeIds::Uuid(1), FakeIds::Uuid(2)});
  CHECK(Published("acknowledged").Value() == acknowledged + 2);
  CHECK(Published("unanswered").Value() == unanswered + 2);
}

TEST_CASE("a log that does not answer shortens the waits of others, until it answers or for a while") {
  Bench bench;
  bench.options.wait_max = absl::Milliseconds(5);
  bench.options.wait_max_degraded = absl::Milliseconds(1);
  ChangePublisher publisher(bench.producer, bench.clock.monotonic(), bench.options);
  bench.producer.Hold();
  CHECK(!publisher.degraded());
  CHECK(bench.Publish(publisher, absl::Seconds(10)).size() == 2);
  CHECK(publisher.degraded());
  bench.clock.Advance(bench.options.degraded_for);
  CHECK(!publisher.degraded());
  CHECK(bench.Publish(publisher, absl::Seconds(10)).size() == 2);
  CHECK(publisher.degraded());
  bench.producer.Release();
  CHECK(bench.Publish(publisher, absl::Seconds(10)).empty());
  CHECK(!publisher.degraded());
}

TEST_CASE("a caller's deadline bounds its wait, and says nothing about the log") {
  Bench bench;
  bench.options.wait_max = absl::Seconds(5);
  ChangePublisher publisher(bench.producer, bench.clock.monotonic(), bench.options);
  bench.producer.Hold();
  CHECK(bench.Publish(publisher, absl::Milliseconds(1)).size() == 2);
  CHECK(bench.Publish(publisher, -absl::Seconds(1)).size() == 2);
  CHECK(!publisher.degraded());
}

}  // namespace stockalert::alert
