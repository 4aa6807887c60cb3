// TickerStore on PostgreSQL, schema stockalert_ticker.
#pragma once

#include <string>
#include <vector>

#include "services/common/postgres/pool.h"
#include "services/ticker/ticker_store.h"

namespace stockalert::ticker {

class PostgresTickerStore final : public TickerStore {
 public:
  // `pool` must outlive it.
  explicit PostgresTickerStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<std::vector<TickerRow>> Find(const std::vector<std::string>& symbols) override;
  absl::StatusOr<std::vector<TickerRow>> Register(const std::vector<std::string>& symbols, int64_t now_us,
                                                  int64_t hold_until_us, const std::string& user) override;
  absl::StatusOr<std::vector<std::string>> FindUnused(const std::string& user, int limit) override;
  absl::StatusOr<int64_t> CountRegistered(const std::string& user, int64_t after_us) override;
  absl::StatusOr<std::vector<std::string>> FindDueForUseCheck(int64_t before_us, int64_t now_us, int limit) override;
  absl::Status MarkUseChecked(const std::vector<std::string>& symbols, bool used, int64_t now_us) override;
  absl::StatusOr<std::vector<TickerRow>> List(const std::string& after, int limit) override;
  absl::Status MarkDeleting(const std::string& symbol, const std::string& token, int64_t now_us,
                            int64_t until_us) override;
  absl::Status Unmark(const std::string& symbol, const std::string& token) override;
  absl::StatusOr<bool> DeleteMarked(const std::string& symbol, const std::string& token) override;
  absl::StatusOr<SymbolList> ListSymbols(int64_t known_version, const std::string& after, int limit) override;
  absl::StatusOr<int64_t> CountTickers() override;
  absl::StatusOr<int64_t> NextPublisherEpoch(int64_t above, int64_t if_highest_is) override;
  absl::StatusOr<PublisherLeaseRow> RenewPublisher(int64_t epoch, bool release) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::ticker
