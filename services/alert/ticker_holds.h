// Which tickers the ticker service holds for this process, so that it is not asked again for each new alert.
//
// A hold keeps a ticker from being deleted (ADR 6), whoever counts on it: DeleteTicker refuses until the hold is over,
// and what was created until then is among the alerts that it counts. So a ticker that is held until a call's deadline
// need not be registered for that call. Holds are asked for a few seconds longer than the call lasts; they end by the
// monotonic clock, from the moment before they were asked for, so never later here than there.
//
// What a hold does not tell is the number of the symbol's last split, which a new alert's prices are stated at and
// which must not be older than the call. That is asked for each time, in one question for all calls that wait for it at
// a moment.
//
// Thread-safe; calls block on the ticker service.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/alert/coalescer.h"
#include "services/alert/upstream.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/caller.h"

namespace stockalert::alert {

class TickerHolds {
 public:
  // The longest hold, which is the ticker service's, and how much longer than its call one is asked for.
  static constexpr absl::Duration kHoldMax = absl::Seconds(60);
  static constexpr absl::Duration kReuse = absl::Seconds(5);
  static constexpr size_t kHoldsMax = 100'000;

  // `upstream` and `clock` must outlive it.
  TickerHolds(Upstream& upstream, const base::MonotonicClock& clock);

  // The tickers of these symbols, each registered and held until the call's deadline, as far as kHoldMax reaches; in
  // their order, up to the first that is refused, whose error is the last element. Errors as of
  // Upstream::RegisterTicker; RESOURCE_EXHAUSTED (OVERLOADED) and DEADLINE_EXCEEDED as of Coalescer.
  std::vector<absl::StatusOr<RegisteredTicker>> Register(const std::vector<std::string>& symbols,
                                                         const rpc::CallContext& call);

  // Calls that wait for a question to begin.
  size_t waiting() { return questions_.waiting(); }

 private:
  struct Hold {
    std::string symbol;  // In its normal form.
    int64_t until_us = 0;
  };
  struct Question {
    std::vector<std::string> symbols;
    rpc::CallContext call;
  };
  using SplitNumbers = absl::StatusOr<std::map<std::string, int64_t>>;

  absl::StatusOr<RegisteredTicker> RegisterOne(const std::string& symbol, const rpc::CallContext& call);
  // Answers all of a group at once.
  std::vector<SplitNumbers> FindSplitNumbers(const std::vector<Question>& group);

  Upstream& upstream_;
  const base::MonotonicClock& clock_;
  base::Mutex mutex_;
  std::unordered_map<std::string, Hold> holds_ ABSL_GUARDED_BY(mutex_);  // By the symbol that was asked for.
  Coalescer<Question, SplitNumbers> questions_;
};

}  // namespace stockalert::alert
