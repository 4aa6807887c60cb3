// SplitNoticeStore on PostgreSQL through SOCI. Thread-safe; owns no thread.
#pragma once

#include <vector>

#include "services/alert/split_notice_store.h"
#include "services/common/postgres/pool.h"

namespace stockalert::alert {

class PostgresSplitNoticeStore final : public SplitNoticeStore {
 public:
  // `pool` must outlive it.
  explicit PostgresSplitNoticeStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<bool> CountAlerts(int64_t before_us, int alerts_max) override;
  absl::StatusOr<std::vector<PassedSplit>> ClaimNotices(int64_t now_us, int limit) override;
  absl::Status RemoveNotices(const std::vector<PassedSplit>& notices) override;
  absl::StatusOr<std::vector<ToldSplit>> EndTold() override;
  absl::StatusOr<int64_t> CountOpen() override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::alert
