// The index of those alerts of a symbol that count the same sessions. It finds the few that a price changes.
//
// REGULAR and EXTENDED alerts see different prices, so each group has a book of its own. An alert's kind decides which
// of these structures hold it (kinds.h):
//  - wake_up, wake_down: "evaluate me at a price at or above (at or below) this": targets, percent from a fixed
//    reference, CROSSES (the border that the last price has not passed), activations, channels that are left, and all
//    alerts that become ready at such a price;
//  - inside: channels that are entered, and those that wait for the price to be well inside again (interval_tree.h);
//  - trailing, windows: alerts that share an extreme (extreme_ladder.h);
//  - groups: alerts on the date's previous close or day open. They hold distances, not levels, so that a new date's
//    reference touches none of them; an alert with a reference of its own (it has triggered today, or was armed after a
//    correction) is in wake_up and wake_down for the rest of the date;
//  - window_ends: "evaluate me once the event time is past this": windows in which the alert was paused. Such an alert
//    has an extreme from before the pause that it shares with no other. While that is nearer than all prices since, it
//    is a fixed reference (in wake_up and wake_down) and the alert only follows its rung. This ends with a price beyond
//    the extreme (also a wake), or when the extreme leaves the window;
//  - fresh: alerts that have seen no price since they were armed or resumed; the next price evaluates them.
// Paused, ended and expired alerts are in none of these.
//
// Most prices change no alert at all. Between which prices that is so, and until when, is worked out after each that
// was looked at (FindQuiet); the next ones that are inside cost two comparisons (TakeQuiet).
//
// Not thread-safe; cannot fail.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "services/domain/condition/definition.h"
#include "services/domain/fold/alert.h"
#include "services/domain/fold/extreme_ladder.h"
#include "services/domain/fold/interval_tree.h"
#include "services/domain/fold/pending_prices.h"
#include "services/domain/fold/quiet_interval.h"
#include "services/domain/market/date_figures.h"

namespace stockalert::fold {

// Distances from the date's reference; the reference itself is the date's first figure.
struct DateGroup {
  std::array<Rung, 2> legs;
};

struct Windows {
  Windows(int64_t window_us, ExtremeLadder::Members* members);
  std::array<ExtremeLadder, 2> legs;
};

// The nearest prices on either side, the prices between two bounds, and the event time that change anything for an
// alert.
struct Wakes {
  struct Inside {
    int64_t low_micros = 0;
    int64_t high_micros = 0;
  };
  std::optional<int64_t> at_or_above;
  std::optional<int64_t> at_or_below;
  std::optional<Inside> inside;
  std::optional<int64_t> after_us;

  void AddAtOrAbove(int64_t price_micros);
  void AddAtOrBelow(int64_t price_micros);
  void AddAfter(int64_t event_time_us);
  // For a percentage from a fixed reference: the price at which the level becomes true (a ready leg) or false (one that
  // is not ready).
  void AddPercentLevel(size_t leg, int64_t reference_micros, int64_t percent_e4, bool ready);
  // The prices that replace `extreme_micros` as the extreme.
  void AddBeyondExtreme(size_t leg, int64_t extreme_micros);
};

class Book {
 public:
  using WakeSet = absl::btree_set<SlotAt>;
  using Slots = absl::btree_set<Slot>;

  // `members` must outlive the book; it is told when a ladder moves an alert.
  explicit Book(ExtremeLadder::Members* members);

  // Records a price that counts if it is a quiet one, at which nothing happens to any alert, and says whether it was.
  // What ladders need of it is taken in later.
  bool TakeQuiet(PricePoint point, int64_t* steps) {
    if (!quiet.Contains(point.price_micros, point.time_us)) return false;
    if (follows_extremes_) PutOff(point, steps);
    last = point;
    return true;
  }
  // Whether quiet prices are put off one by one, for ladders.
  bool follows_extremes() const { return follows_extremes_; }
  // Has the ladders take in what quiet prices put off. Before they are looked at or changed in any other way.
  void CatchUp(int64_t* steps);
  // Finds the quiet interval around the last price. Between prices whoever adds an alert, or tells a group its
  // reference, ends it: `quiet = {}`. Removing alerts does no harm.
  void FindQuiet(const market::DateFigures& figures, int64_t* steps);

  // Records a price that counts. Returns the alerts that it may change, each once, by slot: also those that were fresh,
  // and those that awaited a figure that is known now; they leave these sets.
  std::vector<Slot> Advance(PricePoint point, const market::DateFigures& figures, int64_t* steps);

  // The alerts that a day's new high or low may change, each once, by slot, apart from fresh ones. Nothing else
  // changes.
  std::vector<Slot> FindTouched(const market::NewExtremes& extremes, const market::DateFigures& figures,
                                int64_t* steps);
  // Makes them extremes of the alerts that are in the book.
  void AddExtremes(const market::NewExtremes& extremes, int64_t* steps);

  void AddWakes(Slot slot, const Wakes& wakes);
  // Precondition: AddWakes was called with the same ones.
  void RemoveWakes(Slot slot, const Wakes& wakes);

  DateGroup& GroupOf(market::DateFigure figure) { return index_->groups[static_cast<size_t>(figure)]; }
  Slots& OwnReference(market::DateFigure figure) { return index_->own_reference[static_cast<size_t>(figure)]; }
  Slots& AwaitingReference(market::DateFigure figure) {
    return index_->awaiting_reference[static_cast<size_t>(figure)];
  }
  ExtremeLadder& TrailingOf(Measure measure, size_t leg) {
    return index_->trailing[measure == Measure::kPercent ? 0 : 1][leg];
  }
  Windows& WindowsOf(int64_t window_us);
  using WindowsByLength = absl::btree_map<int64_t, std::unique_ptr<Windows>>;
  const WindowsByLength& windows() const { return index_->windows; }
  Slots& fresh() { return index_->fresh; }
  const Slots& fresh() const { return index_->fresh; }

  QuietInterval quiet;
  std::optional<PricePoint> last;

 private:
  // What quiet prices do not touch, apart from what they do.
  struct Index {
    explicit Index(ExtremeLadder::Members* members);

    WakeSet wake_up;
    WakeSet wake_down;
    IntervalTree inside;
    std::array<DateGroup, market::kDateFigureCount> groups;
    std::array<Slots, market::kDateFigureCount> own_reference;
    std::array<Slots, market::kDateFigureCount> awaiting_reference;
    std::array<std::array<ExtremeLadder, 2>, 2> trailing;  // By measure and leg.
    WindowsByLength windows;
    WakeSet window_ends;
    Slots fresh;
    ExtremeLadder::Members* const members;
  };

  void PutOff(PricePoint point, int64_t* steps);
  void FindInSets(int64_t price_micros, const market::DateFigures& figures, std::vector<Slot>* found,
                  int64_t* steps) const;
  void FindInLadders(PricePoint point, std::vector<Slot>* found, int64_t* steps);

  PendingPrices pending_;
  bool follows_extremes_ = false;  // As of FindQuiet: whether any ladder holds anything.
  std::unique_ptr<Index> index_;
};

}  // namespace stockalert::fold
