// The budget of calls of one Finnhub key: so many in any minute and in any second, shared by polling and by what users
// wait for.
//
// Thread-safe. A call takes its place at once or is told how long to wait; polling leaves a fifth of the minute to
// those who wait, and is spread evenly. What the server says (429, X-Ratelimit headers) tightens the budget, never
// widens it.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "absl/time/time.h"
#include "services/common/base/clock.h"

namespace stockalert::fetcher {

class RateLimiter {
 public:
  enum class Priority { kPoll, kUser };

  // `clock` must outlive it.
  RateLimiter(const base::Clock& clock, int per_minute, int per_second);

  // None: the call may be made now, and is counted. Else: not before this pause; ask again then.
  std::optional<absl::Duration> TryAcquire(Priority priority);

  // The server refused a call for its number. `retry_after`: what it asked for; else the pause doubles with each
  // refusal in a row, from 5 s to 60 s.
  void OnRefused(std::optional<absl::Duration> retry_after);
  // A call was answered. What its headers said, where they did.
  void OnAnswered(std::optional<int64_t> remaining, std::optional<absl::Time> reset);

 private:
  const base::Clock& clock_;
  const int per_minute_;
  const int per_second_;
  const int64_t poll_spacing_us_;
  std::mutex mutex_;
  std::deque<int64_t> calls_us_;  // Of the last minute. Guarded by mutex_, as what follows.
  int64_t next_poll_us_ = 0;
  int64_t blocked_until_us_ = 0;
  int refusals_ = 0;
};

}  // namespace stockalert::fetcher
