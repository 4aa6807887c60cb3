// Where the splits of symbols are kept: those that were declared, and those that the log has.
//
// PriceStore::Save notes what the log has; here is what calls and the sweeper need. Thread-safe; calls block, bounded
// by the store's own timeouts. Every error is one of base/error.h: UNAVAILABLE (DATABASE_UNAVAILABLE) where the
// database does not answer, and what each call says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/domain/record/event.h"
#include "services/ticker/latest_prices.h"

namespace stockalert::ticker {

inline constexpr char kReasonSplitPending[] = "SPLIT_PENDING";
inline constexpr char kReasonSplitRequestReused[] = "REQUEST_ID_REUSED";
inline constexpr char kReasonLogFormatTooOld[] = "LOG_FORMAT_TOO_OLD";

// How long after an attempt to publish a split the next one may be made.
inline constexpr int64_t kSplitAttemptPauseUs = 5'000'000;

struct SplitRow {
  record::Split split;
  int64_t create_time_us = 0;
  bool in_log = false;    // Else it is pending.
  bool is_first = false;  // Of Declare: nobody has tried to publish it before.
  bool lost = false;      // The log that had it is gone: it is to be published in the one that took its place.
};

// A place in the list of splits: by symbol, then the highest number first.
struct SplitPlace {
  std::string symbol;
  int64_t number = 0;
};

class SplitStore {
 public:
  virtual ~SplitStore() = default;

  // Keeps the split, pending, under the next number of its symbol (`split.number` is not read), and counts an attempt
  // to publish it as begun. Or answers the one that was declared with this request id, or has this split id. NOT_FOUND
  // (TICKER_NOT_FOUND); FAILED_PRECONDITION (SPLIT_PENDING): a split of the symbol before it is not in the log yet, or
  // not in the one that took its place;
  // INVALID_ARGUMENT (REQUEST_ID_REUSED): the request id was another split's. Safe to run again with the same
  // arguments.
  virtual absl::StatusOr<SplitRow> Declare(const record::Split& split, const std::string& request_id,
                                           int64_t now_us) = 0;
  // Forgets a pending split of this id of which only one attempt was begun: the one that the caller knows to have been
  // refused.
  virtual absl::Status Withdraw(const record::Split& split) = 0;
  // None: the symbol has no split of this number.
  virtual absl::StatusOr<std::optional<SplitRow>> Find(const std::string& symbol, int64_t number) = 0;
  // At most `limit` that are pending or lost and whose next attempt is due, which is begun hereby. Of a symbol the one
  // with the lowest number alone: the next is not due before it is noted.
  virtual absl::StatusOr<std::vector<SplitRow>> ClaimPending(int64_t now_us, int limit) = 0;
  // The lost split is in the log again, at this place. Safe to run again.
  virtual absl::Status NoteFound(const record::Split& split, LogPlace place) = 0;
  // At most `limit` behind `after`, of one symbol or, where it is empty, of all.
  virtual absl::StatusOr<std::vector<SplitRow>> List(const std::string& symbol, const std::optional<SplitPlace>& after,
                                                     int limit) = 0;
};

}  // namespace stockalert::ticker
