// What the ticker service does, independent of its transport: registering, deleting, quoting and publishing.
//
// Thread-safe. Calls block on the store and on peers, at most until their deadline. Errors are those of base/error.h.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/base/token_buckets.h"
#include "services/common/grpc/caller.h"
#include "services/ticker/bulkhead.h"
#include "services/ticker/peers.h"
#include "services/ticker/price_board.h"
#include "services/ticker/price_store.h"
#include "services/ticker/quote_fetcher.h"
#include "services/ticker/ticker_store.h"

namespace stockalert::ticker {

inline constexpr size_t kBatchSymbolsMax = 100;
inline constexpr size_t kLastPricesMax = 1000;
inline constexpr int kLastBarsMax = 1000;
inline constexpr int32_t kHoldMsMax = 60'000;
inline constexpr int kSymbolsPageMax = 10'000;
// As many of the longest symbols as fit into 12 MiB.
inline constexpr int kSymbolsUnpagedMax = 360'000;

struct TickerLogicOptions {
  int quotes_per_user_per_minute = 300;
  absl::Duration fetch_timeout = absl::Seconds(5);
  absl::Duration lookup_timeout = absl::Seconds(3);
  absl::Duration publish_timeout = absl::Seconds(15);
  // How long a call waits for the board to read what it published, or what was fetched for it.
  absl::Duration outcome_timeout = absl::Seconds(5);
  absl::Duration read_timeout = absl::Seconds(2);
  absl::Duration count_timeout = absl::Seconds(2);
  // How long a deletion that crashed blocks new registrations. Above twice count_timeout.
  absl::Duration mark_life = absl::Seconds(10);
  absl::Duration last_price_staleness_max = absl::Seconds(2);
  // Registrations that may wait for the source at once, in total and of one user. Below the threads of either port, so
  // that calls which do not need the source always find one.
  size_t lookups_max = 8;
  size_t lookups_per_user_max = 2;
  // One user's calls for current prices at once.
  size_t quote_calls_per_user_max = 8;
  // Tickers that a user registered and that were never seen in use.
  int unused_per_user_max = 200;
  // New tickers that a user may register in 24 hours, used or not: following and unfollowing does not allow more.
  int new_per_user_per_day = 2000;
  // How long an unused ticker is kept.
  absl::Duration forget_unused_after = absl::Hours(24);
};

// Current prices, and why some are missing.
struct Quotes {
  std::vector<internal::v1::QuoteRecord> quotes;
  std::vector<SymbolProblem> problems;
};

// As an error: FAILED_PRECONDITION (SYMBOL_NOT_IN_PLAN) or UNAVAILABLE (SOURCE_UNAVAILABLE).
absl::Status ToStatus(const SymbolProblem& problem);

struct TickerView {
  TickerRow ticker;
  SymbolPrices prices;
};

class TickerLogic {
 public:
  // What it is given must outlive it.
  TickerLogic(const TickerLogicOptions& options, TickerStore& store, PriceStore& price_store, PriceBoard& board,
              Fetcher& fetcher, TickerUse& use, const base::Clock& clock, const base::MonotonicClock& monotonic_clock,
              base::IdSource& ids);

  // `fields` names each symbol in errors: "symbol", "symbols[3]". In the order asked.
  // INVALID_ARGUMENT: no symbols, or the source knows none such (UNKNOWN_SYMBOL), or does not give its prices
  // (SYMBOL_NOT_IN_PLAN). UNAVAILABLE (FETCHER_UNAVAILABLE; SYMBOL_UNVERIFIED: the source cannot tell now): a new one
  // cannot be checked. RESOURCE_EXHAUSTED (SOURCE_BUSY): too many wait for the source; (TICKER_QUOTA): the user has
  // registered too many unused tickers, or too many in a day. In each case nothing is registered. `user` is the user
  // whose share of the source's calls it uses; empty: no user's.
  absl::StatusOr<std::vector<TickerView>> Register(const std::vector<std::string>& symbols,
                                                   const std::vector<std::string>& fields, int32_t hold_ms,
                                                   const std::string& user, const trace::Context& trace,
                                                   absl::Time deadline);
  // The checks of Register, with its errors but for that of a ticker that is being deleted; registers and holds
  // nothing. The symbols in their normal form, in the order asked.
  absl::StatusOr<std::vector<std::string>> CheckRegistration(const std::vector<std::string>& symbols,
                                                             const std::vector<std::string>& fields,
                                                             const std::string& user, const trace::Context& trace,
                                                             absl::Time deadline);
  // NOT_FOUND (TICKER_NOT_FOUND).
  absl::StatusOr<TickerView> Get(const std::string& symbol);
  absl::StatusOr<std::vector<TickerView>> List(const std::string& after, int limit);
  // FAILED_PRECONDITION (TICKER_IN_USE).
  absl::Status Delete(const std::string& symbol, const trace::Context& trace, absl::Time deadline);

  // Checks some tickers and forgets those that nobody has followed, had an alert on or held for long; returns how many
  // it checked. An error ends the round; the next one checks the rest.
  absl::StatusOr<int> ForgetUnused(const trace::Context& trace, absl::Time deadline);

  // NOT_FOUND where one is not registered.
  absl::Status CheckRegistered(const std::vector<std::string>& symbols);
  // The current prices, in the order asked; those without any price are left out. RESOURCE_EXHAUSTED: the user's limit,
  // or the source's. UNAVAILABLE (PRICES_NOT_READY): the board does not reach the fetched quotes in time.
  absl::StatusOr<Quotes> GetQuotes(const std::vector<std::string>& symbols, const rpc::Caller& caller,
                                   const trace::Context& trace, absl::Time deadline);
  // INVALID_ARGUMENT names the quotes whose tickers are not registered.
  // The outcome of each quote, in the order given; none where it was not seen before the deadline.
  absl::StatusOr<std::vector<std::optional<QuoteOutcome>>> Publish(const std::vector<internal::v1::QuoteRecord>& quotes,
                                                                   const trace::Context& trace, absl::Time deadline);

  // The last `limit` bars that begin in [start_us, end_us), newest first; of a symbol that nobody registered, too.
  absl::StatusOr<std::vector<MinuteBar>> LastBars(const std::string& symbol, int64_t start_us, int64_t end_us,
                                                  int limit) {
    return price_store_.LastBars(symbol, start_us, end_us, limit);
  }
  // The number of the ticker's last split; none while the log is not being read.
  std::optional<int64_t> SplitNumber(const TickerView& view) const {
    if (!board_.CheckFresh(options_.last_price_staleness_max).ok()) return std::nullopt;
    return view.prices.split_number;
  }
  // UNAVAILABLE (PRICES_NOT_READY).
  absl::StatusOr<std::vector<SymbolPrices>> LastPrices(const std::vector<std::string>& symbols);
  // Also above all epochs seen in the log: a database restored from a backup may have missed some.
  absl::StatusOr<int64_t> AcquirePublisherEpoch(int64_t if_highest_is) {
    return store_.NextPublisherEpoch(board_.HighestEpoch(), if_highest_is);
  }
  absl::StatusOr<PublisherLeaseRow> RenewPublisher(int64_t epoch, bool release) {
    return store_.RenewPublisher(epoch, release);
  }
  int64_t LogEpoch() const { return board_.HighestEpoch(); }
  // `page_size` 0: as many as fit into one answer that a fetcher of version 0.1 takes.
  absl::StatusOr<SymbolList> ListSymbols(int64_t known_version, int page_size, const std::string& after);

 private:
  struct Hold {
    TickerRow ticker;
    int64_t until_us = 0;
  };
  // Those of `order` that are registered, where the others may be.
  absl::StatusOr<std::vector<TickerRow>> AdmitAll(const std::vector<std::string>& order,
                                                  const std::vector<std::string>& fields, const std::string& user,
                                                  const trace::Context& trace, absl::Time deadline);
  // OK where the source knows all symbols of `order` that are not in `known`, and gives their prices.
  absl::Status VerifySymbols(const std::vector<std::string>& order, const std::vector<std::string>& fields,
                             std::set<std::string> known, const std::string& user, const trace::Context& trace,
                             absl::Time deadline);
  // OK where the user may register `more` further tickers.
  absl::Status CheckUnusedQuota(const std::string& user, size_t more, const trace::Context& trace, absl::Time deadline);
  // Finds out which of them are in use, and stores it.
  absl::Status CheckUse(const std::vector<std::string>& symbols, const trace::Context& trace, absl::Time deadline);
  std::vector<TickerView> WithPrices(std::vector<TickerRow> tickers, const std::vector<std::string>& order) const;
  // The rows, where each is known to be held until `until_us`; else nothing.
  std::vector<TickerRow> FindHeld(const std::vector<std::string>& symbols, int64_t until_us);
  void RememberHolds(const std::vector<TickerRow>& tickers, int64_t until_us);

  const TickerLogicOptions options_;
  TickerStore& store_;
  PriceStore& price_store_;
  PriceBoard& board_;
  Fetcher& fetcher_;
  TickerUse& use_;
  const base::Clock& clock_;
  base::IdSource& ids_;
  base::TokenBuckets quotes_of_users_;
  base::TokenBuckets looks_of_users_;
  Bulkhead lookups_;
  Bulkhead quote_calls_;
  QuoteFetcher quote_fetcher_;
  const base::MonotonicClock& monotonic_clock_;
  base::Mutex mutex_;
  int64_t counted_version_ ABSL_GUARDED_BY(mutex_) = 0;  // The tickers were counted then.
  int64_t next_count_us_ ABSL_GUARDED_BY(mutex_) = 0;
  // Holds that are stored in the database: while one lasts nobody deletes the ticker, so that a registration under it
  // does not need the database.
  std::unordered_map<std::string, Hold> holds_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace stockalert::ticker
