#include "services/fetcher/rate_limiter.h"

#include <algorithm>

namespace stockalert::fetcher {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kMinuteUs = 60 * kSecondUs;
constexpr absl::Duration kRefusedPauseMin = absl::Seconds(5);
constexpr absl::Duration kRefusedPauseMax = absl::Seconds(60);

// Polling's part of a minute's calls; of a single call it is that one, and users have it while nothing is polled.
int PollsOf(int per_minute) { return std::max(1, per_minute - (per_minute + 4) / 5); }

}  // namespace

RateLimiter::RateLimiter(const base::MonotonicClock& monotonic_clock, int per_minute, int per_second)
    : clock_(monotonic_clock),
      per_minute_(per_minute),
      per_second_(per_second),
      polls_per_minute_(PollsOf(per_minute)),
      poll_spacing_us_(kMinuteUs / polls_per_minute_) {}

void RateLimiter::SetPolling(bool any) {
  base::MutexLock lock(mutex_);
  polling_ = any;
}

void RateLimiter::Forget(int64_t now_us) {
  const int64_t since_us = now_us - kMinuteUs;
  while (!calls_us_.empty() && calls_us_.front() <= since_us) calls_us_.pop_front();
  while (!polls_us_.empty() && polls_us_.front() <= since_us) polls_us_.pop_front();
  while (!user_calls_.empty() && user_calls_.front().at_us <= since_us) {
    const auto of_user = calls_of_user_us_.find(user_calls_.front().user);
    of_user->second.pop_front();
    if (of_user->second.empty()) calls_of_user_us_.erase(of_user);
    user_calls_.pop_front();
  }
}

std::optional<RateLimiter::Wait> RateLimiter::TryAcquire(Priority priority, const std::string& user) {
  base::MutexLock lock(mutex_);
  const int64_t now_us = clock_.NowUs();
  Forget(now_us);
  int64_t free_us = std::max(now_us, blocked_until_us_);
  // The limit-th call before this one has to be out of its window.
  const auto respect = [&](size_t calls, int limit, int64_t window_us, auto at_us)
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                             if (limit == 0) {
                               free_us = std::max(free_us, now_us + window_us);
                             } else if (calls >= static_cast<size_t>(limit)) {
                               free_us = std::max(free_us, at_us(calls - static_cast<size_t>(limit)) + window_us);
                             }
                           };
  const auto any_us = [&](size_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return calls_us_[i]; };
  respect(calls_us_.size(), per_minute_, kMinuteUs, any_us);
  respect(calls_us_.size(), per_second_, kSecondUs, any_us);
  bool own_share = false;
  if (priority == Priority::kPoll) {
    free_us = std::max(free_us, next_poll_us_);
    respect(polls_us_.size(), polls_per_minute_, kMinuteUs,
            [&](size_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return polls_us_[i]; });
  } else {
    const int users_per_minute = polling_ ? per_minute_ - polls_per_minute_ : per_minute_;
    respect(user_calls_.size(), users_per_minute, kMinuteUs,
            [&](size_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return user_calls_[i].at_us; });
    const auto of_user = calls_of_user_us_.find(user);
    // Who is nobody in particular (an administrator, a service of the version before) has no share to keep to.
    if (!user.empty() && of_user != calls_of_user_us_.end() && users_per_minute > 0) {
      const int users = static_cast<int>(calls_of_user_us_.size());
      const int64_t others_us = free_us;
      respect(of_user->second.size(), (users_per_minute + users) / (users + 1), kMinuteUs,
              [&](size_t i) { return of_user->second[i]; });
      own_share = free_us > others_us;
    }
  }
  if (free_us > now_us) return Wait{absl::Microseconds(free_us - now_us), own_share};
  calls_us_.push_back(now_us);
  if (priority == Priority::kPoll) {
    polls_us_.push_back(now_us);
    next_poll_us_ = now_us + poll_spacing_us_;
  } else {
    user_calls_.push_back({now_us, user});
    calls_of_user_us_[user].push_back(now_us);
  }
  return std::nullopt;
}

void RateLimiter::OnRefused(std::optional<absl::Duration> retry_after) {
  base::MutexLock lock(mutex_);
  absl::Duration pause = kRefusedPauseMin * (1 << std::min(refusals_, 4));
  ++refusals_;
  if (retry_after) pause = std::max(absl::Seconds(1), *retry_after);
  pause = std::min(pause, kRefusedPauseMax);
  blocked_until_us_ = std::max(blocked_until_us_, clock_.NowUs() + absl::ToInt64Microseconds(pause));
}

void RateLimiter::OnAnswered(std::optional<int64_t> remaining, std::optional<absl::Duration> reset_in) {
  base::MutexLock lock(mutex_);
  refusals_ = 0;
  if (!remaining || *remaining > 0 || !reset_in) return;
  // Nothing is left until then; a reset far away is not believed.
  const absl::Duration pause = std::clamp(*reset_in, absl::ZeroDuration(), absl::Minutes(1));
  blocked_until_us_ = std::max(blocked_until_us_, clock_.NowUs() + absl::ToInt64Microseconds(pause));
}

}  // namespace stockalert::fetcher
