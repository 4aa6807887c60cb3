#include "services/notifier/delivery/settle_rules.h"

#include <algorithm>

namespace stockalert::notifier {
namespace {

void Disable(DisableReason reason, int64_t now_us, Destination& destination) {
  destination.state = DestinationState::kDisabled;
  destination.disable_reason = reason;
  destination.disable_time_us = now_us;
  destination.update_time_us = now_us;
}

bool IsDisabled(const Destination& destination) { return destination.state == DestinationState::kDisabled; }

}  // namespace

bool AttemptCounts(const SettledAttempt& attempt, const Delivery& stored, int64_t last_lease_number) {
  if (stored.state != DeliveryState::kQueued || stored.replay_count != attempt.replay_count) return false;
  return attempt.outcome == AttemptOutcome::kSucceeded || attempt.lease.number == last_lease_number;
}

bool IsTold(AttemptEffect effect, DestinationState was) {
  return effect == AttemptEffect::kDisabled || (effect == AttemptEffect::kVerified && was != DestinationState::kActive);
}

AttemptEffect ApplyAttempt(const SettledAttempt& attempt, const Delivery& delivery, int64_t disable_after_failing_us,
                           Destination& destination) {
  if (destination.delete_time_us || attempt.outcome == AttemptOutcome::kPostponed) return AttemptEffect::kNone;
  const int64_t ended_us = attempt.attempt.start_time_us + attempt.attempt.duration_us;
  if (attempt.outcome == AttemptOutcome::kSucceeded) {
    // Each change is a row written anew.
    if (destination.last_success_time_us.value_or(0) + kLastSuccessStepUs <= ended_us)
      destination.last_success_time_us = ended_us;
    destination.failing_since_time_us.reset();
    // An answer from an address that was changed since does not count: another delivery verifies the new one. With a
    // code the user verifies it.
    if (delivery.id != destination.verification_id || IsDisabled(destination) || !destination.sealed_code.empty())
      return AttemptEffect::kNone;
    destination.verification_id.clear();
    destination.verify_time_us = ended_us;
    if (destination.state == DestinationState::kUnverified) {
      destination.state = DestinationState::kActive;
      destination.update_time_us = ended_us;
    }
    return AttemptEffect::kVerified;
  }
  // It was sent to the settings before, which do not speak for those that are to be verified.
  if (destination.state == DestinationState::kUnverified && delivery.kind != DeliveryKind::kVerification)
    return AttemptEffect::kNone;
  if (!destination.failing_since_time_us) destination.failing_since_time_us = attempt.attempt.start_time_us;
  if (IsDisabled(destination)) return AttemptEffect::kNone;
  DisableReason reason = attempt.disable_reason;
  if (reason == DisableReason::kNone && *destination.failing_since_time_us + disable_after_failing_us <= ended_us)
    reason = DisableReason::kFailing;
  if (reason == DisableReason::kNone) return AttemptEffect::kNone;
  Disable(reason, ended_us, destination);
  return AttemptEffect::kDisabled;
}

}  // namespace stockalert::notifier
