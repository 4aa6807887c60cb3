// A percentage from a figure of the date: its previous close or its open. After a trigger, or where it was armed after
// a correction of the figure, an alert has a reference of its own for the rest of the date.
#pragma once

#include <optional>

#include "services/domain/fold/kind_percent.h"
#include "services/domain/market/date_figures.h"

namespace stockalert::fold {

struct DatePercentKind : Percent, KeepsNothing, SeesAllExtremes {
  DatePercentKind(const condition::PercentChange& of, market::DateFigure of_figure) : Percent(of), figure(of_figure) {}

  void StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const;
  Judgement Judge(const Subject& subject, PricePoint point, int64_t price_before) const;
  void ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool ready_after_edge) const;
  void AddToBook(const Subject& subject) const;
  Wakes WakesOf(const Alert& alert) const;
  void RemoveFromBook(const Subject& subject) const;

  const market::DateFigure figure;
};

// What an alert is measured from on the present date, if that is known.
std::optional<int64_t> DateReferenceOf(const Alert& alert, market::DateFigure figure,
                                       const market::DateFigures& figures);

}  // namespace stockalert::fold
