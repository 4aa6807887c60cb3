// Which symbol to poll next: the one whose price is the oldest, of those that are not set aside.
//
// Not thread-safe. Pure: times are microseconds of a steady clock, above 0. A symbol for which the source gives no
// answer, or which it denies, is set aside for pauses that grow with each failure in a row, so that it uses ever fewer
// calls and does not slow down the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/time/time.h"

namespace stockalert::fetcher {

class PollOrder {
 public:
  // A streamed price makes a poll wait at most this much longer.
  static constexpr int64_t kStreamedCreditUs = int64_t{180} * 1'000'000;
  // 5 s, 10 s, ... 5 min; and a minute, two, ... an hour.
  static constexpr absl::Duration kFailedPauseMin = absl::Seconds(5);
  static constexpr absl::Duration kFailedPauseMax = absl::Minutes(5);
  static constexpr absl::Duration kDeniedPauseMin = absl::Minutes(1);
  static constexpr absl::Duration kDeniedPauseMax = absl::Hours(1);

  struct Aside {
    bool denied = false;  // Else it failed.
    absl::Duration left;
  };

  void SetSymbols(const std::set<std::string>& symbols);
  bool Contains(const std::string& symbol) const { return entries_.contains(symbol); }
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  // Set aside now, or to be after its next failure: denied or failed the last time.
  size_t denied() const { return denied_; }
  size_t failed() const { return failed_; }

  // None where there are no symbols, or all are under way or set aside. A symbol that was never polled comes first.
  std::optional<std::string> Next(int64_t now_us);
  // The one that is set aside for the shortest time still.
  std::optional<std::string> NextAside() const;
  // The symbol is being polled: Next does not return it until one of the following calls says how that ended. All of
  // them ignore unknown symbols.
  void MarkUnderWay(const std::string& symbol);
  void OnPolled(const std::string& symbol, int64_t now_us);
  void OnFailed(const std::string& symbol, int64_t now_us);
  void OnDenied(const std::string& symbol, int64_t now_us);
  // It was not polled after all, and keeps its turn.
  void Release(const std::string& symbol);

  void OnStreamed(const std::string& symbol, int64_t now_us);
  // None: it is not set aside.
  std::optional<Aside> AsideOf(const std::string& symbol, int64_t now_us) const;
  // The failures were not the symbols' fault: those set aside for one may be polled again. Denied ones stay.
  void ForgiveFailures();
  // The same for denied symbols.
  void ForgiveDenials();

 private:
  enum class State { kFine, kFailed, kDenied };
  struct Entry {
    int64_t polled_us = 0;
    int64_t streamed_us = 0;
    int64_t not_before_us = 0;
    int times = 0;  // In a row, of failed or denied.
    State state = State::kFine;
    bool under_way = false;
  };
  using Queue = std::set<std::pair<int64_t, std::string>>;
  static int64_t DueUs(const Entry& entry);
  void Dequeue(const std::string& symbol, const Entry& entry);
  void Enqueue(const std::string& symbol, const Entry& entry);
  void AdjustCount(State state, int by);
  void OnEnded(const std::string& symbol, State state, int64_t now_us, absl::Duration pause_min,
               absl::Duration pause_max);
  void Forgive(State state);

  std::unordered_map<std::string, Entry> entries_;
  Queue ready_;  // By DueUs. An entry is in one of the two, or in none while it is under way.
  Queue aside_;  // By not_before_us.
  size_t denied_ = 0;
  size_t failed_ = 0;
};

}  // namespace stockalert::fetcher
