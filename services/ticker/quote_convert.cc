#include "services/ticker/quote_convert.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/grpc/time_convert.h"
#include "services/domain/market/symbol.h"
#include "services/domain/price/decimal.h"

namespace stockalert::ticker {
namespace {

using internal::v1::QuoteRecord;
using quote::v1::Quote;

// An answer that lists more would help nobody.
constexpr int kWrongQuotesMax = 20;

std::optional<int64_t> ParseQuotePrice(base::FieldViolations& violations, const std::string& field,
                                       const std::string& text) {
  if (text.empty()) return std::nullopt;
  const absl::StatusOr<int64_t> micros = price::ParsePrice(text);
  if (micros.ok()) return *micros;
  violations.Add(field, base::ToStd(micros.status().message()));
  return std::nullopt;
}

}  // namespace

Quote ToQuote(const QuoteRecord& record) {
  Quote quote;
  quote.set_symbol(record.symbol());
  quote.set_price(price::FormatMicros(record.price_micros()));
  *quote.mutable_event_time() = rpc::TimestampFromUs(record.event_time_us());
  // The two enums number the sessions alike.
  quote.set_session(static_cast<quote::v1::Session>(record.session()));
  quote.set_source(record.source());
  if (record.has_day_open_micros()) quote.set_day_open(price::FormatMicros(record.day_open_micros()));
  if (record.has_day_high_micros()) quote.set_day_high(price::FormatMicros(record.day_high_micros()));
  if (record.has_day_low_micros()) quote.set_day_low(price::FormatMicros(record.day_low_micros()));
  if (record.has_previous_close_micros()) quote.set_previous_close(price::FormatMicros(record.previous_close_micros()));
  return quote;
}

v1::QuoteOutcome ToQuoteOutcome(const std::optional<QuoteOutcome>& outcome) {
  v1::QuoteOutcome shown;
  shown.set_verdict(v1::QuoteOutcome::VERDICT_UNKNOWN);
  if (!outcome.has_value()) return shown;
  switch (outcome->verdict) {
    case QuoteVerdict::kAccepted:
      shown.set_verdict(v1::QuoteOutcome::VERDICT_ACCEPTED);
      break;
    case QuoteVerdict::kLate:
      shown.set_verdict(v1::QuoteOutcome::VERDICT_LATE);
      break;
    case QuoteVerdict::kRepeated:
      shown.set_verdict(v1::QuoteOutcome::VERDICT_REPEATED);
      break;
    case QuoteVerdict::kHeld:
      shown.set_verdict(v1::QuoteOutcome::VERDICT_HELD);
      break;
    case QuoteVerdict::kRefused:
      shown.set_verdict(v1::QuoteOutcome::VERDICT_REFUSED);
      break;
  }
  shown.set_session(static_cast<quote::v1::Session>(outcome->session));
  shown.set_counts_for_no_alert(
      (outcome->verdict == QuoteVerdict::kAccepted || outcome->verdict == QuoteVerdict::kHeld) &&
      outcome->session == internal::v1::TRADING_SESSION_CLOSED);
  return shown;
}

absl::StatusOr<std::vector<QuoteRecord>> FromQuotes(const google::protobuf::RepeatedPtrField<Quote>& quotes,
                                                    int64_t now_us) {
  if (quotes.empty() || quotes.size() > kPublishedQuotesMax) {
    return base::InvalidField("quotes", absl::StrCat("must be 1 to ", kPublishedQuotesMax, " quotes"));
  }
  base::FieldViolations violations;
  std::vector<QuoteRecord> records;
  records.reserve(static_cast<size_t>(quotes.size()));
  int wrong = 0;
  for (int i = 0; i < quotes.size() && wrong < kWrongQuotesMax; ++i) {
    const Quote& quote = quotes[i];
    const std::string prefix = absl::StrCat("quotes[", i, "].");
    base::FieldViolations mine;
    QuoteRecord record;
    if (std::optional<std::string> symbol = market::NormalizeSymbol(quote.symbol())) {
      record.set_symbol(*std::move(symbol));
    } else {
      mine.Add(prefix + "symbol", market::kSymbolRule);
    }
    if (quote.price().empty()) {
      mine.Add(prefix + "price", "is required: a decimal above 0, as in \"150.25\"");
    } else if (const auto micros = ParseQuotePrice(mine, prefix + "price", quote.price())) {
      record.set_price_micros(*micros);
    }
    if (!quote.has_event_time()) {
      mine.Add(prefix + "event_time", "is required");
    } else if (const absl::StatusOr<int64_t> us = rpc::TimestampToUs(quote.event_time(), prefix + "event_time");
               !us.ok()) {
      mine.Merge(us.status());
    } else if (*us > now_us + kEventTimeAheadMaxUs) {
      mine.Add(prefix + "event_time", "must be at most 5 s ahead of the present time: later quotes would all be late");
    } else {
      record.set_event_time_us(*us);
    }
    if (quote::v1::Session_IsValid(quote.session())) {
      record.set_session(static_cast<internal::v1::TradingSession>(quote.session()));
    } else {
      mine.Add(prefix + "session", "must be SESSION_PRE, SESSION_REGULAR, SESSION_POST, SESSION_CLOSED or unspecified");
    }
    if (const auto open = ParseQuotePrice(mine, prefix + "day_open", quote.day_open()))
      record.set_day_open_micros(*open);
    if (const auto high = ParseQuotePrice(mine, prefix + "day_high", quote.day_high()))
      record.set_day_high_micros(*high);
    if (const auto low = ParseQuotePrice(mine, prefix + "day_low", quote.day_low())) record.set_day_low_micros(*low);
    if (const auto close = ParseQuotePrice(mine, prefix + "previous_close", quote.previous_close()))
      record.set_previous_close_micros(*close);
    if (!mine.ok()) ++wrong;
    violations.Merge(mine.ToStatus());
    records.push_back(std::move(record));
  }
  if (!violations.ok()) return violations.ToStatus();
  return records;
}

}  // namespace stockalert::ticker
