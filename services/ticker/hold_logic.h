// Holds tickers whose split is suspected, and dismisses the suspicion.
//
// Nothing is kept here: what the log says is so. Publishing twice changes nothing, for readers skip the suspicion of a
// held symbol, and the dismissal of one that is not held.
//
// Thread-safe. Calls block on the store and the fetcher, at most until their deadline. Errors are those of
// base/error.h.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/ticker/peers.h"
#include "services/ticker/price_board.h"
#include "services/ticker/ticker_logic.h"

namespace stockalert::ticker {

struct HoldLogicOptions {
  absl::Duration publish_timeout = absl::Seconds(10);
  // How long a call waits for the log's reader to have read what was published.
  absl::Duration read_timeout = absl::Seconds(5);
};

class HoldLogic {
 public:
  // What it is given must outlive it.
  HoldLogic(const HoldLogicOptions& options, TickerLogic& tickers, PriceBoard& board, HoldPublisher& publisher)
      : options_(options), tickers_(tickers), board_(board), publisher_(publisher) {}

  // Publishes a suspicion or a dismissal; the ticker as it is once that was read. NOT_FOUND (TICKER_NOT_FOUND).
  // FAILED_PRECONDITION (LOG_FORMAT_TOO_OLD): the fetcher publishes none. UNAVAILABLE (FETCHER_UNAVAILABLE): it may be
  // in the log; (PRICES_NOT_READY): it is, and was not read in time. ABORTED (HOLD_NOT_TAKEN): it was read, and is not
  // so. After any of these it may be asked for again.
  absl::StatusOr<TickerView> Publish(const std::string& symbol, HoldPublisher::Kind kind, const trace::Context& trace,
                                     absl::Time deadline);

 private:
  const HoldLogicOptions options_;
  TickerLogic& tickers_;
  PriceBoard& board_;
  HoldPublisher& publisher_;
};

}  // namespace stockalert::ticker
