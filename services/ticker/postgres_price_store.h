// PriceStore on PostgreSQL, schema stockalert_ticker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "services/common/postgres/pool.h"
#include "services/ticker/price_store.h"

namespace stockalert::ticker {

class PostgresPriceStore final : public PriceStore {
 public:
  // `pool` must outlive it.
  explicit PostgresPriceStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<KeptPrices> Load() override;
  absl::Status Save(const KeptPrices& prices) override;
  absl::StatusOr<std::vector<MinuteBar>> LastBars(const std::string& symbol, int64_t start_us, int64_t end_us,
                                                  int limit) override;
  absl::StatusOr<bool> AdoptLog(const std::string& cluster_id) override;
  absl::Status ForgetPlaces(int32_t partition) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::ticker
