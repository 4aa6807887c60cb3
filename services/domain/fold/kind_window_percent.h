// A percentage from the extreme of a moving window of time.
#pragma once

#include "services/domain/fold/kind_percent.h"

namespace stockalert::fold {

struct WindowPercentKind : Percent {
  // Windows take no part in gaps.
  static bool SeesExtreme(const Alert&, bool) { return false; }
  static bool EntersExtreme(bool) { return false; }
  using Percent::Percent;

  void StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const;
  Judgement Judge(const Subject& subject, PricePoint point, int64_t price_before) const;
  void ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool ready_after_edge) const;
  void AddToBook(const Subject& subject) const;
  Wakes WakesOf(const Alert& alert) const;
  void RemoveFromBook(const Subject& subject) const;
  void SaveForPause(const Subject& subject) const;
  const char* Restore(const Subject& subject) const;

 private:
  ExtremeLadder& LadderOf(Book& book, size_t leg) const { return book.WindowsOf(change.window_us).legs[leg]; }
  // When an entry of the window leaves it.
  int64_t EndOf(PricePoint entry) const;
  void MeasureFromRung(const Subject& subject, PricePoint point) const;
};

}  // namespace stockalert::fold
