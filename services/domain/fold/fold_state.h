// The whole state of a fold as plain data: what a checkpoint holds. Fold::Snapshot makes it, Fold::Restore takes it
// back.
//
// In canonical order (symbols by name, alerts by symbol and id; PutInOrder) equal folds have equal states, whatever
// became of them on the way. Plain values; no I/O.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/outcome.h"
#include "services/domain/market/date_figures.h"
#include "services/domain/price/split_ratio.h"
#include "services/domain/record/event.h"

namespace stockalert::fold {

// A price that counted, and when.
struct PricePoint {
  int64_t price_micros = 0;
  int64_t time_us = 0;
  bool operator==(const PricePoint&) const = default;
};

// Where an alert is: nowhere (paused, triggered, expired), waiting for the next counted price, waiting for its date's
// reference to become known, or in the index.
enum class Residence : uint8_t { kOut = 0, kFresh = 1, kAwaitingReference = 2, kIndexed = 3 };

struct SavedLeg {
  bool ready = false;
  int64_t reference_micros = 0;
  // Of a window that is in a pause, or has one behind it: the prices from before the pause that are or can still become
  // the reference, oldest first. Once resumed and in the index, reference_micros is the extreme since then.
  std::vector<PricePoint> window_entries;
  bool operator==(const SavedLeg&) const = default;
};

struct SavedAlert {
  std::string id;
  std::string symbol;
  condition::Definition definition;
  int64_t revision = 0;
  int64_t armed_revision = 0;
  int64_t trigger_number = 0;
  bool paused = false;
  bool ended = false;
  bool expired = false;
  bool begun = false;
  bool activated = false;
  bool own_reference = false;
  Residence residence = Residence::kOut;
  std::optional<int64_t> last_trigger_time_us;
  int32_t last_trigger_date = 0;
  int32_t date_stamp = 0;
  // Set where the alert is paused, or has seen no price since it was resumed: then its price before is its own, not its
  // symbol's.
  bool has_own_price_before = false;
  // It was armed or resumed after the symbol's last accepted quote.
  bool since_last_quote = false;
  std::optional<int64_t> own_price_before_micros;
  std::array<SavedLeg, 2> legs;  // Up and down.
  bool operator==(const SavedAlert&) const = default;
};

// The candidates for the reference of all windows of one length: counted prices, oldest first, each nearer than the
// next.
struct SavedWindow {
  int64_t window_us = 0;
  bool up = false;  // Lowest prices, which rises are measured from; otherwise highest ones.
  std::vector<PricePoint> rungs;
  bool operator==(const SavedWindow&) const = default;
};

// What a symbol is to the alerts that count the same sessions.
struct SavedBook {
  std::optional<PricePoint> last;
  std::vector<SavedWindow> windows;
  bool operator==(const SavedBook&) const = default;
};

// A split that the symbol has had: changes that are stated in prices of before are scaled by it.
struct SavedSplit {
  std::string split_id;
  int64_t number = 0;
  price::SplitRatio ratio;
  bool operator==(const SavedSplit&) const = default;
};

struct SavedSymbol {
  std::string symbol;
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;
  std::optional<int64_t> last_event_time_us;
  int32_t date = 0;
  // Previous close and day open of the date: the first that was known, and the latest.
  std::array<std::optional<int64_t>, 2> first_reference_micros;
  std::array<std::optional<int64_t>, 2> latest_reference_micros;
  std::array<SavedBook, 2> books;                             // By condition::Sessions.
  market::Rules rules = market::Rules::kFirst;                // Of the last accepted quote.
  market::Rules first_rules_of_date = market::Rules::kFirst;  // Of the first accepted one of the date.
  market::DateRange range;
  std::vector<SavedSplit> splits;  // By number.
  // Where a split is suspected, which none of the above knows of: the records since, in their order.
  std::optional<std::vector<record::Event>> held_records;
  bool operator==(const SavedSymbol&) const = default;
};

// A deleted id, remembered so that no late or republished change brings it back.
struct SavedTombstone {
  std::string id;
  int64_t revision = 0;
  int64_t log_time_us = 0;
  bool operator==(const SavedTombstone&) const = default;
};

struct FoldState {
  std::vector<SavedSymbol> symbols;
  std::vector<SavedAlert> alerts;
  std::vector<SavedTombstone> tombstones;  // In the order in which they will be forgotten.
  int64_t log_time_us = 0;                 // The latest seen.
  Counters counters;
  bool operator==(const FoldState&) const = default;
};

void PutInOrder(FoldState* state);

}  // namespace stockalert::fold
