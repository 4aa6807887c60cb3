// Stores destinations and their deliveries: what the API needs.
//
// Thread-safe; calls block, bounded by the store's own timeouts. Every error is one of base/error.h: UNAVAILABLE
// (DATABASE_UNAVAILABLE) if the database does not answer, and those of each call. A call is for a user and finds
// nothing of another user: DESTINATION_NOT_FOUND, DELIVERY_NOT_FOUND.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/notifier/delivery/delivery_types.h"

namespace stockalert::notifier {

inline constexpr char kReasonDestinationNotFound[] = "DESTINATION_NOT_FOUND";
inline constexpr char kReasonDeliveryNotFound[] = "DELIVERY_NOT_FOUND";
inline constexpr char kReasonDestinationQuota[] = "DESTINATION_QUOTA";
inline constexpr char kReasonDestinationNotActive[] = "DESTINATION_NOT_ACTIVE";
inline constexpr char kReasonDeliveryQueued[] = "DELIVERY_QUEUED";

// The most rows that one call replays or cancels.
inline constexpr int kDeliveriesChangedMax = 10'000;

// A delivery without a notification, queued at once.
struct NewDelivery {
  std::string id;
  DeliveryKind kind = DeliveryKind::kVerification;
  std::string challenge;
};

struct DestinationRequestTag {
  std::string request_id;  // Empty: none.
  std::string fingerprint;
};

struct CreatedDestination {
  Destination destination;
  bool repeated = false;  // The same request had created it before.
};

// What a change does besides setting the destination's fields.
struct DestinationEffects {
  std::optional<NewDelivery> queue;
  bool cancel_verifications = false;  // Queued before this change.
  // All that are queued or held; at most kDeliveriesChangedMax of each, what is left is cancelled later.
  bool cancel_queued = false;
};
// Changes the current row or refuses. May be called more than once.
using DestinationChange = std::function<absl::StatusOr<DestinationEffects>(Destination&)>;

struct ChangedDestination {
  Destination destination;
  std::optional<Delivery> queued;
};

struct DeliveryFilter {
  std::string destination_id = {};   // Empty: to any; a deleted one, too.
  std::string notification_id = {};  // Empty: of any or none.
  std::optional<DeliveryState> state = {};
};

struct DeliveryWithAttempts {
  Delivery delivery;
  std::vector<DeliveryAttempt> attempts;  // Newest first, at most kAttemptsKept.
};

// The destination after which a page begins.
struct DestinationPlace {
  int64_t create_time_us = 0;
  std::string id;
};

// The errors of all stores.
absl::Status DestinationNotFound();
absl::Status DeliveryNotFound();
absl::Status DestinationNotActive();
absl::Status DeliveryQueuedAlready();
absl::Status DestinationQuota(int quota);
absl::Status RequestIdReused();
absl::Status RecipientNotFound();

class DestinationStore {
 public:
  virtual ~DestinationStore() = default;

  // Stores it, its lane and its verification, which it counts. The same request again returns what it created. Without
  // a verification it is ACTIVE already, which the user's other destinations are told, as by Change.
  // RESOURCE_EXHAUSTED (DESTINATION_QUOTA): the user has `quota` already; (DESTINATION_VERIFICATION_RATE): as
  // verification_limits.h says. INVALID_ARGUMENT (REQUEST_ID_REUSED). NOT_FOUND
  // (USER_NOT_FOUND): the user is being deleted.
  virtual absl::StatusOr<CreatedDestination> Create(const Destination& destination,
                                                    const std::optional<NewDelivery>& verification,
                                                    const DestinationRequestTag& request, int quota,
                                                    int64_t now_us) = 0;
  virtual absl::StatusOr<Destination> Get(const std::string& user_id, const std::string& id) = 0;
  // Oldest first, at most `limit`.
  virtual absl::StatusOr<std::vector<Destination>> List(const std::string& user_id,
                                                        const std::optional<DestinationPlace>& after, int limit) = 0;
  // Those of these destinations that the user has and that are not deleted, in no particular order.
  virtual absl::StatusOr<std::vector<std::string>> FindExisting(const std::string& user_id,
                                                                const std::vector<std::string>& ids) = 0;
  // Reads, changes and writes under the destination's lock. Where the change makes it ACTIVE or DISABLED, the same
  // transaction stores a notification of that and queues it for the user's other destinations. A verification that is
  // queued is counted, as by Create.
  virtual absl::StatusOr<ChangedDestination> Change(const std::string& user_id, const std::string& id,
                                                    const DestinationChange& change, int64_t now_us) = 0;

  // Newest first, with numbers below `before_number`, at most `limit`.
  virtual absl::StatusOr<std::vector<Delivery>> ListDeliveries(const std::string& user_id, const DeliveryFilter& filter,
                                                               int64_t before_number, int limit) = 0;
  virtual absl::StatusOr<DeliveryWithAttempts> GetDelivery(const std::string& user_id, const std::string& id) = 0;
  // FAILED_PRECONDITION (DELIVERY_QUEUED, DESTINATION_NOT_ACTIVE).
  virtual absl::StatusOr<Delivery> Replay(const std::string& user_id, const std::string& id, int64_t now_us) = 0;
  // FAILED_PRECONDITION (DESTINATION_NOT_ACTIVE). Returns their number, at most kDeliveriesChangedMax.
  virtual absl::StatusOr<int> ReplaySince(const std::string& user_id, const std::string& destination_id,
                                          int64_t since_us, int64_t now_us) = 0;
  // Those that are queued or held, at most kDeliveriesChangedMax.
  virtual absl::StatusOr<int> Cancel(const std::string& user_id, const std::string& destination_id, int64_t now_us) = 0;
};

}  // namespace stockalert::notifier
