// OutboxStore on PostgreSQL through SOCI. Thread-safe; owns no thread.
#pragma once

#include <string>
#include <vector>

#include "services/alert/outbox_store.h"
#include "services/common/postgres/pool.h"

namespace stockalert::alert {

class PostgresOutboxStore final : public OutboxStore {
 public:
  // `pool` must outlive it.
  explicit PostgresOutboxStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<std::vector<StoredAlert>> ClaimOpenChanges(int64_t now_us, int limit) override;
  absl::Status PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) override;
  absl::StatusOr<ReopenedChanges> ReopenChanges(const std::string& symbol, const std::string& after_alert_id, int limit,
                                                int64_t now_us) override;
  absl::Status ForgetSymbolPlaces(const std::string& symbol) override;
  absl::StatusOr<std::vector<AlertOwner>> ClaimTriggers(int64_t now_us, int limit) override;
  absl::StatusOr<std::vector<PassedTrigger>> LoadTriggers(const std::vector<std::string>& alert_ids,
                                                          int limit) override;
  absl::Status RemoveTriggers(const std::vector<TriggerId>& triggers) override;
  absl::StatusOr<Backlog> MeasureBacklog() override;
  absl::StatusOr<int64_t> Purge(int64_t before_us, int limit) override;
  absl::Status ForgetMinutes(int64_t now_us) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::alert
