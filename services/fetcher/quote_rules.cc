#include "services/fetcher/quote_rules.h"

#include "services/domain/market/date_figures.h"
#include "services/domain/market/symbol.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/definition_codec.h"
#include "services/domain/record/log_record.h"

namespace stockalert::fetcher {

namespace pb = ::stockalert::internal::v1;

const char* NameOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kSymbol:
      return "symbol";
    case Refusal::kPrice:
      return "price";
    case Refusal::kEventTimeMissing:
      return "event_time_missing";
    case Refusal::kEventTimeAhead:
      return "event_time_ahead";
    case Refusal::kSession:
      return "session";
    case Refusal::kSessionOfMarket:
      return "session_of_market";
  }
  return "unknown";
}

const char* FieldOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kSymbol:
      return "symbol";
    case Refusal::kPrice:
      return "price";
    case Refusal::kEventTimeMissing:
    case Refusal::kEventTimeAhead:
      return "event_time";
    case Refusal::kSession:
    case Refusal::kSessionOfMarket:
      return "session";
  }
  return "";
}

const char* DescriptionOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kSymbol:
      return market::kSymbolRule;
    case Refusal::kPrice:
      return "must be above 0 and at most 1000000000000";
    case Refusal::kEventTimeMissing:
      return "must be given: the exchange's time of the price";
    case Refusal::kEventTimeAhead:
      return "must not be more than 5 s ahead of the present";
    case Refusal::kSession:
      return "must be PRE, REGULAR, POST or CLOSED, or be left out";
    case Refusal::kSessionOfMarket:
      return "must be REGULAR, or be left out: the symbol's market trades round the clock";
  }
  return "";
}

std::optional<Refusal> FindRefusal(const pb::QuoteRecord& quote, int64_t now_us) {
  if (!market::IsNormalSymbol(quote.symbol())) return Refusal::kSymbol;
  if (!price::IsValidPriceMicros(quote.price_micros())) return Refusal::kPrice;
  if (quote.event_time_us() <= 0) return Refusal::kEventTimeMissing;
  if (quote.event_time_us() > now_us + absl::ToInt64Microseconds(kAheadMax)) return Refusal::kEventTimeAhead;
  if (quote.session() <= pb::TRADING_SESSION_UNSPECIFIED || quote.session() > pb::TRADING_SESSION_CLOSED)
    return Refusal::kSession;
  if (quote.session() != pb::TRADING_SESSION_REGULAR &&
      market::MarketOf(quote.symbol()) == market::Market::kRoundTheClock)
    return Refusal::kSessionOfMarket;
  return std::nullopt;
}

int DropNonsense(pb::QuoteRecord& quote) {
  int dropped = 0;
  const auto drop_if = [&](bool nonsense, bool has, void (pb::QuoteRecord::*clear)()) {
    if (!nonsense || !has) return;
    (quote.*clear)();
    ++dropped;
  };
  const market::FigureSource source{record::DecodeSession(quote.session()).value_or(market::Session::kClosed),
                                    quote.event_time_us(),
                                    record::DecodeRules(quote.rules()).value_or(market::kNewestRules)};
  const market::Market market = market::MarketOf(quote.symbol());
  const auto bad = [&](int64_t micros) { return !market::CountedFigure(market, source, micros).has_value(); };
  drop_if(bad(quote.day_open_micros()), quote.has_day_open_micros(), &pb::QuoteRecord::clear_day_open_micros);
  drop_if(bad(quote.day_high_micros()) || quote.day_high_micros() < quote.price_micros(), quote.has_day_high_micros(),
          &pb::QuoteRecord::clear_day_high_micros);
  drop_if(bad(quote.day_low_micros()) || quote.day_low_micros() > quote.price_micros(), quote.has_day_low_micros(),
          &pb::QuoteRecord::clear_day_low_micros);
  drop_if(bad(quote.previous_close_micros()), quote.has_previous_close_micros(),
          &pb::QuoteRecord::clear_previous_close_micros);
  const bool above = quote.has_day_high_micros() && quote.day_open_micros() > quote.day_high_micros();
  const bool below = quote.has_day_low_micros() && quote.day_open_micros() < quote.day_low_micros();
  drop_if(above || below, quote.has_day_open_micros(), &pb::QuoteRecord::clear_day_open_micros);
  return dropped;
}

}  // namespace stockalert::fetcher
