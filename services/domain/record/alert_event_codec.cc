#include "services/domain/record/alert_event_codec.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/ids.h"
#include "services/common/base/time_limits.h"
#include "services/domain/market/symbol.h"
#include "services/domain/price/decimal.h"

namespace stockalert::record {
namespace {

namespace pb = ::stockalert::internal::v1;

bool IsTime(int64_t us) { return us >= 0 && us <= base::kTimeUsMax; }

absl::Status BadEvent(const char* what) { return absl::InvalidArgumentError(absl::StrCat("an event with ", what)); }

}  // namespace

pb::AlertTriggered EncodeTrigger(const PlacedTrigger& placed) {
  const Trigger& trigger = placed.trigger;
  pb::AlertTriggered out;
  out.set_alert_id(trigger.alert_id);
  out.set_symbol(trigger.symbol);
  out.set_revision(trigger.revision);
  out.set_trigger_number(trigger.trigger_number);
  out.set_price_micros(trigger.price_micros);
  out.set_event_time_us(trigger.event_time_us);
  if (trigger.price_before_micros) out.set_price_before_micros(*trigger.price_before_micros);
  if (trigger.reference_micros) out.set_reference_micros(*trigger.reference_micros);
  out.set_partition(placed.partition);
  out.set_offset(trigger.offset);
  out.set_late(trigger.late);
  if (trigger.late_from_us.has_value()) out.set_late_from_us(*trigger.late_from_us);
  out.set_ends_alert(trigger.ends_alert);
  out.set_log_time_us(placed.log_time_us);
  return out;
}

absl::StatusOr<PlacedTrigger> DecodeTrigger(const pb::AlertTriggered& encoded) {
  if (!base::IsUuid(encoded.alert_id())) return BadEvent("an alert id that is no UUID");
  if (!market::IsNormalSymbol(encoded.symbol())) return BadEvent("a symbol that is none");
  if (encoded.trigger_number() < 1) return BadEvent("a trigger number below 1");
  if (!price::IsValidPriceMicros(encoded.price_micros())) return BadEvent("a price that is none");
  if (!IsTime(encoded.event_time_us())) return BadEvent("an event time that is none");
  if (!IsTime(encoded.late_from_us())) return BadEvent("a time of the quote before that is none");
  PlacedTrigger placed;
  Trigger& trigger = placed.trigger;
  trigger.alert_id = encoded.alert_id();
  trigger.symbol = encoded.symbol();
  trigger.revision = encoded.revision();
  trigger.trigger_number = encoded.trigger_number();
  trigger.price_micros = encoded.price_micros();
  trigger.event_time_us = encoded.event_time_us();
  if (encoded.has_price_before_micros()) trigger.price_before_micros = encoded.price_before_micros();
  if (encoded.has_reference_micros()) trigger.reference_micros = encoded.reference_micros();
  trigger.offset = encoded.offset();
  trigger.late = encoded.late();
  if (encoded.has_late_from_us()) trigger.late_from_us = encoded.late_from_us();
  trigger.ends_alert = encoded.ends_alert();
  placed.partition = encoded.partition();
  placed.log_time_us = encoded.log_time_us();
  return placed;
}

absl::StatusOr<Confirmation> DecodeConfirmation(const pb::ChangeConfirmed& encoded) {
  if (!base::IsUuid(encoded.alert_id())) return BadEvent("an alert id that is no UUID");
  if (encoded.revision() < 1) return BadEvent("a revision below 1");
  return Confirmation{encoded.alert_id(), encoded.revision(), encoded.offset()};
}

absl::StatusOr<PlacedStatus> DecodeSymbolStatus(const pb::SymbolStatusChanged& encoded) {
  if (!market::IsNormalSymbol(encoded.symbol())) return BadEvent("a symbol that is none");
  if (!IsTime(encoded.last_event_time_us())) return BadEvent("an event time that is none");
  return PlacedStatus{{encoded.symbol(), encoded.previous_close_known(), encoded.day_open_known(),
                       encoded.last_event_time_us(), encoded.offset(), encoded.held()},
                      encoded.partition()};
}

absl::StatusOr<PlacedSplit> DecodeSplit(const pb::SplitApplied& encoded) {
  if (!market::IsNormalSymbol(encoded.symbol())) return BadEvent("a symbol that is none");
  if (encoded.number() < 1) return BadEvent("a split number below 1");
  if (!IsSplitShares(encoded.numerator()) || !IsSplitShares(encoded.denominator()))
    return BadEvent("a ratio that cannot be");
  // The time is only shown: one that is none is as good as none.
  const int64_t time_us = IsTime(encoded.effective_time_us()) ? encoded.effective_time_us() : 0;
  return PlacedSplit{
      {encoded.symbol(), encoded.split_id(), encoded.number(), {encoded.numerator(), encoded.denominator()}, time_us},
      encoded.partition(),
      encoded.offset()};
}

std::string EncodeAlertEvent(const PlacedTrigger& placed) {
  pb::AlertEvent event;
  *event.mutable_triggered() = EncodeTrigger(placed);
  return event.SerializeAsString();
}

std::string EncodeAlertEvent(const Confirmation& confirmation, int32_t partition) {
  pb::AlertEvent event;
  auto& out = *event.mutable_change_confirmed();
  out.set_alert_id(confirmation.alert_id);
  out.set_revision(confirmation.revision);
  out.set_partition(partition);
  out.set_offset(confirmation.offset);
  return event.SerializeAsString();
}

std::string EncodeAlertEvent(const PlacedStatus& placed) {
  const SymbolStatus& status = placed.status;
  pb::AlertEvent event;
  auto& out = *event.mutable_symbol_status();
  out.set_symbol(status.symbol);
  out.set_previous_close_known(status.previous_close_known);
  out.set_day_open_known(status.day_open_known);
  out.set_last_event_time_us(status.last_event_time_us);
  out.set_partition(placed.partition);
  out.set_offset(status.offset);
  out.set_held(status.held);
  return event.SerializeAsString();
}

std::string EncodeAlertEvent(const PlacedSplit& placed) {
  const Split& split = placed.split;
  pb::AlertEvent event;
  auto& out = *event.mutable_split();
  out.set_symbol(split.symbol);
  out.set_split_id(split.split_id);
  out.set_number(split.number);
  out.set_numerator(split.ratio.numerator);
  out.set_denominator(split.ratio.denominator);
  out.set_effective_time_us(split.effective_time_us);
  out.set_partition(placed.partition);
  out.set_offset(placed.offset);
  return event.SerializeAsString();
}

}  // namespace stockalert::record
