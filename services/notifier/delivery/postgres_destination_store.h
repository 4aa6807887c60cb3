// DestinationStore on PostgreSQL (schema/0005_delivery.sql). Thread-safe.
#pragma once

#include "services/common/postgres/pool.h"
#include "services/notifier/delivery/destination_store.h"

namespace stockalert::notifier {

class PostgresDestinationStore final : public DestinationStore {
 public:
  // `pool` must outlive it.
  explicit PostgresDestinationStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<CreatedDestination> Create(const Destination& destination,
                                            const std::optional<NewDelivery>& verification,
                                            const DestinationRequestTag& request, int quota, int64_t now_us) override;
  absl::StatusOr<Destination> Get(const std::string& user_id, const std::string& id) override;
  absl::StatusOr<std::vector<Destination>> List(const std::string& user_id,
                                                const std::optional<DestinationPlace>& after, int limit) override;
  absl::StatusOr<std::vector<std::string>> FindExisting(const std::string& user_id,
                                                        const std::vector<std::string>& ids) override;
  absl::StatusOr<ChangedDestination> Change(const std::string& user_id, const std::string& id,
                                            const DestinationChange& change, int64_t now_us) override;
  absl::StatusOr<std::vector<Delivery>> ListDeliveries(const std::string& user_id, const DeliveryFilter& filter,
                                                       int64_t before_number, int limit) override;
  absl::StatusOr<DeliveryWithAttempts> GetDelivery(const std::string& user_id, const std::string& id) override;
  absl::StatusOr<Delivery> Replay(const std::string& user_id, const std::string& id, int64_t now_us) override;
  absl::StatusOr<int> ReplaySince(const std::string& user_id, const std::string& destination_id, int64_t since_us,
                                  int64_t now_us) override;
  absl::StatusOr<int> Cancel(const std::string& user_id, const std::string& destination_id, int64_t now_us) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::notifier
