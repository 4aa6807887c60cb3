// TickerStore and PriceStore in memory. Thread-safe. Each can be made to fail.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "services/ticker/price_store.h"
#include "services/ticker/ticker_store.h"

namespace stockalert::testing {

class InMemoryTickerStore final : public ticker::TickerStore {
 public:
  absl::StatusOr<std::vector<ticker::TickerRow>> Find(const std::vector<std::string>& symbols) override;
  absl::StatusOr<std::vector<ticker::TickerRow>> Register(const std::vector<std::string>& symbols, int64_t now_us,
                                                          int64_t hold_until_us, const std::string& user) override;
  absl::StatusOr<std::vector<std::string>> FindUnused(const std::string& user, int limit) override;
  absl::StatusOr<int64_t> CountRegistered(const std::string& user, int64_t after_us) override;
  absl::StatusOr<std::vector<std::string>> FindDueForUseCheck(int64_t before_us, int64_t now_us, int limit) override;
  absl::Status MarkUseChecked(const std::vector<std::string>& symbols, bool used, int64_t now_us) override;
  absl::StatusOr<std::vector<ticker::TickerRow>> List(const std::string& after, int limit) override;
  absl::Status MarkDeleting(const std::string& symbol, const std::string& token, int64_t now_us,
                            int64_t until_us) override;
  absl::Status Unmark(const std::string& symbol, const std::string& token) override;
  absl::StatusOr<bool> DeleteMarked(const std::string& symbol, const std::string& token) override;
  absl::StatusOr<ticker::SymbolList> ListSymbols(int64_t known_version, const std::string& after, int limit) override;
  absl::StatusOr<int64_t> CountTickers() override;
  absl::StatusOr<int64_t> NextPublisherEpoch(int64_t above, int64_t if_highest_is) override;
  absl::StatusOr<ticker::PublisherLeaseRow> RenewPublisher(int64_t epoch, bool release) override;

  // What every later call answers; OK ends that.
  void Fail(absl::Status status);
  // Calls of Register so far.
  int registrations() const;

 private:
  struct Row {
    int64_t create_time_us = 0;
    int64_t hold_until_us = 0;
    std::string token;
    int64_t deleting_until_us = 0;
    std::string user = {};
    int64_t looked_time_us = 0;
    int64_t used_time_us = 0;
  };
  mutable std::mutex mutex_;
  absl::Status failure_;  // Guarded by mutex_, as what follows.
  std::map<std::string, Row> rows_;
  int64_t version_ = 1;
  int64_t epoch_ = 0;
  int64_t renewals_ = 0;
  int64_t released_ = 0;
  int registrations_ = 0;
};

class InMemoryPriceStore final : public ticker::PriceStore {
 public:
  absl::StatusOr<ticker::KeptPrices> Load() override;
  absl::Status Save(const ticker::KeptPrices& prices) override;
  absl::StatusOr<std::vector<ticker::MinuteBar>> LastBars(const std::string& symbol, int64_t start_us, int64_t end_us,
                                                          int limit) override;
  absl::StatusOr<bool> AdoptLog(const std::string& cluster_id) override;
  absl::Status ForgetPlaces(int32_t partition) override;

 private:
  std::mutex mutex_;
  std::map<std::string, ticker::SymbolPrices> symbols_;  // Guarded by mutex_, as what follows.
  std::map<int32_t, int64_t> next_offsets_;
  std::map<std::string, std::map<int64_t, ticker::MinuteBar>> bars_;  // As after splits_.
  std::map<std::string, std::set<int64_t>> splits_;                   // By symbol, their numbers.
  std::string cluster_id_;
};

}  // namespace stockalert::testing
