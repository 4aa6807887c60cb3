#include "services/ticker/price_board.h"

#include <algorithm>
#include <set>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/domain/condition/counted_sessions.h"
#include "services/domain/record/definition_codec.h"

namespace stockalert::ticker {
namespace {

// Of a record that may bring a latest quote.
const std::string& SymbolOf(const BoardRecord& entry) {
  if (entry.kind == BoardRecord::Kind::kSplit) return entry.split.symbol;
  if (entry.kind == BoardRecord::Kind::kDismissed) return entry.dismissed.symbol;
  return entry.quote.symbol();
}

}  // namespace

void PriceBoard::Load(const KeptPrices& kept) {
  base::MutexLock lock(mutex_);
  prices_.Load(kept.symbols);
  saved_offsets_ = kept.next_offsets;
}

void PriceBoard::BeginReading(const std::map<int32_t, int64_t>& next_offsets) {
  base::MutexLock lock(mutex_);
  reading_ = true;
  partitions_.clear();
  for (const auto& [partition, next_offset] : next_offsets) partitions_[partition].next_offset = next_offset;
}

ApplyCounts PriceBoard::Apply(const std::vector<BoardRecord>& entries) {
  ApplyCounts counts;
  std::set<std::shared_ptr<QuoteWatcher>> touched;
  {
    const int64_t now_us = clock_.NowUs();
    const int64_t monotonic_us = monotonic_.NowUs();
    base::MutexLock lock(mutex_);
    for (const BoardRecord& entry : entries) {
      Progress& progress = partitions_[entry.place.partition];
      if (progress.at_end) {
        progress.at_end = false;
        progress.fresh_as_of_us = monotonic_us;
      }
      // A broker whose clock is ahead makes nothing fresher than now.
      progress.fresh_as_of_us =
          std::max(progress.fresh_as_of_us, monotonic_us - std::max<int64_t>(now_us - entry.log_time_us, 0));
      progress.next_offset = std::max(progress.next_offset, entry.place.offset + 1);
      if (!ApplyOne(entry, counts)) continue;
      const std::string& symbol = SymbolOf(entry);
      const auto watchers = watchers_of_.find(symbol);
      if (watchers == watchers_of_.end()) continue;
      for (const std::shared_ptr<QuoteWatcher>& watcher : watchers->second) {
        watcher->Collect(*prices_.Find(symbol)->latest);
        touched.insert(watcher);
      }
    }
  }
  read_.NotifyAll();
  for (const std::shared_ptr<QuoteWatcher>& watcher : touched) watcher->Deliver();
  return counts;
}

bool PriceBoard::ApplyOne(const BoardRecord& entry, ApplyCounts& counts) {
  // Of a symbol that is held before: its settlement shows what was kept.
  const auto had_kept = [this](const std::string& symbol) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const SymbolPrices* const prices = prices_.Find(symbol);
    return prices != nullptr && prices->hold.has_value() && prices->hold->kept_quotes > 0;
  };
  const auto shows = [this](const std::string& symbol)
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return prices_.Find(symbol)->latest.has_value(); };
  switch (entry.kind) {
    case BoardRecord::Kind::kRestart:
      prices_.ApplyRestart(entry.symbol, entry.place);
      ++counts.restarts;
      return false;
    case BoardRecord::Kind::kSplit: {
      const bool kept = had_kept(entry.split.symbol);
      if (!ApplySplit(entry)) return false;
      ++counts.splits;
      return kept && shows(entry.split.symbol);
    }
    case BoardRecord::Kind::kSuspected:
      if (prices_.ApplySuspicion(entry.suspected, entry.place, entry.log_time_us)) ++counts.suspicions;
      return false;
    case BoardRecord::Kind::kDismissed: {
      const std::string& symbol = entry.dismissed.symbol;
      const bool kept = had_kept(symbol);
      if (!prices_.ApplyDismissal(entry.dismissed, entry.place)) return false;
      bars_.Append(held_bars_.TakeOf(symbol));
      ++counts.dismissals;
      return kept && shows(symbol);
    }
    case BoardRecord::Kind::kQuote:
      break;
    case BoardRecord::Kind::kOther:
      return false;
  }
  const QuoteVerdict verdict = ApplyQuote(entry, counts);
  if (outcome_memories_ > 0) Remember(entry, verdict);
  switch (verdict) {
    case QuoteVerdict::kRefused:
      ++counts.refused;
      break;
    case QuoteVerdict::kRepeated:
      ++counts.repeated;
      break;
    case QuoteVerdict::kLate:
      ++counts.late;
      break;
    case QuoteVerdict::kHeld:
      ++counts.held;
      break;
    case QuoteVerdict::kAccepted:
      ++counts.accepted;
      return true;
  }
  return false;
}

QuoteVerdict PriceBoard::ApplyQuote(const BoardRecord& entry, ApplyCounts& counts) {
  const std::string& symbol = entry.quote.symbol();
  const SymbolPrices* before = prices_.FindRead(symbol);
  const bool begins = before == nullptr || !before->latest.has_value();
  const QuoteVerdict verdict = prices_.ApplyQuote(entry.quote, entry.place);
  if (verdict != QuoteVerdict::kAccepted && verdict != QuoteVerdict::kHeld) return verdict;
  UnsavedBars& bars = verdict == QuoteVerdict::kHeld ? held_bars_ : bars_;
  if (begins) bars.BeginHistory(symbol, entry.quote.event_time_us());
  const market::Session session = record::DecodeSession(entry.quote.session()).value_or(market::Session::kClosed);
  if (!condition::CountsSession(condition::Sessions::kExtended, session)) return verdict;
  if (verdict == QuoteVerdict::kHeld && held_bars_.SizeOf(symbol) >= kHeldBarsMax) {
    ++counts.bars_dropped;
  } else {
    bars.Add(entry.quote);
  }
  return verdict;
}

bool PriceBoard::ApplySplit(const BoardRecord& entry) {
  if (!prices_.ApplySplit(entry.split, entry.place)) return false;
  bars_.ApplySplit(entry.split.symbol, entry.split.ratio);
  // What was kept is of after it.
  bars_.Append(held_bars_.TakeOf(entry.split.symbol));
  unsaved_splits_.push_back({entry.split, entry.place});
  return true;
}

void PriceBoard::Remember(const BoardRecord& entry, QuoteVerdict verdict) {
  const std::pair place(entry.place.partition, entry.place.offset);
  if (!outcomes_.try_emplace(place, QuoteOutcome{verdict, entry.quote.session()}).second) return;
  outcomes_order_.push_back(place);
  if (outcomes_order_.size() <= kOutcomesMax) return;
  outcomes_.erase(outcomes_order_.front());
  outcomes_order_.pop_front();
}

PriceBoard::OutcomeMemory::OutcomeMemory(PriceBoard& board) : board_(board) {
  base::MutexLock lock(board_.mutex_);
  ++board_.outcome_memories_;
}

PriceBoard::OutcomeMemory::~OutcomeMemory() {
  base::MutexLock lock(board_.mutex_);
  if (--board_.outcome_memories_ > 0) return;
  board_.outcomes_.clear();
  board_.outcomes_order_.clear();
}

std::vector<std::optional<QuoteOutcome>> PriceBoard::OutcomeMemory::Await(const std::vector<LogPlace>& places,
                                                                          absl::Time deadline) const {
  base::MutexLock lock(board_.mutex_);
  const auto is_read = [&](const LogPlace& place)
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(board_.mutex_) { return board_.ReadTo(place); };
  board_.read_.WaitUntil(lock, deadline, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(board_.mutex_) {
    return std::all_of(places.begin(), places.end(), is_read);
  });
  std::vector<std::optional<QuoteOutcome>> found;
  found.reserve(places.size());
  for (const LogPlace& place : places) {
    const auto outcome = board_.outcomes_.find({place.partition, place.offset});
    found.push_back(outcome == board_.outcomes_.end() ? std::nullopt : std::optional(outcome->second));
  }
  return found;
}

bool PriceBoard::ReadTo(LogPlace place) const {
  const auto progress = partitions_.find(place.partition);
  return progress != partitions_.end() && progress->second.next_offset > place.offset;
}

bool PriceBoard::AwaitPlace(LogPlace place, absl::Time deadline) const {
  base::MutexLock lock(mutex_);
  return read_.WaitUntil(lock, deadline, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ReadTo(place); });
}

size_t PriceBoard::held_symbols() const {
  base::MutexLock lock(mutex_);
  return prices_.held_count();
}

bool PriceBoard::HasRead(const internal::v1::QuoteRecord& quote) const {
  const SymbolPrices* prices = prices_.FindRead(quote.symbol());
  if (prices == nullptr) return false;
  if (quote.publisher_epoch() == 0 && quote.sequence() == 0) {
    return prices->latest.has_value() && prices->latest->event_time_us() >= quote.event_time_us();
  }
  return std::pair(prices->publisher_epoch, prices->sequence) >= std::pair(quote.publisher_epoch(), quote.sequence());
}

bool PriceBoard::AwaitRead(const std::vector<internal::v1::QuoteRecord>& quotes, absl::Time deadline) const {
  base::MutexLock lock(mutex_);
  return read_.WaitUntil(lock, deadline, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::all_of(quotes.begin(), quotes.end(),
                       [&](const internal::v1::QuoteRecord& quote)
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return HasRead(quote); });
  });
}

void PriceBoard::MarkAtEnd(int32_t partition) {
  base::MutexLock lock(mutex_);
  partitions_[partition].at_end = true;
}

void PriceBoard::ForgetPlaces(int32_t partition) {
  base::MutexLock lock(mutex_);
  prices_.ForgetPlaces(partition);
  saved_offsets_.erase(partition);
  partitions_.erase(partition);
}

void PriceBoard::ForgetAllPlaces() {
  base::MutexLock lock(mutex_);
  std::set<int32_t> partitions;
  for (const auto& [partition, offset] : saved_offsets_) partitions.insert(partition);
  for (const auto& [partition, progress] : partitions_) partitions.insert(partition);
  for (const int32_t partition : partitions) prices_.ForgetPlaces(partition);
  saved_offsets_.clear();
  partitions_.clear();
}

KeptPrices PriceBoard::TakeUnsaved() {
  base::MutexLock lock(mutex_);
  KeptPrices unsaved;
  unsaved.symbols = prices_.TakeChanged();
  bars_taken_ = bars_.size();
  unsaved.bars = bars_.Take();
  unsaved.splits = std::exchange(unsaved_splits_, {});
  for (const auto& [partition, progress] : partitions_) {
    // What held symbols keep is not stored: it is read again.
    const int64_t next_offset =
        std::min(progress.next_offset, prices_.ReadAgainFrom(partition).value_or(progress.next_offset));
    if (next_offset <= 0) continue;
    const auto saved = saved_offsets_.find(partition);
    if (saved != saved_offsets_.end() && saved->second >= next_offset) continue;
    unsaved.next_offsets[partition] = next_offset;
    saved_offsets_[partition] = next_offset;
  }
  return unsaved;
}

void PriceBoard::PutBackUnsaved(const KeptPrices& unsaved) {
  base::MutexLock lock(mutex_);
  prices_.PutBackChanged(unsaved.symbols);
  bars_.PutBack(unsaved.bars);
  bars_taken_ = 0;
  unsaved_splits_.insert(unsaved_splits_.begin(), unsaved.splits.begin(), unsaved.splits.end());
  for (const auto& [partition, next_offset] : unsaved.next_offsets) saved_offsets_.erase(partition);
}

size_t PriceBoard::unsaved_bars() const {
  base::MutexLock lock(mutex_);
  return bars_.size() + bars_taken_;
}

std::vector<SymbolPrices> PriceBoard::Get(const std::vector<std::string>& symbols) const {
  std::vector<SymbolPrices> found;
  found.reserve(symbols.size());
  base::MutexLock lock(mutex_);
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
  base::MutexLock lock(mutex_);
  bool fresh = reading_;
  for (const auto& [partition, progress] : partitions_)
    fresh = fresh && (progress.at_end || progress.fresh_as_of_us >= oldest_us);
  if (fresh) return absl::OkStatus();
  return base::Unavailable("PRICES_NOT_READY",
                           "the latest prices are still being read from the log; try again in a moment");
}

void PriceBoard::Watch(const std::vector<std::string>& symbols, const std::shared_ptr<QuoteWatcher>& watcher) {
  {
    base::MutexLock lock(mutex_);
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
  base::MutexLock lock(mutex_);
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
  base::MutexLock lock(mutex_);
  return prices_.highest_epoch();
}

size_t PriceBoard::watchers() const {
  base::MutexLock lock(mutex_);
  return symbols_of_.size();
}

}  // namespace stockalert::ticker
