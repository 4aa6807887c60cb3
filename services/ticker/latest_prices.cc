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
  return {prices.publisher_epoch, prices.sequence, prices.last_event_time_us};
}

// As after a restart.
SymbolPrices WithoutPrices(const SymbolPrices& prices) {
  SymbolPrices forgotten;
  forgotten.symbol = prices.symbol;
  forgotten.publisher_epoch = prices.publisher_epoch;
  forgotten.sequence = prices.sequence;
  forgotten.split_number = prices.split_number;
  forgotten.partition = prices.partition;
  forgotten.offset = prices.offset;
  return forgotten;
}

const SymbolPrices& Nothing() {
  static const auto* const kNothing = new SymbolPrices();
  return *kNothing;
}

// The order of quotes goes on, of prices nothing is known.
SymbolPrices OrderAlone(const SymbolPrices& prices) {
  SymbolPrices order = WithoutPrices(prices);
  order.last_event_time_us = prices.last_event_time_us;
  return order;
}

// Scales what is from before the split: all that is not known from after it, too. A split that is known changes
// nothing.
void Scale(const record::Split& split, const SymbolPrices& after, SymbolPrices& prices) {
  if (split.number <= prices.split_number) return;
  prices.split_number = split.number;
  const auto scaled = [&split](int64_t micros) { return price::ScaleMicros(micros, split.ratio); };
  for (std::optional<int64_t> SymbolPrices::* const micros :
       {&SymbolPrices::regular_price_micros, &SymbolPrices::extended_price_micros, &SymbolPrices::previous_close_micros,
        &SymbolPrices::day_open_micros}) {
    if ((prices.*micros).has_value() && !(after.*micros).has_value()) prices.*micros = scaled(*(prices.*micros));
  }
  if (!prices.latest.has_value() || after.latest.has_value()) return;
  QuoteRecord& latest = *prices.latest;
  latest.set_price_micros(scaled(latest.price_micros()));
  if (latest.has_day_open_micros()) latest.set_day_open_micros(scaled(latest.day_open_micros()));
  if (latest.has_day_high_micros()) latest.set_day_high_micros(scaled(latest.day_high_micros()));
  if (latest.has_day_low_micros()) latest.set_day_low_micros(scaled(latest.day_low_micros()));
  if (latest.has_previous_close_micros()) latest.set_previous_close_micros(scaled(latest.previous_close_micros()));
}

}  // namespace

void LatestPrices::NoteEpoch(int64_t epoch) {
  // No count of publishers comes near: such a record is nonsense, and epochs above it would soon have no numbers left.
  if (epoch <= kEpochMax) highest_epoch_ = std::max(highest_epoch_, epoch);
}

LatestPrices::Entry& LatestPrices::EntryOf(const std::string& symbol) {
  Entry& entry = symbols_[symbol];
  if (entry.shown.prices.symbol.empty()) {
    entry.shown.prices.symbol = symbol;
    entry.shown.figures = market::DateFigures(market::MarketOf(symbol));
  }
  return entry;
}

QuoteVerdict LatestPrices::ApplyQuote(const QuoteRecord& quote, LogPlace place) {
  if (!price::IsValidPriceMicros(quote.price_micros())) return QuoteVerdict::kRefused;
  Entry& entry = EntryOf(quote.symbol());
  if (place.offset <= entry.read().prices.offset) return QuoteVerdict::kRepeated;
  NoteEpoch(quote.publisher_epoch());
  if (entry.since == nullptr) {
    changed_.insert(quote.symbol());
    return entry.shown.Take(quote, place);
  }
  const QuoteVerdict verdict = entry.since->dismissed.Take(quote, place);
  entry.since->alone.Take(quote, place);
  if (verdict != QuoteVerdict::kAccepted) return verdict;
  ++entry.shown.prices.hold->kept_quotes;
  return QuoteVerdict::kHeld;
}

QuoteVerdict LatestPrices::State::Take(const QuoteRecord& quote, LogPlace place) {
  prices.partition = place.partition;
  prices.offset = place.offset;
  market::QuoteOrder order = OrderOf(prices);
  const market::Arrival arrival = order.RecordArrival(quote.publisher_epoch(), quote.sequence(), quote.event_time_us());
  std::tie(prices.publisher_epoch, prices.sequence) = std::pair(order.publisher_epoch, order.sequence);
  if (arrival == market::Arrival::kRepeated) {
    if (before_restart.has_value()) {
      prices = *std::exchange(before_restart, std::nullopt);
      prices.partition = place.partition;
      prices.offset = place.offset;
      LearnKeptFigures();
    }
    return QuoteVerdict::kRepeated;
  }
  read_again = false;
  before_restart.reset();
  if (arrival == market::Arrival::kLate) return QuoteVerdict::kLate;

  // One without a known session is read from no log.
  const market::Session session = record::DecodeSession(quote.session()).value_or(market::Session::kClosed);
  const market::FigureSource source{session, quote.event_time_us(), RulesOf(quote)};
  const auto open = FigureOf(quote, source, quote.has_day_open_micros(), quote.day_open_micros());
  const auto close = FigureOf(quote, source, quote.has_previous_close_micros(), quote.previous_close_micros());
  figures.EnterDate(quote.event_time_us(), source.rules);
  figures.Learn(DateFigure::kDayOpen, source, open);
  figures.Learn(DateFigure::kPreviousClose, source, close);
  prices.day_open_micros = figures.latest(DateFigure::kDayOpen);
  prices.previous_close_micros = figures.latest(DateFigure::kPreviousClose);
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
  prices.last_event_time_us = quote.event_time_us();
  return QuoteVerdict::kAccepted;
}

void LatestPrices::State::LearnKeptFigures() {
  figures = market::DateFigures(market::MarketOf(prices.symbol));
  if (!prices.latest.has_value()) return;
  // By which rules is not kept; a date began by older ones only where a market trades round the clock.
  figures.EnterDate(prices.latest->event_time_us(), market::kNewestRules);
  // What was kept has been counted: any quote that carries figures will do.
  const market::FigureSource source{.rules = market::Rules::kFirst};
  figures.Learn(DateFigure::kDayOpen, source, prices.day_open_micros);
  figures.Learn(DateFigure::kPreviousClose, source, prices.previous_close_micros);
}

void LatestPrices::ApplyRestart(const std::string& symbol, LogPlace place) {
  const auto found = symbols_.find(symbol);
  if (found == symbols_.end() || place.offset <= found->second.read().prices.offset) return;
  Entry& entry = found->second;
  if (entry.since == nullptr) {
    changed_.insert(symbol);
    return entry.shown.Restart(place);
  }
  entry.since->dismissed.Restart(place);
  entry.since->alone.Restart(place);
}

void LatestPrices::State::Restart(LogPlace place) {
  SymbolPrices forgotten = WithoutPrices(prices);
  forgotten.partition = place.partition;
  forgotten.offset = place.offset;
  if (read_again && !before_restart.has_value()) before_restart = std::move(prices);
  prices = std::move(forgotten);
  figures = market::DateFigures(market::MarketOf(prices.symbol));
}

bool LatestPrices::ApplySplit(const record::Split& split, LogPlace place) {
  Entry& entry = EntryOf(split.symbol);
  State& read = entry.read();
  if (place.offset <= read.prices.offset) return false;
  read.prices.partition = place.partition;
  read.prices.offset = place.offset;
  if (split.number <= read.prices.split_number) {
    if (entry.since == nullptr) changed_.insert(split.symbol);
    return false;
  }
  changed_.insert(split.symbol);
  if (entry.since == nullptr) {
    if (read.before_restart.has_value()) Scale(split, Nothing(), *read.before_restart);
    Scale(split, Nothing(), read.prices);
    read.figures.ScalePrices([&split](int64_t micros) { return price::ScaleMicros(micros, split.ratio); });
    return true;
  }
  const State& alone = entry.since->alone;
  if (read.before_restart.has_value()) Scale(split, alone.before_restart.value_or(Nothing()), *read.before_restart);
  Scale(split, alone.prices, read.prices);
  read.LearnKeptFigures();
  EndHold(split.symbol, entry, place);
  return true;
}

void LatestPrices::BeginSince(Entry& entry) {
  entry.since = std::make_unique<Since>();
  State& dismissed = entry.since->dismissed;
  dismissed = entry.shown;
  dismissed.prices.hold.reset();
  State& alone = entry.since->alone;
  alone.prices = OrderAlone(dismissed.prices);
  alone.figures = market::DateFigures(market::MarketOf(alone.prices.symbol));
  alone.read_again = dismissed.read_again;
  if (dismissed.before_restart.has_value()) alone.before_restart = OrderAlone(*dismissed.before_restart);
  held_.insert(alone.prices.symbol);
}

bool LatestPrices::ApplySuspicion(const record::SplitSuspected& suspected, LogPlace place, int64_t log_time_us) {
  Entry& entry = EntryOf(suspected.symbol);
  SymbolPrices& read = entry.read().prices;
  if (place.offset <= read.offset) return false;
  read.partition = place.partition;
  read.offset = place.offset;
  if (entry.since != nullptr) return false;
  NoteEpoch(suspected.publisher_epoch);
  changed_.insert(suspected.symbol);
  market::QuoteOrder order = OrderOf(read);
  if (!order.RecordOther(suspected.publisher_epoch, suspected.sequence)) return false;
  std::tie(read.publisher_epoch, read.sequence) = std::pair(order.publisher_epoch, order.sequence);
  read.hold.emplace(SymbolHold{log_time_us, 0});
  BeginSince(entry);
  return true;
}

bool LatestPrices::ApplyDismissal(const record::SplitDismissed& dismissed, LogPlace place) {
  const auto found = symbols_.find(dismissed.symbol);
  if (found == symbols_.end() || found->second.since == nullptr) return false;
  Entry& entry = found->second;
  if (place.offset <= entry.read().prices.offset) return false;
  // By what was seen up to the suspicion: quotes that are kept have not been evaluated.
  if (!OrderOf(entry.shown.prices).IsNew(dismissed.publisher_epoch, dismissed.sequence)) return false;
  EndHold(dismissed.symbol, entry, place);
  return true;
}

void LatestPrices::EndHold(const std::string& symbol, Entry& entry, LogPlace place) {
  entry.shown = std::move(entry.since->dismissed);
  entry.shown.prices.partition = place.partition;
  entry.shown.prices.offset = place.offset;
  entry.since.reset();
  held_.erase(symbol);
  changed_.insert(symbol);
}

const SymbolPrices* LatestPrices::FindRead(const std::string& symbol) const {
  const auto found = symbols_.find(symbol);
  if (found == symbols_.end()) return nullptr;
  const Entry& entry = found->second;
  return entry.since != nullptr ? &entry.since->dismissed.prices : &entry.shown.prices;
}

std::optional<int64_t> LatestPrices::ReadAgainFrom(int32_t partition) const {
  std::optional<int64_t> from;
  for (const std::string& symbol : held_) {
    const SymbolPrices& prices = symbols_.at(symbol).shown.prices;
    if (prices.partition == partition) from = std::min(from.value_or(prices.offset + 1), prices.offset + 1);
  }
  return from;
}

const SymbolPrices* LatestPrices::Find(const std::string& symbol) const {
  const auto found = symbols_.find(symbol);
  return found == symbols_.end() ? nullptr : &found->second.shown.prices;
}

void LatestPrices::Load(const std::vector<SymbolPrices>& kept) {
  for (const SymbolPrices& prices : kept) {
    Entry& entry = symbols_[prices.symbol];
    entry.shown = State();
    entry.shown.prices = prices;
    if (prices.latest.has_value()) entry.shown.prices.last_event_time_us = prices.latest->event_time_us();
    entry.shown.LearnKeptFigures();
    entry.shown.read_again = prices.offset < 0;
    NoteEpoch(prices.publisher_epoch);
    entry.since.reset();
    held_.erase(prices.symbol);
    if (prices.hold.has_value()) BeginSince(entry);
    changed_.erase(prices.symbol);
  }
}

void LatestPrices::ForgetPlaces(int32_t partition) {
  const auto forget = [](State& state) {
    state.prices.offset = -1;
    state.read_again = true;
  };
  for (auto& [symbol, entry] : symbols_) {
    if (entry.shown.prices.partition != partition) continue;
    forget(entry.shown);
    if (entry.since == nullptr) continue;
    forget(entry.since->dismissed);
    forget(entry.since->alone);
  }
}

std::vector<SymbolPrices> LatestPrices::TakeChanged() {
  std::vector<SymbolPrices> changed;
  changed.reserve(changed_.size());
  for (const std::string& symbol : changed_) changed.push_back(symbols_.at(symbol).shown.prices);
  changed_.clear();
  std::sort(changed.begin(), changed.end(),
            [](const SymbolPrices& a, const SymbolPrices& b) { return a.symbol < b.symbol; });
  return changed;
}

void LatestPrices::PutBackChanged(const std::vector<SymbolPrices>& changed) {
  for (const SymbolPrices& prices : changed) changed_.insert(prices.symbol);
}

}  // namespace stockalert::ticker
