// The call budget of one Finnhub key, by minute and by second, shared between polling and the calls of users.
//
// Thread-safe. A call is allowed at once, or told how long to wait. Polling has four fifths of each minute, spread
// evenly, and users have one fifth. Neither can use the other's part, except that users have everything while nothing
// is polled. Within the users' part each user has a fair share, which leaves as much again for the next one. What the
// server says (429, X-Ratelimit headers) only ever reduces the budget.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"

namespace stockalert::fetcher {

class RateLimiter {
 public:
  enum class Priority { kPoll, kUser };
  struct Wait {
    absl::Duration pause;
    // The user's own share is used up, whether or not others have some left.
    bool own_share = false;
  };

  // `monotonic_clock` must outlive it.
  RateLimiter(const base::MonotonicClock& monotonic_clock, int per_minute, int per_second);

  // Whether anything is polled.
  void SetPolling(bool any);

  // None: the call may be made now, and is counted. Otherwise ask again after this pause. A kUser call uses the share
  // of `user`.
  std::optional<Wait> TryAcquire(Priority priority, const std::string& user = "");

  // The server refused a call because there were too many. `retry_after`: the pause it asked for; without it the pause
  // doubles with each refusal in a row, from 5 s to 60 s.
  void OnRefused(std::optional<absl::Duration> retry_after);
  // A call was answered. From its headers, if they were there: how many calls are left until the budget is reset, and
  // when that is.
  void OnAnswered(std::optional<int64_t> remaining, std::optional<absl::Duration> reset_in);

 private:
  struct UserCall {
    int64_t at_us = 0;
    std::string user;
  };
  // Forgets what is older than a minute.
  void Forget(int64_t now_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::MonotonicClock& clock_;
  const int per_minute_;
  const int per_second_;
  const int polls_per_minute_;
  const int64_t poll_spacing_us_;
  base::Mutex mutex_;
  bool polling_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<int64_t> calls_us_ ABSL_GUARDED_BY(mutex_);     // All of the last minute.
  std::deque<int64_t> polls_us_ ABSL_GUARDED_BY(mutex_);     // Those of them that were polls.
  std::deque<UserCall> user_calls_ ABSL_GUARDED_BY(mutex_);  // The others.
  std::unordered_map<std::string, std::deque<int64_t>> calls_of_user_us_ ABSL_GUARDED_BY(mutex_);
  int64_t next_poll_us_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t blocked_until_us_ ABSL_GUARDED_BY(mutex_) = 0;
  int refusals_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace stockalert::fetcher
