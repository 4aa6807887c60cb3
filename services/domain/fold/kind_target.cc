#include "services/domain/fold/kind_target.h"

#include <algorithm>

namespace stockalert::fold {

using condition::TargetOp;

void TargetKind::StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const {
  const int64_t t = target.price_micros;
  bool ready = true;
  if (target.op == TargetOp::kAtOrAbove) ready = ready_if_met || price_micros < t;
  if (target.op == TargetOp::kAtOrBelow) ready = ready_if_met || price_micros > t;
  subject.alert.legs[kUpLeg].ready = ready;
}

Judgement TargetKind::Judge(const Subject& subject, PricePoint point, int64_t price_before) const {
  const int64_t t = target.price_micros;
  const int64_t price = point.price_micros;
  const int64_t hysteresis = subject.alert.definition.hysteresis_micros;
  Judgement judgement;
  judgement.measured_from = t;
  switch (target.op) {
    case TargetOp::kAtOrAbove:
      judgement.JudgeLeg(subject.alert, kUpLeg, price >= t, price < t && price <= t - hysteresis);
      break;
    case TargetOp::kAtOrBelow:
      judgement.JudgeLeg(subject.alert, kUpLeg, price <= t, price > t && price >= t + hysteresis);
      break;
    case TargetOp::kCrosses: {
      // The price before, where it is not t, is on the side that counts; where it is t, no price crosses.
      const bool crossed = price_before != t && (price == t || (price_before < t) == (price > t));
      const bool far = price >= t + hysteresis || price <= t - hysteresis;
      judgement.JudgeLeg(subject.alert, kUpLeg, crossed, far);
      judgement.ready_after_edge = far;
      break;
    }
  }
  return judgement;
}

void TargetKind::ContinueAfterTrigger(const Subject& subject, int64_t, bool ready_after_edge) const {
  subject.alert.legs[kUpLeg].ready = ready_after_edge;
}

void TargetKind::AddToBook(const Subject& subject) const {
  const int64_t last = subject.book.last->price_micros;
  const int64_t t = target.price_micros;
  subject.alert.watched_from = static_cast<int8_t>(last < t ? -1 : last > t ? 1 : 0);
}

Wakes TargetKind::WakesOf(const Alert& alert) const {
  const int64_t t = target.price_micros;
  const int64_t hysteresis = alert.definition.hysteresis_micros;
  const bool ready = alert.legs[kUpLeg].ready;
  Wakes wakes;
  switch (target.op) {
    case TargetOp::kAtOrAbove:
      ready ? wakes.AddAtOrAbove(t) : wakes.AddAtOrBelow(std::min(t - 1, t - hysteresis));
      break;
    case TargetOp::kAtOrBelow:
      ready ? wakes.AddAtOrBelow(t) : wakes.AddAtOrAbove(std::max(t + 1, t + hysteresis));
      break;
    case TargetOp::kCrosses:
      if (!ready) {
        wakes.at_or_above = t + hysteresis;
        wakes.at_or_below = t - hysteresis;
        break;
      }
      // From t itself a move to either side only makes a side: it has to be seen, so that the way back is waited for.
      if (alert.watched_from <= 0) wakes.at_or_above = alert.watched_from < 0 ? t : t + 1;
      if (alert.watched_from >= 0) wakes.at_or_below = alert.watched_from > 0 ? t : t - 1;
      break;
  }
  return wakes;
}

}  // namespace stockalert::fold
