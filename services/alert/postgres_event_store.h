// EventStore on PostgreSQL through SOCI.
//
// Thread-safe; owns no thread. Alerts are locked in the order of their ids, counts of minutes and statuses in the order
// of their keys, so that two batches wait for each other at most.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "services/alert/event_store.h"
#include "services/common/postgres/pool.h"

namespace stockalert::alert {

class PostgresEventStore final : public EventStore {
 public:
  // `pool` must outlive it.
  explicit PostgresEventStore(postgres::Pool& pool) : pool_(pool) {}

  absl::Status Transact(const std::function<absl::Status(EventTransaction&)>& steps) override;
  absl::StatusOr<std::vector<AlertOwner>> FindOwners(const std::vector<std::string>& alert_ids) override;
  absl::StatusOr<std::vector<StoredAlert>> DeleteUser(const std::string& user_id, int64_t now_us, int limit,
                                                      const Burial& burial) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::alert
