#include "services/alert/trigger_relay.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "services/alert/alert_logic.h"
#include "services/alert/event_applier.h"
#include "services/common/base/error.h"
#include "stockalert/internal/v1/events.pb.h"
#include "stockalert/internal/v1/log.pb.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/memory_producer/memory_producer.h"

namespace stockalert::alert {
namespace {

using testing::FakeIds;

constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const std::string kUser = FakeIds::Uuid(0xaa);

// Waits for what threads do, bounded.
bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + absl::Seconds(10);
  while (absl::Now() < give_up) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return condition();
}

TriggerRelay::Options Quick() {
  TriggerRelay::Options options;
  options.sweep_interval = absl::Milliseconds(10);
  options.retry_after = absl::Milliseconds(10);
  options.remove_after = absl::Milliseconds(2);
  return options;
}

struct Bench {
  testing::FakeClock clock;
  InMemoryAlertStore store;
  testing::MemoryProducer producer;
  ChangePublisher publisher{producer, clock, ChangePublisher::Options()};
  TriggerRelay::Options options = Quick();
  std::unique_ptr<TriggerRelay> relay;
  std::unique_ptr<EventApplier> applier;

  void Begin() {
    relay = std::make_unique<TriggerRelay>(store, producer, clock, options);
    applier = std::make_unique<EventApplier>(store, *relay, publisher, clock);
    relay->Start();
  }

  // A repeating alert, ids from 1.
  std::string Create(uint64_t number) {
    StoredAlert alert;
    alert.id = FakeIds::Uuid(number);
    alert.user_id = kUser;
    alert.symbol = "AAPL";
    alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kCrosses, 150'000'000};
    alert.record.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
    REQUIRE(store.Create(kUser, {alert}, 1000, clock.NowUs()).ok());
    return alert.id;
  }

  static std::string Event(const std::string& alert_id, int64_t number) {
    internal::v1::AlertEvent event;
    internal::v1::AlertTriggered& trigger = *event.mutable_triggered();
    trigger.set_alert_id(alert_id);
    trigger.set_symbol("AAPL");
    trigger.set_revision(1);
    trigger.set_trigger_number(number);
    trigger.set_price_micros(150'000'000);
    trigger.set_event_time_us(1);
    return event.SerializeAsString();
  }

  absl::Status Apply(const std::vector<std::string>& events) {
    std::vector<IncomingRecord> records;
    records.reserve(events.size());
    for (const std::string& event : events) records.push_back({"alert-events", event, kTrace});
    return applier->Apply(records);
  }

  // Of an alert, in the order of the topic.
  std::vector<int64_t> Published(const std::string& alert_id) const {
    std::vector<int64_t> numbers;
    for (const auto& record : producer.records()) {
      if (record.topic != "triggers") continue;
      internal::v1::TriggerMessage message;
      if (message.ParseFromString(record.value) && message.trigger().alert_id() == alert_id) numbers.push_back(message.trigger().trigger_number());
    }
    return numbers;
  }
  int64_t Waiting() { return store.MeasureBacklog()->open_triggers; }
};

// First occurrences in order: what the notifier makes of it.
bool InOrder(const std::vector<int64_t>& numbers, int64_t last) {
  int64_t next = 1;
  for (const int64_t number : numbers) {
    if (number > next) return false;
    if (number == next) ++next;
  }
  return next == last + 1;
}

}  // namespace

TEST_CASE("triggers are passed on at once, in order, with their trace, and leave the outbox") {
  Bench bench;
  const std::string a = bench.Create(1);
  const std::string b = bench.Create(2);
  bench.Begin();
  REQUIRE(bench.Apply({Bench::Event(a, 1), Bench::Event(b, 1), Bench::Event(a, 2), Bench::Event(a, 3)}).ok());
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  CHECK(bench.Published(a) == std::vector<int64_t>{1, 2, 3});
  CHECK(bench.Published(b) == std::vector<int64_t>{1});
  const auto record = bench.producer.records().front();
  CHECK(record.key == kUser);
  REQUIRE(record.headers.size() == 1);
  CHECK(record.headers[0].name == "traceparent");
  CHECK(record.headers[0].value == kTrace);
  // Told again: known.
  REQUIRE(bench.Apply({Bench::Event(a, 3)}).ok());
  bench.relay->Stop(absl::Now() + absl::Seconds(5));
  CHECK(bench.Published(a).size() == 3);
}

TEST_CASE("what a broker that is away did not take stays and goes out in order when it is back") {
  Bench bench;
  const std::string a = bench.Create(1);
  bench.Begin();
  bench.producer.Fail(absl::UnavailableError("down"));
  for (int64_t n = 1; n <= 5; ++n) REQUIRE(bench.Apply({Bench::Event(a, n)}).ok());
  CHECK(bench.Waiting() == 5);
  bench.producer.Fail(absl::OkStatus());
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  CHECK(InOrder(bench.Published(a), 5));
}

TEST_CASE("what another instance left is taken over, and goes before what comes now") {
  Bench bench;
  const std::string a = bench.Create(1);
  const std::string b = bench.Create(2);
  // Recorded by an instance that died before it published.
  for (const auto& [id, number] : std::vector<std::pair<std::string, int64_t>>{{a, 1}, {a, 2}, {b, 1}}) {
    EventBatch batch;
    internal::v1::AlertEvent event;
    REQUIRE(event.ParseFromString(Bench::Event(id, number)));
    REQUIRE(AddEvent(event, kTrace, batch).ok());
    REQUIRE(bench.store.ApplyEvents(batch, bench.clock.NowUs()).ok());
  }
  bench.Begin();
  REQUIRE(bench.Apply({Bench::Event(a, 3)}).ok());
  REQUIRE(Eventually([&] { return bench.Published(a).size() >= 3; }));
  CHECK(InOrder(bench.Published(a), 3));
  // The other's claim on b has not run out.
  CHECK(bench.Published(b).empty());
  bench.clock.Advance(absl::Microseconds(kTriggerClaimUs));
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  CHECK(bench.Published(b) == std::vector<int64_t>{1});
}

TEST_CASE("more than fits into memory waits in the outbox") {
  Bench bench;
  bench.options.held_max = 4;
  bench.options.rows_max = 3;
  const std::string a = bench.Create(1);
  const std::string b = bench.Create(2);
  bench.producer.Hold();
  bench.Begin();
  for (int64_t n = 1; n <= 20; ++n) {
    REQUIRE(bench.Apply({Bench::Event(a, n), Bench::Event(b, n)}).ok());
    bench.clock.Advance(absl::Seconds(1));
  }
  bench.producer.Release();
  // The clock stands still from here: move it, so that claims run out.
  REQUIRE(Eventually([&] {
    bench.clock.Advance(absl::Milliseconds(200));
    return bench.Waiting() == 0;
  }));
  CHECK(InOrder(bench.Published(a), 20));
  CHECK(InOrder(bench.Published(b), 20));
}

TEST_CASE("two instances side by side pass on every trigger, each alert's in order") {
  Bench bench;
  std::vector<std::string> ids;
  for (uint64_t i = 1; i <= 20; ++i) ids.push_back(bench.Create(i));
  bench.Begin();
  TriggerRelay other(bench.store, bench.producer, bench.clock, Quick());
  EventApplier other_applier(bench.store, other, bench.publisher, bench.clock);
  other.Start();
  for (int64_t n = 1; n <= 30; ++n) {
    std::vector<std::string> events;
    events.reserve(ids.size());
    for (const std::string& id : ids) events.push_back(Bench::Event(id, n));
    std::vector<IncomingRecord> records;
    records.reserve(events.size());
    for (const std::string& event : events) records.push_back({"alert-events", event, ""});
    // As if the partitions changed hands each time.
    REQUIRE((n % 2 == 0 ? *bench.applier : other_applier).Apply(records).ok());
    bench.clock.Advance(absl::Seconds(3));
  }
  REQUIRE(Eventually([&] {
    bench.clock.Advance(absl::Seconds(1));
    return bench.Waiting() == 0;
  }));
  other.Stop(absl::Now() + absl::Seconds(5));
  bench.relay->Stop(absl::Now() + absl::Seconds(5));
  for (const std::string& id : ids) CHECK(InOrder(bench.Published(id), 30));
}

TEST_CASE("events are not taken while the store is away, and once it is back nothing is lost") {
  Bench bench;
  const std::string a = bench.Create(1);
  bench.Begin();
  bench.store.FailWith(base::Unavailable("DATABASE_UNAVAILABLE", "down"));
  CHECK(bench.Apply({Bench::Event(a, 1)}).code() == absl::StatusCode::kUnavailable);
  bench.store.FailWith(absl::OkStatus());
  REQUIRE(bench.Apply({Bench::Event(a, 1)}).ok());
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  CHECK(bench.Published(a) == std::vector<int64_t>{1});
}

TEST_CASE("records that cannot be understood are passed over, the others are applied") {
  Bench bench;
  const std::string a = bench.Create(1);
  bench.Begin();
  REQUIRE(bench.Apply({"\xff\xff\xff", "", Bench::Event("no id", 1), Bench::Event(a, 1)}).ok());
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  CHECK(bench.Published(a) == std::vector<int64_t>{1});
  CHECK(bench.applier->Apply({{"user-events", "garbage", ""}}).ok());
}

TEST_CASE("a deleted user's alerts leave the log") {
  Bench bench;
  const std::string a = bench.Create(1);
  const std::string b = bench.Create(2);
  bench.Begin();
  internal::v1::UserEvent event;
  event.mutable_user_deleted()->set_user_id(kUser);
  const std::string value = event.SerializeAsString();
  REQUIRE(bench.applier->Apply({{"user-events", value, kTrace}}).ok());
  std::vector<std::string> deleted;
  for (const auto& record : bench.producer.records()) {
    internal::v1::LogRecord logged;
    REQUIRE(logged.ParseFromString(record.value));
    CHECK(logged.alert_change().deleted());
    CHECK(logged.alert_change().revision() == 2);
    deleted.push_back(logged.alert_change().alert_id());
  }
  std::sort(deleted.begin(), deleted.end());
  CHECK(deleted == std::vector<std::string>{a, b});
  // Again: nothing more to do.
  REQUIRE(bench.applier->Apply({{"user-events", value, kTrace}}).ok());
  CHECK(bench.producer.records().size() == 2);
}

}  // namespace stockalert::alert
