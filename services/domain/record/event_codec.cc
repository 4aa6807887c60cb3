#include "services/domain/record/event_codec.h"

#include "services/domain/record/definition_codec.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::record {
namespace {

namespace pb = ::stockalert::internal::v1;

Quote DecodeQuote(const pb::QuoteRecord& in) {
  Quote quote;
  quote.symbol = in.symbol();
  quote.price_micros = in.price_micros();
  quote.event_time_us = in.event_time_us();
  quote.session = *DecodeSession(in.session());
  if (in.has_day_open_micros()) quote.day_open_micros = in.day_open_micros();
  if (in.has_day_high_micros()) quote.day_high_micros = in.day_high_micros();
  if (in.has_day_low_micros()) quote.day_low_micros = in.day_low_micros();
  if (in.has_previous_close_micros()) quote.previous_close_micros = in.previous_close_micros();
  quote.publisher_epoch = in.publisher_epoch();
  quote.sequence = in.sequence();
  return quote;
}

AlertChange DecodeChange(const pb::AlertChangeRecord& in) {
  AlertChange change;
  change.alert_id = in.alert_id();
  change.symbol = in.symbol();
  change.revision = in.revision();
  change.armed_revision = in.armed_revision();
  change.paused = in.paused();
  change.deleted = in.deleted();
  if (!in.deleted()) change.definition = *DecodeDefinition(in.definition());
  return change;
}

struct RecordEncoder {
  pb::LogRecord& out;
  void operator()(const Quote& quote) const {
    auto& record = *out.mutable_quote();
    record.set_symbol(quote.symbol);
    record.set_price_micros(quote.price_micros);
    record.set_event_time_us(quote.event_time_us);
    record.set_session(EncodeSession(quote.session));
    if (quote.day_open_micros) record.set_day_open_micros(*quote.day_open_micros);
    if (quote.day_high_micros) record.set_day_high_micros(*quote.day_high_micros);
    if (quote.day_low_micros) record.set_day_low_micros(*quote.day_low_micros);
    if (quote.previous_close_micros) record.set_previous_close_micros(*quote.previous_close_micros);
    record.set_publisher_epoch(quote.publisher_epoch);
    record.set_sequence(quote.sequence);
  }
  void operator()(const AlertChange& change) const {
    auto& record = *out.mutable_alert_change();
    record.set_alert_id(change.alert_id);
    record.set_symbol(change.symbol);
    record.set_revision(change.revision);
    record.set_armed_revision(change.armed_revision);
    record.set_paused(change.paused);
    record.set_deleted(change.deleted);
    *record.mutable_definition() = EncodeDefinition(change.definition);
  }
  void operator()(const Restart& restart) const { out.mutable_restart()->set_symbol(restart.symbol); }
};

}  // namespace

DecodedRecord DecodeRecord(std::string_view key, std::string_view value) {
  DecodedRecord decoded;
  const ReadRecord read = ReadLogRecord(key, value);
  decoded.soundness = read.soundness;
  decoded.problem = read.problem;
  if (read.soundness != Soundness::kSound) return decoded;
  switch (read.record.kind_case()) {
    case pb::LogRecord::kQuote:
      decoded.event = DecodeQuote(read.record.quote());
      break;
    case pb::LogRecord::kAlertChange:
      decoded.event = DecodeChange(read.record.alert_change());
      break;
    case pb::LogRecord::kRestart:
      decoded.event = Restart{read.record.restart().symbol()};
      break;
    case pb::LogRecord::KIND_NOT_SET:
      decoded.soundness = Soundness::kUndecodable;
      break;
  }
  return decoded;
}

std::string EncodeRecord(const Event& event) {
  pb::LogRecord out;
  std::visit(RecordEncoder{out}, event);
  return out.SerializeAsString();
}

std::string EncodeAlertEvent(const Trigger& trigger, int32_t partition, int64_t log_time_us) {
  pb::AlertEvent event;
  auto& out = *event.mutable_triggered();
  out.set_alert_id(trigger.alert_id);
  out.set_symbol(trigger.symbol);
  out.set_revision(trigger.revision);
  out.set_trigger_number(trigger.trigger_number);
  out.set_price_micros(trigger.price_micros);
  out.set_event_time_us(trigger.event_time_us);
  if (trigger.price_before_micros) out.set_price_before_micros(*trigger.price_before_micros);
  if (trigger.reference_micros) out.set_reference_micros(*trigger.reference_micros);
  out.set_partition(partition);
  out.set_offset(trigger.offset);
  out.set_late(trigger.late);
  out.set_ends_alert(trigger.ends_alert);
  out.set_log_time_us(log_time_us);
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

std::string EncodeAlertEvent(const SymbolStatus& status, int32_t partition) {
  pb::AlertEvent event;
  auto& out = *event.mutable_symbol_status();
  out.set_symbol(status.symbol);
  out.set_previous_close_known(status.previous_close_known);
  out.set_day_open_known(status.day_open_known);
  out.set_last_event_time_us(status.last_event_time_us);
  out.set_partition(partition);
  out.set_offset(status.offset);
  return event.SerializeAsString();
}

}  // namespace stockalert::record
