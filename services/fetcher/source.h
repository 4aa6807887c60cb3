// Where prices come from: Finnhub, a replay, or only PublishQuotes.
//
// Thread-safe. From Start to Stop a source publishes through the Publisher that it was made with.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/trace/trace.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::fetcher {

// What a source knows of a symbol.
enum class Knowledge {
  kKnown,
  kUnknown,
  kNotInPlan,  // It has it, and not for this operator: there would never be a price.
  kNoList,     // It knows no symbols: any may be used.
  kAskLater,   // It cannot be asked now, or its answer tells nothing.
};
struct LookedUp {
  Knowledge knowledge = Knowledge::kAskLater;
  absl::Duration retry_after = absl::ZeroDuration();  // kAskLater.
};

// Current prices, and why there are none.
struct SymbolProblem {
  std::string symbol;
  bool not_in_plan = false;  // Else the source does not answer for it.
  absl::Duration retry_after = absl::ZeroDuration();
};
struct FetchedQuotes {
  std::vector<internal::v1::QuoteRecord> quotes;
  std::vector<SymbolProblem> problems;  // Of symbols without a quote.
};

class QuoteSource {
 public:
  virtual ~QuoteSource() = default;

  // Starts to publish. Returns at once; any waiting is done on the source's own threads.
  virtual void Start() = 0;
  // Ends them. Only the first call counts.
  virtual void Stop() = 0;

  // The registered tickers, whenever they change.
  virtual void SetSymbols(const std::set<std::string>& symbols) = 0;

  // Both block, at most until `deadline`. `user`: the user whose share of the source's calls they use; empty: no
  // user's.
  virtual LookedUp Lookup(const std::string& symbol, const std::string& user, absl::Time deadline) = 0;
  // The current price of each symbol, published; symbols without one are left out. RESOURCE_EXHAUSTED: the source's
  // rate limit, or the user's share. UNAVAILABLE: the source or the broker does not answer.
  virtual absl::StatusOr<FetchedQuotes> Fetch(const std::vector<std::string>& symbols, const std::string& user,
                                              const trace::Context& trace, absl::Time deadline) = 0;
};

}  // namespace stockalert::fetcher
