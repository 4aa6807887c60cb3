#include "services/fetcher/live_quotes.h"

#include "services/domain/market/date_figures.h"
#include "services/domain/market/trading_calendar.h"
#include "services/domain/record/definition_codec.h"
#include "services/fetcher/publisher.h"

namespace stockalert::fetcher {

namespace pb = ::stockalert::internal::v1;

namespace {

// The date whose figures a quote of this time may carry; none before the open and where there is no trading.
std::optional<int32_t> FiguresDateOf(const std::string& symbol, int64_t time_us) {
  const market::Market market = market::MarketOf(symbol);
  if (market == market::Market::kRoundTheClock) return market::DayOf(market, market::kNewestRules, time_us).date;
  const std::optional<market::TradingDay> day = market::TradingDayOf(time_us);
  if (!day || time_us < day->open_us) return std::nullopt;
  return day->date;
}

}  // namespace

void LiveQuotes::Attach(const Figures& figures, pb::QuoteRecord& quote) {
  if (figures.open_micros) quote.set_day_open_micros(*figures.open_micros);
  if (figures.high_micros) quote.set_day_high_micros(*figures.high_micros);
  if (figures.low_micros) quote.set_day_low_micros(*figures.low_micros);
  if (figures.previous_close_micros) quote.set_previous_close_micros(*figures.previous_close_micros);
}

std::optional<pb::QuoteRecord> LiveQuotes::FromRest(const std::string& symbol, const RestQuote& reply) {
  if (!reply.current_micros || reply.time_us <= 0) return std::nullopt;
  pb::QuoteRecord quote;
  quote.set_symbol(symbol);
  quote.set_price_micros(*reply.current_micros);
  quote.set_event_time_us(reply.time_us);
  quote.set_session(record::EncodeSession(market::SessionOf(market::MarketOf(symbol), reply.time_us)));
  quote.set_source(kSourceRest);
  const std::optional<int32_t> date = FiguresDateOf(symbol, reply.time_us);
  if (!date) return quote;
  const Figures now{*date, reply.open_micros, reply.high_micros, reply.low_micros, reply.previous_close_micros};
  const auto known = figures_.find(symbol);
  if (known != figures_.end() && known->second.date < now.date && known->second.SameValues(now)) return quote;
  figures_[symbol] = now;
  Attach(now, quote);
  return quote;
}

std::optional<pb::QuoteRecord> LiveQuotes::FromStream(const StreamTrade& trade) {
  if (trade.symbol.empty() || !trade.price_micros || trade.time_us <= 0) return std::nullopt;
  pb::QuoteRecord quote;
  quote.set_symbol(trade.symbol);
  quote.set_price_micros(*trade.price_micros);
  quote.set_event_time_us(trade.time_us);
  quote.set_session(record::EncodeSession(market::SessionOf(market::MarketOf(trade.symbol), trade.time_us)));
  quote.set_source(kSourceStream);
  const std::optional<int32_t> date = FiguresDateOf(trade.symbol, trade.time_us);
  const auto known = figures_.find(trade.symbol);
  if (date && known != figures_.end() && known->second.date == *date) Attach(known->second, quote);
  return quote;
}

}  // namespace stockalert::fetcher
