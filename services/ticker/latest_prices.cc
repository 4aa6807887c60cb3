#include "services/ticker/latest_prices.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "services/domain/condition/counted_sessions.h"
#include "services/domain/market/quote_order.h"
#include "services/domain/price/decimal.h"
#include "services/domain/price/split_ratio.h"
#include "services/domain/record/definition_codec.h"
#include "services/domain/record/log_record.h"

namespace stockalert::ticker {
namespace {

using internal::v1::QuoteRecord;
using market::DateFigure;

constexpr int64_t kEpochMax = 1'000'000'000'000'000;

// A figure of the day as it is shown: without what counts for nothing.
std::optional<int64_t> FigureOf(const QuoteRecord& quote, const market::FigureSource& source, bool known,
                                int64_t micros) {
  if (!known) return std::nullopt;
  return market::CountedFigure(market::MarketOf(quote.symbol()), source, micros);
}

// One of rules that are not known is read from no log.
market::Rules RulesOf(const QuoteRecord& quote) {
  return record::DecodeRules(quote.rules()).value_or(market::Rules::kFirst);
}

market::QuoteOrder OrderOf(const SymbolPrices& prices) {
  market::QuoteOrder order{prices.publisher_epoch, prices.sequence, std::nullopt};
  if (prices.latest.has_value()) order.last_event_time_us = prices.latest->event_time_us();
  return order;
}

}  // namespace

void LatestPrices::NoteEpoch(int64_t epoch) {
  // No count of publishers comes near: such a record is nonsense, and epochs above it would soon have no numbers left.
  if (epoch <= kEpochMax) highest_epoch_ = std::max(highest_epoch_, epoch);
}

QuoteVerdict LatestPrices::ApplyQuote(const QuoteRecord& quote, LogPlace place) {
  if (!price::IsValidPriceMicros(quote.price_micros())) return QuoteVerdict::kRefused;
  Entry& entry = symbols_[quote.symbol()];
  SymbolPrices& prices = entry.prices;
  if (prices.symbol.empty()) {
    prices.symbol = quote.symbol();
    entry.figures = market::DateFigures(market::MarketOf(quote.symbol()));
  } else if (place.offset <= prices.offset) {
    return QuoteVerdict::kRepeated;
  }
  prices.partition = place.partition;
  prices.offset = place.offset;
  changed_.insert(quote.symbol());
  NoteEpoch(quote.publisher_epoch());
  market::QuoteOrder order = OrderOf(prices);
  const market::Arrival arrival = order.RecordArrival(quote.publisher_epoch(), quote.sequence(), quote.event_time_us());
  std::tie(prices.publisher_epoch, prices.sequence) = std::pair(order.publisher_epoch, order.sequence);
  if (arrival == market::Arrival::kRepeated) {
    if (entry.before_restart.has_value()) {
      prices = *std::exchange(entry.before_restart, std::nullopt);
      prices.partition = place.partition;
      prices.offset = place.offset;
      LearnKeptFigures(entry);
    }
    return QuoteVerdict::kRepeated;
  }
  entry.read_again = false;
  entry.before_restart.reset();
  if (arrival == market::Arrival::kLate) return QuoteVerdict::kLate;

  // One without a known session is read from no log.
  const market::Session session = record::DecodeSession(quote.session()).value_or(market::Session::kClosed);
  const market::FigureSource source{session, quote.event_time_us(), RulesOf(quote)};
  const auto open = FigureOf(quote, source, quote.has_day_open_micros(), quote.day_open_micros());
  const auto close = FigureOf(quote, source, quote.has_previous_close_micros(), quote.previous_close_micros());
  entry.figures.EnterDate(quote.event_time_us(), source.rules);
  entry.figures.Learn(DateFigure::kDayOpen, source, open);
  entry.figures.Learn(DateFigure::kPreviousClose, source, close);
  prices.day_open_micros = entry.figures.latest(DateFigure::kDayOpen);
  prices.previous_close_micros = entry.figures.latest(DateFigure::kPreviousClose);
  if (condition::CountsSession(condition::Sessions::kRegular, session))
    prices.regular_price_micros = quote.price_micros();
  if (condition::CountsSession(condition::Sessions::kExtended, session))
    prices.extended_price_micros = quote.price_micros();
  QuoteRecord shown = quote;
  shown.clear_publisher_epoch();
  shown.clear_sequence();
  shown.clear_rules();
  if (!open) shown.clear_day_open_micros();
  if (!close) shown.clear_previous_close_micros();
  if (!FigureOf(quote, source, quote.has_day_high_micros(), quote.day_high_micros())) shown.clear_day_high_micros();
  if (!FigureOf(quote, source, quote.has_day_low_micros(), quote.day_low_micros())) shown.clear_day_low_micros();
  prices.latest = std::move(shown);
  return QuoteVerdict::kAccepted;
}

void LatestPrices::LearnKeptFigures(Entry& entry) {
  const SymbolPrices& prices = entry.prices;
  entry.figures = market::DateFigures(market::MarketOf(prices.symbol));
  if (!prices.latest.has_value()) return;
  // By which rules is not kept; a date began by older ones only where a market trades round the clock.
  entry.figures.EnterDate(prices.latest->event_time_us(), market::kNewestRules);
  // What was kept has been counted: any quote that carries figures will do.
  const market::FigureSource source{.rules = market::Rules::kFirst};
  entry.figures.Learn(DateFigure::kDayOpen, source, prices.day_open_micros);
  entry.figures.Learn(DateFigure::kPreviousClose, source, prices.previous_close_micros);
}

void LatestPrices::ApplyRestart(const std::string& symbol, LogPlace place) {
  const auto found = symbols_.find(symbol);
  if (found == symbols_.end() || place.offset <= found->second.prices.offset) return;
  Entry& entry = found->second;
  SymbolPrices forgotten;
  forgotten.symbol = symbol;
  forgotten.publisher_epoch = entry.prices.publisher_epoch;
  forgotten.sequence = entry.prices.sequence;
  forgotten.split_number = entry.prices.split_number;
  forgotten.partition = place.partition;
  forgotten.offset = place.offset;
  if (entry.read_again && !entry.before_restart.has_value()) entry.before_restart = std::move(entry.prices);
  entry.prices = std::move(forgotten);
  entry.figures = market::DateFigures(market::MarketOf(symbol));
  changed_.insert(symbol);
}

bool LatestPrices::Scale(const record::Split& split, SymbolPrices& prices) {
  if (split.number <= prices.split_number) return false;
  prices.split_number = split.number;
  const auto scaled = [&split](int64_t micros) { return price::ScaleMicros(micros, split.ratio); };
  for (std::optional<int64_t>* micros : {&prices.regular_price_micros, &prices.extended_price_micros,
                                         &prices.previous_close_micros, &prices.day_open_micros}) {
    if (micros->has_value()) *micros = scaled(**micros);
  }
  if (!prices.latest.has_value()) return true;
  QuoteRecord& latest = *prices.latest;
  latest.set_price_micros(scaled(latest.price_micros()));
  if (latest.has_day_open_micros()) latest.set_day_open_micros(scaled(latest.day_open_micros()));
  if (latest.has_day_high_micros()) latest.set_day_high_micros(scaled(latest.day_high_micros()));
  if (latest.has_day_low_micros()) latest.set_day_low_micros(scaled(latest.day_low_micros()));
  if (latest.has_previous_close_micros()) latest.set_previous_close_micros(scaled(latest.previous_close_micros()));
  return true;
}

bool LatestPrices::ApplySplit(const record::Split& split, LogPlace place) {
  Entry& entry = symbols_[split.symbol];
  if (entry.prices.symbol.empty()) {
    entry.prices.symbol = split.symbol;
    entry.figures = market::DateFigures(market::MarketOf(split.symbol));
  } else if (place.offset <= entry.prices.offset) {
    return false;
  }
  entry.prices.partition = place.partition;
  entry.prices.offset = place.offset;
  changed_.insert(split.symbol);
  if (entry.before_restart.has_value()) Scale(split, *entry.before_restart);
  if (!Scale(split, entry.prices)) return false;
  entry.figures.ScalePrices([&split](int64_t micros) { return price::ScaleMicros(micros, split.ratio); });
  return true;
}

const SymbolPrices* LatestPrices::Find(const std::string& symbol) const {
  const auto found = symbols_.find(symbol);
  return found == symbols_.end() ? nullptr : &found->second.prices;
}

void LatestPrices::Load(const std::vector<SymbolPrices>& kept) {
  for (const SymbolPrices& prices : kept) {
    Entry& entry = symbols_[prices.symbol];
    entry.prices = prices;
    NoteEpoch(prices.publisher_epoch);
    LearnKeptFigures(entry);
    entry.read_again = prices.offset < 0;
    entry.before_restart.reset();
    changed_.erase(prices.symbol);
  }
}

void LatestPrices::ForgetPlaces(int32_t partition) {
  for (auto& [symbol, entry] : symbols_) {
    if (entry.prices.partition != partition) continue;
    entry.prices.offset = -1;
    entry.read_again = true;
  }
}

std::vector<SymbolPrices> LatestPrices::TakeChanged() {
  std::vector<SymbolPrices> changed;
  changed.reserve(changed_.size());
  for (const std::string& symbol : changed_) changed.push_back(symbols_.at(symbol).prices);
  changed_.clear();
  std::sort(changed.begin(), changed.end(),
            [](const SymbolPrices& a, const SymbolPrices& b) { return a.symbol < b.symbol; });
  return changed;
}

void LatestPrices::PutBackChanged(const std::vector<SymbolPrices>& changed) {
  for (const SymbolPrices& prices : changed) changed_.insert(prices.symbol);
}

}  // namespace stockalert::ticker
