#include "services/alert/alert_rules.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/alert/alert_errors.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/base/time_limits.h"
#include "services/common/trace/sound.h"
#include "services/domain/market/symbol.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/definition_codec.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;

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

bool IsTime(int64_t us) { return us >= 0 && us <= base::kTimeUsMax; }

absl::Status BadEvent(const char* what) { return absl::InvalidArgumentError(absl::StrCat("an event with ", what)); }

}  // namespace

condition::Moment MomentOf(const SymbolStatus& status, int64_t now_us) {
  condition::Moment moment;
  moment.wall_time_us = now_us;
  if (status.last_event_time_us > 0) moment.last_event_time_us = status.last_event_time_us;
  return moment;
}

ShownState StateOf(const AlertView& view, int64_t now_us) {
  const condition::AlertState state = condition::ShownState(
      view.alert.record, MomentOf(view.status, now_us), view.status.previous_close_known, view.status.day_open_known);
  switch (state) {
    case condition::AlertState::kTriggered:
      return ShownState::kTriggered;
    case condition::AlertState::kExpired:
      return ShownState::kExpired;
    case condition::AlertState::kPaused:
      return ShownState::kPaused;
    case condition::AlertState::kWaiting:
      return view.alert.applied_revision == 0 ? ShownState::kPending : ShownState::kWaiting;
    case condition::AlertState::kActive:
    case condition::AlertState::kDeleted:  // Never shown.
      break;
  }
  return view.alert.applied_revision == 0 ? ShownState::kPending : ShownState::kActive;
}

absl::StatusOr<StoredAlert> ApplyUpdate(const AlertView& present, const condition::Definition& wanted,
                                        std::string_view note, int64_t now_us) {
  const bool note_changes = present.alert.note != note;
  absl::StatusOr<StoredAlert> changed =
      Changed(present.alert,
              condition::Update(present.alert.record, wanted, note_changes, MomentOf(present.status, now_us)), now_us);
  if (changed.ok()) changed->note = std::string(note);
  return changed;
}

absl::StatusOr<StoredAlert> ApplyPause(const AlertView& present, int64_t now_us) {
  return Changed(present.alert, condition::Pause(present.alert.record, MomentOf(present.status, now_us)), now_us);
}

absl::StatusOr<StoredAlert> ApplyResume(const AlertView& present, int64_t now_us) {
  return Changed(present.alert, condition::Resume(present.alert.record, MomentOf(present.status, now_us)), now_us);
}

absl::StatusOr<StoredAlert> ApplyRearm(const AlertView& present, int64_t now_us) {
  return Changed(present.alert, condition::Rearm(present.alert.record, MomentOf(present.status, now_us)), now_us);
}

absl::StatusOr<StoredAlert> ApplyDelete(const StoredAlert& present, int64_t now_us) {
  absl::StatusOr<StoredAlert> changed = Changed(present, condition::Delete(present.record), now_us);
  if (changed.ok()) changed->note.clear();
  return changed;
}

TriggerVerdict JudgeTrigger(const StoredAlert& alert, const StoredTrigger& trigger) {
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

void Throttle(std::vector<StoredTrigger>& triggers, int64_t triggers_per_minute,
              std::map<UserMinute, int64_t>& counts) {
  for (StoredTrigger& trigger : triggers) {
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

ipb::TriggerMessage MakeTriggerMessage(const StoredAlert& alert, const StoredTrigger& trigger, int64_t log_time_us) {
  ipb::TriggerMessage message;
  ipb::AlertTriggered& out = *message.mutable_trigger();
  out.set_alert_id(trigger.alert_id);
  out.set_symbol(trigger.symbol);
  out.set_revision(trigger.revision);
  out.set_trigger_number(trigger.number);
  out.set_price_micros(trigger.price_micros);
  out.set_event_time_us(trigger.event_time_us);
  if (trigger.price_before_micros) out.set_price_before_micros(*trigger.price_before_micros);
  if (trigger.reference_micros) out.set_reference_micros(*trigger.reference_micros);
  out.set_partition(trigger.partition);
  out.set_offset(trigger.offset);
  out.set_late(trigger.late);
  out.set_ends_alert(trigger.ends_alert);
  out.set_log_time_us(log_time_us);
  message.set_user_id(alert.user_id);
  message.set_note(alert.note);
  message.set_summary(Summarize(alert.symbol, alert.record.definition));
  message.set_throttled(trigger.throttled);
  return message;
}

std::string AlertName(std::string_view user_id, std::string_view alert_id) {
  return absl::StrCat("users/", base::ToAbsl(user_id), "/alerts/", base::ToAbsl(alert_id));
}

std::string Summarize(std::string_view symbol, const condition::Definition& definition) {
  return absl::StrCat(base::ToAbsl(symbol), " ", std::visit(Summary{}, definition.condition));
}

ipb::LogRecord MakeLogRecord(const StoredAlert& alert) {
  ipb::LogRecord record;
  ipb::AlertChangeRecord& change = *record.mutable_alert_change();
  change.set_alert_id(alert.id);
  change.set_symbol(alert.symbol);
  change.set_revision(alert.record.revision);
  change.set_armed_revision(alert.record.armed_revision);
  change.set_paused(alert.record.paused);
  change.set_deleted(alert.record.deleted);
  *change.mutable_definition() = record::EncodeDefinition(condition::ForLog(alert.record.definition));
  return record;
}

std::string Fingerprint(std::string_view symbol, const condition::Definition& definition, std::string_view note) {
  // The parts are told apart by their lengths.
  const std::string encoded = record::EncodeDefinition(definition).SerializeAsString();
  return base::HexEncode(base::Sha256(
      absl::StrCat(symbol.size(), ":", base::ToAbsl(symbol), encoded.size(), ":", encoded, base::ToAbsl(note))));
}

absl::Status AddEvent(const ipb::AlertEvent& event, std::string_view traceparent, EventBatch& batch) {
  switch (event.kind_case()) {
    case ipb::AlertEvent::kChangeConfirmed: {
      const ipb::ChangeConfirmed& confirmed = event.change_confirmed();
      if (!base::IsUuid(confirmed.alert_id())) return BadEvent("an alert id that is no UUID");
      if (confirmed.revision() < 1) return BadEvent("a revision below 1");
      batch.confirmations.push_back({confirmed.alert_id(), confirmed.revision()});
      return absl::OkStatus();
    }
    case ipb::AlertEvent::kTriggered: {
      const ipb::AlertTriggered& triggered = event.triggered();
      if (!base::IsUuid(triggered.alert_id())) return BadEvent("an alert id that is no UUID");
      if (!market::IsNormalSymbol(triggered.symbol())) return BadEvent("a symbol that is none");
      if (triggered.revision() < 1 || triggered.trigger_number() < 1)
        return BadEvent("a revision or trigger number below 1");
      if (!price::IsValidPriceMicros(triggered.price_micros())) return BadEvent("a price that is none");
      if (!IsTime(triggered.event_time_us())) return BadEvent("an event time that is none");
      TriggerEvent added;
      StoredTrigger& trigger = added.trigger;
      trigger.alert_id = triggered.alert_id();
      trigger.symbol = triggered.symbol();
      trigger.number = triggered.trigger_number();
      trigger.revision = triggered.revision();
      trigger.price_micros = triggered.price_micros();
      trigger.event_time_us = triggered.event_time_us();
      if (triggered.has_price_before_micros()) trigger.price_before_micros = triggered.price_before_micros();
      if (triggered.has_reference_micros()) trigger.reference_micros = triggered.reference_micros();
      trigger.late = triggered.late();
      trigger.ends_alert = triggered.ends_alert();
      trigger.partition = triggered.partition();
      trigger.offset = triggered.offset();
      added.log_time_us = triggered.log_time_us();
      added.traceparent = std::string(trace::Sound(traceparent));
      batch.triggers.push_back(std::move(added));
      return absl::OkStatus();
    }
    case ipb::AlertEvent::kSymbolStatus: {
      const ipb::SymbolStatusChanged& changed = event.symbol_status();
      if (!market::IsNormalSymbol(changed.symbol())) return BadEvent("a symbol that is none");
      if (!IsTime(changed.last_event_time_us())) return BadEvent("an event time that is none");
      SymbolStatus status;
      status.symbol = changed.symbol();
      status.previous_close_known = changed.previous_close_known();
      status.day_open_known = changed.day_open_known();
      status.last_event_time_us = changed.last_event_time_us();
      status.partition = changed.partition();
      status.offset = changed.offset();
      batch.statuses.push_back(std::move(status));
      return absl::OkStatus();
    }
    case ipb::AlertEvent::KIND_NOT_SET:
      break;
  }
  return BadEvent("a kind that this version does not know");
}

}  // namespace stockalert::alert
