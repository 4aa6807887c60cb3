// The calls of the alert service to the user service, the ticker service and the notifier, on their internal ports.
//
// Thread-safe. Calls block until the answer, or until the call's deadline or the timeout of its own. A service that
// does not answer is UNAVAILABLE (USER_SERVICE_UNAVAILABLE, TICKER_SERVICE_UNAVAILABLE, NOTIFIER_UNAVAILABLE); other
// refusals are the peer's own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/grpc/caller.h"

namespace stockalert::alert {

// The latest prices that the ticker service knows of a symbol.
struct LastPrices {
  std::optional<int64_t> regular_price_micros;
  std::optional<int64_t> extended_price_micros;
  std::optional<int64_t> previous_close_micros;
  std::optional<int64_t> day_open_micros;
  int64_t split_number = 0;  // Of the symbol's last split that they allow for.
};

struct RegisteredTicker {
  std::string symbol;  // In its normal form.
  // Of the symbol's last split; none where the ticker service cannot tell now.
  std::optional<int64_t> split_number = {};
};

// As many as a batch of 100 alerts can name.
inline constexpr size_t kDestinationsAskedMax = 1000;

// What the ticker service answers at once.
inline constexpr size_t kSplitNumbersAskedMax = 1000;

class Upstream {
 public:
  virtual ~Upstream() = default;
  // NOT_FOUND (USER_NOT_FOUND): no such user.
  virtual absl::Status CheckUser(const std::string& user_id, const rpc::CallContext& call) = 0;
  // Registers the ticker and keeps it from being deleted for as long as `hold` (at most 60 s), from before it answers.
  // INVALID_ARGUMENT (UNKNOWN_SYMBOL): the source knows no such symbol.
  virtual absl::StatusOr<RegisteredTicker> RegisterTicker(const std::string& symbol, absl::Duration hold,
                                                          const rpc::CallContext& call) = 0;
  // Only says whether RegisterTicker would.
  virtual absl::StatusOr<RegisteredTicker> CheckTicker(const std::string& symbol, const rpc::CallContext& call) = 0;
  // The numbers of the last splits of these symbols (at most kSplitNumbersAskedMax, in their normal form); nothing of
  // any where the ticker service cannot tell now.
  virtual absl::StatusOr<std::map<std::string, int64_t>> GetSplitNumbers(const std::vector<std::string>& symbols,
                                                                         const rpc::CallContext& call) = 0;
  virtual absl::StatusOr<std::map<std::string, LastPrices>> GetLastPrices(const std::vector<std::string>& symbols,
                                                                          const rpc::CallContext& call) = 0;
  // Those of these destinations (at most kDestinationsAskedMax) that the user has.
  virtual absl::StatusOr<std::set<std::string>> FindDestinations(const std::string& user_id,
                                                                 const std::set<std::string>& destination_ids,
                                                                 const rpc::CallContext& call) = 0;
};

}  // namespace stockalert::alert
