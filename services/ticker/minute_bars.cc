#include "services/ticker/minute_bars.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace stockalert::ticker {
namespace {

auto OrderOf(const BarEdge& edge) { return std::tie(edge.event_time_us, edge.publisher_epoch, edge.sequence); }

}  // namespace

int64_t MinuteOf(int64_t event_time_us) {
  const int64_t rest = event_time_us % kMinuteUs;
  return event_time_us - (rest < 0 ? rest + kMinuteUs : rest);
}

MinuteBar BarOf(const internal::v1::QuoteRecord& quote) {
  const BarEdge edge{quote.price_micros(), quote.event_time_us(), quote.publisher_epoch(), quote.sequence()};
  return {MinuteOf(quote.event_time_us()), edge, quote.price_micros(), quote.price_micros(), edge};
}

void MergeBar(const MinuteBar& from, MinuteBar& into) {
  // Quotes without a publisher may be equal in order: then the first that came opens, and the last closes.
  if (OrderOf(from.open) < OrderOf(into.open)) into.open = from.open;
  if (OrderOf(from.close) >= OrderOf(into.close)) into.close = from.close;
  into.high_micros = std::max(into.high_micros, from.high_micros);
  into.low_micros = std::min(into.low_micros, from.low_micros);
}

void ScaleBar(price::SplitRatio ratio, MinuteBar& bar) {
  for (int64_t* micros : {&bar.open.price_micros, &bar.high_micros, &bar.low_micros, &bar.close.price_micros})
    *micros = price::ScaleMicros(*micros, ratio);
}

void UnsavedBars::Merge(const MinuteBar& bar, Unsaved& into) {
  const auto [found, is_new] = into.bars.try_emplace(bar.start_us, bar);
  if (is_new) {
    ++size_;
  } else {
    MergeBar(bar, found->second);
  }
}

void UnsavedBars::BeginHistory(const std::string& symbol, int64_t event_time_us) {
  Unsaved& unsaved = symbols_[symbol];
  const int64_t from_us = MinuteOf(event_time_us);
  const auto begin = unsaved.bars.lower_bound(from_us);
  size_ -= static_cast<size_t>(std::distance(begin, unsaved.bars.end()));
  unsaved.bars.erase(begin, unsaved.bars.end());
  // What an earlier history forgot stays forgotten.
  unsaved.forget_from_us = std::min(unsaved.forget_from_us.value_or(from_us), from_us);
}

void UnsavedBars::Add(const internal::v1::QuoteRecord& quote) { Merge(BarOf(quote), symbols_[quote.symbol()]); }

void UnsavedBars::Append(const SymbolBars& later) {
  if (later.forget_from_us) BeginHistory(later.symbol, *later.forget_from_us);
  if (later.bars.empty()) return;
  Unsaved& unsaved = symbols_[later.symbol];
  for (const MinuteBar& bar : later.bars) Merge(bar, unsaved);
}

SymbolBars UnsavedBars::TakeOf(const std::string& symbol) {
  SymbolBars taken{symbol, {}, {}};
  const auto unsaved = symbols_.find(symbol);
  if (unsaved == symbols_.end()) return taken;
  taken.forget_from_us = unsaved->second.forget_from_us;
  for (const auto& [start_us, bar] : unsaved->second.bars) taken.bars.push_back(bar);
  size_ -= taken.bars.size();
  symbols_.erase(unsaved);
  return taken;
}

size_t UnsavedBars::SizeOf(const std::string& symbol) const {
  const auto unsaved = symbols_.find(symbol);
  return unsaved == symbols_.end() ? 0 : unsaved->second.bars.size();
}

void UnsavedBars::ApplySplit(const std::string& symbol, price::SplitRatio ratio) {
  splits_[symbol].push_back(ratio);
  const auto unsaved = symbols_.find(symbol);
  if (unsaved == symbols_.end()) return;
  for (auto& [start_us, bar] : unsaved->second.bars) ScaleBar(ratio, bar);
}

std::vector<SymbolBars> UnsavedBars::Take() {
  std::vector<SymbolBars> taken;
  taken.reserve(symbols_.size());
  for (auto& [symbol, unsaved] : symbols_) {
    SymbolBars& one = taken.emplace_back(SymbolBars{symbol, unsaved.forget_from_us, {}});
    if (const auto splits = splits_.find(symbol); splits != splits_.end()) one.splits_seen = splits->second.size();
    one.bars.reserve(unsaved.bars.size());
    for (const auto& [start_us, bar] : unsaved.bars) one.bars.push_back(bar);
  }
  symbols_.clear();
  size_ = 0;
  std::ranges::sort(taken, {}, &SymbolBars::symbol);
  return taken;
}

void UnsavedBars::PutBack(const std::vector<SymbolBars>& taken) {
  for (const SymbolBars& before : taken) {
    Unsaved& unsaved = symbols_[before.symbol];
    const std::optional<int64_t> begun_since_us = unsaved.forget_from_us;
    const auto splits = splits_.find(before.symbol);
    for (const MinuteBar& bar : before.bars) {
      if (begun_since_us && bar.start_us >= *begun_since_us) continue;
      // The later one is merged into the earlier one, for edges that are equal in order.
      MinuteBar merged = bar;
      for (size_t i = before.splits_seen; splits != splits_.end() && i < splits->second.size(); ++i)
        ScaleBar(splits->second[i], merged);
      const auto since = unsaved.bars.find(bar.start_us);
      if (since == unsaved.bars.end()) {
        ++size_;
      } else {
        MergeBar(since->second, merged);
      }
      unsaved.bars[bar.start_us] = merged;
    }
    if (before.forget_from_us)
      unsaved.forget_from_us = std::min(begun_since_us.value_or(*before.forget_from_us), *before.forget_from_us);
  }
}

}  // namespace stockalert::ticker
