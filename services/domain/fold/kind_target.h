// A price target: at or above, at or below, or crossed.
#pragma once

#include <utility>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/kind.h"

namespace stockalert::fold {

struct TargetKind : KeepsOnlyWakes, KeepsNothing, SeesAllExtremes {
  explicit TargetKind(const condition::PriceTarget& of) : target(of) {}

  bool MayTriggerAtFirstPrice() const { return target.op != condition::TargetOp::kCrosses; }
  void StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const;
  Judgement Judge(const Subject& subject, PricePoint point, int64_t price_before) const;
  void ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool ready_after_edge) const;
  void AddToBook(const Subject& subject) const;
  Wakes WakesOf(const Alert& alert) const;

  const condition::PriceTarget& target;
};

template <typename Visitor>
decltype(auto) WithKind(const condition::PriceTarget& target, Visitor&& visitor) {
  return std::forward<Visitor>(visitor)(TargetKind(target));
}

}  // namespace stockalert::fold
