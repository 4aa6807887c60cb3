// The records of one partition of the log, in their order, and what each of them can make happen, as plain data: what
// the fold takes in and gives out, and what the codecs write. Prices are micros, times µs since 1970 UTC. No protobuf,
// no Kafka, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/market/rules.h"
#include "services/domain/market/session.h"
#include "services/domain/price/split_ratio.h"

namespace stockalert::record {

// The place of a record: its Kafka offset, and the broker's append time, which only ages tombstones.
struct Place {
  int64_t offset = 0;
  int64_t log_time_us = 0;
};

using market::kNewestRules;
using market::Rules;

struct Quote {
  std::string symbol;
  int64_t price_micros = 0;
  int64_t event_time_us = 0;
  market::Session session = market::Session::kRegular;
  // Of the trading date of the event time; absent where not known, dropped by the fold where no price could be so.
  std::optional<int64_t> day_open_micros;
  std::optional<int64_t> day_high_micros;
  std::optional<int64_t> day_low_micros;
  std::optional<int64_t> previous_close_micros;
  // The publisher's: (epoch, sequence) rises with each quote of a symbol; one that does not rise is skipped. Both zero:
  // the quote has no publisher to be deduplicated by (a stream from a file), and is never skipped for it. A late quote
  // counts as seen, a refused one does not; a restart of the symbol forgets neither epoch nor sequence.
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;
  Rules rules = kNewestRules;
  bool operator==(const Quote&) const = default;
};

// The whole state of an alert as its service wants it, not a step.
struct AlertChange {
  std::string alert_id;
  std::string symbol;
  int64_t revision = 0;        // A change with a revision not above the known one is skipped.
  int64_t armed_revision = 0;  // Above the known one: arms the alert at this place.
  bool paused = false;
  bool deleted = false;
  condition::Definition definition;
  // The number of the symbol's last split that the prices of the definition allow for. The fold scales by those after
  // it.
  int64_t splits_applied = 0;
  bool operator==(const AlertChange&) const = default;
};

// The symbol's history begins anew at this place.
struct Restart {
  std::string symbol;
  bool operator==(const Restart&) const = default;
};

inline constexpr int64_t kSplitSharesMax = 1'000'000;
// On either side of a split's ratio.
constexpr bool IsSplitShares(int64_t shares) { return shares >= 1 && shares <= kSplitSharesMax; }

// Prices from before this place are scaled (price::ScaleMicros). One whose number is not above that of the symbol's
// last split, or whose id is known, is skipped.
struct Split {
  std::string symbol;
  std::string split_id;
  int64_t number = 0;  // From 1, rising by one with each split of the symbol.
  price::SplitRatio ratio;
  int64_t effective_time_us = 0;  // Shown; the place decides.
  bool operator==(const Split&) const = default;
};

// The prices that follow may be those of after a split that is not in the log yet: the symbol is *held*. Its records
// are kept from here on, and evaluated in their order once a split or a dismissal settles it, as if that had stood
// here. Skipped where the symbol is held already, or where epoch and sequence do not rise (as a quote's).
struct SplitSuspected {
  std::string symbol;
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;
  bool operator==(const SplitSuspected&) const = default;
};

// There was no split. Skipped where the symbol is not held, or where epoch and sequence are not above those of the
// suspicion; both zero: it has no publisher to be deduplicated by, and is not skipped for it.
struct SplitDismissed {
  std::string symbol;
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;
  bool operator==(const SplitDismissed&) const = default;
};

using Event = std::variant<Quote, AlertChange, Restart, Split, SplitSuspected, SplitDismissed>;

const std::string& SymbolOf(const Event& event);

// Output order within a record: by alert id.
struct Trigger {
  std::string alert_id;
  std::string symbol;
  int64_t revision = 0;
  int64_t trigger_number = 0;  // From 1, rising by one for ever: with the alert id, the identity of the trigger.
  int64_t price_micros = 0;
  int64_t event_time_us = 0;
  // The price of the counted quote before; where the triggering price is the alert's first, that one itself.
  std::optional<int64_t> price_before_micros;
  // The target, bound, reference or extreme that the price was measured against.
  std::optional<int64_t> reference_micros;
  // Of the record that made it happen: the quote, or what settled the suspicion that the quote was held for.
  int64_t offset = 0;
  bool late = false;                    // Found by a day's high or low: the price was there before event_time_us,
  std::optional<int64_t> late_from_us;  // but after the quote before, whose event time this is.
  bool ends_alert = false;              // The policy was ONCE: the alert is TRIGGERED now.
  bool operator==(const Trigger&) const = default;
};

// A change that was applied, or skipped because it was known: either way it needs no publishing again.
struct Confirmation {
  std::string alert_id;
  int64_t revision = 0;  // The revision now known to the fold.
  int64_t offset = 0;
  bool operator==(const Confirmation&) const = default;
};

// Whether the previous close and the day open of the symbol's date are known (alerts that need one are shown WAITING
// until then), the symbol's last event time (alerts whose expiry it reached are shown EXPIRED), and whether the symbol
// is held (its alerts are shown HELD). Emitted by a record that changes one of the three flags, that takes the event
// time to the expiry of an alert, or that restarts the symbol. Before the first one nothing is known and the event time
// is 0.
struct SymbolStatus {
  std::string symbol;
  bool previous_close_known = false;
  bool day_open_known = false;
  int64_t last_event_time_us = 0;
  int64_t offset = 0;
  bool held = false;
  bool operator==(const SymbolStatus&) const = default;
};

}  // namespace stockalert::record
