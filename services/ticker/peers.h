// The services that the ticker service calls: the fetcher, which owns the source, and the services that use tickers.
//
// Interfaces are thread-safe; their calls block until `deadline` at most. Errors are those of base/error.h: UNAVAILABLE
// where the peer does not answer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/trace/trace.h"
#include "services/ticker/latest_prices.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::ticker {

inline constexpr char kReasonFetcherUnavailable[] = "FETCHER_UNAVAILABLE";
inline constexpr char kReasonSourceUnavailable[] = "SOURCE_UNAVAILABLE";
inline constexpr char kReasonSymbolUnverified[] = "SYMBOL_UNVERIFIED";
inline constexpr char kReasonNotInPlan[] = "SYMBOL_NOT_IN_PLAN";

enum class Knowledge {
  kKnown,
  kUnknown,
  kNotInPlan,  // The source has it, and not for this operator.
  kNoList,     // The source knows no symbols: any may be used.
  kAskLater,   // The source cannot tell now.
};
struct LookedUp {
  Knowledge knowledge = Knowledge::kAskLater;
  absl::Duration retry_after = absl::ZeroDuration();  // kAskLater.
};

// Why a symbol has no price.
struct SymbolProblem {
  std::string symbol;
  bool not_in_plan = false;  // Else the source does not answer for it.
  absl::Duration retry_after = absl::ZeroDuration();
};
struct FetchedQuotes {
  std::vector<internal::v1::QuoteRecord> quotes;
  std::vector<SymbolProblem> problems;  // Of symbols without a quote.
};

class Fetcher {
 public:
  virtual ~Fetcher() = default;
  // `user`: the user whose share of the source's calls it uses; empty: no user's.
  virtual absl::StatusOr<LookedUp> Lookup(const std::string& symbol, const std::string& user,
                                          const trace::Context& trace, absl::Time deadline) = 0;
  // Those that have a price, in any order; each with the epoch and sequence under which the log has it. `done` is
  // called once, on another thread or this one; it must be quick.
  using Fetched = std::function<void(absl::StatusOr<FetchedQuotes>)>;
  virtual void FetchAsync(const std::vector<std::string>& symbols, const std::string& user, const trace::Context& trace,
                          absl::Time deadline, Fetched done) = 0;
  // Returns the place of each in the log; nothing if the fetcher is of an older version that does not tell. After an
  // error some may be in the log.
  virtual absl::StatusOr<std::vector<LogPlace>> Publish(const std::vector<internal::v1::QuoteRecord>& quotes,
                                                        const trace::Context& trace, absl::Time deadline) = 0;
};

class SplitPublisher {
 public:
  virtual ~SplitPublisher() = default;
  // Where the log has it. UNAVAILABLE (FETCHER_UNAVAILABLE): it may be in the log; may be called again. Another error:
  // it is not. FAILED_PRECONDITION (LOG_FORMAT_TOO_OLD): the log takes none.
  virtual absl::StatusOr<LogPlace> PublishSplit(const record::Split& split, const trace::Context& trace,
                                                absl::Time deadline) = 0;
};

class HoldPublisher {
 public:
  // What is published: that a split of the symbol is suspected, or that there was none.
  enum class Kind { kSuspected, kDismissed };
  virtual ~HoldPublisher() = default;
  // As SplitPublisher::PublishSplit.
  virtual absl::StatusOr<LogPlace> PublishHold(const std::string& symbol, Kind kind, const trace::Context& trace,
                                               absl::Time deadline) = 0;
};

class TickerUse {
 public:
  virtual ~TickerUse() = default;
  virtual absl::StatusOr<int64_t> CountFollowers(const std::string& symbol, const trace::Context& trace,
                                                 absl::Time deadline) = 0;
  virtual absl::StatusOr<int64_t> CountAlerts(const std::string& symbol, const trace::Context& trace,
                                              absl::Time deadline) = 0;
};

}  // namespace stockalert::ticker
