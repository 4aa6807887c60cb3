#include "services/ticker/hold_logic.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"

namespace stockalert::ticker {
namespace {

// What is left of a call's time for its answer to arrive.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<TickerView> HoldLogic::Publish(const std::string& symbol, HoldPublisher::Kind kind,
                                              const trace::Context& trace, absl::Time deadline) {
  // Found first: nobody holds what is no ticker.
  STOCKALERT_RETURN_IF_ERROR(tickers_.Get(symbol).status());
  STOCKALERT_ASSIGN_OR_RETURN(
      const LogPlace place,
      publisher_.PublishHold(symbol, kind, trace,
                             std::min(deadline - kAnswerTime, absl::Now() + options_.publish_timeout)));
  log::Info(
      kind == HoldPublisher::Kind::kSuspected ? "a ticker was put on hold" : "a ticker's hold was dismissed",
      {{"symbol", symbol}, {"partition", place.partition}, {"offset", place.offset}, {"trace_id", trace.trace_id}});
  if (!board_.AwaitPlace(place, std::min(deadline - kAnswerTime, absl::Now() + options_.read_timeout))) {
    return base::Unavailable("PRICES_NOT_READY",
                             "it is in the log, and was not read from there in time; look at the ticker in a moment");
  }
  STOCKALERT_ASSIGN_OR_RETURN(TickerView view, tickers_.Get(symbol));
  if (view.prices.hold.has_value() != (kind == HoldPublisher::Kind::kSuspected)) {
    return base::Aborted(
        "HOLD_NOT_TAKEN",
        "readers of the log have passed it over, because another fetcher publishes by now, or somebody "
        "has settled or begun a hold meanwhile; look at the ticker, and try again");
  }
  return view;
}

}  // namespace stockalert::ticker
