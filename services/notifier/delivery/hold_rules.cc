#include "services/notifier/delivery/hold_rules.h"

#include <algorithm>
#include <limits>

#include "absl/time/time.h"
#include "services/notifier/delivery/verification_limits.h"

namespace stockalert::notifier {

HoldReason HoldOrCount(const StoredNotification& notification, const std::optional<int64_t>& quiet_until_us,
                       int64_t now_us, LaneHold& lane) {
  if (notification.kind == Kind::kDestination || notification.kind == Kind::kDigest) return HoldReason::kNone;
  if (notification.routing.critical) {
    TakeFrom(lane.minute, absl::Minutes(1), std::numeric_limits<int>::max(), now_us);
    return HoldReason::kNone;
  }
  if (quiet_until_us) {
    lane.digest_due_us = *quiet_until_us;
    return HoldReason::kQuietHours;
  }
  const std::optional<absl::Duration> wait = TakeFrom(lane.minute, absl::Minutes(1), lane.per_minute_max, now_us);
  if (!wait) return HoldReason::kNone;
  const int64_t end_us = now_us + absl::ToInt64Microseconds(*wait);
  lane.digest_due_us = std::min(lane.digest_due_us.value_or(end_us), end_us);
  return HoldReason::kRate;
}

}  // namespace stockalert::notifier
