// How many verifications may be requested in a time, the same in every store. Besides those of each destination they
// are counted for each user and for each target, with those of deleted destinations: whoever creates and deletes
// destinations again and again, as many users or one, cannot fill a stranger's mailbox. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/notifier/delivery/delivery_types.h"

namespace stockalert::notifier {

inline constexpr char kReasonVerificationRate[] = "DESTINATION_VERIFICATION_RATE";

inline constexpr int kUserVerificationsPerHourMax = 10;
inline constexpr int kUserVerificationsPerDayMax = 30;
// Of all users together.
inline constexpr int kTargetVerificationsPerHourMax = 5;
inline constexpr int kTargetVerificationsPerDayMax = 20;
// After this time without a request a count is of no use.
inline constexpr absl::Duration kVerificationCountLife = absl::Hours(24);

// Requests of one user, or for one target.
struct VerificationCount {
  AskWindow hour;
  AskWindow day;
};

// Counts one in a period of `length`; if it already has `most`, returns the time until the next is allowed. A period
// that begins after `now_us` was begun by a request that overtook this one, or by another clock: it counts, too.
std::optional<absl::Duration> TakeFrom(AskWindow& window, absl::Duration length, int most, int64_t now_us);

// Counts one request. RESOURCE_EXHAUSTED (DESTINATION_VERIFICATION_RATE): nothing may be stored. That the target is
// exhausted says nothing of when others asked.
absl::Status CountVerification(VerificationCount& user, VerificationCount& target, int64_t now_us);

absl::Status VerificationRate(absl::Duration retry_delay);

}  // namespace stockalert::notifier
