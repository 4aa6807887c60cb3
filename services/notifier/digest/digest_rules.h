// What a digest says of the notifications that it stands for. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// Held notifications with the same summary.
struct HeldGroup {
  std::string summary;  // Empty: those that are not there any more.
  int64_t count = 0;
  int64_t of_quiet_hours = 0;  // Of these; the others were too many.
};

// Where a digest goes, and what it is for.
struct HeldNotifications {
  std::string user_id;
  std::string destination_id;
  std::vector<HeldGroup> groups;  // In the order in which the first of each was held; at least one.
};

// Names at most so many groups, each cut to so many bytes.
inline constexpr size_t kDigestGroupsMax = 10;
inline constexpr size_t kDigestGroupBytesMax = 150;

// "12 notifications held in quiet hours: AAPL at or above 150 (3 times); TSLA below 200; and 8 more".
NewNotification DigestOf(const HeldNotifications& held, std::string id, int64_t now_us);

}  // namespace stockalert::notifier
