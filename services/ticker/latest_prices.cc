#include "services/ticker/latest_prices.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "services/domain/price/decimal.h"

namespace stockalert::ticker {
namespace {

using internal::v1::QuoteRecord;

constexpr int64_t kEpochMax = 1'000'000'000'000'000;

std::optional<int64_t> Sensible(bool known, int64_t micros) {
  if (!known || !price::IsValidPriceMicros(micros)) return std::nullopt;
  return micros;
}

}  // namespace

void LatestPrices::NoteEpoch(int64_t epoch) {
  // No count of publishers comes near: such a record is nonsense, and epochs above it would soon have no numbers left.
  if (epoch <= kEpochMax) highest_epoch_ = std::max(highest_epoch_, epoch);
}

Verdict LatestPrices::ApplyQuote(const QuoteRecord& quote, LogPlace place) {
  if (!price::IsValidPriceMicros(quote.price_micros())) return Verdict::kRefused;
  Entry& entry = symbols_[quote.symbol()];
  SymbolPrices& prices = entry.prices;
  if (prices.symbol.empty()) {
    prices.symbol = quote.symbol();
  } else if (place.offset <= prices.offset) {
    return Verdict::kRepeated;
  }
  prices.partition = place.partition;
  prices.offset = place.offset;
  changed_.insert(quote.symbol());
  if (quote.publisher_epoch() != 0 || quote.sequence() != 0) {
    NoteEpoch(quote.publisher_epoch());
    const std::pair identity(quote.publisher_epoch(), quote.sequence());
    if (identity <= std::pair(prices.publisher_epoch, prices.sequence)) return Verdict::kRepeated;
    // A late quote counts as seen, too.
    std::tie(prices.publisher_epoch, prices.sequence) = identity;
  }
  const int64_t time_us = quote.event_time_us();
  if (prices.latest.has_value() && time_us < prices.latest->event_time_us()) return Verdict::kLate;

  // Not before the day begins: time goes on, for late ones are gone.
  if (!prices.latest.has_value() || time_us >= entry.day.end_us) {
    entry.day = market::ExchangeDayOf(time_us);
    prices.previous_close_micros.reset();
    prices.day_open_micros.reset();
  }
  QuoteRecord shown = quote;
  shown.clear_publisher_epoch();
  shown.clear_sequence();
  // Before the open a source's figures may still be yesterday's: the fold takes none from there either.
  const bool before_open = quote.session() == internal::v1::TRADING_SESSION_PRE;
  if (const auto open = Sensible(!before_open && quote.has_day_open_micros(), quote.day_open_micros())) {
    prices.day_open_micros = open;
  } else {
    shown.clear_day_open_micros();
  }
  if (const auto close = Sensible(!before_open && quote.has_previous_close_micros(), quote.previous_close_micros())) {
    prices.previous_close_micros = close;
  } else {
    shown.clear_previous_close_micros();
  }
  if (!Sensible(quote.has_day_high_micros(), quote.day_high_micros())) shown.clear_day_high_micros();
  if (!Sensible(quote.has_day_low_micros(), quote.day_low_micros())) shown.clear_day_low_micros();
  if (quote.session() == internal::v1::TRADING_SESSION_REGULAR) prices.regular_price_micros = quote.price_micros();
  if (quote.session() != internal::v1::TRADING_SESSION_CLOSED) prices.extended_price_micros = quote.price_micros();
  prices.latest = std::move(shown);
  return Verdict::kAccepted;
}

void LatestPrices::ApplyRestart(const std::string& symbol, LogPlace place) {
  const auto found = symbols_.find(symbol);
  if (found == symbols_.end() || place.offset <= found->second.prices.offset) return;
  SymbolPrices forgotten;
  forgotten.symbol = symbol;
  forgotten.publisher_epoch = found->second.prices.publisher_epoch;
  forgotten.sequence = found->second.prices.sequence;
  forgotten.partition = place.partition;
  forgotten.offset = place.offset;
  found->second = {std::move(forgotten), {}};
  changed_.insert(symbol);
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
    entry.day =
        prices.latest.has_value() ? market::ExchangeDayOf(prices.latest->event_time_us()) : market::ExchangeDay{};
    changed_.erase(prices.symbol);
  }
}

void LatestPrices::ForgetPlaces(int32_t partition) {
  for (auto& [symbol, entry] : symbols_) {
    if (entry.prices.partition == partition) entry.prices.offset = -1;
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
