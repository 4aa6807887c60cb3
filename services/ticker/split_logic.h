// Declares splits, and gets those that are kept into the log.
//
// A split is a row first (pending, with its number), then a record of the log, and in the log for certain once the
// log's reader has noted it. A crash between leaves a pending row, which PublishPending publishes; publishing twice
// changes nothing, for readers know a split by its number. Numbers follow each other in the log: a symbol's next split
// is refused while one is pending. Where the log is another one than before, all that were in it are published again by
// PublishPending, in the order of their numbers: whoever had not read one hears of it, the others skip it.
//
// Thread-safe. Calls block on the store and the fetcher, at most until their deadline. Errors are those of
// base/error.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/ticker/peers.h"
#include "services/ticker/price_board.h"
#include "services/ticker/split_store.h"

namespace stockalert::ticker {

struct SplitLogicOptions {
  absl::Duration publish_timeout = absl::Seconds(10);
  // How long a call waits for the log's reader to have read, and noted, what was published.
  absl::Duration read_timeout = absl::Seconds(5);
};

class SplitLogic {
 public:
  // What it is given must outlive it.
  SplitLogic(const SplitLogicOptions& options, SplitStore& store, PriceBoard& board, SplitPublisher& publisher,
             const base::Clock& clock)
      : options_(options), store_(store), board_(board), publisher_(publisher), clock_(clock) {}

  // NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION (SPLIT_PENDING): SplitStore::Declare. FAILED_PRECONDITION
  // (LOG_FORMAT_TOO_OLD): the fetcher publishes none; nothing is kept, unless an attempt before may have been taken, as
  // the message says then. UNAVAILABLE (FETCHER_UNAVAILABLE): it is kept,
  // and is published as soon as can be. Else it is in the log; pending where its being noted took too long.
  absl::StatusOr<SplitRow> Declare(const std::string& symbol, price::SplitRatio ratio, int64_t effective_time_us,
                                   const std::string& request_id, const trace::Context& trace, absl::Time deadline);

  absl::StatusOr<std::vector<SplitRow>> List(const std::string& symbol, const std::optional<SplitPlace>& after,
                                             int limit) {
    return store_.List(symbol, after, limit);
  }

  // Publishes what is pending or lost, and due; returns how many. The first error that concerns all of them, or the
  // deadline, ends the round; one that the fetcher refuses holds up the later ones of its symbol alone, and is answered
  // at the end.
  absl::StatusOr<int> PublishPending(const trace::Context& trace, absl::Time deadline);

 private:
  // Until the reader has noted the split, or the deadline.
  absl::StatusOr<SplitRow> AwaitNoted(const SplitRow& published, absl::Time deadline);

  const SplitLogicOptions options_;
  SplitStore& store_;
  PriceBoard& board_;
  SplitPublisher& publisher_;
  const base::Clock& clock_;
};

}  // namespace stockalert::ticker
