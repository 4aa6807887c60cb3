// DeliveryStore on PostgreSQL (schema/0005_delivery.sql). Thread-safe.
//
// The cost of leasing depends on what is leased, not on what waits: lanes are found by an index of their due times, and
// their deliveries by an index for each lane.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "services/common/postgres/pool.h"
#include "services/notifier/delivery/delivery_store.h"

namespace stockalert::notifier {

class PostgresDeliveryStore final : public DeliveryStore {
 public:
  // `pool` must outlive it.
  explicit PostgresDeliveryStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<std::vector<LeasedLane>> LeaseLanes(const LeaseRequest& request, int64_t now_us) override;
  absl::StatusOr<int64_t> EndEarlierLeases(const LeaseOwner& owner, int64_t now_us) override;
  absl::StatusOr<SettleResult> Settle(const SettleRequest& request) override;
  absl::StatusOr<int64_t> CancelForInactive(const std::vector<std::string>& destination_ids, int64_t now_us) override;
  absl::StatusOr<QueueState> QueryState(int64_t now_us) override;

 private:
  // Settles with the locks of these users' rows. None, and nothing is done, if a user without a lock is to be told of a
  // destination; `users` are then all that need one.
  absl::StatusOr<std::optional<SettleResult>> SettleWith(const SettleRequest& request, std::set<std::string>& users);

  postgres::Pool& pool_;
};

}  // namespace stockalert::notifier
