// How SymbolFold's alerts get into its index and out of it.
#include "services/domain/fold/symbol_fold.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "services/domain/condition/level.h"
#include "services/domain/fold/alert_rules.h"

namespace stockalert::fold {
namespace {

using condition::Channel;
using condition::ChannelOp;
using condition::PercentChange;
using condition::PercentReference;
using condition::PriceTarget;
using condition::TargetOp;
using condition::TrailingChange;
using condition::TrailingOp;

}  // namespace

// The nearest prices on either side that change anything for an alert.
struct SymbolFold::WakePrices {
  std::optional<int64_t> at_or_above;
  std::optional<int64_t> at_or_below;

  void AtOrAbove(int64_t price) { at_or_above = std::min(at_or_above.value_or(price), price); }
  void AtOrBelow(int64_t price) { at_or_below = std::max(at_or_below.value_or(price), price); }

  // Of a percentage from a fixed reference: where the level becomes true for a ready leg, and false for another.
  void ForLeg(size_t leg, int64_t reference, int64_t percent_e4, bool ready) {
    if (leg == kUpLeg) {
      const int64_t level = condition::LevelAbovePercent(reference, percent_e4);
      ready ? AtOrAbove(level) : AtOrBelow(level - 1);
    } else {
      const int64_t level = condition::LevelBelowPercent(reference, percent_e4);
      ready ? AtOrBelow(level) : AtOrAbove(level + 1);
    }
  }

  // Where a price takes the place of `extreme`.
  void Beyond(size_t leg, int64_t extreme) { leg == kUpLeg ? AtOrBelow(extreme) : AtOrAbove(extreme); }
};

void SymbolFold::WakeAtOrAbove(Slot slot, int64_t price_micros) {
  Alert& alert = at(slot);
  alert.wake_up_key = price_micros;
  BookOf(alert).wake_up.emplace(price_micros, slot);
}

void SymbolFold::WakeAtOrBelow(Slot slot, int64_t price_micros) {
  Alert& alert = at(slot);
  alert.wake_down_key = -price_micros;
  BookOf(alert).wake_down.emplace(-price_micros, slot);
}

void SymbolFold::WaitInside(Slot slot, int64_t low_micros, int64_t high_micros) {
  Alert& alert = at(slot);
  alert.inside_key = low_micros;
  BookOf(alert).inside.Insert(low_micros, high_micros, slot);
}

void SymbolFold::WakeForPercent(Slot slot, const PercentChange& change) {
  const Alert& alert = at(slot);
  WakePrices wakes;
  for (size_t leg : {kUp, kDown}) {
    if (!HasLeg(change.op, leg)) continue;
    wakes.ForLeg(leg, alert.legs[leg].reference_micros, change.percent_e4, alert.legs[leg].ready);
  }
  WakeAt(slot, wakes);
}

void SymbolFold::WakeAt(Slot slot, const WakePrices& wakes) {
  if (wakes.at_or_above.has_value()) WakeAtOrAbove(slot, *wakes.at_or_above);
  if (wakes.at_or_below.has_value()) WakeAtOrBelow(slot, *wakes.at_or_below);
}

ExtremeLadder& SymbolFold::TrailingOf(const Alert& alert, const TrailingChange& trailing) {
  return BookOf(alert).trailing[MeasureOf(trailing) == Measure::kPercent ? 0 : 1][LegOf(trailing)];
}

void SymbolFold::PutIn(Slot slot) {
  Alert& alert = at(slot);
  Book& book = BookOf(alert);
  alert.residence = Residence::kIndexed;
  const int64_t hysteresis = alert.definition.hysteresis_micros;
  const bool ready = alert.legs[kUp].ready;
  if (const auto* target = std::get_if<PriceTarget>(&alert.definition.condition)) {
    const int64_t t = target->price_micros;
    switch (target->op) {
      case TargetOp::kAtOrAbove:
        ready ? WakeAtOrAbove(slot, t) : WakeAtOrBelow(slot, std::min(t - 1, t - hysteresis));
        break;
      case TargetOp::kAtOrBelow:
        ready ? WakeAtOrBelow(slot, t) : WakeAtOrAbove(slot, std::max(t + 1, t + hysteresis));
        break;
      case TargetOp::kCrosses:
        if (!ready) {
          WakeAtOrAbove(slot, t + hysteresis);
          WakeAtOrBelow(slot, t - hysteresis);
          break;
        }
        // From t itself a move to either side only makes a side: it has to be seen, so that the way back is waited for.
        if (book.last->price_micros <= t) WakeAtOrAbove(slot, book.last->price_micros < t ? t : t + 1);
        if (book.last->price_micros >= t) WakeAtOrBelow(slot, book.last->price_micros > t ? t : t - 1);
        break;
    }
    return;
  }
  if (const auto* channel = std::get_if<Channel>(&alert.definition.condition)) {
    const int64_t low = channel->low_micros;
    const int64_t high = channel->high_micros;
    if (channel->op == ChannelOp::kEnters) {
      if (ready) {
        WaitInside(slot, low, high);
      } else {
        WakeAtOrAbove(slot, std::max(high + 1, high + hysteresis));
        WakeAtOrBelow(slot, std::min(low - 1, low - hysteresis));
      }
    } else if (ready) {
      WakeAtOrAbove(slot, high + 1);
      WakeAtOrBelow(slot, low - 1);
    } else {
      WaitInside(slot, low + hysteresis, high - hysteresis);
    }
    return;
  }
  if (const auto* trailing = std::get_if<TrailingChange>(&alert.definition.condition)) {
    if (alert.activated) {
      ExtremeLadder& ladder = TrailingOf(alert, *trailing);
      const Leg& leg = alert.legs[LegOf(*trailing)];
      ladder.Add(ladder.RungAt({leg.reference_micros, 0}), DistanceOf(*trailing), slot, leg.ready);
    } else if (trailing->op == TrailingOp::kFallsFromHigh) {
      WakeAtOrAbove(slot, *trailing->activation_price_micros);
    } else {
      WakeAtOrBelow(slot, *trailing->activation_price_micros);
    }
    return;
  }
  const PercentChange& change = std::get<PercentChange>(alert.definition.condition);
  if (change.reference == PercentReference::kWindow) {
    PutInWindow(slot, change);
    return;
  }
  const std::optional<market::DateFigure> figure = DateFigureOf(alert.definition);
  if (figure.has_value() && !alert.own_reference) {
    for (size_t leg : {kUp, kDown}) {
      if (!HasLeg(change.op, leg)) continue;
      Rung& rung = book.groups[static_cast<size_t>(*figure)].legs[leg];
      (alert.legs[leg].ready ? rung.ready : rung.unready).emplace(change.percent_e4, slot);
    }
    return;
  }
  if (figure.has_value()) book.own_reference[static_cast<size_t>(*figure)].insert(slot);
  WakeForPercent(slot, change);
}

ExtremeLadder& SymbolFold::WindowOf(const Alert& alert, const PercentChange& change, size_t leg) {
  std::unique_ptr<Windows>& windows = BookOf(alert).windows[change.window_us];
  if (windows == nullptr) windows = std::make_unique<Windows>(change.window_us, this);
  return windows->legs[leg];
}

void SymbolFold::PutInWindow(Slot slot, const PercentChange& change) {
  Alert& alert = at(slot);
  Book& book = BookOf(alert);
  WakePrices wakes;
  std::optional<int64_t> end_us;
  for (size_t i : {kUp, kDown}) {
    if (!HasLeg(change.op, i)) continue;
    Leg& leg = alert.legs[i];
    ExtremeLadder& ladder = WindowOf(alert, change, i);
    Rung* rung = leg.rung != nullptr ? leg.rung : ladder.RungAt(*book.last);
    if (leg.window_entries.empty()) {
      ladder.Add(rung, change.percent_e4, slot, leg.ready);
      continue;
    }
    ladder.AddFollower(rung, slot);
    const PricePoint nearest = leg.window_entries.front();
    wakes.ForLeg(i, nearest.price_micros, change.percent_e4, leg.ready);
    wakes.Beyond(i, nearest.price_micros);
    const __int128 leaves_us = static_cast<__int128>(nearest.time_us) + change.window_us;
    constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
    const int64_t leaves = leaves_us > kNever ? kNever : static_cast<int64_t>(leaves_us);
    end_us = end_us.has_value() ? std::min(*end_us, leaves) : leaves;
  }
  WakeAt(slot, wakes);
  if (end_us.has_value()) {
    alert.window_end_key = *end_us;
    book.window_ends.emplace(*end_us, slot);
  }
}

void SymbolFold::TakeOut(Slot slot) {
  Alert& alert = at(slot);
  Book& book = BookOf(alert);
  const Residence residence = alert.residence;
  alert.residence = Residence::kOut;
  if (residence == Residence::kOut) return;
  if (residence == Residence::kFresh) {
    book.fresh.erase(slot);
    return;
  }
  const std::optional<market::DateFigure> figure = DateFigureOf(alert.definition);
  if (residence == Residence::kAwaitingReference) {
    book.awaiting_reference[static_cast<size_t>(*figure)].erase(slot);
    return;
  }
  if (alert.wake_up_key != kNoKey) book.wake_up.erase({std::exchange(alert.wake_up_key, kNoKey), slot});
  if (alert.wake_down_key != kNoKey) book.wake_down.erase({std::exchange(alert.wake_down_key, kNoKey), slot});
  if (alert.inside_key != kNoKey) book.inside.Erase(std::exchange(alert.inside_key, kNoKey), slot);
  if (const auto* trailing = std::get_if<TrailingChange>(&alert.definition.condition)) {
    Leg& leg = alert.legs[LegOf(*trailing)];
    if (leg.rung == nullptr) return;
    leg.reference_micros = leg.rung->reference_micros;
    TrailingOf(alert, *trailing).Remove(std::exchange(leg.rung, nullptr), DistanceOf(*trailing), slot, leg.ready);
    return;
  }
  const auto* change = std::get_if<PercentChange>(&alert.definition.condition);
  if (change == nullptr) return;
  if (figure.has_value()) {
    alert.date_stamp = figures_.date();
    if (alert.own_reference) {
      book.own_reference[static_cast<size_t>(*figure)].erase(slot);
      return;
    }
    for (size_t leg : {kUp, kDown}) {
      if (!HasLeg(change->op, leg)) continue;
      Rung& rung = book.groups[static_cast<size_t>(*figure)].legs[leg];
      (alert.legs[leg].ready ? rung.ready : rung.unready).erase({change->percent_e4, slot});
    }
    return;
  }
  if (change->reference != PercentReference::kWindow) return;
  if (alert.window_end_key != kNoKey) book.window_ends.erase({std::exchange(alert.window_end_key, kNoKey), slot});
  for (size_t i : {kUp, kDown}) {
    if (!HasLeg(change->op, i)) continue;
    // The rung stays where it is until the next price: the alert may come back to it.
    Leg& leg = alert.legs[i];
    leg.reference_micros = leg.rung->reference_micros;
    ExtremeLadder& ladder = WindowOf(alert, *change, i);
    if (leg.window_entries.empty()) {
      ladder.Remove(leg.rung, change->percent_e4, slot, leg.ready);
    } else {
      ladder.RemoveFollower(leg.rung, slot);
    }
  }
}

}  // namespace stockalert::fold
