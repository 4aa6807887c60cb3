#include "services/alert/alert_rules.h"

#include <catch2/catch.hpp>

#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "services/alert/alert_errors.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/domain/record/definition_codec.h"
#include "services/domain/record/log_record.h"

namespace stockalert::alert {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr char kAlertId[] = "00000000-0000-4000-8000-000000000001";
constexpr char kUserId[] = "00000000-0000-4000-8000-0000000000aa";

StoredAlert TargetAlert() {
  StoredAlert alert;
  alert.id = kAlertId;
  alert.user_id = kUserId;
  alert.symbol = "AAPL";
  alert.note = "watch it";
  alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
  alert.applied_revision = 1;
  return alert;
}

ShownAlert ViewOf(StoredAlert alert) {
  ShownAlert view;
  view.status.symbol = alert.symbol;
  view.alert = std::move(alert);
  return view;
}

RecordedTrigger TriggerOf(int64_t number, int64_t revision, bool ends) {
  RecordedTrigger trigger;
  trigger.alert_id = kAlertId;
  trigger.symbol = "AAPL";
  trigger.number = number;
  trigger.revision = revision;
  trigger.ends_alert = ends;
  return trigger;
}

}  // namespace

TEST_CASE("an alert is shown in the state that its life and its symbol say") {
  ShownAlert view = ViewOf(TargetAlert());
  CHECK(StateOf(view, kNow) == ShownState::kActive);
  view.alert.applied_revision = 0;
  CHECK(StateOf(view, kNow) == ShownState::kPending);
  view.alert.record.paused = true;
  CHECK(StateOf(view, kNow) == ShownState::kPaused);
  view.alert.record.definition.expire_time_us = kNow + 1;
  CHECK(StateOf(view, kNow) == ShownState::kPaused);
  CHECK(StateOf(view, kNow + 1) == ShownState::kExpired);
  view.status.last_event_time_us = kNow + 1;
  CHECK(StateOf(view, kNow) == ShownState::kExpired);
  view.alert.record.triggered = true;
  CHECK(StateOf(view, kNow + 1) == ShownState::kTriggered);

  ShownAlert close = ViewOf(TargetAlert());
  close.alert.record.definition.condition =
      condition::PercentChange{condition::PercentOp::kUp, 10'000, condition::PercentReference::kPreviousClose, 0, 0};
  CHECK(StateOf(close, kNow) == ShownState::kWaiting);
  close.status.day_open_known = true;
  CHECK(StateOf(close, kNow) == ShownState::kWaiting);
  close.alert.applied_revision = 0;
  CHECK(StateOf(close, kNow) == ShownState::kPending);
  close.alert.applied_revision = 1;
  close.status.previous_close_known = true;
  CHECK(StateOf(close, kNow) == ShownState::kActive);
  close.status.held = true;
  CHECK(StateOf(close, kNow) == ShownState::kHeld);
  close.status.previous_close_known = false;
  CHECK(StateOf(close, kNow) == ShownState::kHeld);
  close.alert.applied_revision = 0;
  CHECK(StateOf(close, kNow) == ShownState::kPending);
}

TEST_CASE("a split changes what an alert's etag is of, and no alert without one") {
  StoredAlert alert = TargetAlert();
  CHECK(EtagIdOf(alert) == alert.id);
  alert.splits_applied = 1;
  const std::string after_one = EtagIdOf(alert);
  CHECK(after_one != alert.id);
  alert.splits_applied = 2;
  CHECK(EtagIdOf(alert) != after_one);
}

TEST_CASE("where notifications go is changed like the note: a new revision that arms nothing") {
  const ShownAlert present = ViewOf(TargetAlert());
  WantedAlert wanted{"AAPL", present.alert.record.definition, present.alert.note, present.alert.routing};
  for (const message::Routing& routing : std::vector<message::Routing>{{message::Route::kNone, {}, false},
                                                                       {message::Route::kNamed, {kUserId}, false},
                                                                       {message::Route::kDefaults, {}, true}}) {
    wanted.routing = routing;
    const auto updated = ApplyUpdate(present, wanted, kNow);
    REQUIRE(updated.ok());
    CHECK(updated->routing == routing);
    CHECK(updated->record.revision == 2);
    CHECK(updated->record.armed_revision == 1);
  }
  StoredAlert routed = present.alert;
  routed.routing = {message::Route::kNamed, {kUserId}, true};
  // The log is not told; the notifier is, as it is when the trigger is taken.
  CHECK(MakeLogRecord(routed).SerializeAsString() == MakeLogRecord(present.alert).SerializeAsString());
  RecordedTrigger trigger;
  trigger.alert_id = kAlertId;
  internal::v1::TriggerMessage passed = MakeTriggerMessage(routed, trigger, 0);
  CHECK(passed.delivery() == internal::v1::TriggerMessage::DELIVERY_NAMED);
  REQUIRE(passed.destination_ids_size() == 1);
  CHECK(passed.destination_ids(0) == kUserId);
  CHECK(passed.critical());
  passed = MakeTriggerMessage(present.alert, trigger, 0);
  CHECK(passed.delivery() == internal::v1::TriggerMessage::DELIVERY_DEFAULTS);
  CHECK(!passed.critical());
  CHECK(ApplyDelete(routed, kNow)->routing == message::Routing());
}

TEST_CASE("updates arm where they should, keep the revision where nothing changes, and say why they are refused") {
  const ShownAlert present = ViewOf(TargetAlert());
  condition::Definition same = present.alert.record.definition;
  const auto as_wanted = [&](const condition::Definition& definition, const std::string& note = "watch it") {
    return WantedAlert{"AAPL", definition, note};
  };

  auto updated = ApplyUpdate(present, as_wanted(same), kNow);
  REQUIRE(updated.ok());
  CHECK(*updated == present.alert);

  updated = ApplyUpdate(present, as_wanted(same, "another"), kNow);
  REQUIRE(updated.ok());
  CHECK(updated->record.revision == 2);
  CHECK(updated->record.armed_revision == 1);
  CHECK(updated->note == "another");
  CHECK(updated->update_time_us == kNow);

  condition::Definition other = same;
  other.sessions = condition::Sessions::kExtended;
  ShownAlert triggered = present;
  triggered.alert.record.triggered = true;
  updated = ApplyUpdate(triggered, as_wanted(other), kNow);
  REQUIRE(updated.ok());
  CHECK(updated->record.armed_revision == 2);
  CHECK(!updated->record.triggered);

  ShownAlert paused = present;
  paused.alert.record.paused = true;
  updated = ApplyUpdate(paused, as_wanted(other), kNow);
  REQUIRE(updated.ok());
  CHECK(updated->record.armed_revision == 2);
  CHECK(updated->record.paused);

  ShownAlert expired = present;
  expired.alert.record.definition.expire_time_us = kNow;
  condition::Definition later = expired.alert.record.definition;
  CHECK(condition::RefusalReason(ApplyUpdate(expired, as_wanted(later, "x"), kNow).status()) ==
        condition::kReasonAlertExpired);
  later.expire_time_us = kNow + 10;
  expired.status.last_event_time_us = kNow + 10;
  CHECK(condition::RefusalReason(ApplyUpdate(expired, as_wanted(later, "x"), kNow).status()) ==
        condition::kReasonAlertExpired);
  later.expire_time_us = kNow + 11;
  updated = ApplyUpdate(expired, as_wanted(later, "x"), kNow);
  REQUIRE(updated.ok());
  CHECK(updated->record.armed_revision == 2);

  later = same;
  later.expire_time_us = kNow;
  const absl::Status past = ApplyUpdate(present, as_wanted(later, "x"), kNow).status();
  CHECK(past.code() == absl::StatusCode::kInvalidArgument);
  CHECK(condition::RefusalField(past) == "expire_time");
}

TEST_CASE("pause, resume and rearm are refused at an alert's end") {
  ShownAlert view = ViewOf(TargetAlert());
  CHECK(ApplyResume(view, kNow)->record.revision == 1);
  CHECK(ApplyPause(view, kNow)->record.revision == 2);
  CHECK(ApplyRearm(view, kNow)->record.armed_revision == 2);
  view.alert.record.triggered = true;
  CHECK(condition::RefusalReason(ApplyPause(view, kNow).status()) == condition::kReasonAlertTriggered);
  CHECK(condition::RefusalReason(ApplyResume(view, kNow).status()) == condition::kReasonAlertTriggered);
  CHECK(ApplyRearm(view, kNow).ok());
  view.alert.record.triggered = false;
  view.alert.record.definition.expire_time_us = kNow;
  for (const auto& apply : {ApplyPause, ApplyResume, ApplyRearm}) {
    const absl::Status refused = apply(view, kNow).status();
    CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(condition::RefusalReason(refused) == condition::kReasonAlertExpired);
  }
  const auto deleted = ApplyDelete(view.alert, kNow);
  REQUIRE(deleted.ok());
  CHECK(deleted->record.deleted);
  CHECK(deleted->note.empty());
  CHECK(condition::RefusalReason(ApplyDelete(*deleted, kNow).status()) == condition::kReasonAlertDeleted);
}

TEST_CASE(
    "a symbol takes a bounded number of windows' lengths of a user's, and one that is there any number of times") {
  const auto window = [](int64_t length_us) {
    StoredAlert alert = TargetAlert();
    alert.record.definition.condition =
        condition::PercentChange{condition::PercentOp::kUp, 10'000, condition::PercentReference::kWindow, 0, length_us};
    return alert;
  };
  WindowLengths present;
  for (int64_t length = 1; length <= static_cast<int64_t>(kWindowLengthsMax); ++length) present["AAPL"].insert(length);
  int asked = 0;
  const OtherWindows others = [&](const std::vector<std::string>& symbols) {
    ++asked;
    CHECK(symbols == std::vector<std::string>{"AAPL"});
    return present;
  };
  CHECK(AdmitWindows({TargetAlert()}, others).ok());
  CHECK(asked == 0);
  CHECK(AdmitWindows({window(1), window(2)}, others).ok());
  CHECK(base::ReasonOf(AdmitWindows({window(1), window(1'000)}, others)) == kReasonWindowQuota);
  present["AAPL"].erase(5);
  CHECK(AdmitWindows({window(1'000), window(1'000)}, others).ok());
  CHECK(base::ReasonOf(AdmitWindows({window(1'000), window(2'000)}, others)) == kReasonWindowQuota);

  // A change asks only where the windows become others.
  asked = 0;
  StoredAlert changed = window(2'000);
  CHECK(AdmitChange(window(1), changed, others).ok());
  CHECK(asked == 0);
  changed.record.revision = 2;
  CHECK(AdmitChange(window(2'000), changed, others).ok());
  CHECK(asked == 0);
  CHECK(AdmitChange(window(1), changed, others).ok());
  present["AAPL"].insert(5);
  CHECK(base::ReasonOf(AdmitChange(window(1), changed, others).status()) == kReasonWindowQuota);
  changed.record.deleted = true;
  CHECK(AdmitChange(window(1), changed, others).ok());
  CHECK(AdmitChange(window(1), absl::AbortedError("no"), others).status() == absl::AbortedError("no"));
}

TEST_CASE("a trigger is judged by the alert as it stands") {
  StoredAlert alert = TargetAlert();
  TriggerVerdict verdict = JudgeTrigger(alert, TriggerOf(1, 1, true));
  CHECK(verdict.alert.record.triggered);
  CHECK(verdict.alert.trigger_count == 1);
  CHECK(verdict.withheld == Withheld::kNo);

  alert.record.revision = 3;
  alert.record.armed_revision = 3;
  verdict = JudgeTrigger(alert, TriggerOf(1, 2, true));
  CHECK(!verdict.alert.record.triggered);
  CHECK(verdict.withheld == Withheld::kNo);

  alert.record.armed_revision = 2;
  alert.record.paused = true;
  verdict = JudgeTrigger(alert, TriggerOf(1, 2, true));
  CHECK(verdict.alert.record.triggered);
  CHECK(verdict.withheld == Withheld::kPaused);

  alert.record.deleted = true;
  verdict = JudgeTrigger(alert, TriggerOf(1, 2, true));
  CHECK(!verdict.alert.record.triggered);
  CHECK(verdict.withheld == Withheld::kDeleted);

  // Out of order: the highest number is the last.
  alert = TargetAlert();
  alert.last_trigger_number = 5;
  CHECK(JudgeTrigger(alert, TriggerOf(4, 1, false)).alert.last_trigger_number == 5);
}

TEST_CASE("conditions have a one-line summary") {
  const auto summary = [](const condition::Condition& condition) {
    condition::Definition definition;
    definition.condition = condition;
    return Summarize("AAPL", definition);
  };
  using condition::PercentOp;
  using condition::PercentReference;
  CHECK(summary(condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'250'000}) == "AAPL at or above 150.25");
  CHECK(summary(condition::PriceTarget{condition::TargetOp::kAtOrBelow, 1}) == "AAPL at or below 0.000001");
  CHECK(summary(condition::PriceTarget{condition::TargetOp::kCrosses, 96'000'000}) == "AAPL crosses 96");
  CHECK(summary(condition::PercentChange{PercentOp::kUp, 25'000, PercentReference::kArming, 0, 0}) ==
        "AAPL up 2.5% from its price when armed");
  CHECK(summary(condition::PercentChange{PercentOp::kDown, 10'000, PercentReference::kPreviousClose, 0, 0}) ==
        "AAPL down 1% from the previous close");
  CHECK(summary(condition::PercentChange{PercentOp::kEither, 10'000, PercentReference::kDayOpen, 0, 0}) ==
        "AAPL up or down 1% from the day's open");
  CHECK(summary(condition::PercentChange{PercentOp::kUp, 10'000, PercentReference::kGiven, 100'000'000, 0}) ==
        "AAPL up 1% from 100");
  CHECK(summary(condition::PercentChange{PercentOp::kUp, 10'000, PercentReference::kWindow, 0, 90'000'000}) ==
        "AAPL up 1% within 1m30s");
  CHECK(summary(condition::TrailingChange{condition::TrailingOp::kFallsFromHigh, 0, 50'000, std::nullopt}) ==
        "AAPL falls 5% from its high");
  CHECK(summary(condition::TrailingChange{condition::TrailingOp::kRisesFromLow, 2'000'000, 0, 90'000'000}) ==
        "AAPL rises 2 from its low, once at or below 90");
  CHECK(summary(condition::Channel{condition::ChannelOp::kLeaves, 90'000'000, 110'000'000}) == "AAPL leaves 90 to 110");
}

TEST_CASE("a log record has the alert's whole state, with REJECT_IF_MET as WAIT_FOR_CROSS") {
  StoredAlert alert = TargetAlert();
  alert.record.revision = 4;
  alert.record.armed_revision = 2;
  alert.record.paused = true;
  alert.record.definition.creation_policy = condition::CreationPolicy::kRejectIfMet;
  const internal::v1::LogRecord record = MakeLogRecord(alert);
  const record::ReadRecord read = record::ReadLogRecord("AAPL", record.SerializeAsString());
  CHECK(read.soundness == record::Soundness::kSound);
  const internal::v1::AlertChangeRecord& change = read.record.alert_change();
  CHECK(change.alert_id() == kAlertId);
  CHECK(change.revision() == 4);
  CHECK(change.armed_revision() == 2);
  CHECK(change.paused());
  CHECK(!change.deleted());
  const auto definition = record::DecodeDefinition(change.definition());
  REQUIRE(definition.ok());
  CHECK(definition->creation_policy == condition::CreationPolicy::kWaitForCross);
  // No person and no note.
  CHECK(record.DebugString().find("watch it") == std::string::npos);
  CHECK(record.DebugString().find(kUserId) == std::string::npos);
}

TEST_CASE("requests with the same id are told apart by all their fields") {
  const condition::Definition definition = TargetAlert().record.definition;
  const std::string first = Fingerprint({"AAPL", definition, "note"});
  CHECK(Fingerprint({"AAPL", definition, "note"}) == first);
  CHECK(Fingerprint({"AAP", definition, "note"}) != first);
  CHECK(Fingerprint({"AAPL", definition, "not"}) != first);
  condition::Definition other = definition;
  other.hysteresis_micros = 1;
  CHECK(Fingerprint({"AAPL", other, "note"}) != first);
  WantedAlert routed{"AAPL", definition, "note"};
  std::set<std::string> all = {first};
  for (const message::Routing& routing :
       std::vector<message::Routing>{{message::Route::kNone, {}, false},
                                     {message::Route::kDefaults, {}, true},
                                     {message::Route::kNamed, {kAlertId}, false},
                                     {message::Route::kNamed, {kUserId}, false},
                                     {message::Route::kNamed, {kAlertId, kUserId}, false},
                                     {message::Route::kNamed, {kAlertId}, true}}) {
    routed.routing = routing;
    all.insert(Fingerprint(routed));
  }
  CHECK(all.size() == 7);
  // As the version before made it: what it has begun can be repeated after the upgrade.
  const std::string encoded = record::EncodeDefinition(definition).SerializeAsString();
  CHECK(first == base::HexEncode(base::Sha256(absl::StrCat("4:AAPL", encoded.size(), ":", encoded, "note"))));
}

TEST_CASE("events with impossible values are refused") {
  const auto add = [](const internal::v1::AlertEvent& event) {
    EventBatch batch;
    return AddEvent(event, "", batch);
  };
  internal::v1::AlertEvent confirmed;
  confirmed.mutable_change_confirmed()->set_alert_id(kAlertId);
  CHECK(!add(confirmed).ok());
  confirmed.mutable_change_confirmed()->set_revision(1);
  CHECK(add(confirmed).ok());
  confirmed.mutable_change_confirmed()->set_alert_id("alert'; DROP TABLE");
  CHECK(!add(confirmed).ok());

  internal::v1::AlertEvent triggered;
  internal::v1::AlertTriggered& trigger = *triggered.mutable_triggered();
  trigger.set_alert_id(kAlertId);
  trigger.set_symbol("AAPL");
  trigger.set_revision(1);
  CHECK(!add(triggered).ok());
  trigger.set_trigger_number(1);
  CHECK(!add(triggered).ok());
  trigger.set_price_micros(150'000'000);
  CHECK(add(triggered).ok());
  for (const int64_t time_us :
       {int64_t{-1}, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    trigger.set_event_time_us(time_us);
    CHECK(!add(triggered).ok());
  }
  trigger.set_event_time_us(1);
  // A trace that cannot be stored is left out, not the trigger.
  for (const std::string& poison : {std::string("\xff\xfe"), std::string("a\0b", 3), std::string(100'000, 'x'),
                                    std::string("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-\xff")}) {
    EventBatch batch;
    REQUIRE(AddEvent(triggered, poison, batch).ok());
    CHECK(batch.triggers[0].traceparent.find_first_not_of("0123456789abcdef-") == std::string::npos);
  }
  trigger.set_symbol(std::string("A\0B", 3));
  CHECK(!add(triggered).ok());

  internal::v1::AlertEvent status;
  status.mutable_symbol_status()->set_offset(1);
  CHECK(!add(status).ok());
  status.mutable_symbol_status()->set_symbol("AAPL");
  CHECK(add(status).ok());
  status.mutable_symbol_status()->set_last_event_time_us(std::numeric_limits<int64_t>::max());
  CHECK(!add(status).ok());
  CHECK(!add(internal::v1::AlertEvent()).ok());
}

}  // namespace stockalert::alert
