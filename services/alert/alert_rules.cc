#include "services/alert/alert_rules.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "services/alert/alert_errors.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/trace/sound.h"
#include "services/domain/condition/split.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/alert_event_codec.h"
#include "services/domain/record/definition_codec.h"
#include "services/domain/record/log_record.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;

static_assert(static_cast<int>(message::Route::kDefaults) == ipb::TriggerMessage::DELIVERY_DEFAULTS);
static_assert(static_cast<int>(message::Route::kNamed) == ipb::TriggerMessage::DELIVERY_NAMED);
static_assert(static_cast<int>(message::Route::kNone) == ipb::TriggerMessage::DELIVERY_NONE);

constexpr int64_t kMinuteUs = 60'000'000;

absl::StatusOr<StoredAlert> Changed(const StoredAlert& present, absl::StatusOr<condition::AlertRecord> record,
                                    int64_t now_us) {
  if (!record.ok()) return record.status();
  StoredAlert alert = present;
  if (record->revision != present.record.revision) alert.update_time_us = now_us;
  alert.record = *std::move(record);
  return alert;
}

std::string Percent(int64_t percent_e4) { return price::FormatPercentE4(percent_e4) + "%"; }

struct Summary {
  std::string operator()(const condition::PriceTarget& target) const {
    const char* op = target.op == condition::TargetOp::kAtOrAbove   ? "at or above "
                     : target.op == condition::TargetOp::kAtOrBelow ? "at or below "
                                                                    : "crosses ";
    return absl::StrCat(op, price::FormatMicros(target.price_micros));
  }

  std::string operator()(const condition::PercentChange& change) const {
    const char* way = change.op == condition::PercentOp::kUp     ? "up "
                      : change.op == condition::PercentOp::kDown ? "down "
                                                                 : "up or down ";
    std::string from;
    switch (change.reference) {
      case condition::PercentReference::kArming:
        from = " from its price when armed";
        break;
      case condition::PercentReference::kPreviousClose:
        from = " from the previous close";
        break;
      case condition::PercentReference::kDayOpen:
        from = " from the day's open";
        break;
      case condition::PercentReference::kGiven:
        from = absl::StrCat(" from ", price::FormatMicros(change.given_price_micros));
        break;
      case condition::PercentReference::kWindow:
        from = absl::StrCat(" within ", absl::FormatDuration(absl::Microseconds(change.window_us)));
        break;
    }
    return absl::StrCat(way, Percent(change.percent_e4), from);
  }

  std::string operator()(const condition::TrailingChange& trailing) const {
    const bool falls = trailing.op == condition::TrailingOp::kFallsFromHigh;
    std::string text = absl::StrCat(
        falls ? "falls " : "rises ",
        trailing.percent_e4 > 0 ? Percent(trailing.percent_e4) : price::FormatMicros(trailing.amount_micros),
        falls ? " from its high" : " from its low");
    if (trailing.activation_price_micros) {
      absl::StrAppend(&text, ", once ", falls ? "at or above " : "at or below ",
                      price::FormatMicros(*trailing.activation_price_micros));
    }
    return text;
  }

  std::string operator()(const condition::Channel& channel) const {
    return absl::StrCat(channel.op == condition::ChannelOp::kEnters ? "enters " : "leaves ",
                        price::FormatMicros(channel.low_micros), " to ", price::FormatMicros(channel.high_micros));
  }
};

absl::Status BadEvent(const char* what) { return absl::InvalidArgumentError(absl::StrCat("an event with ", what)); }

}  // namespace

condition::Moment MomentOf(const StoredSymbolStatus& status, int64_t now_us) {
  condition::Moment moment;
  moment.wall_time_us = now_us;
  if (status.last_event_time_us > 0) moment.last_event_time_us = status.last_event_time_us;
  return moment;
}

std::string EtagIdOf(const StoredAlert& alert) {
  return alert.splits_applied == 0 ? alert.id : absl::StrCat(alert.id, "/", alert.splits_applied);
}

ShownState StateOf(const ShownAlert& view, int64_t now_us) {
  const condition::AlertState state =
      condition::ShownState(view.alert.record, MomentOf(view.status, now_us), view.status.previous_close_known,
                            view.status.day_open_known, view.status.held);
  switch (state) {
    case condition::AlertState::kTriggered:
      return ShownState::kTriggered;
    case condition::AlertState::kExpired:
      return ShownState::kExpired;
    case condition::AlertState::kPaused:
      return ShownState::kPaused;
    case condition::AlertState::kHeld:
      return view.alert.applied_revision == 0 ? ShownState::kPending : ShownState::kHeld;
    case condition::AlertState::kWaiting:
      return view.alert.applied_revision == 0 ? ShownState::kPending : ShownState::kWaiting;
    case condition::AlertState::kActive:
    case condition::AlertState::kDeleted:  // Never shown.
      break;
  }
  return view.alert.applied_revision == 0 ? ShownState::kPending : ShownState::kActive;
}

absl::StatusOr<StoredAlert> ApplyUpdate(const ShownAlert& present, const WantedAlert& wanted, int64_t now_us) {
  const bool others_change = present.alert.note != wanted.note || present.alert.routing != wanted.routing;
  absl::StatusOr<StoredAlert> changed = Changed(
      present.alert,
      condition::UpdateAlert(present.alert.record, wanted.definition, others_change, MomentOf(present.status, now_us)),
      now_us);
  if (!changed.ok()) return changed;
  changed->note = wanted.note;
  changed->routing = wanted.routing;
  return changed;
}

absl::StatusOr<StoredAlert> ApplyPause(const ShownAlert& present, int64_t now_us) {
  return Changed(present.alert, condition::PauseAlert(present.alert.record, MomentOf(present.status, now_us)), now_us);
}

absl::StatusOr<StoredAlert> ApplyResume(const ShownAlert& present, int64_t now_us) {
  return Changed(present.alert, condition::ResumeAlert(present.alert.record, MomentOf(present.status, now_us)), now_us);
}

absl::StatusOr<StoredAlert> ApplyRearm(const ShownAlert& present, int64_t now_us) {
  return Changed(present.alert, condition::RearmAlert(present.alert.record, MomentOf(present.status, now_us)), now_us);
}

absl::StatusOr<StoredAlert> ApplyDelete(const StoredAlert& present, int64_t now_us) {
  absl::StatusOr<StoredAlert> changed = Changed(present, condition::DeleteAlert(present.record), now_us);
  if (!changed.ok()) return changed;
  changed->note.clear();
  changed->routing = message::Routing();
  return changed;
}

TriggerVerdict JudgeTrigger(const StoredAlert& alert, const RecordedTrigger& trigger) {
  TriggerVerdict verdict;
  verdict.alert = alert;
  verdict.alert.record = condition::RecordTrigger(alert.record, trigger.revision, trigger.ends_alert);
  ++verdict.alert.trigger_count;
  verdict.alert.last_trigger_number = std::max(alert.last_trigger_number, trigger.number);
  if (trigger.throttled) {
    ++verdict.alert.throttled_count;
    verdict.alert.throttle_end_us = std::max(alert.throttle_end_us, (MinuteOf(trigger.event_time_us) + 1) * kMinuteUs);
  }
  if (alert.record.deleted) {
    verdict.withheld = Withheld::kDeleted;
  } else if (alert.record.paused) {
    verdict.withheld = Withheld::kPaused;
  }
  return verdict;
}

int64_t MinuteOf(int64_t event_time_us) { return event_time_us / kMinuteUs; }

void Throttle(std::vector<RecordedTrigger>& triggers, int64_t triggers_per_minute,
              std::map<UserMinute, int64_t>& counts) {
  for (RecordedTrigger& trigger : triggers) {
    if (trigger.withheld != Withheld::kNo) continue;
    trigger.throttled = ++counts[{trigger.user_id, MinuteOf(trigger.event_time_us)}] > triggers_per_minute;
  }
}

WindowLengths WindowsOf(const std::vector<StoredAlert>& alerts) {
  WindowLengths lengths;
  for (const StoredAlert& alert : alerts) {
    const auto* change = std::get_if<condition::PercentChange>(&alert.record.definition.condition);
    if (change == nullptr || change->reference != condition::PercentReference::kWindow) continue;
    lengths[alert.symbol].insert(change->window_us);
  }
  return lengths;
}

absl::Status AdmitWindows(const std::vector<StoredAlert>& alerts, const OtherWindows& others) {
  const WindowLengths added = WindowsOf(alerts);
  if (added.empty()) return absl::OkStatus();
  std::vector<std::string> symbols;
  for (const auto& [symbol, lengths] : added) symbols.push_back(symbol);
  WindowLengths all = others(symbols);
  for (const auto& [symbol, lengths] : added) {
    std::set<int64_t>& of_symbol = all[symbol];
    const size_t before = of_symbol.size();
    of_symbol.insert(lengths.begin(), lengths.end());
    if (of_symbol.size() == before || of_symbol.size() <= kWindowLengthsMax) continue;
    return base::ResourceExhausted(kReasonWindowQuota,
                                   absl::StrCat("a user's alerts have windows of at most ", kWindowLengthsMax,
                                                " different lengths on one symbol: use a length that others "
                                                "have, or delete alerts that are not needed any more"),
                                   std::nullopt, {{"quota", absl::StrCat(kWindowLengthsMax)}, {"symbol", symbol}});
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredAlert> AdmitChange(const StoredAlert& present, absl::StatusOr<StoredAlert> changed,
                                        const OtherWindows& others) {
  if (!changed.ok() || changed->record.deleted || changed->record.revision == present.record.revision) return changed;
  if (WindowsOf({*changed}) == WindowsOf({present})) return changed;
  STOCKALERT_RETURN_IF_ERROR(AdmitWindows({*changed}, others));
  return changed;
}

ipb::TriggerMessage MakeTriggerMessage(const StoredAlert& alert, const RecordedTrigger& trigger, int64_t log_time_us) {
  ipb::TriggerMessage message;
  record::PlacedTrigger placed;
  placed.partition = trigger.partition;
  placed.log_time_us = log_time_us;
  placed.trigger = {.alert_id = trigger.alert_id,
                    .symbol = trigger.symbol,
                    .revision = trigger.revision,
                    .trigger_number = trigger.number,
                    .price_micros = trigger.price_micros,
                    .event_time_us = trigger.event_time_us,
                    .price_before_micros = trigger.price_before_micros,
                    .reference_micros = trigger.reference_micros,
                    .offset = trigger.offset,
                    .late = trigger.late,
                    .late_from_us = trigger.late_from_us,
                    .ends_alert = trigger.ends_alert};
  *message.mutable_trigger() = record::EncodeTrigger(placed);
  message.set_user_id(alert.user_id);
  message.set_note(alert.note);
  message.set_summary(Summarize(alert.symbol, alert.record.definition));
  message.set_throttled(trigger.throttled);
  message.set_delivery(static_cast<ipb::TriggerMessage::Delivery>(alert.routing.route));
  for (const std::string& id : alert.routing.destination_ids) message.add_destination_ids(id);
  message.set_critical(alert.routing.critical);
  return message;
}

ipb::TriggerMessage MakeSplitMessage(const PassedSplit& notice) {
  ipb::TriggerMessage message;
  message.set_user_id(notice.user_id);
  ipb::SplitNotice& split = *message.mutable_split();
  split.set_symbol(notice.split.symbol);
  split.set_split_id(notice.split.split_id);
  split.set_number(notice.split.number);
  split.set_numerator(notice.split.ratio.numerator);
  split.set_denominator(notice.split.ratio.denominator);
  split.set_effective_time_us(notice.split.effective_time_us);
  split.set_alert_count(notice.alert_count);
  return message;
}

std::string AlertName(std::string_view user_id, std::string_view alert_id) {
  return absl::StrCat("users/", base::ToAbsl(user_id), "/alerts/", base::ToAbsl(alert_id));
}

void BringForward(const std::vector<StoredSplit>& splits, StoredAlert& alert) {
  for (const StoredSplit& split : splits) {
    if (split.number <= alert.splits_applied) continue;
    if (split.number != alert.splits_applied + 1) return;
    condition::ScaleDefinition(split.ratio, &alert.record.definition);
    alert.splits_applied = split.number;
  }
}

std::string Summarize(std::string_view symbol, const condition::Definition& definition) {
  return absl::StrCat(base::ToAbsl(symbol), " ", std::visit(Summary{}, definition.condition));
}

ipb::LogRecord MakeLogRecord(const StoredAlert& alert) {
  return record::EncodeRecord(record::AlertChange{.alert_id = alert.id,
                                                  .symbol = alert.symbol,
                                                  .revision = alert.record.revision,
                                                  .armed_revision = alert.record.armed_revision,
                                                  .paused = alert.record.paused,
                                                  .deleted = alert.record.deleted,
                                                  .definition = condition::DefinitionForLog(alert.record.definition),
                                                  .splits_applied = alert.splits_applied});
}

std::string Fingerprint(const WantedAlert& asked) {
  // The parts are told apart by their lengths.
  const std::string encoded = record::EncodeDefinition(asked.definition).SerializeAsString();
  std::string text = absl::StrCat(asked.symbol.size(), ":", asked.symbol, encoded.size(), ":", encoded, asked.note);
  // Nothing where it is as by default: so the version before, which knew nothing else, gave the same fingerprint.
  if (asked.routing != message::Routing()) {
    text = absl::StrCat("routing ", static_cast<int>(asked.routing.route), " ",
                        absl::StrJoin(asked.routing.destination_ids, ","), " ", asked.routing.critical ? 1 : 0, "\n",
                        text);
  }
  return base::HexEncode(base::Sha256(text));
}

absl::Status AddEvent(const ipb::AlertEvent& event, std::string_view traceparent, EventBatch& batch) {
  switch (event.kind_case()) {
    case ipb::AlertEvent::kChangeConfirmed: {
      STOCKALERT_ASSIGN_OR_RETURN(record::Confirmation confirmed, record::DecodeConfirmation(event.change_confirmed()));
      batch.confirmations.push_back({std::move(confirmed.alert_id), confirmed.revision});
      return absl::OkStatus();
    }
    case ipb::AlertEvent::kTriggered: {
      STOCKALERT_ASSIGN_OR_RETURN(const record::PlacedTrigger placed, record::DecodeTrigger(event.triggered()));
      const record::Trigger& told = placed.trigger;
      if (told.revision < 1) return BadEvent("a revision below 1");
      TriggerEvent added;
      RecordedTrigger& trigger = added.trigger;
      trigger.alert_id = told.alert_id;
      trigger.symbol = told.symbol;
      trigger.number = told.trigger_number;
      trigger.revision = told.revision;
      trigger.price_micros = told.price_micros;
      trigger.event_time_us = told.event_time_us;
      trigger.price_before_micros = told.price_before_micros;
      trigger.reference_micros = told.reference_micros;
      trigger.late = told.late;
      trigger.late_from_us = told.late_from_us;
      trigger.ends_alert = told.ends_alert;
      trigger.partition = placed.partition;
      trigger.offset = told.offset;
      added.log_time_us = placed.log_time_us;
      added.traceparent = std::string(trace::ValidTraceparent(traceparent));
      batch.triggers.push_back(std::move(added));
      return absl::OkStatus();
    }
    case ipb::AlertEvent::kSymbolStatus: {
      STOCKALERT_ASSIGN_OR_RETURN(const record::PlacedStatus placed, record::DecodeSymbolStatus(event.symbol_status()));
      const record::SymbolStatus& told = placed.status;
      batch.statuses.push_back({told.symbol, told.previous_close_known, told.day_open_known, told.last_event_time_us,
                                placed.partition, told.offset, told.held});
      return absl::OkStatus();
    }
    case ipb::AlertEvent::kSplit: {
      STOCKALERT_ASSIGN_OR_RETURN(const record::PlacedSplit placed, record::DecodeSplit(event.split()));
      const record::Split& told = placed.split;
      batch.splits.push_back({told.symbol, told.number, told.ratio, told.effective_time_us, told.split_id});
      return absl::OkStatus();
    }
    case ipb::AlertEvent::KIND_NOT_SET:
      break;
  }
  return BadEvent("a kind that this version does not know");
}

}  // namespace stockalert::alert
