// Whether what is sent to a destination is held for its next digest, the same in every store. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "services/notifier/delivery/delivery_types.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// What a lane knows of it. All that is held for one destination comes at the same time.
struct LaneHold {
  int per_minute_max = kPerMinuteUsual;
  AskWindow minute = {};  // Notifications of triggers and splits that were queued one by one.
  std::optional<int64_t> digest_due_us = {};
};

// Decides on one notification, in the order of storing, and writes down what follows. Those of the kinds DESTINATION
// and DIGEST are neither held nor counted; critical ones are counted, and not held. What is held does not count, since
// it is not sent one by one. `quiet_until_us`: when its user's quiet hours end; none: it is not quiet.
HoldReason HoldOrCount(const StoredNotification& notification, const std::optional<int64_t>& quiet_until_us,
                       int64_t now_us, LaneHold& lane);

}  // namespace stockalert::notifier
