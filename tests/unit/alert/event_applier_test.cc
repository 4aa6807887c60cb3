// What records of alert-events and user-events ask for, in whose turns, and what becomes of it.
#include "services/alert/event_applier.h"

#include <catch2/catch.hpp>

#include "services/alert/alert_errors.h"
#include "services/common/base/error.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/postgres/store_failure.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/memory_producer/memory_producer.h"

namespace stockalert::alert {
namespace {

using testing::FakeIds;
using Disposition = dead_letter::Item::Disposition;

const std::string kUser = FakeIds::Uuid(0xaa);
const std::string kAlert = FakeIds::Uuid(1);

class FakeLog final : public ChangeLog {
 public:
  std::vector<std::string> Publish(const std::vector<StoredAlert>& alerts, std::string_view traceparent,
                                   absl::Time) override {
    for (const StoredAlert& alert : alerts) published.push_back(alert);
    last_traceparent = std::string(traceparent);
    return {};
  }

  std::vector<StoredAlert> published;
  std::string last_traceparent;
};

constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

std::string Triggered(int64_t number, const std::string& alert_id = kAlert) {
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

std::string Confirmed(int64_t revision) {
  internal::v1::AlertEvent event;
  event.mutable_change_confirmed()->set_alert_id(kAlert);
  event.mutable_change_confirmed()->set_revision(revision);
  return event.SerializeAsString();
}

std::string Deleted(const std::string& user_id) {
  internal::v1::UserEvent event;
  event.mutable_user_deleted()->set_user_id(user_id);
  return event.SerializeAsString();
}

kafka::QueuedRecord RecordOf(const std::string& topic, const std::string& value) {
  kafka::QueuedRecord record;
  record.partition = {topic, 0};
  record.value = value;
  return record;
}

struct Bench {
  Bench() {
    StoredAlert alert;
    alert.id = kAlert;
    alert.user_id = kUser;
    alert.symbol = "AAPL";
    alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kCrosses, 150'000'000};
    alert.record.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
    REQUIRE(store.Create(kUser, {alert}, 100, clock.NowUs()).ok());
  }

  testing::FakeClock clock;
  InMemoryAlertStore store;
  testing::MemoryProducer producer;
  TriggerRelay relay{store, producer, clock, TriggerRelay::Options()};
  FakeLog log;
  EventApplier applier{store, relay, log, clock};
};

}  // namespace

TEST_CASE("a record is applied, passed over, put aside or waited for") {
  const auto disposition = [](const char* topic, const std::string& value) {
    const EventChange change = ReadEvent(topic, value, "");
    CHECK(change.reading.cause.empty() ==
          (change.reading.disposition == Disposition::kApply || change.reading.disposition == Disposition::kPassOver));
    return change.reading.disposition;
  };
  CHECK(disposition(kafka::kAlertEventsTopic, Triggered(1)) == Disposition::kApply);
  CHECK(disposition(kafka::kAlertEventsTopic, Triggered(0)) == Disposition::kDeadLetter);
  CHECK(disposition(kafka::kUserEventsTopic, Deleted(kUser)) == Disposition::kApply);
  CHECK(disposition(kafka::kUserEventsTopic, Deleted("nobody")) == Disposition::kDeadLetter);
  internal::v1::AlertEvent split;
  split.mutable_split()->set_symbol("AAPL");
  split.mutable_split()->set_split_id("s1");
  split.mutable_split()->set_number(1);
  split.mutable_split()->set_numerator(4);
  split.mutable_split()->set_denominator(1);
  CHECK(disposition(kafka::kAlertEventsTopic, split.SerializeAsString()) == Disposition::kApply);
  CHECK(ReadEvent(kafka::kAlertEventsTopic, split.SerializeAsString(), "").events.splits ==
        std::vector<StoredSplit>{{"AAPL", 1, {4, 1}, 0, "s1"}});
  split.mutable_split()->set_number(0);
  CHECK(disposition(kafka::kAlertEventsTopic, split.SerializeAsString()) == Disposition::kDeadLetter);
  internal::v1::UserEvent mail;
  mail.mutable_email_verification_requested();
  CHECK(disposition(kafka::kUserEventsTopic, mail.SerializeAsString()) == Disposition::kPassOver);
  const std::string sound = Triggered(1);
  for (const std::string& value : {Triggered(1, "no id"), sound.substr(0, sound.size() - 1)})
    CHECK(disposition(kafka::kAlertEventsTopic, value) == Disposition::kDeadLetter);
  for (const char* topic : {kafka::kAlertEventsTopic, kafka::kUserEventsTopic}) {
    for (const std::string& value : {std::string(), std::string("\xff\xff\xff"), std::string(100'000, '\xff')})
      CHECK(disposition(topic, value) == Disposition::kDeadLetter);
    // Of a kind to come.
    CHECK(disposition(topic, "\x9a\x06\x02hi") == Disposition::kHold);
  }
}

TEST_CASE("a trigger keeps its trace, and an invalid trace is dropped") {
  CHECK(ReadEvent(kafka::kAlertEventsTopic, Triggered(1), kTrace).events.triggers.at(0).traceparent == kTrace);
  CHECK(ReadEvent(kafka::kAlertEventsTopic, Triggered(1), "\xff\xfe").events.triggers.at(0).traceparent.empty());
}

TEST_CASE("records take the turns of their alerts' users, asked for once") {
  Bench bench;
  std::vector<kafka::Message> messages;
  messages.emplace_back(RecordOf(kafka::kAlertEventsTopic, Triggered(1)));
  messages.emplace_back(RecordOf(kafka::kAlertEventsTopic, Confirmed(1)));
  messages.emplace_back(RecordOf(kafka::kAlertEventsTopic, "\xff\xff"));
  messages.emplace_back(RecordOf(kafka::kUserEventsTopic, Triggered(1)));
  const auto lanes = bench.applier.FindLanes(messages);
  REQUIRE(lanes.ok());
  CHECK(*lanes == std::vector<std::string>{kUser, kUser, "", ""});
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  CHECK(bench.applier.FindLanes(messages).ok());
  // An alert that is not known takes a turn of its own, and needs the store.
  const std::string unknown = FakeIds::Uuid(77);
  messages.emplace_back(RecordOf(kafka::kAlertEventsTopic, Triggered(1, unknown)));
  CHECK(absl::IsUnavailable(bench.applier.FindLanes(messages).status()));
  bench.store.FailWith(absl::OkStatus());
  CHECK(bench.applier.FindLanes(messages)->back() == unknown);
}

TEST_CASE("only the named records are applied, in one transaction") {
  Bench bench;
  const auto readings = bench.applier.Read({RecordOf(kafka::kAlertEventsTopic, Triggered(1)),
                                            RecordOf(kafka::kAlertEventsTopic, Confirmed(1)),
                                            RecordOf(kafka::kAlertEventsTopic, Triggered(2))});
  REQUIRE(readings.size() == 3);
  REQUIRE(bench.applier.Apply({0, 1}).ok());
  CHECK((*bench.store.Find(kUser, kAlert))->alert.trigger_count == 1);
  CHECK((*bench.store.Find(kUser, kAlert))->alert.applied_revision == 1);
  // Again, which changes nothing.
  REQUIRE(bench.applier.Apply({0, 1, 2}).ok());
  CHECK((*bench.store.Find(kUser, kAlert))->alert.trigger_count == 2);
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  CHECK(absl::IsUnavailable(bench.applier.Apply({0})));
}

TEST_CASE("with a user go its alerts, and the log is told") {
  Bench bench;
  bench.applier.Read({RecordOf(kafka::kUserEventsTopic, Deleted(kUser))});
  REQUIRE(bench.applier.Apply({0}).ok());
  CHECK(*bench.store.Count("") == 0);
  REQUIRE(bench.log.published.size() == 1);
  CHECK(bench.log.published[0].record.deleted);
  CHECK(bench.log.published[0].record.revision == 2);
  // Again: nothing more to do.
  REQUIRE(bench.applier.Apply({0}).ok());
  CHECK(bench.log.published.size() == 1);
}

}  // namespace stockalert::alert
