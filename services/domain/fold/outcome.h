// What records made happen in a fold, and what it counted on the way. Plain data.
#pragma once

#include <cstdint>
#include <vector>

#include "services/domain/record/event.h"

namespace stockalert::fold {

struct Counters {
  int64_t quotes_accepted = 0;
  int64_t quotes_refused = 0;   // The price is not a possible one (IsValidPriceMicros).
  int64_t quotes_late = 0;      // Event time before the last accepted one's.
  int64_t quotes_repeated = 0;  // Epoch and sequence did not rise.
  int64_t changes_applied = 0;
  int64_t changes_skipped = 0;
  int64_t triggers = 0;
  int64_t edges_swallowed = 0;  // By cooldown or ONCE_A_DAY: of an alert and a price of a quote, its high and low too.
  bool operator==(const Counters&) const = default;
};

struct Outcome {
  std::vector<record::Trigger> triggers;  // In their order: by offset, then alert id.
  std::vector<record::Confirmation> confirmations;
  std::vector<record::SymbolStatus> statuses;  // Only where it differs from before the record.
  // That were applied, and those that came again: a reader of what the fold says may have missed them.
  std::vector<record::Split> splits;
  bool operator==(const Outcome&) const = default;
};

}  // namespace stockalert::fold
