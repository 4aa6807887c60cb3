// What the transaction that stores notifications does for their delivery. Called with the users' rows locked; SOCI's
// exceptions pass through.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "services/notifier/delivery/hold_rules.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// A notification and a destination that gets it.
struct PlannedDelivery {
  std::string notification_id;
  std::string user_id;
  std::string destination_id;
  HoldReason hold = HoldReason::kNone;
};

struct DeliveryPlan {
  std::vector<PlannedDelivery> deliveries;  // In the order of their notifications.
  std::map<std::string, LaneHold> lanes;    // Of their destinations, as they are to be.
};

// Locks the lanes of these notifications' users, chooses the destinations of each (route_rules.h), in their order, and
// what is held (hold_rules.h). So it marks those that are rerouted: call it before they are inserted.
DeliveryPlan PlanDeliveries(soci::session& sql, std::vector<StoredNotification>& stored, int64_t now_us);
// Queues or holds them in their order. The lanes' locks are held.
void QueueDeliveries(soci::session& sql, const DeliveryPlan& plan, int64_t now_us);

// The lanes of these users, in the order in which they are locked.
std::vector<std::string> FindLanesOf(soci::session& sql, const std::vector<std::string>& user_ids, bool lock);

// Deletes the users' destinations and all deliveries to them.
void DeleteDeliveriesOf(soci::session& sql, const std::vector<std::string>& user_ids);

}  // namespace stockalert::notifier
