// Which steps a batch of the evaluator's events takes in a transaction, with which values, in which order. What the
// stores make of the steps is the contract suite's.
#include "services/alert/event_rules.h"

#include <catch2/catch.hpp>
#include <utility>

#include "services/alert/alert_rules.h"
#include "services/alert/outbox_store.h"
#include "services/common/base/error.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/fake_ids/fake_ids.h"

namespace stockalert::alert {
namespace {

using testing::FakeIds;

constexpr int64_t kNow = 1'741'271'500'000'000;
constexpr int64_t kMinute = 60'000'000;
const std::string kUser = FakeIds::Uuid(0xaa);
const std::string kOther = FakeIds::Uuid(0xbb);
const std::string kFirst = FakeIds::Uuid(1);
const std::string kSecond = FakeIds::Uuid(2);
const std::string kUnknown = FakeIds::Uuid(9);

// A transaction that writes down what it is asked for, and answers what a test has set.
class RecordingSteps final : public EventTransaction {
 public:
  void ConfirmRevisions(const std::map<std::string, int64_t>& revisions) override {
    taken.emplace_back("confirm");
    confirmed = revisions;
  }
  absl::StatusOr<std::map<std::string, StoredAlert>> LockAlerts(const std::set<std::string>& alert_ids) override {
    taken.emplace_back("lock");
    locked = alert_ids;
    if (!lock_failure.ok()) return lock_failure;
    std::map<std::string, StoredAlert> found;
    for (const std::string& id : alert_ids) {
      if (const auto alert = alerts.find(id); alert != alerts.end()) found.insert(*alert);
    }
    return found;
  }
  std::set<TriggerId> FindRecorded(const std::set<TriggerId>& triggers) override {
    taken.emplace_back("find recorded");
    looked_for = triggers;
    std::set<TriggerId> found;
    for (const TriggerId& id : triggers) {
      if (recorded_before.contains(id)) found.insert(id);
    }
    return found;
  }
  std::map<UserMinute, int64_t> AddToMinutes(const std::map<UserMinute, int64_t>& added, int64_t now_us) override {
    taken.emplace_back("add to minutes");
    minutes = added;
    minutes_now_us = now_us;
    std::map<UserMinute, int64_t> before;
    for (const auto& [place, _] : added) before[place] = counted_before;
    return before;
  }
  void RecordTriggers(const std::vector<RecordedTrigger>& triggers) override {
    taken.emplace_back("record");
    recorded = triggers;
  }
  void SaveTriggered(const std::vector<StoredAlert>& moved) override {
    taken.emplace_back("save triggered");
    saved = moved;
  }
  std::vector<std::string> FindAlertsInOutbox(const std::set<std::string>& alert_ids) override {
    taken.emplace_back("find alerts in outbox");
    asked_for_waiting = alert_ids;
    return waiting;
  }
  void AddToOutbox(const std::vector<PassedTrigger>& triggers, int64_t claimed_until_us) override {
    taken.emplace_back("add to outbox");
    passed = triggers;
    passed_claimed_until_us = claimed_until_us;
  }
  void SaveStatuses(const std::vector<StoredSymbolStatus>& given) override {
    taken.emplace_back("save statuses");
    statuses = given;
  }
  int64_t SaveSplits(const std::vector<StoredSplit>& given, int64_t) override {
    taken.emplace_back("save splits");
    splits = given;
    return static_cast<int64_t>(given.size());
  }

  // Answers.
  std::map<std::string, StoredAlert> alerts;
  absl::Status lock_failure;
  std::set<TriggerId> recorded_before;
  int64_t counted_before = 0;  // Of each minute.
  std::vector<std::string> waiting;
  // What came, in order, and with what.
  std::vector<std::string> taken;
  std::map<std::string, int64_t> confirmed;
  std::set<std::string> locked;
  std::set<TriggerId> looked_for;
  std::map<UserMinute, int64_t> minutes;
  int64_t minutes_now_us = 0;
  std::vector<RecordedTrigger> recorded;
  std::vector<StoredAlert> saved;
  std::set<std::string> asked_for_waiting;
  std::vector<PassedTrigger> passed;
  int64_t passed_claimed_until_us = 0;
  std::vector<StoredSymbolStatus> statuses;
  std::vector<StoredSplit> splits;
};

class OneTransaction final : public EventStore {
 public:
  absl::Status Transact(const std::function<absl::Status(EventTransaction&)>& take) override {
    for (int i = 1; i < times; ++i) {
      if (const absl::Status status = take(steps); !status.ok()) return status;
    }
    steps.taken.clear();
    const absl::Status status = take(steps);
    return failure.ok() ? status : failure;
  }
  absl::StatusOr<std::vector<AlertOwner>> FindOwners(const std::vector<std::string>&) override {
    return absl::InternalError("no step of these rules");
  }
  absl::StatusOr<std::vector<StoredAlert>> DeleteUser(const std::string&, int64_t, int, const Burial&) override {
    return absl::InternalError("no step of these rules");
  }

  RecordingSteps steps;
  int times = 1;         // A conflict makes a store take the steps again.
  absl::Status failure;  // Of the transaction, at its end.
};

StoredAlert AlertOf(const std::string& id, const std::string& user_id = kUser) {
  StoredAlert alert;
  alert.id = id;
  alert.user_id = user_id;
  alert.symbol = "AAPL";
  alert.record.revision = 1;
  alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kCrosses, 150'000'000};
  alert.record.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
  return alert;
}

TriggerEvent EventOf(const std::string& alert_id, int64_t number, int64_t event_time_us = kNow) {
  TriggerEvent event;
  event.trigger.alert_id = alert_id;
  event.trigger.symbol = "AAPL";
  event.trigger.number = number;
  event.trigger.revision = 1;
  event.trigger.price_micros = 151'000'000;
  event.trigger.event_time_us = event_time_us;
  event.log_time_us = event_time_us + 7;
  event.traceparent = "trace " + std::to_string(number);
  return event;
}

struct Bench {
  Bench() {
    for (const std::string& id : {kFirst, kSecond}) store.steps.alerts[id] = AlertOf(id);
  }
  AppliedEvents Apply(const EventBatch& batch) {
    const absl::StatusOr<AppliedEvents> applied = ApplyEvents(store, batch, kNow);
    REQUIRE(applied.ok());
    return *applied;
  }
  AppliedEvents ApplyTriggers(std::vector<TriggerEvent> triggers) {
    return Apply({.confirmations = {}, .triggers = std::move(triggers), .statuses = {}});
  }

  OneTransaction store;
  RecordingSteps& steps = store.steps;
};

using Steps = std::vector<std::string>;

TEST_CASE("a batch takes the steps of what is in it, and no others") {
  Bench bench;
  bench.Apply({});
  CHECK(bench.steps.taken.empty());

  bench.Apply({.confirmations = {{kFirst, 1}}, .triggers = {}, .statuses = {}});
  CHECK(bench.steps.taken == Steps{"confirm"});

  bench.Apply({.confirmations = {}, .triggers = {}, .statuses = {{.symbol = "AAPL"}}});
  CHECK(bench.steps.taken == Steps{"save statuses"});

  bench.Apply({.confirmations = {{kFirst, 1}}, .triggers = {EventOf(kFirst, 1)}, .statuses = {{.symbol = "AAPL"}}});
  CHECK(bench.steps.taken == Steps{"confirm", "lock", "find recorded", "add to minutes", "record", "save triggered",
                                   "find alerts in outbox", "add to outbox", "save statuses"});
}

TEST_CASE("of an alert's confirmations the highest counts, wherever it stands") {
  Bench bench;
  bench.Apply({.confirmations = {{kFirst, 2}, {kSecond, 5}, {kFirst, 3}, {kFirst, 1}}, .triggers = {}, .statuses = {}});
  CHECK(bench.steps.confirmed == std::map<std::string, int64_t>{{kFirst, 3}, {kSecond, 5}});
}

TEST_CASE("of a symbol's statuses the one of the newest place counts") {
  const auto at = [](const std::string& symbol, int32_t partition, int64_t offset, bool open = false) {
    return StoredSymbolStatus{.symbol = symbol, .day_open_known = open, .partition = partition, .offset = offset};
  };
  Bench bench;
  // By symbol, so that two batches lock in one order. A partition goes before an offset; of one place the last counts.
  bench.Apply({.confirmations = {},
               .triggers = {},
               .statuses = {at("MSFT", 0, 7), at("AAPL", 1, 3), at("MSFT", 0, 9), at("MSFT", 0, 8), at("AAPL", 0, 50),
                            at("IBM", 2, 2, false), at("IBM", 2, 2, true)}});
  CHECK(bench.steps.statuses ==
        std::vector<StoredSymbolStatus>{at("AAPL", 1, 3), at("IBM", 2, 2, true), at("MSFT", 0, 9)});
}

TEST_CASE("splits are saved before all else, each once, by symbol and number") {
  Bench bench;
  EventBatch batch;
  batch.confirmations = {{kFirst, 1}};
  batch.splits = {{"MSFT", 1, {2, 1}}, {"AAPL", 2, {1, 5}}, {"AAPL", 1, {4, 1}}, {"AAPL", 2, {1, 5}}};
  const auto applied = ApplyEvents(bench.store, batch, kNow);
  REQUIRE(applied.ok());
  CHECK(bench.steps.taken == Steps{"save splits", "confirm"});
  CHECK(bench.steps.splits == std::vector<StoredSplit>{{"AAPL", 1, {4, 1}}, {"AAPL", 2, {1, 5}}, {"MSFT", 1, {2, 1}}});
  CHECK(applied->splits_recorded == 3);
}

TEST_CASE("a new trigger is recorded, moves its alert and is passed on") {
  Bench bench;
  bench.steps.waiting = {kFirst};
  bench.steps.alerts[kFirst].record.definition.trigger_policy = condition::TriggerPolicy::kOnce;
  TriggerEvent event = EventOf(kFirst, 3);
  event.trigger.ends_alert = true;
  const AppliedEvents applied = bench.ApplyTriggers({event});

  CHECK(bench.steps.locked == std::set<std::string>{kFirst});
  CHECK(bench.steps.looked_for == std::set<TriggerId>{{kFirst, 3}});
  CHECK(bench.steps.minutes == std::map<UserMinute, int64_t>{{{kUser, kNow / kMinute}, 1}});
  CHECK(bench.steps.minutes_now_us == kNow);

  RecordedTrigger wanted = event.trigger;
  wanted.user_id = kUser;
  wanted.create_time_us = kNow;
  CHECK(bench.steps.recorded == std::vector{wanted});

  REQUIRE(bench.steps.saved.size() == 1);
  CHECK(bench.steps.saved[0] == JudgeTrigger(bench.steps.alerts[kFirst], wanted).alert);
  CHECK(bench.steps.saved[0].trigger_count == 1);
  CHECK(bench.steps.saved[0].record.triggered);

  CHECK(bench.steps.asked_for_waiting == std::set<std::string>{kFirst});
  CHECK(bench.steps.passed_claimed_until_us == kNow + kTriggerClaimUs);
  REQUIRE(bench.steps.passed.size() == 1);
  const PassedTrigger& passed = bench.steps.passed[0];
  CHECK(passed.alert_id == kFirst);
  CHECK(passed.number == 3);
  CHECK(passed.user_id == kUser);
  CHECK(passed.traceparent == "trace 3");
  CHECK(!passed.throttled);
  internal::v1::TriggerMessage message;
  REQUIRE(message.ParseFromString(passed.message));
  CHECK(message.trigger().log_time_us() == event.log_time_us);
  CHECK(message.trigger().trigger_number() == 3);

  CHECK(applied.passed == bench.steps.passed);
  CHECK(applied.alerts_with_older == std::vector{kFirst});
  CHECK(applied.triggers_recorded == 1);
  CHECK(applied.triggers_repeated + applied.triggers_withheld + applied.triggers_throttled + applied.triggers_unknown ==
        0);
}

TEST_CASE("several triggers of an alert count together, in the order of their numbers") {
  Bench bench;
  const AppliedEvents applied = bench.ApplyTriggers({EventOf(kSecond, 1), EventOf(kFirst, 1), EventOf(kFirst, 2)});
  CHECK(bench.steps.minutes == std::map<UserMinute, int64_t>{{{kUser, kNow / kMinute}, 3}});
  REQUIRE(bench.steps.saved.size() == 2);  // Each alert once.
  CHECK(bench.steps.saved[0].id == kFirst);
  CHECK(bench.steps.saved[0].trigger_count == 2);
  CHECK(bench.steps.saved[0].last_trigger_number == 2);
  CHECK(bench.steps.saved[1].id == kSecond);
  CHECK(bench.steps.saved[1].trigger_count == 1);
  REQUIRE(applied.passed.size() == 3);
  CHECK(applied.passed[1].number == 1);
  CHECK(applied.passed[2].number == 2);
  CHECK(bench.steps.asked_for_waiting == std::set<std::string>{kFirst, kSecond});
  CHECK(applied.triggers_recorded == 3);
}

TEST_CASE("triggers of unknown alerts are counted and left") {
  Bench bench;
  AppliedEvents applied = bench.ApplyTriggers({EventOf(kUnknown, 1), EventOf(kUnknown, 2)});
  CHECK(applied.triggers_unknown == 2);
  // Nothing is asked for without need.
  CHECK(bench.steps.taken == Steps{"lock"});

  applied = bench.ApplyTriggers({EventOf(kUnknown, 1), EventOf(kFirst, 1)});
  CHECK(applied.triggers_unknown == 1);
  CHECK(applied.triggers_recorded == 1);
  CHECK(bench.steps.locked == std::set<std::string>{kFirst, kUnknown});
  CHECK(bench.steps.looked_for == std::set<TriggerId>{{kFirst, 1}});
}

TEST_CASE("what a batch repeats within itself is judged once, as it came first") {
  Bench bench;
  TriggerEvent again = EventOf(kFirst, 1);
  again.traceparent = "another";
  const AppliedEvents applied = bench.ApplyTriggers({EventOf(kFirst, 1), again});
  CHECK(applied.triggers_repeated == 1);
  CHECK(applied.triggers_recorded == 1);
  CHECK(bench.steps.recorded.size() == 1);
  REQUIRE(applied.passed.size() == 1);
  CHECK(applied.passed[0].traceparent == "trace 1");
  CHECK(bench.steps.saved[0].trigger_count == 1);
}

TEST_CASE("what is recorded already changes nothing") {
  Bench bench;
  bench.steps.recorded_before = {{kFirst, 1}, {kFirst, 2}};
  AppliedEvents applied = bench.ApplyTriggers({EventOf(kFirst, 1), EventOf(kFirst, 2)});
  CHECK(applied.triggers_repeated == 2);
  CHECK(applied.triggers_recorded == 0);
  CHECK(bench.steps.taken == Steps{"lock", "find recorded"});

  // Nor does it hold up what is new beside it.
  applied = bench.ApplyTriggers({EventOf(kFirst, 2), EventOf(kFirst, 3)});
  CHECK(applied.triggers_repeated == 1);
  CHECK(applied.triggers_recorded == 1);
  REQUIRE(bench.steps.recorded.size() == 1);
  CHECK(bench.steps.recorded[0].number == 3);
  CHECK(bench.steps.minutes == std::map<UserMinute, int64_t>{{{kUser, kNow / kMinute}, 1}});
}

TEST_CASE("a trigger of an alert that is quiet by now is recorded only") {
  const auto paused = [](StoredAlert& alert) { alert.record.paused = true; };
  const auto deleted = [](StoredAlert& alert) { alert.record.deleted = true; };
  const std::vector<std::pair<std::function<void(StoredAlert&)>, Withheld>> rows = {{paused, Withheld::kPaused},
                                                                                    {deleted, Withheld::kDeleted}};
  for (const auto& [quieten, why] : rows) {
    Bench bench;
    quieten(bench.steps.alerts[kFirst]);
    const AppliedEvents applied = bench.ApplyTriggers({EventOf(kFirst, 1)});
    // It is none of those that a user is told of in a minute, and nothing goes to the notifier.
    CHECK(bench.steps.taken == Steps{"lock", "find recorded", "record", "save triggered"});
    REQUIRE(bench.steps.recorded.size() == 1);
    CHECK(bench.steps.recorded[0].withheld == why);
    REQUIRE(bench.steps.saved.size() == 1);
    CHECK(bench.steps.saved[0].trigger_count == 1);
    CHECK(applied.passed.empty());
    CHECK(applied.alerts_with_older.empty());
    CHECK(applied.triggers_recorded == 1);
    CHECK(applied.triggers_withheld == 1);
  }

  // Beside one that is told of.
  Bench bench;
  paused(bench.steps.alerts[kFirst]);
  const AppliedEvents applied = bench.ApplyTriggers({EventOf(kFirst, 1), EventOf(kSecond, 1)});
  CHECK(bench.steps.minutes == std::map<UserMinute, int64_t>{{{kUser, kNow / kMinute}, 1}});
  CHECK(applied.triggers_recorded == 2);
  CHECK(applied.triggers_withheld == 1);
  REQUIRE(applied.passed.size() == 1);
  CHECK(applied.passed[0].alert_id == kSecond);
  CHECK(bench.steps.asked_for_waiting == std::set<std::string>{kSecond});
}

TEST_CASE("beyond so many of a user's in a minute of event time triggers are throttled") {
  Bench bench;
  bench.steps.alerts[kSecond] = AlertOf(kSecond, kOther);
  bench.steps.counted_before = 1;  // Of two that a minute may have: one more goes out as it is.
  const EventBatch batch = {
      .confirmations = {},
      .triggers = {EventOf(kFirst, 1), EventOf(kFirst, 2), EventOf(kFirst, 3, kNow + kMinute), EventOf(kSecond, 1)},
      .statuses = {},
      .triggers_per_minute = 2};
  const AppliedEvents applied = bench.Apply(batch);
  const int64_t minute = kNow / kMinute;
  CHECK(bench.steps.minutes ==
        std::map<UserMinute, int64_t>{{{kUser, minute}, 2}, {{kUser, minute + 1}, 1}, {{kOther, minute}, 1}});
  REQUIRE(applied.passed.size() == 4);
  const std::vector<bool> throttled = {false, true, false, false};
  for (size_t i = 0; i < throttled.size(); ++i) {
    CAPTURE(i);
    CHECK(bench.steps.recorded[i].throttled == throttled[i]);
    CHECK(applied.passed[i].throttled == throttled[i]);
  }
  CHECK(applied.triggers_throttled == 1);
  CHECK(applied.triggers_recorded == 4);
  REQUIRE(bench.steps.saved.size() == 2);
  CHECK(bench.steps.saved[0].throttled_count == 1);
  CHECK(bench.steps.saved[0].throttle_end_us == (minute + 1) * kMinute);
  CHECK(bench.steps.saved[1].throttled_count == 0);
}

TEST_CASE("a failure of the store is the answer, and no step follows") {
  Bench bench;
  bench.steps.lock_failure = base::Unavailable("AWAY", "down");
  const EventBatch batch = {.confirmations = {}, .triggers = {EventOf(kFirst, 1)}, .statuses = {{.symbol = "AAPL"}}};
  CHECK(base::ReasonOf(ApplyEvents(bench.store, batch, kNow).status()) == "AWAY");
  CHECK(bench.steps.taken == Steps{"lock"});

  // Also one at the end, when all steps have been taken.
  Bench late;
  late.store.failure = base::Unavailable("AWAY", "down");
  CHECK(base::ReasonOf(ApplyEvents(late.store, batch, kNow).status()) == "AWAY");
}

TEST_CASE("steps that are taken again count from the beginning") {
  Bench bench;
  bench.store.times = 3;
  bench.steps.recorded_before = {{kFirst, 1}};
  const AppliedEvents applied =
      bench.ApplyTriggers({EventOf(kFirst, 1), EventOf(kFirst, 2), EventOf(kUnknown, 1), EventOf(kSecond, 1)});
  CHECK(applied.triggers_recorded == 2);
  CHECK(applied.triggers_repeated == 1);
  CHECK(applied.triggers_unknown == 1);
  CHECK(applied.passed.size() == 2);
  CHECK(bench.steps.saved[0].trigger_count == 1);
}

}  // namespace
}  // namespace stockalert::alert
