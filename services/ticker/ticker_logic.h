// What the ticker service does, apart from how it is called: registering, deleting, quoting and publishing.
//
// Thread-safe. Calls block on the store and on peers, at most until their deadline. Errors are those of base/error.h.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/caller.h"
#include "services/ticker/peers.h"
#include "services/ticker/price_board.h"
#include "services/ticker/quote_fetcher.h"
#include "services/ticker/ticker_store.h"
#include "services/ticker/token_buckets.h"

namespace stockalert::ticker {

inline constexpr size_t kBatchSymbolsMax = 100;
inline constexpr size_t kLastPricesMax = 1000;
inline constexpr int32_t kHoldMsMax = 60'000;

struct TickerLogicOptions {
  int quotes_per_user_per_minute = 300;
  absl::Duration fetch_timeout = absl::Seconds(5);
  absl::Duration lookup_timeout = absl::Seconds(3);
  absl::Duration publish_timeout = absl::Seconds(15);
  absl::Duration count_timeout = absl::Seconds(2);
  // How long a deletion that crashed keeps new registrations off. Above twice count_timeout.
  absl::Duration mark_life = absl::Seconds(10);
  absl::Duration last_price_staleness_max = absl::Seconds(2);
};

struct TickerView {
  TickerRow ticker;
  SymbolPrices prices;
};

class TickerLogic {
 public:
  // What it is given must outlive it.
  TickerLogic(const TickerLogicOptions& options, TickerStore& store, PriceBoard& board, Fetcher& fetcher, TickerUse& use,
              const base::Clock& clock, base::IdSource& ids);

  // `fields` names each symbol in errors: "symbol", "symbols[3]". In the order asked.
  // INVALID_ARGUMENT: no symbols, or (UNKNOWN_SYMBOL) the source knows none such. UNAVAILABLE (FETCHER_UNAVAILABLE): a new one cannot be
  // checked; nothing is registered.
  absl::StatusOr<std::vector<TickerView>> Register(const std::vector<std::string>& symbols, const std::vector<std::string>& fields,
                                                   int32_t hold_ms, const trace::Context& trace, absl::Time deadline);
  // NOT_FOUND (TICKER_NOT_FOUND).
  absl::StatusOr<TickerView> Get(const std::string& symbol);
  absl::StatusOr<std::vector<TickerView>> List(const std::string& after, int limit);
  // FAILED_PRECONDITION (TICKER_IN_USE).
  absl::Status Delete(const std::string& symbol, const trace::Context& trace, absl::Time deadline);

  // NOT_FOUND where one is not registered.
  absl::Status CheckRegistered(const std::vector<std::string>& symbols);
  // The current prices, in the order asked; those without any price are left out. RESOURCE_EXHAUSTED: the user's limit, or the source's.
  absl::StatusOr<std::vector<internal::v1::QuoteRecord>> Quote(const std::vector<std::string>& symbols, const rpc::Caller& caller,
                                                               const trace::Context& trace, absl::Time deadline);
  // INVALID_ARGUMENT names the quotes whose tickers are not registered.
  absl::StatusOr<int> Publish(const std::vector<internal::v1::QuoteRecord>& quotes, const trace::Context& trace, absl::Time deadline);

  // UNAVAILABLE (PRICES_NOT_READY).
  absl::StatusOr<std::vector<SymbolPrices>> LastPrices(const std::vector<std::string>& symbols);
  absl::StatusOr<int64_t> AcquirePublisherEpoch() { return store_.NextPublisherEpoch(); }
  absl::StatusOr<SymbolList> ListSymbols(int64_t known_version) { return store_.ListSymbols(known_version); }

 private:
  struct Hold {
    TickerRow ticker;
    int64_t until_us = 0;
  };
  std::vector<TickerView> WithPrices(std::vector<TickerRow> tickers, const std::vector<std::string>& order) const;
  // The rows, where each is known to be held until `until_us`; else nothing.
  std::vector<TickerRow> FindHeld(const std::vector<std::string>& symbols, int64_t until_us);
  void RememberHolds(const std::vector<TickerRow>& tickers, int64_t until_us);

  const TickerLogicOptions options_;
  TickerStore& store_;
  PriceBoard& board_;
  Fetcher& fetcher_;
  TickerUse& use_;
  const base::Clock& clock_;
  base::IdSource& ids_;
  TokenBuckets quotes_of_users_;
  QuoteFetcher quote_fetcher_;
  std::mutex mutex_;
  // Holds that the database has: while one lasts nobody deletes the ticker, so that a register call under it needs no database. Guarded by mutex_.
  std::unordered_map<std::string, Hold> holds_;
};

}  // namespace stockalert::ticker
