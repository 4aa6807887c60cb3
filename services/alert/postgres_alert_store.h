// AlertStore on PostgreSQL through SOCI; its tables are in schema/.
//
// Thread-safe; owns no thread. Alerts are locked in the order of their ids, and before their outbox rows. A deletion
// and DeleteUser may meet all the same (the one locks the alert first, the other the owner): Postgres finds it, and
// postgres::Transact runs one again, bounded.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/alert/alert_store.h"
#include "services/common/postgres/pool.h"

namespace stockalert::alert {

class PostgresAlertStore final : public AlertStore {
 public:
  // `pool` must outlive it.
  explicit PostgresAlertStore(postgres::Pool& pool) : pool_(pool) {}

  absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t quota, int64_t now_us,
                      const Admission& admission) override;
  absl::StatusOr<std::vector<bool>> CreateGroup(const std::vector<Creation>& group, int64_t quota,
                                                int64_t now_us) override;
  absl::StatusOr<std::vector<StoredAlert>> FindByRequestIds(const std::string& user_id,
                                                            const std::vector<std::string>& request_ids) override;
  absl::StatusOr<std::optional<ShownAlert>> Find(const std::string& user_id, const std::string& alert_id) override;
  absl::StatusOr<std::vector<ShownAlert>> FindAll(const std::string& user_id,
                                                  const std::vector<std::string>& alert_ids) override;
  absl::StatusOr<ShownAlert> Change(const std::string& user_id, const std::string& alert_id, int64_t now_us,
                                    const Mutation& mutation) override;
  absl::StatusOr<std::vector<ShownAlert>> List(const ListFilter& filter, const std::optional<ListPlace>& after,
                                               int64_t now_us, int limit) override;
  absl::StatusOr<std::vector<RecordedTrigger>> ListTriggers(const TriggerFilter& filter,
                                                            const std::optional<TriggerPlace>& after,
                                                            int limit) override;
  absl::StatusOr<std::map<std::string, int64_t>> FindSplitNumbers(const std::vector<std::string>& symbols) override;
  absl::StatusOr<int64_t> Count(const std::string& symbol) override;
  absl::Status Ready() override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::alert
