#include "services/ticker/price_board.h"

#include <algorithm>
#include <set>

#include "services/common/base/error.h"

namespace stockalert::ticker {

void PriceBoard::Load(const KeptPrices& kept) {
  std::lock_guard lock(mutex_);
  prices_.Load(kept.symbols);
  saved_offsets_ = kept.next_offsets;
}

void PriceBoard::BeginReading(const std::map<int32_t, int64_t>& next_offsets) {
  std::lock_guard lock(mutex_);
  reading_ = true;
  partitions_.clear();
  for (const auto& [partition, next_offset] : next_offsets) partitions_[partition].next_offset = next_offset;
}

ApplyCounts PriceBoard::Apply(const std::vector<LogEntry>& entries) {
  ApplyCounts counts;
  std::set<std::shared_ptr<QuoteWatcher>> touched;
  {
    const int64_t now_us = clock_.NowUs();
    const int64_t monotonic_us = monotonic_.NowUs();
    std::lock_guard lock(mutex_);
    for (const LogEntry& entry : entries) {
      Progress& progress = partitions_[entry.place.partition];
      if (progress.at_end) {
        progress.at_end = false;
        progress.fresh_as_of_us = monotonic_us;
      }
      // A broker whose clock is ahead makes nothing fresher than now.
      progress.fresh_as_of_us = std::max(progress.fresh_as_of_us, monotonic_us - std::max<int64_t>(now_us - entry.log_time_us, 0));
      progress.next_offset = std::max(progress.next_offset, entry.place.offset + 1);
      if (entry.kind == LogEntry::Kind::kRestart) {
        prices_.ApplyRestart(entry.symbol, entry.place);
        ++counts.restarts;
        continue;
      }
      if (entry.kind != LogEntry::Kind::kQuote) continue;
      switch (prices_.ApplyQuote(entry.quote, entry.place)) {
        case Verdict::kRefused: ++counts.refused; continue;
        case Verdict::kRepeated: ++counts.repeated; continue;
        case Verdict::kLate: ++counts.late; continue;
        case Verdict::kAccepted: ++counts.accepted; break;
      }
      const auto watchers = watchers_of_.find(entry.quote.symbol());
      if (watchers == watchers_of_.end()) continue;
      for (const std::shared_ptr<QuoteWatcher>& watcher : watchers->second) {
        watcher->Collect(*prices_.Find(entry.quote.symbol())->latest);
        touched.insert(watcher);
      }
    }
  }
  for (const std::shared_ptr<QuoteWatcher>& watcher : touched) watcher->Deliver();
  return counts;
}

void PriceBoard::ReachedEnd(int32_t partition) {
  std::lock_guard lock(mutex_);
  partitions_[partition].at_end = true;
}

void PriceBoard::ForgetPlaces(int32_t partition) {
  std::lock_guard lock(mutex_);
  prices_.ForgetPlaces(partition);
  saved_offsets_.erase(partition);
  partitions_.erase(partition);
}

void PriceBoard::ForgetAllPlaces() {
  std::lock_guard lock(mutex_);
  std::set<int32_t> partitions;
  for (const auto& [partition, offset] : saved_offsets_) partitions.insert(partition);
  for (const auto& [partition, progress] : partitions_) partitions.insert(partition);
  for (const int32_t partition : partitions) prices_.ForgetPlaces(partition);
  saved_offsets_.clear();
  partitions_.clear();
}

KeptPrices PriceBoard::TakeUnsaved() {
  std::lock_guard lock(mutex_);
  KeptPrices unsaved;
  unsaved.symbols = prices_.TakeChanged();
  for (const auto& [partition, progress] : partitions_) {
    if (progress.next_offset <= 0) continue;
    const auto saved = saved_offsets_.find(partition);
    if (saved != saved_offsets_.end() && saved->second >= progress.next_offset) continue;
    unsaved.next_offsets[partition] = progress.next_offset;
    saved_offsets_[partition] = progress.next_offset;
  }
  return unsaved;
}

void PriceBoard::PutBackUnsaved(const KeptPrices& unsaved) {
  std::lock_guard lock(mutex_);
  prices_.PutBackChanged(unsaved.symbols);
  for (const auto& [partition, next_offset] : unsaved.next_offsets) saved_offsets_.erase(partition);
}

std::vector<SymbolPrices> PriceBoard::Get(const std::vector<std::string>& symbols) const {
  std::vector<SymbolPrices> found;
  found.reserve(symbols.size());
  std::lock_guard lock(mutex_);
  for (const std::string& symbol : symbols) {
    if (const SymbolPrices* prices = prices_.Find(symbol)) {
      found.push_back(*prices);
    } else {
      found.emplace_back().symbol = symbol;
    }
  }
  return found;
}

absl::Status PriceBoard::CheckFresh(absl::Duration staleness_max) const {
  const int64_t oldest_us = monotonic_.NowUs() - absl::ToInt64Microseconds(staleness_max);
  std::lock_guard lock(mutex_);
  bool fresh = reading_;
  for (const auto& [partition, progress] : partitions_) fresh = fresh && (progress.at_end || progress.fresh_as_of_us >= oldest_us);
  if (fresh) return absl::OkStatus();
  return base::Unavailable("PRICES_NOT_READY", "the latest prices are still being read from the log; try again in a moment");
}

void PriceBoard::Watch(const std::vector<std::string>& symbols, const std::shared_ptr<QuoteWatcher>& watcher) {
  {
    std::lock_guard lock(mutex_);
    for (const std::string& symbol : symbols) {
      watchers_of_[symbol].push_back(watcher);
      const SymbolPrices* prices = prices_.Find(symbol);
      if (prices != nullptr && prices->latest.has_value()) watcher->Collect(*prices->latest);
    }
    symbols_of_[watcher] = symbols;
  }
  watcher->Deliver();
}

void PriceBoard::Unwatch(const std::shared_ptr<QuoteWatcher>& watcher) {
  std::lock_guard lock(mutex_);
  const auto found = symbols_of_.find(watcher);
  if (found == symbols_of_.end()) return;
  for (const std::string& symbol : found->second) {
    const auto watchers = watchers_of_.find(symbol);
    std::erase(watchers->second, watcher);
    if (watchers->second.empty()) watchers_of_.erase(watchers);
  }
  symbols_of_.erase(found);
}

int64_t PriceBoard::HighestEpoch() const {
  std::lock_guard lock(mutex_);
  return prices_.highest_epoch();
}

size_t PriceBoard::watchers() const {
  std::lock_guard lock(mutex_);
  return symbols_of_.size();
}

}  // namespace stockalert::ticker
