#include "services/notifier/delivery/retry_schedule.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "services/common/base/abseil.h"

namespace stockalert::notifier {
namespace {

// Seconds after the previous attempt.
constexpr std::array<int64_t, kAttemptsMax> kPausesS = {
    0, 5, 60, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600,
};
constexpr double kJitter = 0.1;

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The three forms that a recipient must accept: IMF-fixdate, RFC 850, asctime.
std::optional<absl::Time> ParseHttpDate(std::string_view text) {
  for (const char* format : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    absl::Time time;
    if (absl::ParseTime(format, base::ToAbsl(text), &time, nullptr)) return time;
  }
  return std::nullopt;
}

}  // namespace

absl::Duration PauseBefore(int number) {
  if (number < 1 || number > kAttemptsMax) std::abort();
  return absl::Seconds(kPausesS[static_cast<size_t>(number - 1)]);
}

RetryDecision DecideNext(int attempts_made, const Verdict& verdict, double random_fraction, int64_t now_us) {
  if (attempts_made < 1) std::abort();
  switch (verdict.kind) {
    case VerdictKind::kDelivered:
      return {DeliveryStep::kSucceeded};
    case VerdictKind::kGone:
      return {DeliveryStep::kDisable};
    case VerdictKind::kRefused:
      return {DeliveryStep::kFailed};
    case VerdictKind::kRetry:
      break;
  }
  if (attempts_made >= kAttemptsMax) return {DeliveryStep::kFailed};
  absl::Duration pause = PauseBefore(attempts_made + 1) * (1 + kJitter * (2 * random_fraction - 1));
  if (verdict.retry_after) pause = std::max(pause, std::min(*verdict.retry_after, kRetryAfterMax));
  return {DeliveryStep::kRetry, now_us + absl::ToInt64Microseconds(pause)};
}

std::optional<absl::Duration> ParseRetryAfter(std::string_view value, int64_t now_us) {
  const std::string_view text = base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(value)));
  if (IsDigits(text)) {
    int64_t seconds = 0;
    // A number too big to parse is longer than the maximum.
    if (!absl::SimpleAtoi(base::ToAbsl(text), &seconds)) return kRetryAfterMax;
    return std::min(absl::Seconds(seconds), kRetryAfterMax);
  }
  const std::optional<absl::Time> time = ParseHttpDate(text);
  if (!time) return std::nullopt;
  return std::clamp(*time - absl::FromUnixMicros(now_us), absl::ZeroDuration(), kRetryAfterMax);
}

}  // namespace stockalert::notifier
