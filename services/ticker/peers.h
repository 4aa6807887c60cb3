// What the ticker service needs of the rest of the mesh: the fetcher, which owns the source, and those who use tickers.
//
// Interfaces are thread-safe; their calls block until `deadline` at most. Errors are those of base/error.h: UNAVAILABLE where the peer
// does not answer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/trace/trace.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::ticker {

inline constexpr char kReasonFetcherUnavailable[] = "FETCHER_UNAVAILABLE";

enum class Knowledge { kKnown, kUnknown, kCannotTell };

class Fetcher {
 public:
  virtual ~Fetcher() = default;
  virtual absl::StatusOr<Knowledge> Lookup(const std::string& symbol, const trace::Context& trace, absl::Time deadline) = 0;
  // Those that have a price, in any order. `done` is called once, on another thread or this one; it must be quick.
  using Fetched = std::function<void(absl::StatusOr<std::vector<internal::v1::QuoteRecord>>)>;
  virtual void FetchAsync(const std::vector<std::string>& symbols, const trace::Context& trace, absl::Time deadline, Fetched done) = 0;
  // Answers how many. On an error some may be in the log.
  virtual absl::StatusOr<int> Publish(const std::vector<internal::v1::QuoteRecord>& quotes, const trace::Context& trace,
                                      absl::Time deadline) = 0;
};

class TickerUse {
 public:
  virtual ~TickerUse() = default;
  virtual absl::StatusOr<int64_t> CountFollowers(const std::string& symbol, const trace::Context& trace, absl::Time deadline) = 0;
  virtual absl::StatusOr<int64_t> CountAlerts(const std::string& symbol, const trace::Context& trace, absl::Time deadline) = 0;
};

}  // namespace stockalert::ticker
