// The latest prices, shared by the whole process: written by the log's reader, read by calls, watched by streams.
//
// Thread-safe. Watchers get each accepted quote in the log's order; of a symbol that was held, the latest of those that
// were kept, once that is settled. The board knows how far behind the log it may be: a
// partition whose end was reached is up to date; one that is being read is as old as its last record.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/ticker/latest_prices.h"
#include "services/ticker/minute_bars.h"
#include "services/ticker/price_store.h"

namespace stockalert::ticker {

// Gets accepted quotes. Collect is called under the board's lock: it must be quick and not call the board. Deliver is
// called afterwards by the reader's thread: it must be quick, too.
class QuoteWatcher {
 public:
  virtual ~QuoteWatcher() = default;
  virtual void Collect(const internal::v1::QuoteRecord& quote) = 0;
  virtual void Deliver() = 0;
};

// A record of the log as the board needs it.
struct BoardRecord {
  enum class Kind { kQuote, kRestart, kSplit, kSuspected, kDismissed, kOther };
  Kind kind = Kind::kOther;
  LogPlace place;
  int64_t log_time_us = 0;
  internal::v1::QuoteRecord quote;  // kQuote.
  std::string symbol;               // kRestart.
  record::Split split;              // kSplit.
  record::SplitSuspected suspected;
  record::SplitDismissed dismissed;
};

struct ApplyCounts {
  int64_t accepted = 0;
  int64_t refused = 0;
  int64_t repeated = 0;
  int64_t late = 0;
  int64_t restarts = 0;
  int64_t held = 0;    // Quotes of held symbols.
  int64_t splits = 0;  // New ones, as the next two.
  int64_t suspicions = 0;
  int64_t dismissals = 0;
  int64_t bars_dropped = 0;  // Of held symbols, beyond kHeldBarsMax.
};

class PriceBoard {
 public:
  static constexpr size_t kOutcomesMax = 20'000;
  // Of a held symbol. Evaluators, by default, stop its partition at as many records.
  static constexpr size_t kHeldBarsMax = 100'000;

  // The clocks must outlive it.
  PriceBoard(const base::Clock& clock, const base::MonotonicClock& monotonic) : clock_(clock), monotonic_(monotonic) {}

  // --- The reader's side.
  void Load(const KeptPrices& kept);
  // The log has these partitions, and they are read from `next_offsets` on: none is known to be up to date.
  void BeginReading(const std::map<int32_t, int64_t>& next_offsets);
  ApplyCounts Apply(const std::vector<BoardRecord>& entries);
  void MarkAtEnd(int32_t partition);
  // As LatestPrices.
  void ForgetPlaces(int32_t partition);
  void ForgetAllPlaces();

  // --- The saver's side. Removes and returns what changed, and where reading would go on; empty where nothing changed.
  KeptPrices TakeUnsaved();
  // After each TakeUnsaved, before the next: what could not be saved; the rest was.
  void PutBackUnsaved(const KeptPrices& unsaved);
  // Bars that are not known to be saved: those that were taken, and those that have come since. Those of held symbols
  // do not count: what settles a hold has to be read first.
  size_t unsaved_bars() const;

  // --- The calls' side. In the order asked; for a symbol without any price only its name is set.
  std::vector<SymbolPrices> Get(const std::vector<std::string>& symbols) const;
  // OK where Get includes every record that was in the log `staleness_max` ago; else UNAVAILABLE (PRICES_NOT_READY).
  absl::Status CheckFresh(absl::Duration staleness_max) const;

  // While one exists, the board remembers the outcome of each quote that it reads, up to the last kOutcomesMax. A
  // publisher makes one before it publishes. The board must outlive it.
  class OutcomeMemory {
   public:
    explicit OutcomeMemory(PriceBoard& board);
    ~OutcomeMemory();
    OutcomeMemory(const OutcomeMemory&) = delete;
    OutcomeMemory& operator=(const OutcomeMemory&) = delete;
    // Waits until the board has read beyond all these places, at most until `deadline`. Outcomes in the order of the
    // places; none where it was not seen.
    std::vector<std::optional<QuoteOutcome>> Await(const std::vector<LogPlace>& places, absl::Time deadline) const;

   private:
    PriceBoard& board_;
  };

  // Waits until the place has been read; false where the deadline comes first.
  bool AwaitPlace(LogPlace place, absl::Time deadline) const;
  // How many symbols are held.
  size_t held_symbols() const;

  // Waits until Get includes each of these quotes or a later one of its symbol, or will once the symbol's hold is
  // settled; false where the deadline comes first. A quote without epoch and sequence (of a fetcher of the previous
  // version) is compared by its time.
  bool AwaitRead(const std::vector<internal::v1::QuoteRecord>& quotes, absl::Time deadline) const;

  // From here on `watcher` gets the quotes of these symbols, which must be distinct; the latest of each comes first.
  void Watch(const std::vector<std::string>& symbols, const std::shared_ptr<QuoteWatcher>& watcher);
  void Unwatch(const std::shared_ptr<QuoteWatcher>& watcher);
  size_t watchers() const;

  // The highest publisher epoch seen in the log.
  int64_t HighestEpoch() const;

 private:
  struct Progress {
    int64_t next_offset = 0;
    bool at_end = false;
    // Where not at the end: every record before this time, by the monotonic clock, counts in.
    int64_t fresh_as_of_us = std::numeric_limits<int64_t>::min();
  };

  // What each record does to the counts; true where watchers of its symbol have a new latest quote.
  bool ApplyOne(const BoardRecord& entry, ApplyCounts& counts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Into the prices and, where it is or will be accepted, the bars.
  QuoteVerdict ApplyQuote(const BoardRecord& entry, ApplyCounts& counts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Into the prices and the bars; false where it was known.
  bool ApplySplit(const BoardRecord& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool ReadTo(LogPlace place) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember(const BoardRecord& entry, QuoteVerdict verdict) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasRead(const internal::v1::QuoteRecord& quote) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::Clock& clock_;
  const base::MonotonicClock& monotonic_;
  mutable base::Mutex mutex_;
  mutable base::ConditionVariable read_;
  int outcome_memories_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<int32_t, int64_t>, QuoteOutcome> outcomes_ ABSL_GUARDED_BY(mutex_);  // By partition and offset.
  std::deque<std::pair<int32_t, int64_t>> outcomes_order_ ABSL_GUARDED_BY(mutex_);
  LatestPrices prices_ ABSL_GUARDED_BY(mutex_);
  UnsavedBars bars_ ABSL_GUARDED_BY(mutex_);
  UnsavedBars held_bars_ ABSL_GUARDED_BY(mutex_);  // Of quotes that held symbols keep.
  std::vector<LoggedSplit> unsaved_splits_ ABSL_GUARDED_BY(mutex_);
  size_t bars_taken_ ABSL_GUARDED_BY(mutex_) = 0;  // And not put back yet.
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<int32_t, Progress> partitions_ ABSL_GUARDED_BY(mutex_);
  std::map<int32_t, int64_t> saved_offsets_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::vector<std::shared_ptr<QuoteWatcher>>> watchers_of_ ABSL_GUARDED_BY(mutex_);
  std::map<std::shared_ptr<QuoteWatcher>, std::vector<std::string>> symbols_of_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace stockalert::ticker
