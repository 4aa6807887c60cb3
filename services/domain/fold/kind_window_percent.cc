#include "services/domain/fold/kind_window_percent.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace stockalert::fold {
namespace {

// Drops the latest entries that a price of the same leg's window is at or beyond.
void DropPassed(size_t leg, int64_t extreme_micros, std::vector<PricePoint>* entries) {
  const Direction direction = DirectionOf(leg);
  while (!entries->empty() && Signed(direction, entries->back().price_micros) >= Signed(direction, extreme_micros)) {
    entries->pop_back();
  }
}

}  // namespace

int64_t WindowPercentKind::EndOf(PricePoint entry) const {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  const __int128 end_us = static_cast<__int128>(entry.time_us) + change.window_us;
  return end_us > kNever ? kNever : static_cast<int64_t>(end_us);
}

void WindowPercentKind::StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const {
  StartFromReference(subject.alert, price_micros, price_micros, ready_if_met);
}

Judgement WindowPercentKind::Judge(const Subject& subject, PricePoint point, int64_t) const {
  MeasureFromRung(subject, point);
  return JudgeLegs(subject.alert, point.price_micros);
}

// Of an alert that is out of the index: joins the rung of the present price after a pause, drops what is no longer in
// the window or nearer than what came since, and takes the reference.
void WindowPercentKind::MeasureFromRung(const Subject& subject, PricePoint point) const {
  for (size_t i : {kUpLeg, kDownLeg}) {
    if (!HasLeg(i)) continue;
    Leg& leg = subject.alert.legs[i];
    if (leg.rung == nullptr) leg.rung = LadderOf(subject.book, i).FindOrMakeRung(point);
    const int64_t since_micros = leg.rung->reference_micros;
    std::vector<PricePoint>& entries = leg.entries;
    const auto in_window = std::find_if(entries.begin(), entries.end(),
                                        [&](const PricePoint& entry) { return EndOf(entry) >= point.time_us; });
    entries.erase(entries.begin(), in_window);
    DropPassed(i, since_micros, &entries);
    leg.reference_micros = entries.empty() ? since_micros : entries.front().price_micros;
  }
}

void WindowPercentKind::ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool) const {
  MeasureFromTrigger(subject.alert, price_micros);
}

void WindowPercentKind::AddToBook(const Subject& subject) const {
  const auto& [alert, book, figures] = subject;
  for (size_t i : {kUpLeg, kDownLeg}) {
    if (!HasLeg(i)) continue;
    Leg& leg = alert.legs[i];
    ExtremeLadder& ladder = LadderOf(book, i);
    if (leg.rung == nullptr) leg.rung = ladder.FindOrMakeRung(*book.last);
    if (leg.entries.empty()) {
      ladder.Add(leg.rung, change.percent_e4, alert.slot, leg.ready);
    } else {
      ladder.AddFollower(leg.rung, alert.slot);
    }
  }
}

Wakes WindowPercentKind::WakesOf(const Alert& alert) const {
  Wakes wakes;
  for (size_t i : {kUpLeg, kDownLeg}) {
    const Leg& leg = alert.legs[i];
    if (!HasLeg(i) || leg.entries.empty()) continue;
    const PricePoint nearest = leg.entries.front();
    wakes.AddPercentLevel(i, nearest.price_micros, change.percent_e4, leg.ready);
    wakes.AddBeyondExtreme(i, nearest.price_micros);
    wakes.AddAfter(EndOf(nearest));
  }
  return wakes;
}

void WindowPercentKind::RemoveFromBook(const Subject& subject) const {
  for (size_t i : {kUpLeg, kDownLeg}) {
    if (!HasLeg(i)) continue;
    // The rung stays where it is until the next price: the alert may come back to it.
    Leg& leg = subject.alert.legs[i];
    leg.reference_micros = leg.rung->reference_micros;
    ExtremeLadder& ladder = LadderOf(subject.book, i);
    if (leg.entries.empty()) {
      ladder.Remove(leg.rung, change.percent_e4, subject.alert.slot, leg.ready);
    } else {
      ladder.RemoveFollower(leg.rung, subject.alert.slot);
    }
  }
}

void WindowPercentKind::SaveForPause(const Subject& subject) const {
  for (size_t i : {kUpLeg, kDownLeg}) {
    if (!HasLeg(i)) continue;
    Leg& leg = subject.alert.legs[i];
    if (leg.rung == nullptr) {
      // Armed as it pauses: the window that it will go on from holds the arming price. Or it has seen no price since
      // the pause before, and keeps what it kept then.
      if (leg.entries.empty()) leg.entries = {*subject.book.last};
      continue;
    }
    // What is in the window now: the prices from before an earlier pause that are still nearer than all since, and
    // those since.
    DropPassed(i, leg.rung->reference_micros, &leg.entries);
    const std::vector<PricePoint> since = LadderOf(subject.book, i).EntriesFrom(*leg.rung);
    leg.entries.insert(leg.entries.end(), since.begin(), since.end());
    leg.rung = nullptr;
  }
}

const char* WindowPercentKind::Restore(const Subject& subject) const {
  const Book::WindowsByLength& all = subject.book.windows();
  const auto windows = all.find(change.window_us);
  if (windows == all.end()) return "its window is missing";
  for (size_t i : {kUpLeg, kDownLeg}) {
    if (!HasLeg(i)) continue;
    Leg& leg = subject.alert.legs[i];
    leg.rung = windows->second->legs[i].FindRung(leg.reference_micros);
    if (leg.rung == nullptr) return "its window does not hold its reference";
  }
  return nullptr;
}

}  // namespace stockalert::fold
