// SplitStore on PostgreSQL through SOCI; its table is in schema/0006_splits.sql. Thread-safe; owns no thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/common/postgres/pool.h"
#include "services/ticker/split_store.h"

namespace stockalert::ticker {

class PostgresSplitStore final : public SplitStore {
 public:
  // `pool` must outlive it.
  explicit PostgresSplitStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<SplitRow> Declare(const record::Split& split, const std::string& request_id, int64_t now_us) override;
  absl::Status Withdraw(const record::Split& split) override;
  absl::StatusOr<std::optional<SplitRow>> Find(const std::string& symbol, int64_t number) override;
  absl::StatusOr<std::vector<SplitRow>> ClaimPending(int64_t now_us, int limit) override;
  absl::Status NoteFound(const record::Split& split, LogPlace place) override;
  absl::StatusOr<std::vector<SplitRow>> List(const std::string& symbol, const std::optional<SplitPlace>& after,
                                             int limit) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::ticker
