// What the fold asks of each kind of condition, and what a kind may see of its alert.
//
// Each kind is a small class in a file of its own (kind_target.h, …) with all members of the concept ConditionKind;
// kinds.h dispatches to them. What does not depend on the kind (arming, pauses, expiry, cooldowns, what a trigger
// carries) is written once, in symbol_fold.cc.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "services/domain/fold/alert.h"
#include "services/domain/fold/book.h"
#include "services/domain/market/date_figures.h"

namespace stockalert::fold {

// An alert with its surroundings. Kinds change the alert and the book.
struct Subject {
  Alert& alert;
  Book& book;
  const market::DateFigures& figures;
};

// What a price does to an alert.
struct Judgement {
  std::array<bool, 2> edge = {false, false};  // By leg.
  // Whether a leg is ready after its edge: after one that is swallowed, and after a trigger for kinds that use it in
  // ContinueAfterTrigger.
  bool ready_after_edge = false;
  // The target, bound, reference or extreme that the price was measured against.
  std::optional<int64_t> measured_from;

  bool triggers() const { return edge[kUpLeg] || edge[kDownLeg]; }

  // A ready leg whose level is true at the price has an edge; a leg that is not ready may become so.
  void JudgeLeg(Alert& alert, size_t leg, bool level, bool becomes_ready) {
    if (alert.legs[leg].ready) {
      edge[leg] = level;
    } else if (becomes_ready) {
      alert.legs[leg].ready = true;
    }
  }
};

// clang-format off: a line a member.
template <typename Kind>
concept ConditionKind = requires(const Kind kind, const Subject& subject, PricePoint point, int64_t price, bool flag) {
  // Whether the first price after arming, which is also the arming price, may trigger a FIRE_IF_MET alert. A kind that
  // watches for a move needs a price before it, so it says no.
  { kind.MayTriggerAtFirstPrice() } -> std::same_as<bool>;
  // StartAtArmingPrice(subject, arming price, whether the alert is ready even if its level is true: FIRE_IF_MET).
  { kind.StartAtArmingPrice(subject, price, flag) } -> std::same_as<void>;
  // Judge(subject, the new price, the price before it). The alert has started and is out of the book.
  { kind.Judge(subject, point, price) } -> std::same_as<Judgement>;
  // Whether a day's high (or low, where the flag is false) that a later quote told of is a price to the alert in its
  // present state.
  { kind.SeesExtreme(subject.alert, flag) } -> std::same_as<bool>;
  // Whether such a high (or low) may become what the alert is measured from.
  { kind.EntersExtreme(flag) } -> std::same_as<bool>;
  // ContinueAfterTrigger(subject, the price that triggered, the judgement's ready_after_edge). Not for ONCE alerts:
  // these have ended.
  { kind.ContinueAfterTrigger(subject, price, flag) } -> std::same_as<void>;
  // AddToBook enters the alert where the next price that changes it will find it, except for its wakes, which the caller
  // adds afterwards; RemoveFromBook undoes that, once the caller has removed the wakes.
  { kind.AddToBook(subject) } -> std::same_as<void>;
  { kind.RemoveFromBook(subject) } -> std::same_as<void>;
  // The wakes of an alert that is in the book: the same ones as long as it is there.
  { kind.WakesOf(subject.alert) } -> std::same_as<Wakes>;
  // Saves what the alert needs when it is resumed. It has started and is out of the book.
  { kind.SaveForPause(subject) } -> std::same_as<void>;
  // Called for an alert from a checkpoint before its first AddToBook. Says what contradicts the book, or null.
  { kind.Restore(subject) } -> std::same_as<const char*>;
};
// clang-format on

// For kinds that are in the book only by their wakes.
struct KeepsOnlyWakes {
  static void AddToBook(const Subject&) {}
  static void RemoveFromBook(const Subject&) {}
};

// For kinds to which a day's high and low are prices as any other.
struct SeesAllExtremes {
  static bool SeesExtreme(const Alert&, bool) { return true; }
  static bool EntersExtreme(bool) { return true; }
};

// For kinds that keep all of their state in the legs.
struct KeepsNothing {
  static void SaveForPause(const Subject&) {}
  static const char* Restore(const Subject&) { return nullptr; }
};

// From now on distances are measured from the price that triggered, at which no level is true.
inline void MeasureFromTrigger(Alert& alert, int64_t price_micros) {
  for (Leg& leg : alert.legs) {
    leg = Leg{};
    leg.ready = true;
    leg.reference_micros = price_micros;
  }
}

inline bool IsReached(Direction direction, Measure measure, int64_t reference, int64_t distance, int64_t price) {
  return Signed(direction, price) >= SignedLevel(direction, measure, reference, distance);
}

}  // namespace stockalert::fold
