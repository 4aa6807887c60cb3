#include "services/notifier/delivery/verification_limits.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"

namespace stockalert::notifier {
namespace {

std::optional<absl::Duration> TakeFromBoth(VerificationCount& count, int hour_max, int day_max, int64_t now_us) {
  const auto hour = TakeFrom(count.hour, absl::Hours(1), hour_max, now_us);
  const auto day = TakeFrom(count.day, absl::Hours(24), day_max, now_us);
  return hour && day ? std::max(hour, day) : (hour ? hour : day);
}

}  // namespace

std::optional<absl::Duration> TakeFrom(AskWindow& window, absl::Duration length, int most, int64_t now_us) {
  const int64_t length_us = absl::ToInt64Microseconds(length);
  const int64_t age_us = now_us - window.since_us;
  if (age_us >= length_us || age_us <= -length_us) window = {now_us, 0};
  if (window.count >= most) return std::min(absl::Microseconds(window.since_us + length_us - now_us), length);
  ++window.count;
  return std::nullopt;
}

absl::Status VerificationRate(absl::Duration retry_delay) {
  return base::ResourceExhausted(
      kReasonVerificationRate,
      absl::StrCat("too many verifications: one destination at most once a minute and ten times a day, one user's "
                   "destinations, deleted ones too, ",
                   kUserVerificationsPerHourMax, " times an hour and ", kUserVerificationsPerDayMax,
                   " times a day; one address a few times an hour, whoever asks"),
      retry_delay);
}

absl::Status CountVerification(VerificationCount& user, VerificationCount& target, int64_t now_us) {
  const auto of_user = TakeFromBoth(user, kUserVerificationsPerHourMax, kUserVerificationsPerDayMax, now_us);
  if (of_user) return VerificationRate(*of_user);
  const auto of_target = TakeFromBoth(target, kTargetVerificationsPerHourMax, kTargetVerificationsPerDayMax, now_us);
  return of_target ? VerificationRate(absl::Hours(1)) : absl::OkStatus();
}

}  // namespace stockalert::notifier
