#include "services/notifier/delivery/attempt_outcome.h"

#include <algorithm>
#include <string>

#include "services/common/base/text.h"
#include "services/notifier/delivery/retry_schedule.h"

namespace stockalert::notifier {
namespace {

// The pause of one that is over already.
constexpr absl::Duration kPostponedMin = absl::Milliseconds(100);

SettledAttempt Begin(const LaneLease& lease, const Delivery& delivery, int64_t start_us) {
  SettledAttempt settled;
  settled.lease = lease;
  settled.delivery_id = delivery.id;
  settled.replay_count = delivery.replay_count;
  settled.attempt.start_time_us = start_us;
  return settled;
}

}  // namespace

SettledAttempt JudgeAttempt(const LaneLease& lease, const Delivery& delivery, const AttemptResult& result,
                            const Verdict& verdict, int64_t start_us, double random_fraction, int64_t now_us) {
  SettledAttempt settled = Begin(lease, delivery, start_us);
  settled.attempt.duration_us = std::max<int64_t>(absl::ToInt64Microseconds(result.duration), 0);
  settled.attempt.http_status = result.reply.status;
  settled.attempt.error = verdict.error;
  settled.attempt.answer = base::StorableText(result.reply.body, kAnswerBytesMax);
  const RetryDecision decision = DecideNext(delivery.schedule_count + 1, verdict, random_fraction, now_us);
  switch (decision.step) {
    case DeliveryStep::kSucceeded:
      settled.outcome = AttemptOutcome::kSucceeded;
      break;
    case DeliveryStep::kDisable:
      settled.outcome = AttemptOutcome::kFailed;
      settled.disable_reason = DisableReason::kGone;
      break;
    case DeliveryStep::kFailed:
      settled.outcome = AttemptOutcome::kFailed;
      break;
    case DeliveryStep::kRetry:
      settled.outcome = AttemptOutcome::kRetry;
      settled.next_attempt_time_us = decision.next_attempt_us;
      // The request for quiet holds for the whole destination.
      if (verdict.retry_after) {
        settled.hold_until_us =
            now_us + absl::ToInt64Microseconds(std::min<absl::Duration>(*verdict.retry_after, kRetryAfterMax));
      }
      break;
  }
  return settled;
}

SettledAttempt JudgePostponedAttempt(const LaneLease& lease, const Delivery& delivery, absl::Duration pause,
                                     double random_fraction, int64_t now_us) {
  SettledAttempt settled = Begin(lease, delivery, now_us);
  settled.outcome = AttemptOutcome::kPostponed;
  const absl::Duration least = std::max(pause, kPostponedMin);
  settled.hold_until_us = now_us + absl::ToInt64Microseconds(least * (1 + random_fraction / 2));
  return settled;
}

SettledAttempt JudgeImpossibleAttempt(const LaneLease& lease, const Delivery& delivery, std::string_view error,
                                      DisableReason disable_reason, int64_t now_us) {
  SettledAttempt settled = Begin(lease, delivery, now_us);
  settled.attempt.error = std::string(error);
  settled.outcome = AttemptOutcome::kFailed;
  settled.disable_reason = disable_reason;
  return settled;
}

}  // namespace stockalert::notifier
