// What a kind of condition has to say to the fold, and what it may see of its alert.
//
// Each kind is a small class in a file of its own (kind_target.h, …) with all of the members that ConditionKind asks
// for; kinds.h dispatches to them. What is not the kind's (arming, pauses, expiry, cooldowns, what a trigger carries)
// is written once, in symbol_fold.cc.
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

// An alert where it stands. Kinds change the alert and the book.
struct Subject {
  Alert& alert;
  Slot slot;
  Book& book;
  const market::DateFigures& figures;
};

// What a price makes of an alert.
struct Judgement {
  std::array<bool, 2> edge = {false, false};  // By leg.
  // What an edge leaves a leg as, swallowed or, for kinds that go on by it, triggered.
  bool ready_after_edge = false;
  // The target, bound, reference or extreme that the price was measured against.
  std::optional<int64_t> measured_from;

  bool triggers() const { return edge[kUpLeg] || edge[kDownLeg]; }

  // A leg at the price: an edge where it was ready and its level is true; where it was not, it may become ready.
  void Take(Alert& alert, size_t leg, bool level, bool becomes_ready) {
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
  // Whether a first price, which serves as arming price too, may trigger a FIRE_IF_MET alert: a move needs one before.
  { kind.MayTriggerAtFirstPrice() } -> std::same_as<bool>;
  // Begin(subject, arming price, whether FIRE_IF_MET has it ready even where the level is true).
  { kind.Begin(subject, price, flag) } -> std::same_as<void>;
  // Judge(subject, the price that counts, the price before). The alert has begun and is out of the index.
  { kind.Judge(subject, point, price) } -> std::same_as<Judgement>;
  // GoOn(subject, the price that triggered, the judgement's ready_after_edge): of an alert that has not ended.
  { kind.GoOn(subject, price, flag) } -> std::same_as<void>;
  // Into the book, to be found by the next price that changes anything; and out of all but its wakes.
  { kind.PutIn(subject) } -> std::same_as<void>;
  { kind.TakeOut(subject) } -> std::same_as<void>;
  // Of an alert that has begun and is out of the index: what it needs to go on after a pause that begins now.
  { kind.KeepOverPause(subject) } -> std::same_as<void>;
  // Before the first PutIn of an alert from a checkpoint; what contradicts the book, or null.
  { kind.Restore(subject) } -> std::same_as<const char*>;
};
// clang-format on

// For kinds that are in the book by wakes alone.
struct OnlyWakes {
  static void TakeOut(const Subject&) {}
};

// For kinds whose legs hold all of their state.
struct KeepsNothing {
  static void KeepOverPause(const Subject&) {}
  static const char* Restore(const Subject&) { return nullptr; }
};

// Distances are measured from the price that triggered, at which no level is true.
inline void MeasureFrom(Alert& alert, int64_t price_micros) {
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
