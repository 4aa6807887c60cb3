#include "services/domain/fold/kind_date_percent.h"

namespace stockalert::fold {

std::optional<int64_t> DateReferenceOf(const Alert& alert, market::DateFigure figure,
                                       const market::DateFigures& figures) {
  if (alert.own_reference && alert.date_stamp == figures.date()) return alert.legs[kUpLeg].reference_micros;
  return figures.first(figure);
}

void DatePercentKind::StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const {
  StartFromReference(subject.alert, *DateReferenceOf(subject.alert, figure, subject.figures), price_micros,
                     ready_if_met);
}

Judgement DatePercentKind::Judge(const Subject& subject, PricePoint point, int64_t) const {
  if (!subject.alert.own_reference) {
    const int64_t reference_micros = *subject.figures.first(figure);
    for (size_t leg : {kUpLeg, kDownLeg}) {
      if (HasLeg(leg)) subject.alert.legs[leg].reference_micros = reference_micros;
    }
  }
  return JudgeLegs(subject.alert, point.price_micros);
}

void DatePercentKind::ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool) const {
  MeasureFromTrigger(subject.alert, price_micros);
  subject.alert.own_reference = true;
  subject.alert.date_stamp = subject.figures.date();
}

void DatePercentKind::AddToBook(const Subject& subject) const {
  const auto& [alert, book, figures] = subject;
  if (alert.own_reference) {
    book.OwnReference(figure).insert(alert.slot);
    return;
  }
  for (size_t leg : {kUpLeg, kDownLeg}) {
    if (!HasLeg(leg)) continue;
    Rung& rung = book.GroupOf(figure).legs[leg];
    (alert.legs[leg].ready ? rung.ready : rung.unready).insert({change.percent_e4, alert.slot});
  }
}

Wakes DatePercentKind::WakesOf(const Alert& alert) const {
  return alert.own_reference ? WakesAtLevels(alert) : Wakes();
}

void DatePercentKind::RemoveFromBook(const Subject& subject) const {
  const auto& [alert, book, figures] = subject;
  alert.date_stamp = figures.date();
  if (alert.own_reference) {
    book.OwnReference(figure).erase(alert.slot);
    return;
  }
  for (size_t leg : {kUpLeg, kDownLeg}) {
    if (!HasLeg(leg)) continue;
    Rung& rung = book.GroupOf(figure).legs[leg];
    (alert.legs[leg].ready ? rung.ready : rung.unready).erase({change.percent_e4, alert.slot});
  }
}

}  // namespace stockalert::fold
