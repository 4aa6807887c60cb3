#include "services/ticker/store_errors.h"

#include "services/common/base/error.h"
#include "services/ticker/ticker_store.h"

namespace stockalert::ticker {

absl::Status TickerNotFound(std::string_view symbol) {
  return base::NotFound(kReasonTickerNotFound,
                        "tickers/" + std::string(symbol) + " is not registered: RegisterTicker, or follow it, first",
                        {{"symbol", std::string(symbol)}});
}

absl::Status TickerHeld(std::string_view symbol) {
  return base::FailedPrecondition(kReasonTickerInUse,
                                  "tickers/" + std::string(symbol) + " is about to be used: try again in a minute",
                                  {{"symbol", std::string(symbol)}});
}

absl::Status TickerBeingDeleted(std::string_view symbol) {
  return base::Unavailable(
      kReasonTickerBeingDeleted,
      "tickers/" + std::string(symbol) + " is being deleted at this moment; nothing was done: try again",
      {{"symbol", std::string(symbol)}});
}

absl::Status TickerDeletedByAnother(std::string_view symbol) {
  return base::Aborted(kReasonTickerBeingDeleted,
                       "another call is deleting tickers/" + std::string(symbol) + ": look again in some seconds");
}

absl::Status PublisherChanged() {
  return base::Aborted(kReasonPublisherChanged, "another publisher has a newer epoch: look again who publishes");
}

}  // namespace stockalert::ticker
