#include "services/domain/fold/book.h"

#include <algorithm>
#include <cstdlib>

#include "services/domain/condition/level.h"

namespace stockalert::fold {

using market::DateFigure;

Windows::Windows(int64_t window_us, ExtremeLadder::Members* members)
    : legs{ExtremeLadder(Direction::kUp, Measure::kPercent, window_us, members),
           ExtremeLadder(Direction::kDown, Measure::kPercent, window_us, members)} {}

void Wakes::AddAtOrAbove(int64_t price_micros) {
  at_or_above = std::min(at_or_above.value_or(price_micros), price_micros);
}

void Wakes::AddAtOrBelow(int64_t price_micros) {
  at_or_below = std::max(at_or_below.value_or(price_micros), price_micros);
}

void Wakes::AddAfter(int64_t event_time_us) { after_us = std::min(after_us.value_or(event_time_us), event_time_us); }

void Wakes::AddPercentLevel(size_t leg, int64_t reference_micros, int64_t percent_e4, bool ready) {
  if (leg == kUpLeg) {
    const int64_t level = condition::LevelAbovePercent(reference_micros, percent_e4);
    ready ? AddAtOrAbove(level) : AddAtOrBelow(level - 1);
  } else {
    const int64_t level = condition::LevelBelowPercent(reference_micros, percent_e4);
    ready ? AddAtOrBelow(level) : AddAtOrAbove(level + 1);
  }
}

void Wakes::AddBeyondExtreme(size_t leg, int64_t extreme_micros) {
  leg == kUpLeg ? AddAtOrBelow(extreme_micros) : AddAtOrAbove(extreme_micros);
}

Book::Index::Index(ExtremeLadder::Members* the_members)
    : trailing{{{ExtremeLadder(Direction::kUp, Measure::kPercent, std::nullopt, the_members),
                 ExtremeLadder(Direction::kDown, Measure::kPercent, std::nullopt, the_members)},
                {ExtremeLadder(Direction::kUp, Measure::kAmount, std::nullopt, the_members),
                 ExtremeLadder(Direction::kDown, Measure::kAmount, std::nullopt, the_members)}}},
      members(the_members) {}

Book::Book(ExtremeLadder::Members* members) : index_(std::make_unique<Index>(members)) {}

void Book::PutOff(PricePoint point, int64_t* steps) {
  if (pending_.Add(point)) return;
  CatchUp(steps);
  pending_.Add(point);
}

void Book::CatchUp(int64_t* steps) {
  if (pending_.empty()) return;
  const PendingPrices::Chain lows = pending_.Lows();
  const PendingPrices::Chain highs = pending_.Highs();
  // Of all time only the most extreme one counts: the first.
  for (std::array<ExtremeLadder, 2>& ladders : index_->trailing) {
    ladders[kUpLeg].Advance(*lows.begin(), steps);
    ladders[kDownLeg].Advance(*highs.begin(), steps);
  }
  for (const auto& [window_us, one] : index_->windows) {
    for (const PricePoint& low : lows) one->legs[kUpLeg].Advance(low, steps);
    for (const PricePoint& high : highs) one->legs[kDownLeg].Advance(high, steps);
  }
  pending_.Clear();
}

void Book::FindQuiet(const market::DateFigures& figures, int64_t* steps) {
  quiet = {};
  if (!index_->fresh.empty()) return;
  QuietInterval found = QuietInterval::Everything();
  for (DateFigure figure : market::kDateFigures) {
    if (!figures.first(figure).has_value()) continue;
    for (size_t leg : {kUpLeg, kDownLeg}) {
      NarrowQuiet(GroupOf(figure).legs[leg], DirectionOf(leg), Measure::kPercent, &found);
    }
  }
  if (!index_->wake_up.empty()) found.KeepBelow(index_->wake_up.begin()->at);
  if (!index_->wake_down.empty()) found.KeepAbove(-index_->wake_down.begin()->at);
  if (!index_->window_ends.empty()) found.KeepUntil(index_->window_ends.begin()->at);
  index_->inside.NarrowQuiet(last->price_micros, &found, steps);
  follows_extremes_ = false;
  const auto narrow = [&](const ExtremeLadder& ladder) {
    ladder.NarrowQuiet(last->price_micros, &found, steps);
    // Also one whose last alert has just gone: a quote has to clear what it holds, before it is used again.
    follows_extremes_ = follows_extremes_ || ladder.rung_count() > 0;
  };
  for (const std::array<ExtremeLadder, 2>& ladders : index_->trailing)
    std::for_each(ladders.begin(), ladders.end(), narrow);
  for (const auto& [window_us, one] : index_->windows) std::for_each(one->legs.begin(), one->legs.end(), narrow);
  quiet = found;
}

namespace {

std::vector<Slot> EachOnce(std::vector<Slot> found, int64_t* steps) {
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  *steps += static_cast<int64_t>(found.size());
  return found;
}

}  // namespace

std::vector<Slot> Book::Advance(PricePoint point, const market::DateFigures& figures, int64_t* steps) {
  CatchUp(steps);
  last = point;
  std::vector<Slot> found(index_->fresh.begin(), index_->fresh.end());
  index_->fresh.clear();
  for (DateFigure figure : market::kDateFigures) {
    if (!figures.first(figure).has_value()) continue;
    Slots& awaiting = AwaitingReference(figure);
    found.insert(found.end(), awaiting.begin(), awaiting.end());
    awaiting.clear();
  }
  FindInSets(point.price_micros, figures, &found, steps);
  FindInLadders(point, &found, steps);
  for (auto it = index_->window_ends.begin(); it != index_->window_ends.end() && it->at < point.time_us; ++it) {
    found.push_back(it->slot);
  }
  return EachOnce(std::move(found), steps);
}

std::vector<Slot> Book::FindTouched(const market::NewExtremes& extremes, const market::DateFigures& figures,
                                    int64_t* steps) {
  CatchUp(steps);
  std::vector<Slot> found;
  for (const std::optional<int64_t>& price : {extremes.high_micros, extremes.low_micros}) {
    if (!price.has_value()) continue;
    FindInSets(*price, figures, &found, steps);
    for (const std::array<ExtremeLadder, 2>& ladders : index_->trailing) {
      for (const ExtremeLadder& ladder : ladders) ladder.Find(*price, &found, steps);
    }
  }
  // What the new extremes do to those measured from them: a low may be far from a high that is as new.
  for (const std::array<ExtremeLadder, 2>& ladders : index_->trailing) {
    if (extremes.high_micros.has_value()) {
      const int64_t high = *extremes.high_micros;
      ladders[kDownLeg].FindReplaced(high, {high, extremes.low_micros.value_or(high)}, &found, steps);
    }
    if (extremes.low_micros.has_value()) {
      ladders[kUpLeg].FindReplaced(*extremes.low_micros, {*extremes.low_micros}, &found, steps);
    }
  }
  return EachOnce(std::move(found), steps);
}

void Book::AddExtremes(const market::NewExtremes& extremes, int64_t* steps) {
  quiet = {};
  for (std::array<ExtremeLadder, 2>& ladders : index_->trailing) {
    if (extremes.high_micros.has_value()) ladders[kDownLeg].Advance({*extremes.high_micros, last->time_us}, steps);
    if (extremes.low_micros.has_value()) ladders[kUpLeg].Advance({*extremes.low_micros, last->time_us}, steps);
  }
}

// By the price alone, whatever is to come of the ladders.
void Book::FindInSets(int64_t price_micros, const market::DateFigures& figures, std::vector<Slot>* found,
                      int64_t* steps) const {
  for (DateFigure figure : market::kDateFigures) {
    if (!figures.first(figure).has_value()) continue;
    for (size_t leg : {kUpLeg, kDownLeg}) {
      FindChanged(index_->groups[static_cast<size_t>(figure)].legs[leg], DirectionOf(leg), Measure::kPercent,
                  price_micros, found, steps);
    }
  }
  for (auto it = index_->wake_up.begin(); it != index_->wake_up.end() && it->at <= price_micros; ++it) {
    found->push_back(it->slot);
  }
  for (auto it = index_->wake_down.begin(); it != index_->wake_down.end() && it->at <= -price_micros; ++it) {
    found->push_back(it->slot);
  }
  index_->inside.Find(price_micros, found, steps);
}

void Book::FindInLadders(PricePoint point, std::vector<Slot>* found, int64_t* steps) {
  for (std::array<ExtremeLadder, 2>& ladders : index_->trailing) {
    for (ExtremeLadder& ladder : ladders) {
      ladder.Advance(point, steps);
      ladder.Find(point.price_micros, found, steps);
    }
  }
  for (auto it = index_->windows.begin(); it != index_->windows.end();) {
    bool used = false;
    for (ExtremeLadder& ladder : it->second->legs) {
      ladder.Advance(point, steps);
      ladder.Find(point.price_micros, found, steps);
      used = used || ladder.size() > 0;
    }
    it = used ? std::next(it) : index_->windows.erase(it);
  }
}

void Book::AddWakes(Slot slot, const Wakes& wakes) {
  if (wakes.at_or_above.has_value()) index_->wake_up.insert({*wakes.at_or_above, slot});
  if (wakes.at_or_below.has_value()) index_->wake_down.insert({-*wakes.at_or_below, slot});
  if (wakes.inside.has_value()) index_->inside.Insert(wakes.inside->low_micros, wakes.inside->high_micros, slot);
  if (wakes.after_us.has_value()) index_->window_ends.insert({*wakes.after_us, slot});
}

namespace {

void Erase(Book::WakeSet& set, SlotAt wake) {
  if (set.erase(wake) != 1) std::abort();  // The index lost an alert.
}

}  // namespace

void Book::RemoveWakes(Slot slot, const Wakes& wakes) {
  if (wakes.at_or_above.has_value()) Erase(index_->wake_up, {*wakes.at_or_above, slot});
  if (wakes.at_or_below.has_value()) Erase(index_->wake_down, {-*wakes.at_or_below, slot});
  if (wakes.inside.has_value()) index_->inside.Erase(wakes.inside->low_micros, slot);
  if (wakes.after_us.has_value()) Erase(index_->window_ends, {*wakes.after_us, slot});
}

Windows& Book::WindowsOf(int64_t window_us) {
  std::unique_ptr<Windows>& found = index_->windows[window_us];
  if (found == nullptr) found = std::make_unique<Windows>(window_us, index_->members);
  return *found;
}

}  // namespace stockalert::fold
