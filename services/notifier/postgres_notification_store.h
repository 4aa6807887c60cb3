// NotificationStore on PostgreSQL, schema stockalert_notifier.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "services/common/postgres/pool.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

class PostgresNotificationStore final : public NotificationStore {
 public:
  // `pool` must outlive it.
  explicit PostgresNotificationStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<IntakeResult> StoreBatch(const IntakeBatch& batch, int64_t now_us) override;
  absl::StatusOr<std::map<std::string, int64_t>> LastSequences(const std::vector<std::string>& user_ids) override;
  absl::StatusOr<std::vector<StoredNotification>> ListAfter(const std::string& user_id, int64_t sequence,
                                                            int limit) override;
  absl::StatusOr<std::vector<StoredNotification>> ListNewest(const std::string& user_id,
                                                             const NotificationFilter& filter, int64_t before_sequence,
                                                             int limit) override;
  absl::StatusOr<StoredNotification> Acknowledge(const std::string& user_id, const std::string& id,
                                                 int64_t now_us) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::notifier
