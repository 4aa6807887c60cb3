// SettingsStore on PostgreSQL (schema/0006_digests.sql). Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "services/common/postgres/pool.h"
#include "services/notifier/settings/settings_store.h"

namespace stockalert::notifier {

class PostgresSettingsStore final : public SettingsStore {
 public:
  // `pool` must outlive it.
  explicit PostgresSettingsStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<NotificationSettings> Get(const std::string& user_id) override;
  absl::StatusOr<NotificationSettings> Change(const std::string& user_id, const SettingsChange& change,
                                              int64_t now_us) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::notifier
