// Registers a ticker with the ticker service before a user follows it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/trace/trace.h"

namespace stockalert::user {

// Thread-safe; blocks until `deadline` at the latest.
class TickerRegistrar {
 public:
  virtual ~TickerRegistrar() = default;
  // Registers the ticker and returns the symbol in its normal form. INVALID_ARGUMENT: not a symbol, or one that the
  // source does not know. UNAVAILABLE (TICKER_SERVICE_UNAVAILABLE): the ticker service does not answer. `user_id`: the
  // user whose share of the source's calls pays for looking up a new symbol.
  virtual absl::StatusOr<std::string> Register(const std::string& symbol, const std::string& user_id,
                                               const trace::Context& trace, absl::Time deadline) = 0;
};

}  // namespace stockalert::user
