#include "services/domain/fold/kind_trailing.h"

namespace stockalert::fold {

using condition::TrailingOp;

bool TrailingKind::IsActivatedBy(int64_t price_micros) const {
  if (!trailing.activation_price_micros.has_value()) return true;
  return trailing.op == TrailingOp::kFallsFromHigh ? price_micros >= *trailing.activation_price_micros
                                                   : price_micros <= *trailing.activation_price_micros;
}

void TrailingKind::StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool) const {
  subject.alert.activated = IsActivatedBy(price_micros);
  Leg& begun = subject.alert.legs[leg()];
  begun.reference_micros = price_micros;
  begun.ready = true;  // At no distance from itself, the level is false.
}

Judgement TrailingKind::Judge(const Subject& subject, PricePoint point, int64_t) const {
  const int64_t price = point.price_micros;
  const Direction direction = DirectionOf(leg());
  int64_t& extreme = subject.alert.legs[leg()].reference_micros;
  Judgement judgement;
  if (!subject.alert.activated) {
    if (!IsActivatedBy(price)) return judgement;
    subject.alert.activated = true;
    extreme = price;
  } else if (Signed(direction, price) < Signed(direction, extreme)) {
    extreme = price;
  }
  const bool level = IsReached(direction, measure(), extreme, distance(), price);
  judgement.JudgeLeg(subject.alert, leg(), level, !level);
  judgement.measured_from = extreme;
  return judgement;
}

void TrailingKind::ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool) const {
  MeasureFromTrigger(subject.alert, price_micros);
}

void TrailingKind::AddToBook(const Subject& subject) const {
  if (!subject.alert.activated) return;
  ExtremeLadder& ladder = subject.book.TrailingOf(measure(), leg());
  Leg& watched = subject.alert.legs[leg()];
  watched.rung = ladder.FindOrMakeRung({watched.reference_micros, 0});
  ladder.Add(watched.rung, distance(), subject.alert.slot, watched.ready);
}

Wakes TrailingKind::WakesOf(const Alert& alert) const {
  Wakes wakes;
  if (alert.activated) return wakes;
  if (trailing.op == TrailingOp::kFallsFromHigh) {
    wakes.at_or_above = trailing.activation_price_micros;
  } else {
    wakes.at_or_below = trailing.activation_price_micros;
  }
  return wakes;
}

void TrailingKind::RemoveFromBook(const Subject& subject) const {
  Leg& watched = subject.alert.legs[leg()];
  if (watched.rung == nullptr) return;
  watched.reference_micros = watched.rung->reference_micros;
  ExtremeLadder& ladder = subject.book.TrailingOf(measure(), leg());
  ladder.Remove(std::exchange(watched.rung, nullptr), distance(), subject.alert.slot, watched.ready);
}

}  // namespace stockalert::fold
