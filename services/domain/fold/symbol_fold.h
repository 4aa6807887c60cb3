// Everything that the fold knows of one symbol: its date, its last prices, its alerts, and the index that finds the few
// alerts that a price changes.
//
// How a quote is evaluated: the book (book.h) finds the alerts that its price may change. Each of them is unpacked,
// removed from the book, evaluated as docs/semantics.md says (Evaluate), added again where its new state belongs, and
// packed. The others are not touched. So the rules are written once, for one alert at a time, and the book only has to
// miss none.
//
// What differs between the kinds of condition is in their own classes (kind.h, kinds.h). Here is what all alerts have
// in common: how they are armed, paused, resumed and expired, how they enter and leave the book, and what an edge does.
//
// Not thread-safe; cannot fail. Precondition: definitions satisfy condition::FindViolationAfterSplits.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/domain/condition/definition.h"
#include "services/domain/fold/alert.h"
#include "services/domain/fold/alert_id.h"
#include "services/domain/fold/book.h"
#include "services/domain/fold/explain.h"
#include "services/domain/fold/extreme_ladder.h"
#include "services/domain/fold/fold.h"
#include "services/domain/fold/fold_state.h"
#include "services/domain/fold/frozen_alerts.h"
#include "services/domain/fold/hold.h"
#include "services/domain/fold/kind.h"
#include "services/domain/fold/outcome.h"
#include "services/domain/fold/packed_alerts.h"
#include "services/domain/fold/quiet_symbol.h"
#include "services/domain/fold/slot_set.h"
#include "services/domain/market/date_figures.h"
#include "services/domain/market/quote_order.h"
#include "services/domain/record/event.h"

namespace stockalert::fold {

// What a split's record did. kRepeated: that very split was applied before. kSkipped: another one is known by its
// number or a later one, or it by another number.
enum class SplitEffect { kApplied, kRepeated, kSkipped };

// Aligned, so that what every quote needs is in as few cache lines as can be.
class alignas(64) SymbolFold final : public ExtremeLadder::Members {
 public:
  // `number`: of the symbol within its partition.
  SymbolFold(std::string symbol, uint32_t number);
  SymbolFold(const SymbolFold&) = delete;
  SymbolFold& operator=(const SymbolFold&) = delete;

  // Precondition: the price is one that may be evaluated.
  void ApplyQuote(const record::Quote& quote, int64_t offset, Counters* counters, Outcome* outcome);
  // After a quote: says which later ones of this session have no need of this.
  void BeginQuiet(market::Session session, int64_t last_snapshot, QuietSymbol* quiet) const;
  // Takes in what `*quiet` has taken since, which takes no more.
  void EndQuiet(QuietSymbol* quiet);
  void ApplyRestart();
  // Anything but kApplied: nothing has changed.
  SplitEffect ApplySplit(const record::Split& split);
  // Whether a record of the symbol's publisher is a new one. The first also remembers it.
  bool RecordSuspicion(const record::SplitSuspected& suspected) {
    return order_.RecordOther(suspected.publisher_epoch, suspected.sequence);
  }
  bool IsNew(const record::SplitDismissed& dismissed) const {
    return order_.IsNew(dismissed.publisher_epoch, dismissed.sequence);
  }

  // Adds a new alert and arms it. The slot identifies it within this symbol until Remove.
  Slot Add(const AlertId& id, const record::AlertChange& change);
  // Precondition: the change is above the alert's revision, and no deletion.
  void Change(Slot slot, const record::AlertChange& change);
  void Remove(Slot slot);

  const AlertId& IdOf(Slot slot) const { return alerts_.id(slot); }
  int64_t RevisionOf(Slot slot) const { return alerts_.revision(slot); }
  AlertView ViewOf(Slot slot) const;
  SymbolView View() const;
  // What the alert waits for. Takes in what quiet quotes put off.
  Explanation Explain(Slot slot);

  const std::string& symbol() const { return symbol_; }
  uint32_t number() const { return number_; }
  bool previous_close_known() const { return figures_.first(market::DateFigure::kPreviousClose).has_value(); }
  bool day_open_known() const { return figures_.first(market::DateFigure::kDayOpen).has_value(); }
  std::optional<int64_t> last_event_time_us() const { return order_.last_event_time_us; }
  // True once after a record that took the event time to the expiry of an alert.
  bool TakeExpiryReached() { return std::exchange(expiry_reached_, false); }
  int64_t index_steps() const { return steps_; }
  // Has the processor fetch what every quote needs, all at once: it is rarely near.
  void Prefetch() const {
    for (size_t line = 0; line < kLinesOfQuote; ++line) {
      __builtin_prefetch(reinterpret_cast<const char*>(this) + line * kLineBytes);
    }
  }

  size_t alert_count() const { return alerts_.size(); }

  // While a split is suspected: the owner keeps the symbol's records here and applies none.
  std::unique_ptr<Hold> hold;

  // Before Save, SaveAlerts and FreezeAlerts: takes in what quiet quotes put off.
  void CatchUp();
  int64_t snapshot_number = 0;  // The owner's: of the last snapshot that it is in, or was too young for.
  SavedSymbol Save() const;
  void SaveAlerts(std::vector<SavedAlert>* alerts) const;
  // To save them later; many times faster than saving them.
  FrozenAlerts FreezeAlerts() const;
  // Preconditions: nothing was applied yet; Load before LoadAlert.
  absl::Status Load(const SavedSymbol& saved);
  absl::StatusOr<Slot> LoadAlert(const SavedAlert& saved);

 private:
  static constexpr size_t kBooks = 2;  // By condition::Sessions.
  static constexpr size_t kLineBytes = 64;
  static constexpr size_t kLinesOfQuote = 7;
  static constexpr int64_t kNoExpiry = std::numeric_limits<int64_t>::max();

  // The quote being applied, as the alerts that count it see it.
  struct Counted {
    PricePoint point;
    std::optional<int64_t> price_before_micros;  // Of the book.
    int64_t offset = 0;
    Counters* counters = nullptr;
    Outcome* outcome = nullptr;
    // Of a day's high or low: the time of the quote before, since when it may have been there.
    std::optional<int64_t> late_from_us = {};
    // Those that a high or low of this quote has triggered already, sorted.
    const std::vector<Slot>* triggered = nullptr;
  };

  void OnMovedTo(Slot slot, Direction direction, Rung* rung) override;

  // An alert out of its packing, from which it is changed; it is packed again at the end. Of a slot there is one at a
  // time. Its book is caught up first: until then its rungs may be others.
  class OpenAlert {
   public:
    OpenAlert(SymbolFold* fold, Slot slot);
    ~OpenAlert() { alerts_.Put(alert_); }
    OpenAlert(const OpenAlert&) = delete;
    OpenAlert& operator=(const OpenAlert&) = delete;
    Alert& operator*() { return alert_; }
    Alert* operator->() { return &alert_; }

   private:
    PackedAlerts& alerts_;
    Alert alert_;
  };

  Book& BookOf(const Alert& alert) { return *books_[static_cast<size_t>(alert.definition.sessions)]; }
  const Book& BookOf(const Alert& alert) const { return *books_[static_cast<size_t>(alert.definition.sessions)]; }
  Subject SubjectOf(Alert& alert) { return {alert, BookOf(alert), figures_}; }

  // The change's definition in today's prices, where it was stated in those of before a split.
  condition::Definition PresentDefinition(const record::AlertChange& change) const;

  // The quote's effect on the symbol, apart from its price.
  void EnterDate(int64_t event_time_us, market::Rules rules);
  void LearnFigure(market::DateFigure figure, const market::FigureSource& source, const std::optional<int64_t>& micros);
  void ExpireUpTo(int64_t event_time_us);
  void EvaluateChanged(Book& book, const Counted& counted);

  // docs/semantics.md, "Gaps". Gives the alerts that triggered, sorted. `of`: what all have in common.
  std::vector<Slot> EvaluateGap(const market::NewExtremes& extremes, const Counted& of);
  std::vector<Slot> RemoveUntested();
  std::vector<Slot> FindTouched(Book& book, const market::NewExtremes& extremes);
  // True where it triggers.
  bool EvaluateExtremes(Alert& alert, const market::NewExtremes& extremes, const Counted& of);
  bool TriggersAt(Alert& alert, int64_t price_before, const Counted& counted);
  void TakeIn(Alert& alert, int64_t price_before, const Counted& counted, bool high);
  void ReturnTo(Alert& alert, Residence residence);

  SavedBeside WhatIsSavedBeside() const { return {symbol_, figures_.date(), since_last_quote_}; }
  static SavedBook SaveBook(const Book& book);
  // A new book, with what is known of the date.
  void LoadBook(const SavedBook& saved, Book* book) const;

  // docs/semantics.md, "Arming and edges", for one alert.
  void Arm(Alert& alert);
  void ResetToUnarmed(Alert& alert) const;
  bool IsPastExpiry(const Alert& alert) const;
  void Expire(Alert& alert);
  void StartAtArmingPrice(Alert& alert, int64_t price_micros);
  void KeepPriceBefore(Alert& alert) const;
  void Pause(Alert& alert);
  void SaveForPause(Alert& alert);
  void Resume(Alert& alert);
  void Evaluate(Alert& alert, const Counted& counted);
  void Judge(Alert& alert, int64_t price_before, const Counted& counted);
  static bool MayTriggerAtFirstPrice(const Alert& alert);
  bool IsSwallowed(const Alert& alert, const Counted& counted) const;
  static void Swallow(Alert& alert, const Judgement& judgement, Counters* counters);
  void Fire(Alert& alert, int64_t price_before, const Judgement& judgement, const Counted& counted);

  // Whether the alert waits for a figure of the date that is not known yet.
  bool AwaitsFigure(const Alert& alert) const;
  // For an alert that is measured from a figure of the date: resets what it kept from an earlier date.
  void RefreshDate(Alert& alert) const;

  void AddSinceLastQuote(Slot slot);

  void TrackExpiry(const Alert& alert);
  void UntrackExpiry(const Alert& alert);

  // Where an alert resides. The first three enter it, from kOut; RemoveFromBook brings it back to kOut.
  // The last four end the quiet of the book, as it may be narrower now.
  void AwaitPrice(Alert& alert);
  void AwaitFigure(Alert& alert, market::DateFigure figure);
  void AddToBook(Alert& alert);
  void RemoveFromBook(Alert& alert);

  // What every quote needs that is not taken elsewhere comes first, side by side: up to the books (Prefetch).
  const std::string symbol_;
  market::QuoteOrder order_;
  market::DateFigures figures_;
  int64_t next_expiry_us_ = kNoExpiry;  // At or before the first of expiries_.
  bool expiry_reached_ = false;
  bool any_since_last_quote_ = false;              // Whether anything is in since_last_quote_.
  std::array<std::optional<Book>, kBooks> books_;  // Never none; made anew by a restart.
  const uint32_t number_;
  PackedAlerts alerts_;
  // Armed or resumed since the last accepted quote: what was there before the next one is not theirs. Some may be free
  // again.
  SlotSet since_last_quote_;
  std::vector<SavedSplit> splits_;    // By number.
  absl::btree_set<SlotAt> expiries_;  // Of alerts that are neither ended nor expired.
  int64_t steps_ = 0;
};

}  // namespace stockalert::fold
