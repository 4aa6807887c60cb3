#include "services/domain/fold/explain.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "services/domain/condition/arming.h"
#include "services/domain/fold/alert.h"
#include "services/domain/fold/extreme_ladder.h"
#include "services/domain/fold/symbol_fold.h"
#include "services/domain/price/decimal.h"

namespace stockalert::fold {
namespace {

using condition::ChannelOp;
using condition::PercentOp;
using condition::PercentReference;
using condition::TargetOp;
using condition::TrailingOp;
using market::DateFigure;

constexpr int64_t kLowest = 1;
constexpr int64_t kHighest = price::kMaxPriceMicros;

// As far as there are such prices.
void AddRange(int64_t low_micros, int64_t high_micros, std::vector<PriceRange>* ranges) {
  if (low_micros > high_micros || low_micros > kHighest || high_micros < kLowest) return;
  PriceRange range;
  if (low_micros > kLowest) range.low_micros = low_micros;
  if (high_micros < kHighest) range.high_micros = high_micros;
  ranges->push_back(range);
}

bool Contain(const std::vector<PriceRange>& ranges, int64_t price_micros) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const PriceRange& range) { return range.Contains(price_micros); });
}

// One condition of the alert at its next price.
struct Watched {
  std::optional<int64_t> reference_micros;
  std::vector<PriceRange> level;        // Where it is true.
  std::vector<PriceRange> makes_ready;  // Where a leg that is not ready becomes so.
  std::vector<PricePoint> window;
};

// Levels at a distance from `reference`: none is true where there is none yet.
Watched WatchDistance(size_t leg, Measure measure, std::optional<int64_t> reference, int64_t distance) {
  Watched watched;
  watched.reference_micros = reference;
  if (!reference.has_value()) {
    AddRange(kLowest, kHighest, &watched.makes_ready);
    return watched;
  }
  const int64_t level = Signed(DirectionOf(leg), SignedLevel(DirectionOf(leg), measure, *reference, distance));
  if (leg == kUpLeg) {
    AddRange(level, kHighest, &watched.level);
    AddRange(kLowest, std::min(level, kHighest + 1) - 1, &watched.makes_ready);
  } else {
    AddRange(kLowest, level, &watched.level);
    AddRange(std::max(level, kLowest - 1) + 1, kHighest, &watched.makes_ready);
  }
  return watched;
}

Watched Watch(const condition::PriceTarget& target, int64_t hysteresis) {
  const int64_t t = target.price_micros;
  Watched watched;
  switch (target.op) {
    case TargetOp::kAtOrAbove:
      AddRange(t, kHighest, &watched.level);
      AddRange(kLowest, std::min(t - 1, t - hysteresis), &watched.makes_ready);
      break;
    case TargetOp::kAtOrBelow:
      AddRange(kLowest, t, &watched.level);
      AddRange(std::max(t + 1, t + hysteresis), kHighest, &watched.makes_ready);
      break;
    case TargetOp::kCrosses:  // A move has no level.
      AddRange(kLowest, t - std::max<int64_t>(hysteresis, 1), &watched.makes_ready);
      AddRange(t + std::max<int64_t>(hysteresis, 1), kHighest, &watched.makes_ready);
      break;
  }
  return watched;
}

Watched Watch(const condition::Channel& channel, int64_t hysteresis) {
  const int64_t low = channel.low_micros;
  const int64_t high = channel.high_micros;
  Watched watched;
  switch (channel.op) {
    case ChannelOp::kEnters:
      AddRange(low, high, &watched.level);
      AddRange(kLowest, std::min(low - 1, low - hysteresis), &watched.makes_ready);
      AddRange(std::max(high + 1, high + hysteresis), kHighest, &watched.makes_ready);
      break;
    case ChannelOp::kLeaves:
      AddRange(kLowest, low - 1, &watched.level);
      AddRange(high + 1, kHighest, &watched.level);
      AddRange(low + hysteresis, high - hysteresis, &watched.makes_ready);
      break;
  }
  return watched;
}

// Explains one alert. The alert is as its next price finds it: on its symbol's date.
class Explainer {
 public:
  Explainer(const SavedAlert& alert, const AlertSurroundings& around) : alert_(alert), around_(around) {
    figure_ = condition::AwaitedFigure(alert.definition);
    if (!figure_.has_value() || alert_.date_stamp == around.day.date) return;
    alert_.own_reference = false;
    for (SavedLeg& leg : alert_.legs) leg.ready = leg.ready || alert_.begun;
  }

  Explanation Explain() {
    explained_.definition = alert_.definition;
    explained_.revision = alert_.revision;
    explained_.armed_revision = alert_.armed_revision;
    explained_.trigger_number = alert_.trigger_number;
    explained_.last_event_time_us = around_.last_event_time_us;
    explained_.splits = around_.splits;
    TellLastPrice();
    if (alert_.ended || alert_.expired) {
      explained_.readiness = alert_.ended ? Readiness::kEnded : Readiness::kExpired;
      return std::move(explained_);
    }
    TellCooldown();
    std::visit([this](const auto& condition) { TellSides(condition); }, alert_.definition.condition);
    // The next price does nothing to it.
    if (alert_.paused || around_.held) {
      for (ExplainedSide& side : explained_.sides) {
        side.readiness = alert_.paused ? Readiness::kPaused : Readiness::kHeld;
        side.trigger_ranges.clear();
        side.ready_ranges.clear();
      }
    }
    explained_.readiness = explained_.sides.front().readiness;
    for (const ExplainedSide& side : explained_.sides) {
      if (side.readiness == Readiness::kReady) explained_.readiness = Readiness::kReady;
    }
    return std::move(explained_);
  }

 private:
  void TellLastPrice() {
    if (!alert_.has_own_price_before) {
      if (!around_.last.has_value()) return;
      explained_.last_price_micros = around_.last->price_micros;
      explained_.last_price_time_us = around_.last->time_us;
      return;
    }
    explained_.last_price_micros = alert_.own_price_before_micros;
    // Armed, and no price since: that was the symbol's last. After a pause it may be any.
    const bool is_last = alert_.residence == Residence::kIndexed || alert_.residence == Residence::kAwaitingReference;
    if (is_last && around_.last.has_value()) explained_.last_price_time_us = around_.last->time_us;
  }

  void TellCooldown() {
    if (!alert_.last_trigger_time_us.has_value() || !around_.last_event_time_us.has_value()) return;
    switch (alert_.definition.trigger_policy) {
      case condition::TriggerPolicy::kOnce:
        return;
      case condition::TriggerPolicy::kRepeat: {
        constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
        const __int128 end_us = static_cast<__int128>(*alert_.last_trigger_time_us) + alert_.definition.cooldown_us;
        if (end_us <= *around_.last_event_time_us) return;
        explained_.cooldown_end_us = end_us > kNever ? kNever : static_cast<int64_t>(end_us);
        return;
      }
      case condition::TriggerPolicy::kOnceADay:
        if (alert_.last_trigger_date == around_.day.date) explained_.cooldown_end_us = around_.day.end_us;
        return;
    }
  }

  void TellSides(const condition::PriceTarget& target) {
    ExplainedSide& side =
        AddSide(kUpLeg, Watch(target, alert_.definition.hysteresis_micros), target.op != TargetOp::kCrosses);
    if (target.op != TargetOp::kCrosses || !alert_.begun || !alert_.legs[kUpLeg].ready) return;
    // The price before tells the side.
    const int64_t t = target.price_micros;
    const int64_t before = explained_.last_price_micros.value_or(t);
    if (before == t) {
      side.readiness = Readiness::kOnTarget;
      AddRange(kLowest, t - 1, &side.ready_ranges);
      AddRange(t + 1, kHighest, &side.ready_ranges);
    } else {
      AddRange(before < t ? t : kLowest, before < t ? kHighest : t, &side.trigger_ranges);
    }
  }

  void TellSides(const condition::Channel& channel) {
    AddSide(kUpLeg, Watch(channel, alert_.definition.hysteresis_micros), false);
  }

  void TellSides(const condition::TrailingChange& trailing) {
    const size_t leg = trailing.op == TrailingOp::kRisesFromLow ? kUpLeg : kDownLeg;
    if (alert_.begun && !alert_.activated) {
      ExplainedSide& side = explained_.sides.emplace_back();
      side.readiness = Readiness::kAwaitingActivation;
      const int64_t activation = *trailing.activation_price_micros;
      AddRange(leg == kDownLeg ? activation : kLowest, leg == kDownLeg ? kHighest : activation, &side.ready_ranges);
      return;
    }
    const bool percent = trailing.percent_e4 > 0;
    AddSide(leg,
            WatchDistance(leg, percent ? Measure::kPercent : Measure::kAmount, ReferenceOf(leg),
                          percent ? trailing.percent_e4 : trailing.amount_micros),
            false);
  }

  void TellSides(const condition::PercentChange& change) {
    // From the arming price no level is true at it.
    const bool may_trigger_first =
        change.reference != PercentReference::kArming && change.reference != PercentReference::kWindow;
    for (size_t leg : {kUpLeg, kDownLeg}) {
      if (change.op != PercentOp::kEither && (change.op == PercentOp::kUp) != (leg == kUpLeg)) continue;
      if (change.reference == PercentReference::kWindow) {
        std::vector<PricePoint> window = WindowOf(leg, change.window_us);
        const std::optional<int64_t> nearest =
            window.empty() ? std::nullopt : std::optional(window.front().price_micros);
        Watched watched = WatchDistance(leg, Measure::kPercent, nearest, change.percent_e4);
        watched.window = std::move(window);
        AddSide(leg, std::move(watched), may_trigger_first);
        continue;
      }
      std::optional<int64_t> reference = ReferenceOf(leg);
      if (change.reference == PercentReference::kGiven && !alert_.begun) reference = change.given_price_micros;
      if (figure_.has_value() && !alert_.own_reference) {
        reference = around_.date_figures_micros[static_cast<size_t>(*figure_)];
      }
      AddSide(leg, WatchDistance(leg, Measure::kPercent, reference, change.percent_e4), may_trigger_first);
      if (figure_.has_value() && !reference.has_value()) {
        ExplainedSide& side = explained_.sides.back();
        side = ExplainedSide();
        side.readiness =
            *figure_ == DateFigure::kDayOpen ? Readiness::kAwaitingDayOpen : Readiness::kAwaitingPreviousClose;
      }
    }
  }

  // What the leg keeps: none before it has begun, unless it was armed with one.
  std::optional<int64_t> ReferenceOf(size_t leg) const {
    if (!alert_.begun && !alert_.own_reference) return std::nullopt;
    return alert_.legs[leg].reference_micros;
  }

  // Those of the prices in the leg's window that are or can become its reference, at the symbol's last event time: what
  // it kept over a pause, as far as nothing since is beyond it, and those since.
  std::vector<PricePoint> WindowOf(size_t leg, int64_t window_us) const {
    const Direction direction = DirectionOf(leg);
    std::vector<PricePoint> window = alert_.legs[leg].window_entries;
    const std::vector<PricePoint>& since = around_.windows[leg];
    if (!since.empty()) {
      std::erase_if(window, [&](const PricePoint& entry) {
        return Signed(direction, entry.price_micros) >= Signed(direction, since.front().price_micros);
      });
      window.insert(window.end(), since.begin(), since.end());
    }
    const int64_t now_us = around_.last_event_time_us.value_or(std::numeric_limits<int64_t>::min());
    std::erase_if(window,
                  [&](const PricePoint& entry) { return static_cast<__int128>(entry.time_us) + window_us < now_us; });
    return window;
  }

  ExplainedSide& AddSide(size_t leg, Watched watched, bool may_trigger_first) {
    ExplainedSide& side = explained_.sides.emplace_back();
    side.reference_micros = watched.reference_micros;
    side.window = std::move(watched.window);
    if (!alert_.begun) {
      side.readiness = Readiness::kAwaitingPrice;
      if (may_trigger_first && alert_.definition.creation_policy == condition::CreationPolicy::kFireIfMet) {
        side.trigger_ranges = std::move(watched.level);
      }
    } else if (alert_.legs[leg].ready) {
      side.trigger_ranges = std::move(watched.level);
    } else {
      const int64_t last = explained_.last_price_micros.value_or(0);
      const bool only_hysteresis = alert_.definition.hysteresis_micros > 0 && !Contain(watched.level, last);
      side.readiness = only_hysteresis                           ? Readiness::kWithinHysteresis
                       : alert_.last_trigger_time_us.has_value() ? Readiness::kMetSinceEdge
                                                                 : Readiness::kMetSinceArming;
      side.ready_ranges = std::move(watched.makes_ready);
    }
    return side;
  }

  SavedAlert alert_;
  const AlertSurroundings& around_;
  std::optional<DateFigure> figure_;
  Explanation explained_;
};

}  // namespace

Explanation Explain(const SavedAlert& alert, const AlertSurroundings& around) {
  return Explainer(alert, around).Explain();
}

Explanation SymbolFold::Explain(Slot slot) {
  CatchUp();
  const SavedAlert alert = SaveAlert(alerts_, slot, WhatIsSavedBeside());
  Book& book = *books_[static_cast<size_t>(alert.definition.sessions)];
  AlertSurroundings around;
  around.last = book.last;
  around.last_event_time_us = order_.last_event_time_us;
  if (order_.last_event_time_us.has_value()) {
    around.day = market::DayOf(figures_.market(), figures_.rules(), *order_.last_event_time_us);
  }
  for (DateFigure figure : market::kDateFigures) {
    around.date_figures_micros[static_cast<size_t>(figure)] = figures_.first(figure);
  }
  const auto* change = std::get_if<condition::PercentChange>(&alert.definition.condition);
  if (change != nullptr && change->reference == PercentReference::kWindow && alert.residence == Residence::kIndexed) {
    for (size_t leg : {kUpLeg, kDownLeg}) {
      ExtremeLadder& ladder = book.WindowsOf(change->window_us).legs[leg];
      const Rung* rung = ladder.FindRung(alert.legs[leg].reference_micros);
      if (rung != nullptr) around.windows[leg] = ladder.EntriesFrom(*rung);
    }
  }
  around.splits = splits_;
  around.held = hold != nullptr;
  return fold::Explain(alert, around);
}

}  // namespace stockalert::fold
