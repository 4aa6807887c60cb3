// What an alert waits for: whether its next price can trigger, at which prices it does, and what it is measured from.
//
// Says it of the next price that counts, of no other, as if that came at the symbol's last event time and brought no
// figure of its day; cooldowns are told apart from it. Pure functions over plain values; thread-safe. Fold::Explain
// collects what they need.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/fold_state.h"
#include "services/domain/market/exchange_date.h"

namespace stockalert::fold {

// Numbered as stockalert.alert.v1.AlertExplanation.Readiness.
enum class Readiness : uint8_t {
  kReady = 1,
  kMetSinceArming = 2,
  kMetSinceEdge = 3,
  kWithinHysteresis = 4,
  kOnTarget = 5,
  kAwaitingPrice = 6,
  kAwaitingActivation = 7,
  kAwaitingPreviousClose = 8,
  kAwaitingDayOpen = 9,
  kPaused = 10,
  kEnded = 11,
  kExpired = 12,
  kHeld = 13,
};

// Both included; none: every price on that side. Never empty.
struct PriceRange {
  std::optional<int64_t> low_micros;
  std::optional<int64_t> high_micros;
  bool operator==(const PriceRange&) const = default;

  bool Contains(int64_t price_micros) const {
    return price_micros >= low_micros.value_or(price_micros) && price_micros <= high_micros.value_or(price_micros);
  }
};

// One of the conditions that an alert consists of.
struct ExplainedSide {
  Readiness readiness = Readiness::kReady;
  std::optional<int64_t> reference_micros;  // Or the extreme; none for targets and channels.
  std::vector<PriceRange> trigger_ranges;   // The next price triggers in these, and in no others.
  std::vector<PriceRange> ready_ranges;     // Where it is not ready: those that make it so.
  std::vector<PricePoint> window;           // Those that are or can become the reference, oldest first.
};

struct Explanation {
  // Of the side that is nearest to a trigger: ready if one is.
  Readiness readiness = Readiness::kReady;
  condition::Definition definition;  // In today's prices.
  int64_t revision = 0;
  int64_t armed_revision = 0;
  int64_t trigger_number = 0;
  // The last that counted for it; its time is not kept over a pause.
  std::optional<int64_t> last_price_micros;
  std::optional<int64_t> last_price_time_us;
  std::optional<int64_t> last_event_time_us;  // Of its symbol.
  std::vector<ExplainedSide> sides;           // Up before down. None of an alert that has ended or expired.
  std::optional<int64_t> cooldown_end_us;     // Edges before it are swallowed.
  std::vector<SavedSplit> splits;             // Of its symbol, by number.
};

// What an alert's symbol adds to what is kept of the alert.
struct AlertSurroundings {
  std::optional<PricePoint> last;  // Of the sessions that the alert counts.
  std::optional<int64_t> last_event_time_us;
  market::ExchangeDay day;                                    // That of the last event.
  std::array<std::optional<int64_t>, 2> date_figures_micros;  // The date's first, by market::DateFigure.
  // Of an alert on a window that is in the index: the prices that its legs are measured from or may come to be.
  std::array<std::vector<PricePoint>, 2> windows;
  std::vector<SavedSplit> splits;
  bool held = false;  // A split is suspected.
};

Explanation Explain(const SavedAlert& alert, const AlertSurroundings& around);

}  // namespace stockalert::fold
