// A fall from the highest price since arming, or a rise from the lowest, by a percentage or an amount.
#pragma once

#include <utility>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/kind.h"

namespace stockalert::fold {

struct TrailingKind : KeepsNothing {
  explicit TrailingKind(const condition::TrailingChange& of) : trailing(of) {}

  static bool MayTriggerAtFirstPrice() { return true; }
  void StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const;
  Judgement Judge(const Subject& subject, PricePoint point, int64_t price_before) const;
  // Before its activation only the side that can activate it.
  bool SeesExtreme(const Alert& alert, bool high) const { return alert.activated || EntersExtreme(high); }
  bool EntersExtreme(bool high) const { return high == (trailing.op == condition::TrailingOp::kFallsFromHigh); }
  void ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool ready_after_edge) const;
  void AddToBook(const Subject& subject) const;
  Wakes WakesOf(const Alert& alert) const;
  void RemoveFromBook(const Subject& subject) const;

  const condition::TrailingChange& trailing;

 private:
  size_t leg() const { return trailing.op == condition::TrailingOp::kRisesFromLow ? kUpLeg : kDownLeg; }
  Measure measure() const { return trailing.percent_e4 != 0 ? Measure::kPercent : Measure::kAmount; }
  int64_t distance() const { return trailing.percent_e4 != 0 ? trailing.percent_e4 : trailing.amount_micros; }
  bool IsActivatedBy(int64_t price_micros) const;
};

template <typename Visitor>
decltype(auto) WithKind(const condition::TrailingChange& trailing, Visitor&& visitor) {
  return std::forward<Visitor>(visitor)(TrailingKind(trailing));
}

}  // namespace stockalert::fold
