// A percentage from a reference that stays: the arming price or a given one. Kinds whose reference moves are in
// kind_date_percent.h and kind_window_percent.h, which share the judgement.
#pragma once

#include "services/domain/condition/definition.h"
#include "services/domain/fold/kind.h"

namespace stockalert::fold {

// What all percentages have in common, whatever they are measured from.
struct Percent {
  explicit Percent(const condition::PercentChange& of) : change(of) {}

  static bool MayTriggerAtFirstPrice() { return true; }

  bool HasLeg(size_t leg) const {
    return change.op == condition::PercentOp::kEither || (change.op == condition::PercentOp::kUp) == (leg == kUpLeg);
  }
  // With a reference for all legs.
  void StartFromReference(Alert& alert, int64_t reference_micros, int64_t price_micros, bool ready_if_met) const;
  // With each leg's own.
  Judgement JudgeLegs(Alert& alert, int64_t price_micros) const;
  Wakes WakesAtLevels(const Alert& alert) const;

  const condition::PercentChange& change;
};

struct FixedPercentKind : Percent, KeepsOnlyWakes, KeepsNothing, SeesAllExtremes {
  using Percent::Percent;

  void StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const;
  Judgement Judge(const Subject& subject, PricePoint point, int64_t price_before) const;
  void ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool ready_after_edge) const;
  Wakes WakesOf(const Alert& alert) const;
};

}  // namespace stockalert::fold
