// How attempts change their delivery's destination, the same in every store. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "services/notifier/delivery/delivery_store.h"

namespace stockalert::notifier {

// A destination's last success is kept to within this.
inline constexpr int64_t kLastSuccessStepUs = 1'000'000;

// Whether an attempt counts for a delivery as it is stored: it must be queued still, in the same round, and the lease
// must be the last one, unless the attempt succeeded.
bool AttemptCounts(const SettledAttempt& attempt, const Delivery& stored, int64_t last_lease_number);

// The destination after an attempt at one of its deliveries that counted; attempts in the order in which they began.
// Returns whether the attempt disabled or verified it.
enum class AttemptEffect : uint8_t { kNone, kDisabled, kVerified };
// `was`: its state before. Verifying an ACTIVE one again changes nothing that its user should be told.
bool IsTold(AttemptEffect effect, DestinationState was);
AttemptEffect ApplyAttempt(const SettledAttempt& attempt, const Delivery& delivery, int64_t disable_after_failing_us,
                           Destination& destination);

}  // namespace stockalert::notifier
