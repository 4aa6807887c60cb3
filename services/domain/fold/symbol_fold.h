// Everything that the fold knows of one symbol: its date, its last prices, its alerts, and the index that finds the few
// alerts that a price changes.
//
// How a quote is evaluated: the structures below find the alerts that its price may change. Each of these is taken out,
// looked at as docs/semantics.md says (Look, Step), and put back where its new state belongs. The others are not
// touched. So the rules are written once, for one alert at a time, and the index only has to leave nobody out:
//  - wake_up, wake_down: "look at me at a price at or above (at or below) this": targets, percent from a fixed
//    reference, CROSSES (the border that the last price has not passed), activations, channels that are left, and all
//    that wait to become ready at such a price;
//  - inside: channels that are entered, and that wait for the price to be well inside again (interval_tree.h);
//  - trailing, windows: alerts that share an extreme (extreme_ladder.h);
//  - groups: alerts on the date's previous close or day open. They hold distances, not levels, so that a new date's
//    reference touches none of them; an alert with a reference of its own (it has triggered today, or was armed after a
//    correction) is in wake_up and wake_down for the rest of the date;
//  - window_ends: "look at me once the event time is past this": windows with a pause in them. Their extreme from
//    before the pause is nobody else's; while it is nearer than all since, it is a fixed reference, in wake_up and
//    wake_down, and the alert merely follows its rung; it stops to be so at a price beyond it (a wake as well) or by
//    leaving the window;
//  - fresh: alerts to be looked at with the next price, having seen none since they were armed or resumed.
// Alerts that are paused, ended or expired are in none of these.
//
// REGULAR and EXTENDED alerts see different prices: each kind has a book of its own with all of the above.
//
// Not thread-safe; cannot fail. Definitions have to keep condition::FindViolation's rules.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/domain/condition/definition.h"
#include "services/domain/fold/extreme_ladder.h"
#include "services/domain/fold/fold.h"
#include "services/domain/fold/fold_state.h"
#include "services/domain/fold/interval_tree.h"
#include "services/domain/fold/outcome.h"
#include "services/domain/market/date_figures.h"
#include "services/domain/market/exchange_date.h"
#include "services/domain/market/quote_order.h"
#include "services/domain/record/event.h"

namespace stockalert::fold {

class SymbolFold final : public ExtremeLadder::Members {
 public:
  explicit SymbolFold(std::string symbol);
  SymbolFold(const SymbolFold&) = delete;
  SymbolFold& operator=(const SymbolFold&) = delete;

  // Precondition: the price is one that may be evaluated.
  void ApplyQuote(const record::Quote& quote, int64_t offset, Counters* counters, Outcome* outcome);
  void ApplyRestart();

  // A new alert, armed here. The slot is its name in this symbol until Remove.
  Slot Add(const record::AlertChange& change);
  // Precondition: the change is above the alert's revision, and no deletion.
  void Change(Slot slot, const record::AlertChange& change);
  void Remove(Slot slot);

  int64_t RevisionOf(Slot slot) const { return at(slot).revision; }
  AlertView ViewOf(Slot slot) const;
  SymbolView View() const;

  const std::string& symbol() const { return symbol_; }
  bool previous_close_known() const { return figures_.first(market::DateFigure::kPreviousClose).has_value(); }
  bool day_open_known() const { return figures_.first(market::DateFigure::kDayOpen).has_value(); }
  std::optional<int64_t> last_event_time_us() const { return order_.last_event_time_us; }
  // True once after a record that took the event time to the expiry of an alert.
  bool TakeExpiryReached() { return std::exchange(expiry_reached_, false); }
  int64_t index_steps() const { return steps_; }

  SavedSymbol Save() const;
  void SaveAlerts(std::vector<SavedAlert>* alerts) const;
  // Preconditions: nothing was applied yet; Load before LoadAlert.
  absl::Status Load(const SavedSymbol& saved);
  absl::StatusOr<Slot> LoadAlert(const SavedAlert& saved);

 private:
  static constexpr size_t kUp = 0;
  static constexpr size_t kDown = 1;
  static constexpr int64_t kNoKey = std::numeric_limits<int64_t>::min();

  // One of the two conditions that an alert may consist of; all but percent EITHER have one.
  struct Leg {
    bool ready = false;
    // The reference or extreme, where no rung has it.
    int64_t reference_micros = 0;
    // The rung that the leg is in, or was taken out of while its alert is looked at.
    Rung* rung = nullptr;
    // As in SavedLeg.
    std::vector<PricePoint> window_entries;
  };

  struct Alert {
    std::string id;
    condition::Definition definition;
    int64_t revision = 0;
    int64_t armed_revision = 0;
    int64_t trigger_number = 0;
    bool paused = false;
    bool ended = false;
    bool expired = false;
    bool begun = false;
    bool activated = false;  // Trailing: no activation price, or it was reached.
    // Date's references: the alert has one of its own on the date of date_stamp, in its legs.
    bool own_reference = false;
    Residence residence = Residence::kOut;
    std::optional<int64_t> last_trigger_time_us;
    int32_t last_trigger_date = market::kNoDate;
    int32_t date_stamp =
        market::kNoDate;  // The date that own_reference and, out of the index, the legs' readiness are of.
    // The price before, for as long as no price has counted since prices_seen_before.
    std::optional<int64_t> price_before_micros;
    int64_t prices_seen_before = 0;
    std::array<Leg, 2> legs;
    // As registered in wake_up and wake_down (signed), the lower bound in inside, the time in window_ends.
    int64_t wake_up_key = kNoKey;
    int64_t wake_down_key = kNoKey;
    int64_t inside_key = kNoKey;
    int64_t window_end_key = kNoKey;
  };

  // Distances from the date's reference; the reference itself is the first of figures_.
  struct DateGroup {
    std::array<Rung, 2> legs;
  };

  struct Windows {
    Windows(int64_t window_us, ExtremeLadder::Members* members);
    std::array<ExtremeLadder, 2> legs;
  };

  struct WakePrices;

  using WakeSet = absl::btree_set<std::pair<int64_t, Slot>>;
  using SlotSet = absl::btree_set<Slot>;

  struct Book {
    explicit Book(ExtremeLadder::Members* members);

    std::optional<PricePoint> last;
    int64_t prices_seen = 0;
    WakeSet wake_up;
    WakeSet wake_down;
    IntervalTree inside;
    std::array<DateGroup, 2> groups;
    std::array<SlotSet, 2> own_reference;
    std::array<SlotSet, 2> awaiting_reference;
    std::array<std::array<ExtremeLadder, 2>, 2> trailing;  // By measure and leg.
    absl::btree_map<int64_t, std::unique_ptr<Windows>> windows;
    WakeSet window_ends;
    SlotSet fresh;
  };

  // The quote at hand, to the alerts that count it.
  struct Counted {
    PricePoint point;
    std::optional<int64_t> price_before_micros;  // Of the book.
    int64_t offset = 0;
    Counters* counters = nullptr;
    Outcome* outcome = nullptr;
  };

  void MovedTo(Slot slot, Direction direction, Rung* rung) override;

  Alert& at(Slot slot) { return *alerts_[slot]; }
  const Alert& at(Slot slot) const { return *alerts_[slot]; }
  Book& BookOf(const Alert& alert) { return *books_[static_cast<size_t>(alert.definition.sessions)]; }
  const Book& BookOf(const Alert& alert) const { return *books_[static_cast<size_t>(alert.definition.sessions)]; }
  Slot NewSlot();

  // The quote's effect on the symbol, apart from its price.
  void EnterDate(int64_t event_time_us);
  void LearnFigure(market::DateFigure figure, market::Session session, const std::optional<int64_t>& micros);
  void ExpireUpTo(int64_t event_time_us);
  void Count(Book& book, Counted counted);

  // docs/semantics.md, "Arming and edges", for one alert.
  void Arm(Slot slot);
  void Begin(Alert& alert, int64_t price_micros);
  bool EvaluatesFirstPrice(const Alert& alert) const;
  void Pause(Slot slot);
  void Resume(Slot slot);
  void Look(Book& book, Slot slot, const Counted& counted);
  void Step(Slot slot, int64_t price_before, const Counted& counted);
  bool IsSwallowed(const Alert& alert, const Counted& counted) const;
  void RefreshWindow(Alert& alert, const condition::PercentChange& change, PricePoint point);

  // The date's reference for the alert, by own_reference and the date; refreshes what the alert keeps of an earlier
  // date.
  void RefreshDate(Alert& alert) const;
  std::optional<int64_t> DateReferenceOf(const Alert& alert) const;

  void TrackExpiry(Slot slot);
  void UntrackExpiry(Slot slot);

  void PutIn(Slot slot);
  void PutInWindow(Slot slot, const condition::PercentChange& change);
  void TakeOut(Slot slot);
  void WakeAtOrAbove(Slot slot, int64_t price_micros);
  void WakeAtOrBelow(Slot slot, int64_t price_micros);
  void WaitInside(Slot slot, int64_t low_micros, int64_t high_micros);
  void WakeAt(Slot slot, const WakePrices& wakes);
  void WakeForPercent(Slot slot, const condition::PercentChange& change);
  ExtremeLadder& WindowOf(const Alert& alert, const condition::PercentChange& change, size_t leg);
  ExtremeLadder& TrailingOf(const Alert& alert, const condition::TrailingChange& trailing);

  const std::string symbol_;
  market::QuoteOrder order_;
  market::DateFigures figures_;
  std::array<std::unique_ptr<Book>, 2> books_;
  std::vector<std::unique_ptr<Alert>> alerts_;  // By slot; none where free.
  std::vector<Slot> free_slots_;
  absl::btree_set<std::pair<int64_t, Slot>> expiries_;  // Of alerts that are neither ended nor expired.
  bool expiry_reached_ = false;
  int64_t steps_ = 0;
};

}  // namespace stockalert::fold
