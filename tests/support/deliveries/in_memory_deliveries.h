// Destinations and their queue in memory. Thread-safe. It can be made to fail.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "services/notifier/delivery/delivery_store.h"
#include "services/notifier/delivery/destination_notice.h"
#include "services/notifier/delivery/destination_store.h"
#include "services/notifier/delivery/verification_limits.h"

namespace stockalert::testing {

class InMemoryDeliveries final : public notifier::DestinationStore, public notifier::DeliveryStore {
 public:
  absl::StatusOr<notifier::CreatedDestination> Create(const notifier::Destination& destination,
                                                      const std::optional<notifier::NewDelivery>& verification,
                                                      const notifier::DestinationRequestTag& request, int quota,
                                                      int64_t now_us) override;
  absl::StatusOr<notifier::Destination> Get(const std::string& user_id, const std::string& id) override;
  absl::StatusOr<std::vector<notifier::Destination>> List(const std::string& user_id,
                                                          const std::optional<notifier::DestinationPlace>& after,
                                                          int limit) override;
  absl::StatusOr<std::vector<std::string>> FindExisting(const std::string& user_id,
                                                        const std::vector<std::string>& ids) override;
  absl::StatusOr<notifier::ChangedDestination> Change(const std::string& user_id, const std::string& id,
                                                      const notifier::DestinationChange& change,
                                                      int64_t now_us) override;
  absl::StatusOr<std::vector<notifier::Delivery>> ListDeliveries(const std::string& user_id,
                                                                 const notifier::DeliveryFilter& filter,
                                                                 int64_t before_number, int limit) override;
  absl::StatusOr<notifier::DeliveryWithAttempts> GetDelivery(const std::string& user_id,
                                                             const std::string& id) override;
  absl::StatusOr<notifier::Delivery> Replay(const std::string& user_id, const std::string& id, int64_t now_us) override;
  absl::StatusOr<int> ReplaySince(const std::string& user_id, const std::string& destination_id, int64_t since_us,
                                  int64_t now_us) override;
  absl::StatusOr<int> Cancel(const std::string& user_id, const std::string& destination_id, int64_t now_us) override;

  absl::StatusOr<std::vector<notifier::LeasedLane>> LeaseLanes(const notifier::LeaseRequest& request,
                                                               int64_t now_us) override;
  absl::StatusOr<int64_t> EndEarlierLeases(const notifier::LeaseOwner& owner, int64_t now_us) override;
  absl::StatusOr<notifier::SettleResult> Settle(const notifier::SettleRequest& request) override;
  absl::StatusOr<int64_t> CancelForInactive(const std::vector<std::string>& destination_ids, int64_t now_us) override;
  absl::StatusOr<notifier::QueueState> QueryState(int64_t now_us) override;

  // Like StoreBatch: for the destinations that route_rules.h chooses. Returns the ids of the deliveries.
  std::vector<std::string> Queue(const notifier::StoredNotification& notification, int64_t now_us);
  // The user's notifications of the kind DESTINATION, in the order of storing.
  std::vector<notifier::StoredNotification> Notices(const std::string& user_id);
  // The user is gone.
  void DeleteUser(const std::string& user_id);
  // What every later call answers; OK ends that.
  void Fail(absl::Status status);
  // What EndEarlierLeases answers.
  void FailEndingLeases(absl::Status status);
  // Leases that are held by anybody.
  int leased(int64_t now_us);
  // How often the destination's lane was leased.
  int64_t lease_number(const std::string& destination_id);
  notifier::Delivery Find(const std::string& delivery_id);

 private:
  struct Stored {
    notifier::Destination destination;
    notifier::DestinationRequestTag request;
    bool failing = false;
    int64_t hold_until_us = 0;
    notifier::LeaseOwner lease_owner = {};
    int64_t lease_number = 0;
    int64_t lease_until_us = 0;
  };
  struct Row {
    notifier::Delivery delivery;
    std::vector<notifier::DeliveryAttempt> attempts;
  };
  // All with mutex_ held.
  Stored* FindLocked(const std::string& user_id, const std::string& id);
  notifier::Delivery InsertLocked(const notifier::Destination& destination, const notifier::NewDelivery& delivery,
                                  const std::string& notification_id, int64_t now_us);
  int CancelLocked(const std::string& destination_id, bool verifications_only, int64_t now_us);
  absl::Status CountRequestLocked(const notifier::Destination& destination, int64_t now_us);
  std::vector<Row*> DueLocked(const Stored& stored, int64_t now_us);
  std::vector<std::string> QueueLocked(notifier::StoredNotification notification, int64_t now_us);
  void TellLocked(const notifier::DestinationTurn& turn);
  void ReplayLocked(notifier::Delivery& delivery, int64_t now_us);

  std::mutex mutex_;
  absl::Status failure_;  // Guarded by mutex_, as what follows.
  absl::Status ending_failure_;
  std::map<std::string, Stored> destinations_;
  std::map<std::string, notifier::VerificationCount> user_counts_;
  std::map<std::string, notifier::VerificationCount> target_counts_;
  std::map<std::string, Row> deliveries_;
  std::map<std::string, notifier::StoredNotification> notifications_;
  std::map<std::string, bool> deleted_users_;
  int64_t numbers_ = 0;
  int queued_ids_ = 0;
  std::vector<notifier::StoredNotification> notices_;
};

}  // namespace stockalert::testing
