// The budget of calls of one Finnhub key: so many in any minute and in any second, parted between polling and what
// users wait for.
//
// Thread-safe. A call takes its place at once or is told how long to wait. Of each minute four fifths are polling's,
// spread evenly, and a fifth is the users': neither takes the other's, however much is asked for, but that users have
// all of it while nothing is polled. Of the users' part each one has a fair share, which leaves as much again for the
// next who comes. What the server says (429, X-Ratelimit headers) tightens the budget, never widens it.
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
    // The user's share is used up; the others' is not, or is no matter.
    bool own_share = false;
  };

  // `monotonic_clock` must outlive it.
  RateLimiter(const base::MonotonicClock& monotonic_clock, int per_minute, int per_second);

  // Whether anything is polled.
  void SetPolling(bool any);

  // None: the call may be made now, and is counted. Else: not before this pause; ask again then. `user` is whose share
  // a kUser takes.
  std::optional<Wait> TryAcquire(Priority priority, const std::string& user = "");

  // The server refused a call for its number. `retry_after`: what it asked for; else the pause doubles with each
  // refusal in a row, from 5 s to 60 s.
  void OnRefused(std::optional<absl::Duration> retry_after);
  // A call was answered. What its headers said, where they did: how many calls are left until the budget is new, and
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
