#include "services/alert/trigger_relay.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "services/alert/alert_rules.h"
#include "services/alert/change_publisher.h"
#include "services/alert/event_applier.h"
#include "services/alert/event_rules.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/store_failure.h"
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
  ChangePublisher publisher{producer, clock.monotonic(), ChangePublisher::Options()};
  TriggerRelay::Options options = Quick();
  int64_t triggers_per_minute = 1'000'000;
  std::unique_ptr<TriggerRelay> relay;
  std::unique_ptr<EventApplier> applier;

  void Begin() {
    relay = std::make_unique<TriggerRelay>(store, producer, clock, options);
    applier = std::make_unique<EventApplier>(store, *relay, publisher, clock, triggers_per_minute);
    relay->Start();
  }

  // A repeating alert, ids from 1.
  std::string Create(uint64_t number, const std::string& user = kUser, const std::string& note = "") {
    StoredAlert alert;
    alert.id = FakeIds::Uuid(number);
    alert.user_id = user;
    alert.symbol = "AAPL";
    alert.note = note;
    alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kCrosses, 150'000'000};
    alert.record.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
    REQUIRE(store.Create(user, {alert}, 100'000, clock.NowUs()).ok());
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

  absl::Status Apply(const std::vector<std::string>& events) { return ApplyTo(*applier, events); }

  static absl::Status ApplyTo(EventApplier& applier, const std::vector<std::string>& events) {
    std::vector<kafka::QueuedRecord> records;
    std::vector<size_t> indices;
    for (const std::string& event : events) {
      indices.push_back(records.size());
      records.push_back({{"alert-events", 0}, 0, 0, "", event, kTrace});
    }
    for (const dead_letter::Reading& reading : applier.Read(records))
      REQUIRE(reading.disposition == dead_letter::Item::Disposition::kApply);
    return applier.Apply(indices);
  }

  // Of an alert, in the order of the topic.
  std::vector<int64_t> Published(const std::string& alert_id) const {
    std::vector<int64_t> numbers;
    for (const auto& record : producer.records()) {
      if (record.topic != "triggers") continue;
      internal::v1::TriggerMessage message;
      if (message.ParseFromString(record.value) && message.trigger().alert_id() == alert_id)
        numbers.push_back(message.trigger().trigger_number());
    }
    return numbers;
  }
  int64_t Waiting() { return store.MeasureBacklog()->open_triggers; }
};

// The places in the topic of a user's triggers.
std::vector<size_t> PlacesOf(const testing::MemoryProducer& producer, const std::string& user) {
  std::vector<size_t> places;
  const auto records = producer.records();
  for (size_t i = 0; i < records.size(); ++i) {
    if (records[i].topic == "triggers" && records[i].key == user) places.push_back(i);
  }
  return places;
}

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
  bench.relay->Stop(absl::Now() + absl::Hours(1));
  CHECK(bench.Published(a).size() == 3);
}

TEST_CASE("a trigger wakes the relay") {
  Bench bench;
  bench.options.sweep_interval = absl::Hours(1);
  const std::string a = bench.Create(1);
  bench.Begin();
  // One after the other, so that each finds it asleep. If it slept on until it looks again by itself, all of them took
  // far longer than is waited.
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  int64_t passed = 0;
  while (passed < 100 && absl::Now() < give_up) {
    ++passed;
    REQUIRE(bench.Apply({Bench::Event(a, passed)}).ok());
    REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  }
  CHECK(passed == 100);
}

TEST_CASE("records that Kafka accepted and that it refused are counted") {
  auto& taken = metrics::GetCounter("stockalert_alert_triggers_passed_total", "Triggers that the notifier's topic has");
  auto& refused = metrics::GetCounter("stockalert_alert_triggers_refused_total",
                                      "Tries of triggers that Kafka cannot take as they are");
  auto& failures = metrics::GetCounter("stockalert_alert_relay_failures_total", "Failed tries of the trigger relay");
  const double taken_before = taken.Value(), refused_before = refused.Value(), failures_before = failures.Value();
  Bench bench;
  const std::string a = bench.Create(1);
  const std::string large = bench.Create(2, kUser, std::string(1000, 'n'));
  bench.producer.RefuseAbove(500);
  bench.Begin();
  REQUIRE(bench.Apply({Bench::Event(a, 1), Bench::Event(a, 2), Bench::Event(large, 1)}).ok());
  REQUIRE(Eventually([&] { return taken.Value() == taken_before + 2 && refused.Value() == refused_before + 1; }));
  CHECK(failures.Value() == failures_before);
  bench.producer.Fail(absl::UnavailableError("down"));
  REQUIRE(bench.Apply({Bench::Event(a, 3)}).ok());
  REQUIRE(Eventually([&] { return failures.Value() > failures_before; }));
  CHECK(taken.Value() == taken_before + 2);
}

TEST_CASE("a store that does not answer is not asked again and again without a pause") {
  auto& failures = metrics::GetCounter("stockalert_alert_relay_failures_total", "Failed tries of the trigger relay");
  Bench bench;
  bench.options.sweep_interval = bench.options.retry_after = absl::Hours(1);
  bench.options.held_of_user_max = 1;
  const std::string a = bench.Create(1);
  bench.producer.Hold();
  bench.Begin();
  REQUIRE(bench.Apply({Bench::Event(a, 1), Bench::Event(a, 2)}).ok());
  const double before = failures.Value();
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  bench.producer.Release();
  // What was acknowledged cannot be removed, and the rest not be read: once each, perhaps beside a sweep, and the
  // former once more at the end.
  REQUIRE(Eventually([&] { return failures.Value() >= before + 2; }));
  bench.relay->Stop(absl::Now() + absl::Hours(1));
  CHECK(failures.Value() <= before + 4);
}

TEST_CASE("triggers that Kafka has are not read from the outbox and published again") {
  Bench bench;
  bench.options.remove_after = absl::Hours(1);
  bench.options.held_of_user_max = 1;
  const std::string a = bench.Create(1);
  bench.producer.Hold();
  bench.Begin();
  // The first is held by the relay, the others are read from the outbox after it.
  REQUIRE(bench.Apply({Bench::Event(a, 1), Bench::Event(a, 2), Bench::Event(a, 3)}).ok());
  bench.producer.Release();
  REQUIRE(Eventually([&] { return bench.Published(a).size() >= 3; }));
  bench.relay->Stop(absl::Now() + absl::Hours(1));
  CHECK(bench.Published(a) == std::vector<int64_t>{1, 2, 3});
  CHECK(bench.Waiting() == 0);
}

TEST_CASE("rows that a broker did not accept are kept, and sent in order when it is back") {
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
    REQUIRE(ApplyEvents(bench.store, batch, bench.clock.NowUs()).ok());
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

TEST_CASE("a trigger that Kafka refuses holds up only the later ones of its alert") {
  Bench bench;
  // Nothing is tried again before the test is over: whoever waits for the failed one waits in vain.
  bench.options.retry_after = absl::Hours(1);
  const std::string large = bench.Create(1, kUser, std::string(1000, 'n'));
  const std::string small = bench.Create(2);
  bench.producer.RefuseAbove(500);
  bench.Begin();
  REQUIRE(bench.Apply({Bench::Event(large, 1)}).ok());
  REQUIRE(bench.Apply({Bench::Event(large, 2), Bench::Event(small, 1)}).ok());
  REQUIRE(Eventually([&] { return bench.Published(small).size() == 1; }));
  REQUIRE(bench.Apply({Bench::Event(small, 2)}).ok());
  REQUIRE(Eventually([&] { return bench.Published(small).size() == 2; }));
  CHECK(bench.Published(large).empty());
  // The operator raises the topic's limit.
  bench.producer.RefuseAbove(1'000'000);
  REQUIRE(Eventually([&] {
    bench.clock.Advance(absl::Microseconds(kTriggerClaimUs));
    return bench.Waiting() == 0;
  }));
  CHECK(InOrder(bench.Published(large), 2));
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

TEST_CASE("a user with many alerts is not in front of one with a single alert") {
  Bench bench;
  bench.options.in_flight_max = 10;
  const std::string quiet = FakeIds::Uuid(0xbb);
  std::vector<std::string> events;
  for (uint64_t i = 1; i <= 200; ++i) events.push_back(Bench::Event(bench.Create(i), 1));
  events.push_back(Bench::Event(bench.Create(201, quiet), 1));
  bench.producer.Hold();
  bench.Begin();
  REQUIRE(bench.Apply(events).ok());
  bench.producer.Release();
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  // Without turns it would be the last of 201.
  REQUIRE(PlacesOf(bench.producer, quiet).size() == 1);
  CHECK(PlacesOf(bench.producer, quiet).front() < 20);
}

TEST_CASE("what is throttled goes after what is not, marked, and all of it in its alert's order") {
  Bench bench;
  bench.triggers_per_minute = 3;
  bench.options.throttled_in_flight_max = 2;
  const std::string quiet = FakeIds::Uuid(0xbb);
  std::vector<std::string> ids;
  for (uint64_t i = 1; i <= 30; ++i) ids.push_back(bench.Create(i));
  const std::string other = bench.Create(31, quiet);
  bench.Begin();
  bench.producer.Hold();
  for (int64_t n = 1; n <= 3; ++n) {
    std::vector<std::string> events;
    for (const std::string& id : ids) events.push_back(Bench::Event(id, n));
    events.push_back(Bench::Event(other, n));
    REQUIRE(bench.Apply(events).ok());
  }
  bench.producer.Release();
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  int throttled = 0;
  for (const auto& record : bench.producer.records()) {
    internal::v1::TriggerMessage message;
    REQUIRE(message.ParseFromString(record.value));
    throttled += message.throttled() ? 1 : 0;
    if (record.key == quiet) CHECK(!message.throttled());
  }
  CHECK(throttled == 87);
  const auto places = PlacesOf(bench.producer, quiet);
  REQUIRE(places.size() == 3);
  // Before it: what was not throttled, and what of the rest was under way.
  CHECK(places.back() < 15);
  for (const std::string& id : ids) CHECK(InOrder(bench.Published(id), 3));
  CHECK(InOrder(bench.Published(other), 3));
}

TEST_CASE("a backlog beyond its user's share of the memory is read from the outbox, and others have theirs") {
  Bench bench;
  bench.options.held_of_user_max = 5;
  bench.options.rows_of_alert_max = 2;
  const std::string quiet = FakeIds::Uuid(0xbb);
  std::vector<std::string> ids;
  for (uint64_t i = 1; i <= 20; ++i) ids.push_back(bench.Create(i));
  const std::string other = bench.Create(21, quiet);
  bench.producer.Hold();
  bench.Begin();
  for (int64_t n = 1; n <= 10; ++n) {
    std::vector<std::string> events;
    for (const std::string& id : ids) events.push_back(Bench::Event(id, n));
    if (n == 10) events.push_back(Bench::Event(other, 1));
    REQUIRE(bench.Apply(events).ok());
  }
  bench.producer.Release();
  // The clock stands still: nothing of it is swept.
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  for (const std::string& id : ids) CHECK(InOrder(bench.Published(id), 10));
  REQUIRE(PlacesOf(bench.producer, quiet).size() == 1);
  CHECK(PlacesOf(bench.producer, quiet).front() < 50);
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
    // As if the partitions changed hands each time.
    REQUIRE(Bench::ApplyTo(n % 2 == 0 ? *bench.applier : other_applier, events).ok());
    bench.clock.Advance(absl::Seconds(3));
  }
  REQUIRE(Eventually([&] {
    bench.clock.Advance(absl::Seconds(1));
    return bench.Waiting() == 0;
  }));
  other.Stop(absl::Now() + absl::Seconds(5));
  bench.relay->Stop(absl::Now() + absl::Hours(1));
  for (const std::string& id : ids) CHECK(InOrder(bench.Published(id), 30));
}

TEST_CASE("events are not taken while the store is away, and once it is back nothing is lost") {
  Bench bench;
  const std::string a = bench.Create(1);
  bench.Begin();
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  CHECK(bench.Apply({Bench::Event(a, 1)}).code() == absl::StatusCode::kUnavailable);
  bench.store.FailWith(absl::OkStatus());
  REQUIRE(bench.Apply({Bench::Event(a, 1)}).ok());
  REQUIRE(Eventually([&] { return bench.Waiting() == 0; }));
  CHECK(bench.Published(a) == std::vector<int64_t>{1});
}

}  // namespace stockalert::alert
