// What the consumer of events makes of what its group brings and does.
#include "services/alert/event_consumer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "absl/time/clock.h"
#include "services/alert/alert_errors.h"
#include "services/alert/change_publisher.h"
#include "services/common/base/error.h"
#include "services/common/base/failure_kind.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/store_failure.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/memory_dead_letters/memory_dead_letters.h"
#include "tests/support/memory_producer/memory_producer.h"
#include "tests/support/scripted_group/scripted_group.h"

namespace stockalert::alert {
namespace {

using testing::Eventually;
using testing::FakeIds;

const kafka::TopicPartition kEvents{kafka::kAlertEventsTopic, 0};

struct Bench {
  void Begin() {
    consumer = std::make_unique<EventConsumer>(group.maker(), applier, letters, clock, options, held);
    consumer->Start();
  }
  // An alert that triggers again and again.
  void Create(uint64_t number) {
    StoredAlert alert;
    alert.id = FakeIds::Uuid(number);
    alert.user_id = FakeIds::Uuid(0xaa);
    alert.symbol = "AAPL";
    alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kCrosses, 150'000'000};
    alert.record.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
    REQUIRE(store.Create(alert.user_id, {alert}, 100, clock.NowUs()).ok());
  }
  void Trigger(uint64_t alert, int64_t number) {
    internal::v1::AlertEvent event;
    internal::v1::AlertTriggered& trigger = *event.mutable_triggered();
    trigger.set_alert_id(FakeIds::Uuid(alert));
    trigger.set_symbol("AAPL");
    trigger.set_revision(1);
    trigger.set_trigger_number(number);
    trigger.set_price_micros(150'000'000);
    trigger.set_event_time_us(1);
    group.Produce(kafka::kAlertEventsTopic, trigger.alert_id(), event.SerializeAsString());
  }
  int64_t TriggersOf(uint64_t alert) {
    const auto view = store.Find(FakeIds::Uuid(0xaa), FakeIds::Uuid(alert));
    return view.ok() && view->has_value() ? (*view)->alert.trigger_count : 0;
  }
  bool AwaitPolls(int more) {
    const int until = group.polls() + more;
    return Eventually([&] { return group.polls() >= until; });
  }

  testing::FakeClock clock;
  InMemoryAlertStore store;
  testing::MemoryProducer producer;
  testing::MemoryDeadLetters letters;
  ChangePublisher publisher{producer, clock.monotonic(), ChangePublisher::Options()};
  TriggerRelay relay{store, producer, clock, TriggerRelay::Options()};
  EventApplier applier{store, relay, publisher, clock};
  testing::ScriptedGroup group{{kafka::kAlertEventsTopic, kafka::kUserEventsTopic}};
  kafka::GroupWorkerOptions options = EventWorkerOptions();
  dead_letter::HeldOptions held;
  std::unique_ptr<EventConsumer> consumer;
};

}  // namespace

TEST_CASE("events are applied and committed, and unreadable ones are put aside") {
  Bench bench;
  bench.Create(1);
  bench.Trigger(1, 1);
  bench.group.Produce(kafka::kAlertEventsTopic, "", "\xff\xff");
  bench.Trigger(1, 2);
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.committed()[kEvents] == 3; }));
  CHECK(bench.TriggersOf(1) == 2);
  REQUIRE(bench.letters.letters().size() == 1);
  CHECK(bench.letters.letters()[0].offset == 1);
}

TEST_CASE(
    "a partition stands still at an event of a kind to come, though what was fetched behind it comes all the same") {
  const auto& held =
      metrics::GetGauge("stockalert_consumer_partitions_held", "", {{"topic", kafka::kAlertEventsTopic}});
  Bench bench;
  bench.options.poll_max = 1;
  bench.held.first_retry = absl::Hours(1);
  bench.Create(1);
  bench.group.Produce(kafka::kAlertEventsTopic, "", "\x9a\x06\x02hi");
  for (int64_t number = 1; number <= 3; ++number) bench.Trigger(1, number);
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.records() == 4; }));
  REQUIRE(bench.AwaitPolls(2));
  CHECK(bench.TriggersOf(1) == 0);
  CHECK(bench.group.committed()[kEvents] == 0);
  CHECK(held.Value() == 1);
  // Whoever gets the partition begins at its record.
  kafka::PollResult taken;
  taken.rebalances.push_back({kafka::RebalanceEvent::Kind::kLost, {kEvents}});
  bench.group.ReturnFromNextPoll(std::move(taken));
  CHECK(Eventually([&] { return held.Value() == 0; }));
}

TEST_CASE("while the store is away the time counts, and a stop waits neither for it nor for the next try") {
  const auto& blocked = metrics::GetGauge("stockalert_consumer_blocked_seconds", "");
  auto& failures = metrics::GetCounter("stockalert_alert_apply_failures_total",
                                       "Batches of events that the store did not take at once");
  const double before = failures.Value();
  Bench bench;
  bench.options.give_up_after = absl::Hours(1);
  bench.Create(1);
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  bench.Trigger(1, 1);
  bench.Begin();
  REQUIRE(Eventually([&] { return blocked.Value() > 0 && failures.Value() > before + 1; }));
  bench.store.FailWith(absl::OkStatus());
  REQUIRE(Eventually([&] { return bench.TriggersOf(1) == 1 && blocked.Value() == 0; }));
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  bench.Trigger(1, 2);
  REQUIRE(Eventually([&] { return blocked.Value() > 0; }));
  bench.consumer->Stop();
  CHECK(bench.group.members() == 1);
}

// Calls back whenever it is asked.
class WatchingClock final : public base::Clock {
 public:
  explicit WatchingClock(std::function<void()> asked) : asked_(std::move(asked)) {}
  int64_t NowUs() const override {
    asked_();
    return 1;
  }

 private:
  const std::function<void()> asked_;
};

TEST_CASE("a batch that is tried record by record shows before each try that it goes on") {
  constexpr size_t kRecords = 16;
  constexpr absl::Duration kPause = absl::Milliseconds(5);
  process::Liveness& liveness = process::Liveness::OfProcess();
  Bench bench;
  bench.Create(1);
  for (size_t number = 1; number <= kRecords; ++number) bench.Trigger(1, static_cast<int64_t>(number));
  // How long ago it had shown it last, at each try. Time goes on while it looks, and stands still until it looks again.
  std::vector<absl::Duration> ages;
  const WatchingClock clock([&] {
    ages.push_back(liveness.Ages().at("alert_events").age);
    bench.store.FailWith(
        base::WithFailureKind(absl::InternalError("a value that cannot be"), base::FailureKind::kOfRecord));
    absl::SleepFor(kPause);
    liveness.Sample();
  });
  EventApplier applier(bench.store, bench.relay, bench.publisher, clock);
  EventConsumer consumer(bench.group.maker(), applier, bench.letters, bench.clock, bench.options);
  consumer.Start();
  REQUIRE(Eventually([&] { return bench.letters.letters().size() == kRecords; }));
  consumer.Stop();
  // Before each of the last tries there were far more others than records: without a sign since they began, each would
  // be long ago.
  REQUIRE(ages.size() > kRecords);
  CHECK(*std::min_element(ages.end() - kRecords / 2, ages.end()) < kPause * kRecords);
}

TEST_CASE("a store that is away for too long has the group left and joined anew, and nothing is lost") {
  Bench bench;
  bench.options.give_up_after = absl::ZeroDuration();
  bench.Create(1);
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  bench.Trigger(1, 1);
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.members() > 2; }));
  CHECK(bench.group.committed().empty());
  bench.store.FailWith(absl::OkStatus());
  REQUIRE(Eventually([&] { return bench.group.committed()[kEvents] == 1; }));
  CHECK(bench.TriggersOf(1) == 1);
}

TEST_CASE("where the place of the group is no more in the log, reading goes on at the oldest event") {
  Bench bench;
  bench.Create(1);
  bench.Trigger(1, 1);
  kafka::PollResult said;
  said.errors.push_back({kEvents, absl::OutOfRangeError("not in the log")});
  said.errors.push_back({{kafka::kUserEventsTopic, 0}, absl::PermissionDeniedError("forbidden")});
  bench.group.ReturnFromNextPoll(std::move(said));
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.TriggersOf(1) == 1; }));
  CHECK(bench.group.seeks() == std::vector<std::pair<kafka::TopicPartition, int64_t>>{{kEvents, 0}});
}

TEST_CASE("a member that can go on no more is followed by another") {
  Bench bench;
  bench.Create(1);
  kafka::PollResult fenced;
  fenced.fatal = absl::FailedPreconditionError("fenced");
  bench.group.ReturnFromNextPoll(std::move(fenced));
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.members() == 2; }));
  bench.Trigger(1, 1);
  CHECK(Eventually([&] { return bench.TriggersOf(1) == 1; }));
}

}  // namespace stockalert::alert
