#include "services/fetcher/rate_limiter.h"

#include <algorithm>

namespace stockalert::fetcher {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kMinuteUs = 60 * kSecondUs;
constexpr absl::Duration kRefusedPauseMin = absl::Seconds(5);
constexpr absl::Duration kRefusedPauseMax = absl::Seconds(60);

// What polling leaves of a minute's calls; at least one call is polling's.
int PollsOf(int per_minute) { return std::max(1, per_minute - (per_minute + 4) / 5); }

}  // namespace

RateLimiter::RateLimiter(const base::Clock& clock, int per_minute, int per_second)
    : clock_(clock),
      per_minute_(per_minute),
      per_second_(per_second),
      poll_spacing_us_(kMinuteUs / PollsOf(per_minute)) {}

std::optional<absl::Duration> RateLimiter::TryAcquire(Priority priority) {
  std::lock_guard lock(mutex_);
  const int64_t now_us = clock_.NowUs();
  while (!calls_us_.empty() && calls_us_.front() <= now_us - kMinuteUs) calls_us_.pop_front();
  int64_t free_us = std::max(now_us, blocked_until_us_);
  if (priority == Priority::kPoll) free_us = std::max(free_us, next_poll_us_);
  // The n-th call before this one has to be out of its window.
  const auto respect = [&](int limit, int64_t window_us) {
    if (calls_us_.size() >= static_cast<size_t>(limit)) {
      free_us = std::max(free_us, calls_us_[calls_us_.size() - static_cast<size_t>(limit)] + window_us);
    }
  };
  respect(per_minute_, kMinuteUs);
  respect(per_second_, kSecondUs);
  if (priority == Priority::kPoll) respect(PollsOf(per_minute_), kMinuteUs);
  if (free_us > now_us) return absl::Microseconds(free_us - now_us);
  calls_us_.push_back(now_us);
  if (priority == Priority::kPoll) next_poll_us_ = now_us + poll_spacing_us_;
  return std::nullopt;
}

void RateLimiter::OnRefused(std::optional<absl::Duration> retry_after) {
  std::lock_guard lock(mutex_);
  absl::Duration pause = kRefusedPauseMin * (1 << std::min(refusals_, 4));
  ++refusals_;
  if (retry_after) pause = std::max(absl::Seconds(1), *retry_after);
  pause = std::min(pause, kRefusedPauseMax);
  blocked_until_us_ = std::max(blocked_until_us_, clock_.NowUs() + absl::ToInt64Microseconds(pause));
}

void RateLimiter::OnAnswered(std::optional<int64_t> remaining, std::optional<absl::Time> reset) {
  std::lock_guard lock(mutex_);
  refusals_ = 0;
  if (!remaining || *remaining > 0 || !reset) return;
  // Nothing is left until then; a reset far away is not believed.
  const int64_t until_us = std::min(absl::ToUnixMicros(*reset), clock_.NowUs() + kMinuteUs);
  blocked_until_us_ = std::max(blocked_until_us_, until_us);
}

}  // namespace stockalert::fetcher
