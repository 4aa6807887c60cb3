// Where prices come from: Finnhub, a replay, or nowhere but PublishQuotes.
//
// Thread-safe. A source publishes by the Publisher that it was made with, from Start to Stop.
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
enum class Knowledge { kKnown, kUnknown, kCannotTell };

class QuoteSource {
 public:
  virtual ~QuoteSource() = default;

  // Begins to publish. Returns at once; what it needs it waits for on its own threads.
  virtual void Start() = 0;
  // Ends them. Only the first call counts.
  virtual void Stop() = 0;

  // The registered tickers, whenever they change.
  virtual void SetSymbols(const std::set<std::string>& symbols) = 0;

  virtual Knowledge Lookup(const std::string& symbol, absl::Time deadline) = 0;

  // The current price of each symbol, published; symbols without one are left out. RESOURCE_EXHAUSTED: the source's
  // rate limit. UNAVAILABLE: the source or the broker does not answer.
  virtual absl::StatusOr<std::vector<internal::v1::QuoteRecord>> Fetch(const std::vector<std::string>& symbols,
                                                                       const trace::Context& trace,
                                                                       absl::Time deadline) = 0;
};

}  // namespace stockalert::fetcher
