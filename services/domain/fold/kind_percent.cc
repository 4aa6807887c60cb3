#include "services/domain/fold/kind_percent.h"

namespace stockalert::fold {

void Percent::StartFromReference(Alert& alert, int64_t reference_micros, int64_t price_micros,
                                 bool ready_if_met) const {
  for (size_t leg : {kUpLeg, kDownLeg}) {
    if (!HasLeg(leg)) continue;
    alert.legs[leg].reference_micros = reference_micros;
    alert.legs[leg].ready = ready_if_met || !IsReached(DirectionOf(leg), Measure::kPercent, reference_micros,
                                                       change.percent_e4, price_micros);
  }
}

Judgement Percent::JudgeLegs(Alert& alert, int64_t price_micros) const {
  Judgement judgement;
  for (size_t leg : {kUpLeg, kDownLeg}) {
    if (!HasLeg(leg)) continue;
    const int64_t reference = alert.legs[leg].reference_micros;
    const bool level = IsReached(DirectionOf(leg), Measure::kPercent, reference, change.percent_e4, price_micros);
    judgement.JudgeLeg(alert, leg, level, !level);
    if (judgement.edge[leg] && !judgement.measured_from.has_value()) judgement.measured_from = reference;
  }
  return judgement;
}

Wakes Percent::WakesAtLevels(const Alert& alert) const {
  Wakes wakes;
  for (size_t leg : {kUpLeg, kDownLeg}) {
    if (!HasLeg(leg)) continue;
    const Leg& watched = alert.legs[leg];
    wakes.AddPercentLevel(leg, watched.reference_micros, change.percent_e4, watched.ready);
  }
  return wakes;
}

void FixedPercentKind::StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const {
  const bool given = change.reference == condition::PercentReference::kGiven;
  StartFromReference(subject.alert, given ? change.given_price_micros : price_micros, price_micros, ready_if_met);
}

Judgement FixedPercentKind::Judge(const Subject& subject, PricePoint point, int64_t) const {
  return JudgeLegs(subject.alert, point.price_micros);
}

void FixedPercentKind::ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool) const {
  MeasureFromTrigger(subject.alert, price_micros);
}

Wakes FixedPercentKind::WakesOf(const Alert& alert) const { return WakesAtLevels(alert); }

}  // namespace stockalert::fold
