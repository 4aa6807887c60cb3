#include "services/domain/record/log_record.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "services/common/base/ids.h"
#include "services/domain/record/definition_codec.h"

namespace stockalert::record {
namespace {

namespace pb = ::stockalert::internal::v1;

// What the database can hold and people can read; the ticker service's own rule is narrower.
bool IsSymbol(const std::string& symbol) {
  return !symbol.empty() && symbol.size() <= 64 && symbol.find('\0') == std::string::npos;
}

ReadRecord Malformed(ReadRecord read, absl::string_view problem) {
  read.soundness = Soundness::kMalformedQuote;
  read.problem = std::string(problem);
  return read;
}

ReadRecord Undecodable(ReadRecord read, absl::string_view problem) {
  read.soundness = Soundness::kUndecodable;
  read.problem = std::string(problem);
  return read;
}

Quote DecodeQuote(const pb::QuoteRecord& in, market::Session session, Rules rules) {
  Quote quote;
  quote.symbol = in.symbol();
  quote.price_micros = in.price_micros();
  quote.event_time_us = in.event_time_us();
  quote.session = session;
  if (in.has_day_open_micros()) quote.day_open_micros = in.day_open_micros();
  if (in.has_day_high_micros()) quote.day_high_micros = in.day_high_micros();
  if (in.has_day_low_micros()) quote.day_low_micros = in.day_low_micros();
  if (in.has_previous_close_micros()) quote.previous_close_micros = in.previous_close_micros();
  quote.publisher_epoch = in.publisher_epoch();
  quote.sequence = in.sequence();
  quote.rules = rules;
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
  change.splits_applied = in.splits_applied();
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
    record.set_rules(static_cast<int32_t>(quote.rules));
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
    record.set_splits_applied(change.splits_applied);
  }
  void operator()(const Restart& restart) const { out.mutable_restart()->set_symbol(restart.symbol); }
  void operator()(const Split& split) const {
    auto& record = *out.mutable_split();
    record.set_symbol(split.symbol);
    record.set_split_id(split.split_id);
    record.set_number(split.number);
    record.set_numerator(split.ratio.numerator);
    record.set_denominator(split.ratio.denominator);
    record.set_effective_time_us(split.effective_time_us);
  }
  void operator()(const SplitSuspected& suspected) const { Encode(suspected, out.mutable_split_suspected()); }
  void operator()(const SplitDismissed& dismissed) const { Encode(dismissed, out.mutable_split_dismissed()); }

  template <typename Record, typename Encoded>
  static void Encode(const Record& record, Encoded* out) {
    out->set_symbol(record.symbol);
    out->set_publisher_epoch(record.publisher_epoch);
    out->set_sequence(record.sequence);
  }
};

ReadRecord ReadQuote(ReadRecord read, std::string_view key) {
  const pb::QuoteRecord& quote = read.record.quote();
  if (!IsSymbol(quote.symbol())) {
    return Malformed(std::move(read), "a quote without a symbol, or with none that could be one");
  }
  if (quote.symbol() != key) return Malformed(std::move(read), "a quote whose symbol is not the record's key");
  const std::optional<Rules> rules = DecodeRules(quote.rules());
  if (!rules.has_value()) {
    return Undecodable(std::move(read),
                       "a quote of rules that are not known: the evaluators have to be upgraded first");
  }
  const absl::StatusOr<market::Session> session = DecodeSession(quote.session());
  if (!session.ok()) return Malformed(std::move(read), "a quote without a known session");
  if (quote.publisher_epoch() < 0 || quote.sequence() < 0) {
    return Malformed(std::move(read), "a quote with a negative epoch or sequence");
  }
  read.event = DecodeQuote(quote, *session, *rules);
  read.soundness = Soundness::kSound;
  return read;
}

ReadRecord ReadChange(ReadRecord read, std::string_view key) {
  const pb::AlertChangeRecord& change = read.record.alert_change();
  if (!base::IsUuid(change.alert_id())) return Undecodable(std::move(read), "a change whose alert id is no UUID");
  if (!IsSymbol(change.symbol()) || change.symbol() != key) {
    return Undecodable(std::move(read), "a change whose symbol is not the record's key");
  }
  if (change.revision() < 1 || change.armed_revision() < 1 || change.armed_revision() > change.revision()) {
    return Undecodable(std::move(read), "a change with revisions that cannot be");
  }
  if (change.splits_applied() < 0) return Undecodable(std::move(read), "a change with a negative number of splits");
  AlertChange decoded = DecodeChange(change);
  if (!change.deleted()) {
    absl::StatusOr<condition::Definition> definition = DecodeDefinition(change.definition());
    if (!definition.ok()) return Undecodable(std::move(read), definition.status().message());
    decoded.definition = *std::move(definition);
  }
  read.event = std::move(decoded);
  read.soundness = Soundness::kSound;
  return read;
}

ReadRecord ReadRestart(ReadRecord read, std::string_view key) {
  const std::string& symbol = read.record.restart().symbol();
  if (!IsSymbol(symbol) || symbol != key) {
    return Undecodable(std::move(read), "a restart whose symbol is not the record's key");
  }
  read.event = Restart{symbol};
  read.soundness = Soundness::kSound;
  return read;
}

ReadRecord ReadSplit(ReadRecord read, std::string_view key) {
  const pb::SplitRecord& split = read.record.split();
  if (!IsSymbol(split.symbol()) || split.symbol() != key) {
    return Undecodable(std::move(read), "a split whose symbol is not the record's key");
  }
  if (split.split_id().empty() || split.number() < 1) {
    return Undecodable(std::move(read), "a split without an id, or without a number");
  }
  if (!IsSplitShares(split.numerator()) || !IsSplitShares(split.denominator())) {
    return Undecodable(std::move(read), "a split with a ratio that cannot be");
  }
  read.event = Split{split.symbol(),
                     split.split_id(),
                     split.number(),
                     {split.numerator(), split.denominator()},
                     split.effective_time_us()};
  read.soundness = Soundness::kSound;
  return read;
}

// What opens or closes a hold of a symbol.
template <typename Record, typename Encoded>
ReadRecord ReadSuspicion(ReadRecord read, const Encoded& encoded, std::string_view key) {
  if (!IsSymbol(encoded.symbol()) || encoded.symbol() != key) {
    return Undecodable(std::move(read), "a suspected split, or its dismissal, whose symbol is not the record's key");
  }
  if (encoded.publisher_epoch() < 0 || encoded.sequence() < 0) {
    return Undecodable(std::move(read), "a suspected split, or its dismissal, with a negative epoch or sequence");
  }
  read.event = Record{encoded.symbol(), encoded.publisher_epoch(), encoded.sequence()};
  read.soundness = Soundness::kSound;
  return read;
}

}  // namespace

std::optional<Rules> DecodeRules(int32_t rules) {
  if (rules == 0) return Rules::kFirst;  // From before there were others.
  if (rules < 0 || rules > static_cast<int32_t>(kNewestRules)) return std::nullopt;
  return static_cast<Rules>(rules);
}

ReadRecord ReadLogRecord(std::string_view key, std::string_view value) {
  pb::LogRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return Undecodable(ReadRecord{}, "the bytes are no log record");
  }
  return JudgeRecord(key, std::move(record));
}

ReadRecord JudgeRecord(std::string_view key, pb::LogRecord record) {
  ReadRecord read;
  read.record = std::move(record);
  switch (read.record.kind_case()) {
    case pb::LogRecord::kQuote:
      return ReadQuote(std::move(read), key);
    case pb::LogRecord::kAlertChange:
      return ReadChange(std::move(read), key);
    case pb::LogRecord::kRestart:
      return ReadRestart(std::move(read), key);
    case pb::LogRecord::kSplit:
      return ReadSplit(std::move(read), key);
    case pb::LogRecord::kSplitSuspected: {
      const pb::SplitSuspectedRecord encoded = read.record.split_suspected();
      return ReadSuspicion<SplitSuspected>(std::move(read), encoded, key);
    }
    case pb::LogRecord::kSplitDismissed: {
      const pb::SplitDismissedRecord encoded = read.record.split_dismissed();
      return ReadSuspicion<SplitDismissed>(std::move(read), encoded, key);
    }
    case pb::LogRecord::KIND_NOT_SET:
      break;
  }
  return Undecodable(std::move(read), "a record of an unknown kind: the evaluators have to be upgraded first");
}

pb::LogRecord EncodeRecord(const Event& event) {
  pb::LogRecord out;
  std::visit(RecordEncoder{out}, event);
  return out;
}

}  // namespace stockalert::record
