// The queue of deliveries as a worker uses it: each destination has a lane, which is leased for a while.
//
// Any number of workers share the store. A lane belongs to one worker until its lease ends. Results for a lane that
// another worker has leased since are late: a success still counts, because the destination has received the delivery;
// anything else does not. A delivery stays queued until its attempt is settled, so that it is attempted again if its
// worker dies: perhaps twice, but never not at all.
//
// Thread-safe; calls block, bounded by the store's own timeouts. UNAVAILABLE (DATABASE_UNAVAILABLE) if the database
// does not answer; all calls may be repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/notifier/delivery/delivery_types.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// One lease of one lane.
struct LaneLease {
  std::string destination_id;
  int64_t number = 0;
  bool operator==(const LaneLease&) const = default;
};

// Who leases: a process of an instance.
struct LeaseOwner {
  std::string name;      // The instance's, which it keeps over restarts.
  int64_t start_us = 0;  // When the process started: tells it from earlier ones of the same name.
};

struct DueDelivery {
  Delivery delivery;
  std::optional<StoredNotification> notification;  // None: it delivers none, or the notification was deleted.
};

struct LeasedLane {
  LaneLease lease;
  Destination destination;
  bool failing = false;          // Its last attempt failed.
  std::vector<DueDelivery> due;  // In the order in which they are to be attempted.
};

// A lane that is leased already and is to be read again.
struct LaneToRead {
  LaneLease lease;
  int limit = 0;  // The most due deliveries to read, including those that the worker already holds.
};

struct LeaseRequest {
  LeaseOwner owner;
  int64_t lease_until_us = 0;
  int lanes_max = 0;          // New leases of lanes whose last attempt did not fail.
  int failing_lanes_max = 0;  // New leases of lanes whose last attempt failed.
  int deliveries_max = 0;     // Of each.
  std::vector<LaneToRead> again = {};
};

// What an attempt means for its delivery.
enum class AttemptOutcome : uint8_t {
  kSucceeded,
  kRetry,
  kFailed,
  kPostponed,  // It was not made, for no fault of the destination: nothing changes but that its lane is held.
};

struct SettledAttempt {
  LaneLease lease;
  std::string delivery_id;
  int replay_count = 0;     // That of Delivery, when it was read.
  DeliveryAttempt attempt;  // Its number is set by the store.
  AttemptOutcome outcome = AttemptOutcome::kRetry;
  int64_t next_attempt_time_us = 0;                     // Of kRetry.
  DisableReason disable_reason = DisableReason::kNone;  // Any other: the attempt disables the destination.
  int64_t hold_until_us = 0;                            // Nothing is sent to the destination until then.
};

struct SettleRequest {
  std::vector<SettledAttempt> attempts;
  std::vector<LaneLease> releases;  // Leases to end, after the attempts.
  std::vector<LaneLease> renewals;  // Leases to go on until lease_until_us.
  int64_t lease_until_us = 0;
  // A destination that has been failing for this long is disabled by its next failure.
  int64_t disable_after_failing_us = 0;
};

struct DisabledDestination {
  std::string id;
  std::string user_id;
  DisableReason reason = DisableReason::kNone;
};

struct SettleResult {
  int applied = 0;              // Attempts that counted.
  std::vector<LaneLease> lost;  // Of renewals and releases: leased by another worker since.
  std::vector<DisabledDestination> disabled;
  std::vector<std::string> verified;  // Destinations that answered their verification.
  std::vector<std::string> told;      // Users for whom a notification of that was stored; once for each.
};

struct QueueState {
  int64_t queued = 0;                    // Counted up to kQueueCountMax.
  std::optional<int64_t> oldest_due_us;  // Of the due deliveries in lanes that are not failing.
  int64_t disabled_destinations = 0;     // Counted up to kQueueCountMax.
};
inline constexpr int64_t kQueueCountMax = 100'000;

class DeliveryStore {
 public:
  virtual ~DeliveryStore() = default;

  // Leases lanes that are due, longest due first, and reads the due deliveries of these and of `again` (lanes whose
  // lease was lost are left out). Lanes of deleted or disabled destinations come without deliveries: see
  // CancelForInactive.
  virtual absl::StatusOr<std::vector<LeasedLane>> LeaseLanes(const LeaseRequest& request, int64_t now_us) = 0;
  // Ends the leases that earlier processes with the owner's name hold, and returns their number. Call it only if no
  // other instance has this name. What such a process still writes is late, as if its lanes had been leased anew.
  virtual absl::StatusOr<int64_t> EndEarlierLeases(const LeaseOwner& owner, int64_t now_us) = 0;
  // Writes the results of attempts, in one transaction. It also stores a notification of each destination that is
  // verified or disabled by that, and queues it for the user's other ACTIVE destinations.
  virtual absl::StatusOr<SettleResult> Settle(const SettleRequest& request) = 0;
  // Cancels the queued deliveries of those of these destinations that are disabled or deleted, at most
  // kDeliveriesChangedMax in total, and returns their number.
  virtual absl::StatusOr<int64_t> CancelForInactive(const std::vector<std::string>& destination_ids,
                                                    int64_t now_us) = 0;
  virtual absl::StatusOr<QueueState> QueryState(int64_t now_us) = 0;
};

}  // namespace stockalert::notifier
