// What follows an attempt at a delivery: success, failure, or another attempt, and when.
//
// Attempts are 0 s, 5 s, 1 min, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h after the one before: eleven, over
// three days. Pure and thread-safe; time and randomness are given.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "services/notifier/delivery/verdict.h"

namespace stockalert::notifier {

inline constexpr int kAttemptsMax = 11;
inline constexpr absl::Duration kRetryAfterMax = absl::Hours(24);

// What happens to a delivery after an attempt.
enum class DeliveryStep : uint8_t {
  kSucceeded,
  kDisable,  // The destination is gone, or wants no more messages.
  kRetry,
  kFailed,  // It was refused for good, or the last attempt failed.
};

struct RetryDecision {
  DeliveryStep step = DeliveryStep::kRetry;
  int64_t next_attempt_us = 0;  // Unix; only of kRetry.
};

// `attempts_made`: since the delivery was queued or replayed, including the one that has just ended, so from 1. What
// the verdict says of a pause is obeyed if it is later than the schedule, for at most kRetryAfterMax.
// `random_fraction`: from [0, 1), spreads the pause by 10 % either way.
RetryDecision DecideNext(int attempts_made, const Verdict& verdict, double random_fraction, int64_t now_us);

// The pause before attempt `number` (from 1), without jitter.
absl::Duration PauseBefore(int number);

// The value of a Retry-After header, seconds or an HTTP date (all three forms of RFC 9110), as the time from `now_us`
// on, within [0, kRetryAfterMax]. None: it is neither.
std::optional<absl::Duration> ParseRetryAfter(std::string_view value, int64_t now_us);

}  // namespace stockalert::notifier
