#include "services/tools/log/stream_printer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <variant>

#include "absl/strings/str_cat.h"
#include "services/domain/condition/definition.h"
#include "services/domain/market/date_figures.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/definition_codec.h"
#include "services/domain/record/log_record.h"

namespace stockalert::logtool {
namespace {

namespace pb = ::stockalert::internal::v1;
using Json = nlohmann::ordered_json;

const char* NameOf(pb::TradingSession session) {
  switch (session) {
    case pb::TRADING_SESSION_PRE:
      return "PRE";
    case pb::TRADING_SESSION_REGULAR:
      return "REGULAR";
    case pb::TRADING_SESSION_POST:
      return "POST";
    default:
      return "CLOSED";
  }
}

Json ConditionOf(const condition::PriceTarget& target) {
  static constexpr const char* kOps[] = {"AT_OR_ABOVE", "AT_OR_BELOW", "CROSSES"};
  return {{"kind", "target"},
          {"op", kOps[static_cast<size_t>(target.op)]},
          {"price", price::FormatMicros(target.price_micros)}};
}

Json ConditionOf(const condition::PercentChange& change) {
  static constexpr const char* kOps[] = {"UP", "DOWN", "EITHER"};
  static constexpr const char* kReferences[] = {"ARMING", "PREV_CLOSE", "DAY_OPEN", "GIVEN", "WINDOW"};
  Json json = {{"kind", "percent"},
               {"op", kOps[static_cast<size_t>(change.op)]},
               {"percent", price::FormatPercentE4(change.percent_e4)},
               {"reference", kReferences[static_cast<size_t>(change.reference)]}};
  if (change.reference == condition::PercentReference::kGiven)
    json["given"] = price::FormatMicros(change.given_price_micros);
  if (change.reference == condition::PercentReference::kWindow) json["window_us"] = change.window_us;
  return json;
}

Json ConditionOf(const condition::TrailingChange& trailing) {
  static constexpr const char* kOps[] = {"FALLS_FROM_HIGH", "RISES_FROM_LOW"};
  Json json = {{"kind", "trailing"}, {"op", kOps[static_cast<size_t>(trailing.op)]}};
  if (trailing.amount_micros > 0) {
    json["amount"] = price::FormatMicros(trailing.amount_micros);
  } else {
    json["percent"] = price::FormatPercentE4(trailing.percent_e4);
  }
  if (trailing.activation_price_micros) json["activation"] = price::FormatMicros(*trailing.activation_price_micros);
  return json;
}

Json ConditionOf(const condition::Channel& channel) {
  static constexpr const char* kOps[] = {"ENTERS", "LEAVES"};
  return {{"kind", "channel"},
          {"op", kOps[static_cast<size_t>(channel.op)]},
          {"low", price::FormatMicros(channel.low_micros)},
          {"high", price::FormatMicros(channel.high_micros)}};
}

Json QuoteLine(const pb::QuoteRecord& quote, int64_t offset) {
  Json line = {{"op", "quote"},
               {"symbol", quote.symbol()},
               {"price", price::FormatMicros(quote.price_micros())},
               {"time", quote.event_time_us()},
               {"session", NameOf(quote.session())},
               {"offset", offset}};
  // Whether it is new may depend on a suspected split before it.
  if (quote.publisher_epoch() != 0 || quote.sequence() != 0) {
    line["epoch"] = quote.publisher_epoch();
    line["sequence"] = quote.sequence();
  }
  const std::optional<market::Rules> rules = record::DecodeRules(quote.rules());
  const absl::StatusOr<market::Session> session = record::DecodeSession(quote.session());
  if (!session.ok() || !rules.has_value()) return line;
  if (*rules != market::kNewestRules) line["rules"] = static_cast<int>(*rules);
  if (!market::CarriesFigures(market::MarketOf(quote.symbol()), {*session, quote.event_time_us(), *rules})) return line;
  if (quote.has_day_open_micros()) line["day_open"] = price::FormatMicros(quote.day_open_micros());
  if (quote.has_previous_close_micros()) line["prev_close"] = price::FormatMicros(quote.previous_close_micros());
  if (*rules < market::Rules::kWithGaps) return line;
  if (quote.has_day_high_micros()) line["day_high"] = price::FormatMicros(quote.day_high_micros());
  if (quote.has_day_low_micros()) line["day_low"] = price::FormatMicros(quote.day_low_micros());
  return line;
}

// With its offset, which is that of the triggers of what was held.
Json SplitLine(const record::Split& split, int64_t offset) {
  return {{"op", "split"},
          {"symbol", split.symbol},
          {"ratio", absl::StrCat(split.ratio.numerator, "/", split.ratio.denominator)},
          {"time", split.effective_time_us},
          {"number", split.number},
          {"id", split.split_id},
          {"offset", offset}};
}

template <typename Record>
Json SuspicionLine(const char* op, const Record& record, int64_t offset) {
  return {{"op", op},
          {"symbol", record.symbol()},
          {"epoch", record.publisher_epoch()},
          {"sequence", record.sequence()},
          {"offset", offset}};
}

Json AlertLine(const record::AlertChange& change, const pb::AlertChangeRecord& encoded) {
  static constexpr const char* kPolicies[] = {"ONCE", "REPEAT", "ONCE_A_DAY"};
  static constexpr const char* kCreations[] = {"FIRE_IF_MET", "WAIT_FOR_CROSS", "REJECT_IF_MET"};
  Json line = {{"op", "alert"},
               {"id", change.alert_id},
               {"symbol", change.symbol},
               {"revision", change.revision},
               {"armed_revision", change.armed_revision},
               {"paused", change.paused},
               {"deleted", change.deleted}};
  condition::Definition definition = change.definition;
  if (change.deleted) {
    // Of a deletion nobody needs a definition; it is printed where there is one.
    const absl::StatusOr<condition::Definition> decoded = record::DecodeDefinition(encoded.definition());
    if (!decoded.ok()) return line;
    definition = *decoded;
  }
  line["condition"] = std::visit([](const auto& condition) { return ConditionOf(condition); }, definition.condition);
  line["policy"] = kPolicies[static_cast<size_t>(definition.trigger_policy)];
  line["cooldown_us"] = definition.cooldown_us;
  line["hysteresis"] = price::FormatMicros(definition.hysteresis_micros);
  line["creation"] = kCreations[static_cast<size_t>(definition.creation_policy)];
  line["sessions"] = definition.sessions == condition::Sessions::kRegular ? "REGULAR" : "EXTENDED";
  line["expire_time"] = definition.expire_time_us ? Json(*definition.expire_time_us) : Json(nullptr);
  return line;
}

}  // namespace

absl::Status StreamPrinter::Print(std::string_view key, std::string_view value, int64_t offset, std::string* out) {
  const record::ReadRecord read = record::ReadLogRecord(key, value);
  if (read.soundness == record::Soundness::kMalformedQuote) {
    ++skipped_malformed_;
    return absl::OkStatus();
  }
  if (read.soundness == record::Soundness::kUndecodable) {
    return absl::DataLossError(absl::StrCat("the record at offset ", offset, " cannot be understood: ", read.problem));
  }
  Json line;
  switch (read.record.kind_case()) {
    case pb::LogRecord::kQuote: {
      const pb::QuoteRecord& quote = read.record.quote();
      const std::pair<int64_t, int64_t> sent(quote.publisher_epoch(), quote.sequence());
      // A price that is refused leaves no trace, not even its sequence; one without epoch and sequence was never
      // numbered.
      if (sent != std::pair<int64_t, int64_t>(0, 0) && price::IsValidPriceMicros(quote.price_micros())) {
        auto& last = last_sent_[quote.symbol()];
        if (sent <= last) {
          ++skipped_repeats_;
          return absl::OkStatus();
        }
        last = sent;
      }
      line = QuoteLine(quote, offset);
      break;
    }
    case pb::LogRecord::kAlertChange: {
      const auto& change = std::get<record::AlertChange>(read.event);
      line = AlertLine(change, read.record.alert_change());
      // Where its prices are not those of this place.
      if (change.splits_applied < splits_[change.symbol]) line["splits_applied"] = change.splits_applied;
      break;
    }
    case pb::LogRecord::kRestart:
      line = {{"op", "restart"}, {"symbol", read.record.restart().symbol()}};
      break;
    case pb::LogRecord::kSplit: {
      const auto& split = std::get<record::Split>(read.event);
      splits_[split.symbol] = std::max(splits_[split.symbol], split.number);
      line = SplitLine(split, offset);
      break;
    }
    case pb::LogRecord::kSplitSuspected:
      line = SuspicionLine("split_suspected", read.record.split_suspected(), offset);
      break;
    case pb::LogRecord::kSplitDismissed:
      line = SuspicionLine("split_dismissed", read.record.split_dismissed(), offset);
      break;
    case pb::LogRecord::KIND_NOT_SET:
      return absl::DataLossError("a record of an unknown kind");
  }
  ++printed_;
  out->append(line.dump(-1, ' ', false, Json::error_handler_t::replace)).push_back('\n');
  return absl::OkStatus();
}

}  // namespace stockalert::logtool
