#include "services/domain/fold/extreme_ladder.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "services/domain/condition/level.h"

namespace stockalert::fold {

int64_t SignedLevel(Direction direction, Measure measure, int64_t reference, int64_t distance) {
  if (measure == Measure::kAmount) return Signed(direction, reference) + distance;
  return direction == Direction::kUp ? condition::LevelAbovePercent(reference, distance)
                                     : -condition::LevelBelowPercent(reference, distance);
}

void FindChanged(const Rung& rung, int64_t reference, Direction direction, Measure measure, int64_t price,
                 std::vector<Slot>* found, int64_t* steps) {
  const int64_t at = Signed(direction, price);
  for (const SlotAt& member : rung.ready) {
    ++*steps;
    if (SignedLevel(direction, measure, reference, member.at) > at) break;
    found->push_back(member.slot);
  }
  for (auto it = rung.unready.rbegin(); it != rung.unready.rend(); ++it) {
    ++*steps;
    if (SignedLevel(direction, measure, reference, it->at) <= at) break;
    found->push_back(it->slot);
  }
}

void NarrowQuiet(Direction direction, int64_t low, int64_t high, QuietInterval* quiet) {
  if (direction == Direction::kDown) {
    std::swap(low, high);
    low = low == QuietInterval::kMax ? QuietInterval::kMin : -low;
    high = high == QuietInterval::kMin ? QuietInterval::kMax : -high;
  }
  quiet->low_micros = std::max(quiet->low_micros, low);
  quiet->high_micros = std::min(quiet->high_micros, high);
}

void NarrowQuiet(const Rung& rung, Direction direction, Measure measure, QuietInterval* quiet) {
  int64_t low = QuietInterval::kMin;
  int64_t high = QuietInterval::kMax;
  if (!rung.ready.empty()) {
    high = SignedLevel(direction, measure, rung.reference_micros, rung.ready.begin()->at) - 1;
  }
  if (!rung.unready.empty()) {
    low = SignedLevel(direction, measure, rung.reference_micros, rung.unready.rbegin()->at);
  }
  NarrowQuiet(direction, low, high, quiet);
}

ExtremeLadder::ExtremeLadder(Direction direction, Measure measure, std::optional<int64_t> window_us, Members* members)
    : direction_(direction), measure_(measure), window_us_(window_us), members_(members) {}

void ExtremeLadder::RegisterLevels(Rung* rung) {
  const int64_t extreme = Signed(direction_, rung->reference_micros);
  if (!rung->ready.empty()) {
    rung->ready_level = SignedLevel(direction_, measure_, rung->reference_micros, rung->ready.begin()->at);
    ready_levels_.emplace(*rung->ready_level, extreme);
    rung->ready_distance = rung->ready.begin()->at;
    ready_distances_.emplace(rung->ready_distance, extreme);
  }
  if (!rung->unready.empty()) {
    rung->unready_level = SignedLevel(direction_, measure_, rung->reference_micros, rung->unready.rbegin()->at);
    unready_levels_.emplace(-*rung->unready_level, extreme);
  }
}

void ExtremeLadder::UnregisterLevels(Rung* rung) {
  const int64_t extreme = Signed(direction_, rung->reference_micros);
  if (rung->ready_level.has_value()) {
    ready_levels_.erase({*rung->ready_level, extreme});
    ready_distances_.erase({rung->ready_distance, extreme});
  }
  if (rung->unready_level.has_value()) unready_levels_.erase({-*rung->unready_level, extreme});
  rung->ready_level.reset();
  rung->unready_level.reset();
}

std::unique_ptr<Rung> ExtremeLadder::Merge(std::unique_ptr<Rung> from, std::unique_ptr<Rung> to, int64_t* steps) {
  UnregisterLevels(from.get());
  UnregisterLevels(to.get());
  if (from->size() > to->size()) {
    std::swap(from->reference_micros, to->reference_micros);
    std::swap(from->time_us, to->time_us);
    std::swap(from, to);
  }
  for (const SlotAt& member : from->ready) members_->OnMovedTo(member.slot, direction_, to.get());
  for (const SlotAt& member : from->unready) members_->OnMovedTo(member.slot, direction_, to.get());
  for (Slot slot : from->followers) members_->OnMovedTo(slot, direction_, to.get());
  *steps += static_cast<int64_t>(from->size()) + 1;
  to->followers.insert(from->followers.begin(), from->followers.end());
  to->ready.insert(from->ready.begin(), from->ready.end());
  to->unready.insert(from->unready.begin(), from->unready.end());
  return to;
}

void ExtremeLadder::Advance(PricePoint point, int64_t* steps) {
  ++*steps;
  if (size_ == 0) {
    rungs_.clear();
    ready_levels_.clear();
    unready_levels_.clear();
    ready_distances_.clear();
    return;
  }
  const int64_t signed_price = Signed(direction_, point.price_micros);
  auto passed = rungs_.lower_bound(signed_price);
  // In a ladder of all time a price that moves no extreme leaves nothing behind.
  if (passed != rungs_.end() || window_us_.has_value()) {
    auto newest = std::make_unique<Rung>();
    newest->reference_micros = point.price_micros;
    newest->time_us = point.time_us;
    while (passed != rungs_.end()) {
      newest = Merge(std::move(passed->second), std::move(newest), steps);
      passed = rungs_.erase(passed);
    }
    RegisterLevels(newest.get());
    rungs_.emplace(signed_price, std::move(newest));
  }
  if (!window_us_.has_value()) return;
  // The newest rung is of the present time and never leaves. Rungs before the first alert's are nobody's.
  const __int128 begin_us = static_cast<__int128>(point.time_us) - *window_us_;
  while (rungs_.size() > 1) {
    auto oldest = rungs_.begin();
    if (oldest->second->size() > 0 && oldest->second->time_us >= begin_us) break;
    auto next = std::next(oldest);
    if (oldest->second->size() > 0) {
      next->second = Merge(std::move(oldest->second), std::move(next->second), steps);
      RegisterLevels(next->second.get());
    }
    ++*steps;
    rungs_.erase(oldest);
  }
}

void ExtremeLadder::Find(int64_t price, std::vector<Slot>* found, int64_t* steps) const {
  // A rung that has both kinds of alerts to change is found twice, and so are its alerts: the caller drops repetitions.
  const int64_t at = Signed(direction_, price);
  for (const auto& [level, extreme] : ready_levels_) {
    ++*steps;
    if (level > at) break;
    FindChanged(*rungs_.find(extreme)->second, direction_, measure_, price, found, steps);
  }
  for (const auto& [negated_level, extreme] : unready_levels_) {
    ++*steps;
    if (-negated_level <= at) break;
    FindChanged(*rungs_.find(extreme)->second, direction_, measure_, price, found, steps);
  }
}

void ExtremeLadder::FindReplaced(int64_t extreme, std::initializer_list<int64_t> prices, std::vector<Slot>* found,
                                 int64_t* steps) const {
  for (auto it = rungs_.lower_bound(Signed(direction_, extreme)); it != rungs_.end(); ++it) {
    for (int64_t price : prices) FindChanged(*it->second, extreme, direction_, measure_, price, found, steps);
  }
}

void ExtremeLadder::NarrowQuiet(int64_t price, QuietInterval* quiet, int64_t* steps) const {
  if (size_ == 0) return;
  ++*steps;
  const int64_t at = Signed(direction_, price);
  int64_t low = QuietInterval::kMin;
  int64_t high = QuietInterval::kMax;
  if (!ready_levels_.empty()) {
    // A price below makes a new extreme, and levels that much lower. Half of the way to the nearest of them is left to
    // each side; less where that would be too much, as for distances of more than the price. (No extreme is beyond the
    // price: they are all at it or before it.)
    const int64_t least_distance = ready_distances_.begin()->first;
    const auto high_from = [&](int64_t lowest) {
      return std::min(ready_levels_.begin()->first,
                      SignedLevel(direction_, measure_, Signed(direction_, lowest), least_distance)) -
             1;
    };
    int64_t room = (SignedLevel(direction_, measure_, price, least_distance) - at) / 2;
    while (room > 0 && (Signed(direction_, at - room) <= 0 || high_from(at - room) < at)) room /= 2;
    low = at - room;
    high = high_from(low);
  }
  if (!unready_levels_.empty()) {
    // A new extreme only moves their levels away. An extreme that leaves the window moves them nearer.
    low = std::max(low, -unready_levels_.begin()->first);
    if (window_us_.has_value()) {
      const __int128 end_us = static_cast<__int128>(rungs_.begin()->second->time_us) + *window_us_;
      if (end_us < QuietInterval::kMax) quiet->KeepUntil(static_cast<int64_t>(end_us));
    }
  }
  fold::NarrowQuiet(direction_, low, high, quiet);
}

Rung* ExtremeLadder::FindOrMakeRung(PricePoint point) {
  std::unique_ptr<Rung>& rung = rungs_[Signed(direction_, point.price_micros)];
  if (rung == nullptr) {
    rung = std::make_unique<Rung>();
    rung->reference_micros = point.price_micros;
    rung->time_us = point.time_us;
  }
  return rung.get();
}

Rung* ExtremeLadder::FindRung(int64_t reference_micros) {
  const auto found = rungs_.find(Signed(direction_, reference_micros));
  return found == rungs_.end() ? nullptr : found->second.get();
}

void ExtremeLadder::Add(Rung* rung, int64_t distance, Slot slot, bool ready) {
  UnregisterLevels(rung);
  (ready ? rung->ready : rung->unready).insert({distance, slot});
  RegisterLevels(rung);
  ++size_;
}

void ExtremeLadder::Remove(Rung* rung, int64_t distance, Slot slot, bool ready) {
  UnregisterLevels(rung);
  if ((ready ? rung->ready : rung->unready).erase({distance, slot}) != 1) std::abort();  // The index lost an alert.
  RegisterLevels(rung);
  --size_;
  if (rung->size() == 0 && !window_us_.has_value()) rungs_.erase(Signed(direction_, rung->reference_micros));
}

void ExtremeLadder::AddFollower(Rung* rung, Slot slot) {
  rung->followers.insert(slot);
  ++size_;
}

void ExtremeLadder::RemoveFollower(Rung* rung, Slot slot) {
  if (rung->followers.erase(slot) != 1) std::abort();  // The index lost an alert.
  --size_;
}

std::vector<PricePoint> ExtremeLadder::EntriesFrom(const Rung& rung) const {
  std::vector<PricePoint> entries;
  for (auto it = rungs_.find(Signed(direction_, rung.reference_micros)); it != rungs_.end(); ++it) {
    entries.push_back({it->second->reference_micros, it->second->time_us});
  }
  return entries;
}

std::vector<PricePoint> ExtremeLadder::Entries() const {
  std::vector<PricePoint> entries;
  for (const auto& [extreme, rung] : rungs_) {
    if (entries.empty() && rung->size() == 0) continue;
    entries.push_back({rung->reference_micros, rung->time_us});
  }
  return entries;
}

}  // namespace stockalert::fold
