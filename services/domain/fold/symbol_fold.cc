#include "services/domain/fold/symbol_fold.h"

#include <algorithm>
#include <variant>

#include "services/domain/condition/counted_sessions.h"
#include "services/domain/fold/alert_rules.h"
#include "services/domain/price/decimal.h"

namespace stockalert::fold {
namespace {

using condition::Channel;
using condition::ChannelOp;
using condition::CreationPolicy;
using condition::PercentChange;
using condition::PercentReference;
using condition::PriceTarget;
using condition::Sessions;
using condition::TargetOp;
using condition::TrailingChange;
using condition::TriggerPolicy;
using market::DateFigure;
using market::Session;

}  // namespace

SymbolFold::Windows::Windows(int64_t window_us, ExtremeLadder::Members* members)
    : legs{ExtremeLadder(Direction::kUp, Measure::kPercent, window_us, members),
           ExtremeLadder(Direction::kDown, Measure::kPercent, window_us, members)} {}

SymbolFold::Book::Book(ExtremeLadder::Members* members)
    : trailing{{{ExtremeLadder(Direction::kUp, Measure::kPercent, std::nullopt, members),
                 ExtremeLadder(Direction::kDown, Measure::kPercent, std::nullopt, members)},
                {ExtremeLadder(Direction::kUp, Measure::kAmount, std::nullopt, members),
                 ExtremeLadder(Direction::kDown, Measure::kAmount, std::nullopt, members)}}} {}

SymbolFold::SymbolFold(std::string symbol)
    : symbol_(std::move(symbol)), books_{std::make_unique<Book>(this), std::make_unique<Book>(this)} {}

void SymbolFold::MovedTo(Slot slot, Direction direction, Rung* rung) {
  at(slot).legs[direction == Direction::kUp ? kUp : kDown].rung = rung;
}

Slot SymbolFold::NewSlot() {
  if (free_slots_.empty()) {
    alerts_.push_back(std::make_unique<Alert>());
    return static_cast<Slot>(alerts_.size() - 1);
  }
  const Slot slot = free_slots_.back();
  free_slots_.pop_back();
  alerts_[slot] = std::make_unique<Alert>();
  return slot;
}

void SymbolFold::ApplyQuote(const record::Quote& quote, int64_t offset, Counters* counters, Outcome* outcome) {
  switch (order_.Take(quote.publisher_epoch, quote.sequence, quote.event_time_us)) {
    case market::Arrival::kRepeated:
      ++counters->quotes_repeated;
      return;
    case market::Arrival::kLate:
      ++counters->quotes_late;
      return;
    case market::Arrival::kInOrder:
      ++counters->quotes_accepted;
      break;
  }
  EnterDate(quote.event_time_us);
  LearnFigure(market::DateFigure::kPreviousClose, quote.session, quote.previous_close_micros);
  LearnFigure(market::DateFigure::kDayOpen, quote.session, quote.day_open_micros);
  ExpireUpTo(quote.event_time_us);

  const size_t first_trigger = outcome->triggers.size();
  for (Sessions sessions : {Sessions::kRegular, Sessions::kExtended}) {
    if (!condition::Counts(sessions, quote.session)) continue;
    Book& book = *books_[static_cast<size_t>(sessions)];
    Counted counted;
    counted.point = {quote.price_micros, quote.event_time_us};
    if (book.last.has_value()) counted.price_before_micros = book.last->price_micros;
    counted.offset = offset;
    counted.counters = counters;
    counted.outcome = outcome;
    Count(book, counted);
  }
  std::sort(outcome->triggers.begin() + static_cast<std::ptrdiff_t>(first_trigger), outcome->triggers.end(),
            [](const record::Trigger& a, const record::Trigger& b) { return a.alert_id < b.alert_id; });
}

void SymbolFold::EnterDate(int64_t event_time_us) {
  if (figures_.IsOnDate(event_time_us)) return;
  // Nobody is looked at until the new date's reference is known; then everybody is ready, and has that for a reference.
  std::vector<Slot> own;
  for (const std::unique_ptr<Book>& book : books_) {
    for (const SlotSet& slots : book->own_reference) own.insert(own.end(), slots.begin(), slots.end());
  }
  for (Slot slot : own) TakeOut(slot);
  for (const std::unique_ptr<Book>& book : books_) {
    for (DateGroup& group : book->groups) {
      for (size_t leg : {kUp, kDown}) {
        Rung& rung = group.legs[leg];
        for (const auto& [distance, slot] : rung.unready) at(slot).legs[leg].ready = true;
        steps_ += static_cast<int64_t>(rung.unready.size());
        rung.ready.insert(rung.unready.begin(), rung.unready.end());
        rung.unready.clear();
      }
    }
  }
  figures_.EnterDate(event_time_us);
  for (Slot slot : own) {
    RefreshDate(at(slot));
    PutIn(slot);
  }
}

void SymbolFold::LearnFigure(DateFigure figure, Session session, const std::optional<int64_t>& micros) {
  if (!figures_.Learn(figure, session, micros)) return;
  for (const std::unique_ptr<Book>& book : books_) {
    for (Rung& rung : book->groups[static_cast<size_t>(figure)].legs) rung.reference_micros = *micros;
  }
}

void SymbolFold::ExpireUpTo(int64_t event_time_us) {
  while (!expiries_.empty() && expiries_.begin()->first <= event_time_us) {
    const Slot slot = expiries_.begin()->second;
    expiries_.erase(expiries_.begin());
    TakeOut(slot);
    at(slot).expired = true;
    expiry_reached_ = true;
    ++steps_;
  }
}

void SymbolFold::Count(Book& book, Counted counted) {
  book.last = counted.point;
  ++book.prices_seen;
  const int64_t price_micros = counted.point.price_micros;

  std::vector<Slot> found(book.fresh.begin(), book.fresh.end());
  book.fresh.clear();
  for (DateFigure figure : market::kDateFigures) {
    if (!figures_.first(figure).has_value()) continue;
    const auto kind = static_cast<size_t>(figure);
    SlotSet& awaiting = book.awaiting_reference[kind];
    found.insert(found.end(), awaiting.begin(), awaiting.end());
    awaiting.clear();
    for (size_t leg : {kUp, kDown}) {
      FindChanged(book.groups[kind].legs[leg], DirectionOf(leg), Measure::kPercent, price_micros, &found, &steps_);
    }
  }
  for (auto it = book.wake_up.begin(); it != book.wake_up.end() && it->first <= price_micros; ++it) {
    found.push_back(it->second);
  }
  for (auto it = book.wake_down.begin(); it != book.wake_down.end() && it->first <= -price_micros; ++it) {
    found.push_back(it->second);
  }
  book.inside.Find(price_micros, &found, &steps_);
  for (std::array<ExtremeLadder, 2>& ladders : book.trailing) {
    for (ExtremeLadder& ladder : ladders) {
      ladder.Advance(counted.point, &steps_);
      ladder.Find(price_micros, &found, &steps_);
    }
  }
  for (auto it = book.windows.begin(); it != book.windows.end();) {
    bool used = false;
    for (ExtremeLadder& ladder : it->second->legs) {
      ladder.Advance(counted.point, &steps_);
      ladder.Find(price_micros, &found, &steps_);
      used = used || ladder.size() > 0;
    }
    it = used ? std::next(it) : book.windows.erase(it);
  }
  for (auto it = book.window_ends.begin(); it != book.window_ends.end() && it->first < counted.point.time_us; ++it) {
    found.push_back(it->second);
  }

  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  steps_ += static_cast<int64_t>(found.size());
  for (Slot slot : found) Look(book, slot, counted);
}

void SymbolFold::RefreshDate(Alert& alert) const {
  if (alert.date_stamp == figures_.date()) return;
  alert.date_stamp = figures_.date();
  alert.own_reference = false;
  if (!alert.begun) return;
  for (Leg& leg : alert.legs) leg.ready = true;
}

std::optional<int64_t> SymbolFold::DateReferenceOf(const Alert& alert) const {
  if (alert.own_reference && alert.date_stamp == figures_.date()) return alert.legs[kUp].reference_micros;
  return figures_.first(*DateFigureOf(alert.definition));
}

void SymbolFold::Arm(Slot slot) {
  Alert& alert = at(slot);
  const Book& book = BookOf(alert);
  alert.begun = false;
  alert.activated = false;
  alert.ended = false;
  alert.expired = false;
  alert.last_trigger_time_us.reset();
  alert.last_trigger_date = market::kNoDate;
  alert.legs = {};
  alert.residence = Residence::kOut;
  alert.date_stamp = figures_.date();
  alert.own_reference = false;
  const std::optional<DateFigure> figure = DateFigureOf(alert.definition);
  if (figure.has_value() && figures_.latest(*figure).has_value() &&
      figures_.latest(*figure) != figures_.first(*figure)) {
    alert.own_reference = true;
    for (Leg& leg : alert.legs) leg.reference_micros = *figures_.latest(*figure);
  }
  alert.price_before_micros.reset();
  if (book.last.has_value()) alert.price_before_micros = book.last->price_micros;
  alert.prices_seen_before = book.prices_seen;

  UntrackExpiry(slot);
  if (alert.definition.expire_time_us.has_value() && order_.last_event_time_us.has_value() &&
      *order_.last_event_time_us >= *alert.definition.expire_time_us) {
    alert.expired = true;
    expiry_reached_ = true;
    return;
  }
  TrackExpiry(slot);

  const bool reference_known = !figure.has_value() || DateReferenceOf(alert).has_value();
  if (book.last.has_value() && reference_known) Begin(alert, book.last->price_micros);
  if (alert.paused) {
    // The window that the alert will go on from holds the arming price.
    const auto* change = std::get_if<PercentChange>(&alert.definition.condition);
    if (alert.begun && change != nullptr && change->reference == PercentReference::kWindow) {
      for (size_t leg : {kUp, kDown}) {
        if (!HasLeg(change->op, leg)) continue;
        alert.legs[leg].window_entries = {*book.last};
      }
    }
    return;
  }
  if (alert.begun) {
    PutIn(slot);
  } else if (book.last.has_value()) {
    alert.residence = Residence::kAwaitingReference;
    BookOf(alert).awaiting_reference[static_cast<size_t>(*figure)].insert(slot);
  } else {
    alert.residence = Residence::kFresh;
    BookOf(alert).fresh.insert(slot);
  }
}

void SymbolFold::Begin(Alert& alert, int64_t price_micros) {
  alert.begun = true;
  const bool ready_if_met = alert.definition.creation_policy == CreationPolicy::kFireIfMet;
  if (const auto* target = std::get_if<PriceTarget>(&alert.definition.condition)) {
    if (target->op == TargetOp::kCrosses) {
      alert.legs[kUp].ready = true;
    } else {
      const bool met = target->op == TargetOp::kAtOrAbove ? price_micros >= target->price_micros
                                                          : price_micros <= target->price_micros;
      alert.legs[kUp].ready = ready_if_met || !met;
    }
    return;
  }
  if (const auto* channel = std::get_if<Channel>(&alert.definition.condition)) {
    const bool inside = IsInside(*channel, price_micros);
    alert.legs[kUp].ready = channel->op == ChannelOp::kLeaves ? inside : !inside;
    return;
  }
  if (const auto* trailing = std::get_if<TrailingChange>(&alert.definition.condition)) {
    alert.activated = ActivatedBy(*trailing, price_micros);
    Leg& leg = alert.legs[LegOf(*trailing)];
    leg.reference_micros = price_micros;
    leg.ready = true;  // At no distance from itself, the level is false.
    return;
  }
  const PercentChange& change = std::get<PercentChange>(alert.definition.condition);
  int64_t reference_micros = price_micros;
  if (change.reference == PercentReference::kGiven) reference_micros = change.given_price_micros;
  if (DateFigureOf(alert.definition).has_value()) reference_micros = *DateReferenceOf(alert);
  for (size_t i : {kUp, kDown}) {
    if (!HasLeg(change.op, i)) continue;
    Leg& leg = alert.legs[i];
    leg.reference_micros = reference_micros;
    leg.ready = ready_if_met ||
                !IsReached(DirectionOf(i), Measure::kPercent, reference_micros, change.percent_e4, price_micros);
  }
}

// Whether a first price after arming, which serves as arming price too, may trigger: not by a move, which needs a price
// before, and not by an alert that waits for one.
bool SymbolFold::EvaluatesFirstPrice(const Alert& alert) const {
  if (alert.definition.creation_policy != CreationPolicy::kFireIfMet) return false;
  if (std::holds_alternative<Channel>(alert.definition.condition)) return false;
  const auto* target = std::get_if<PriceTarget>(&alert.definition.condition);
  return target == nullptr || target->op != TargetOp::kCrosses;
}

void SymbolFold::Pause(Slot slot) {
  Alert& alert = at(slot);
  const Book& book = BookOf(alert);
  alert.paused = true;
  if (alert.ended || alert.expired) return;
  if (alert.prices_seen_before != book.prices_seen && book.last.has_value()) {
    alert.price_before_micros = book.last->price_micros;
    alert.prices_seen_before = book.prices_seen;
  }
  TakeOut(slot);
  for (size_t i : {kUp, kDown}) {
    Leg& leg = alert.legs[i];
    if (leg.rung == nullptr) continue;
    // What is in the window now: the prices from before an earlier pause that are still nearer than all since, and
    // those since.
    const PercentChange& change = std::get<PercentChange>(alert.definition.condition);
    while (!leg.window_entries.empty() && Signed(DirectionOf(i), leg.window_entries.back().price_micros) >=
                                              Signed(DirectionOf(i), leg.rung->reference_micros)) {
      leg.window_entries.pop_back();
    }
    const std::vector<PricePoint> since = WindowOf(alert, change, i).EntriesFrom(*leg.rung);
    leg.window_entries.insert(leg.window_entries.end(), since.begin(), since.end());
    leg.rung = nullptr;
  }
}

void SymbolFold::Resume(Slot slot) {
  Alert& alert = at(slot);
  alert.paused = false;
  if (alert.ended || alert.expired) return;
  Book& book = BookOf(alert);
  alert.prices_seen_before = book.prices_seen;
  alert.residence = Residence::kFresh;
  book.fresh.insert(slot);
}

void SymbolFold::Look(Book& book, Slot slot, const Counted& counted) {
  Alert& alert = at(slot);
  const bool has_own_before = alert.prices_seen_before == book.prices_seen - 1;
  const int64_t price_before =
      (has_own_before ? alert.price_before_micros : counted.price_before_micros).value_or(counted.point.price_micros);
  TakeOut(slot);
  const bool date_bound = DateFigureOf(alert.definition).has_value();
  if (date_bound) RefreshDate(alert);
  const bool reference_known = !date_bound || DateReferenceOf(alert).has_value();
  if (!alert.begun) {
    if (!reference_known) {
      alert.residence = Residence::kAwaitingReference;
      book.awaiting_reference[static_cast<size_t>(*DateFigureOf(alert.definition))].insert(slot);
      return;
    }
    Begin(alert, counted.point.price_micros);
    if (EvaluatesFirstPrice(alert)) Step(slot, price_before, counted);
  } else if (reference_known) {
    const auto* change = std::get_if<PercentChange>(&alert.definition.condition);
    if (change != nullptr && change->reference == PercentReference::kWindow) {
      RefreshWindow(alert, *change, counted.point);
    }
    Step(slot, price_before, counted);
  }
  if (!alert.ended) PutIn(slot);
}

// Of an alert that is out of the index: joins the rung of the present price after a pause, drops what is no longer in
// the window or nearer than what came since, and takes the reference.
void SymbolFold::RefreshWindow(Alert& alert, const PercentChange& change, PricePoint point) {
  const __int128 begin_us = static_cast<__int128>(point.time_us) - change.window_us;
  for (size_t i : {kUp, kDown}) {
    if (!HasLeg(change.op, i)) continue;
    Leg& leg = alert.legs[i];
    if (leg.rung == nullptr) leg.rung = WindowOf(alert, change, i).RungAt(point);
    const int64_t since_micros = leg.rung->reference_micros;
    std::vector<PricePoint>& entries = leg.window_entries;
    size_t gone = 0;
    while (gone < entries.size() && entries[gone].time_us < begin_us) ++gone;
    entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(gone));
    while (!entries.empty() &&
           Signed(DirectionOf(i), entries.back().price_micros) >= Signed(DirectionOf(i), since_micros)) {
      entries.pop_back();
    }
    leg.reference_micros = entries.empty() ? since_micros : entries.front().price_micros;
  }
}

bool SymbolFold::IsSwallowed(const Alert& alert, const Counted& counted) const {
  if (!alert.last_trigger_time_us.has_value()) return false;
  switch (alert.definition.trigger_policy) {
    case TriggerPolicy::kOnce:
      return false;
    case TriggerPolicy::kRepeat:
      return counted.point.time_us < static_cast<__int128>(*alert.last_trigger_time_us) + alert.definition.cooldown_us;
    case TriggerPolicy::kOnceADay:
      return alert.last_trigger_date == figures_.date();
  }
  return false;
}

void SymbolFold::Step(Slot slot, int64_t price_before, const Counted& counted) {
  Alert& alert = at(slot);
  const int64_t price_micros = counted.point.price_micros;
  const int64_t hysteresis = alert.definition.hysteresis_micros;
  std::array<bool, 2> edge = {false, false};
  // What an edge leaves a leg as, triggered or swallowed; percent and trailing are ready again once triggered.
  bool ready_after_edge = false;
  std::optional<int64_t> measured_from;

  const auto* target = std::get_if<PriceTarget>(&alert.definition.condition);
  const auto* channel = std::get_if<Channel>(&alert.definition.condition);
  const auto* trailing = std::get_if<TrailingChange>(&alert.definition.condition);
  const auto* change = std::get_if<PercentChange>(&alert.definition.condition);

  const auto take = [&](size_t leg, bool level, bool becomes_ready) {
    if (alert.legs[leg].ready) {
      edge[leg] = level;
    } else if (becomes_ready) {
      alert.legs[leg].ready = true;
    }
  };

  if (target != nullptr) {
    const int64_t t = target->price_micros;
    measured_from = t;
    switch (target->op) {
      case TargetOp::kAtOrAbove:
        take(kUp, price_micros >= t, price_micros < t && price_micros <= t - hysteresis);
        break;
      case TargetOp::kAtOrBelow:
        take(kUp, price_micros <= t, price_micros > t && price_micros >= t + hysteresis);
        break;
      case TargetOp::kCrosses: {
        // The price before, where it is not t, is on the side that counts; where it is t, no price crosses.
        const bool crossed = price_before != t && (price_micros == t || (price_before < t) == (price_micros > t));
        const bool far = price_micros >= t + hysteresis || price_micros <= t - hysteresis;
        take(kUp, crossed, far);
        ready_after_edge = far;
        break;
      }
    }
  } else if (channel != nullptr) {
    const int64_t low = channel->low_micros;
    const int64_t high = channel->high_micros;
    const bool inside = IsInside(*channel, price_micros);
    if (channel->op == ChannelOp::kEnters) {
      measured_from = price_before < low ? low : high;
      take(kUp, inside, !inside && (price_micros <= low - hysteresis || price_micros >= high + hysteresis));
    } else {
      measured_from = price_micros < low ? low : high;
      take(kUp, !inside, price_micros >= low + hysteresis && price_micros <= high - hysteresis);
    }
  } else if (trailing != nullptr) {
    const size_t leg = LegOf(*trailing);
    const Direction direction = DirectionOf(leg);
    int64_t& extreme = alert.legs[leg].reference_micros;
    if (!alert.activated) {
      if (!ActivatedBy(*trailing, price_micros)) return;
      alert.activated = true;
      extreme = price_micros;
    } else if (Signed(direction, price_micros) < Signed(direction, extreme)) {
      extreme = price_micros;
    }
    const bool level = IsReached(direction, MeasureOf(*trailing), extreme, DistanceOf(*trailing), price_micros);
    take(leg, level, !level);
    measured_from = extreme;
  } else {
    const bool own_only = DateFigureOf(alert.definition).has_value() && !alert.own_reference;
    for (size_t leg : {kUp, kDown}) {
      if (!HasLeg(change->op, leg)) continue;
      if (own_only) alert.legs[leg].reference_micros = *DateReferenceOf(alert);
      const int64_t reference = alert.legs[leg].reference_micros;
      const bool level = IsReached(DirectionOf(leg), Measure::kPercent, reference, change->percent_e4, price_micros);
      take(leg, level, !level);
      if (edge[leg] && !measured_from.has_value()) measured_from = reference;
    }
  }
  if (!edge[kUp] && !edge[kDown]) return;

  if (IsSwallowed(alert, counted)) {
    ++counted.counters->edges_swallowed;
    for (size_t leg : {kUp, kDown}) {
      if (edge[leg]) alert.legs[leg].ready = ready_after_edge;
    }
    return;
  }

  ++counted.counters->triggers;
  ++alert.trigger_number;
  alert.last_trigger_time_us = counted.point.time_us;
  alert.last_trigger_date = figures_.date();
  record::Trigger trigger;
  trigger.alert_id = alert.id;
  trigger.symbol = symbol_;
  trigger.revision = alert.revision;
  trigger.trigger_number = alert.trigger_number;
  trigger.price_micros = price_micros;
  trigger.event_time_us = counted.point.time_us;
  trigger.price_before_micros = price_before;
  trigger.reference_micros = measured_from;
  trigger.offset = counted.offset;
  trigger.ends_alert = alert.definition.trigger_policy == TriggerPolicy::kOnce;
  if (trigger.ends_alert) {
    alert.ended = true;
    UntrackExpiry(slot);
    alert.legs = {};
  } else if (change != nullptr || trailing != nullptr) {
    for (Leg& leg : alert.legs) {
      leg = Leg{};
      leg.ready = true;
      leg.reference_micros = price_micros;
    }
    if (DateFigureOf(alert.definition).has_value()) {
      alert.own_reference = true;
      alert.date_stamp = figures_.date();
    }
  } else {
    alert.legs[kUp].ready = ready_after_edge;
  }
  counted.outcome->triggers.push_back(std::move(trigger));
}

void SymbolFold::TrackExpiry(Slot slot) {
  const Alert& alert = at(slot);
  if (alert.definition.expire_time_us.has_value()) expiries_.emplace(*alert.definition.expire_time_us, slot);
}

void SymbolFold::UntrackExpiry(Slot slot) {
  const Alert& alert = at(slot);
  if (alert.definition.expire_time_us.has_value()) expiries_.erase({*alert.definition.expire_time_us, slot});
}

Slot SymbolFold::Add(const record::AlertChange& change) {
  const Slot slot = NewSlot();
  Alert& alert = at(slot);
  alert.id = change.alert_id;
  alert.definition = change.definition;
  alert.revision = change.revision;
  alert.armed_revision = change.armed_revision;
  alert.paused = change.paused;
  Arm(slot);
  return slot;
}

void SymbolFold::Change(Slot slot, const record::AlertChange& change) {
  Alert& alert = at(slot);
  const bool expiry_moves = change.definition.expire_time_us != alert.definition.expire_time_us;
  const bool arms = change.armed_revision > alert.armed_revision || (alert.expired && expiry_moves);
  alert.revision = change.revision;
  if (arms) {
    TakeOut(slot);
    UntrackExpiry(slot);
    alert.definition = change.definition;
    alert.armed_revision = std::max(alert.armed_revision, change.armed_revision);
    alert.paused = change.paused;
    Arm(slot);
    return;
  }
  if (expiry_moves) {
    UntrackExpiry(slot);
    alert.definition.expire_time_us = change.definition.expire_time_us;
    if (!alert.ended) {
      TrackExpiry(slot);
      if (order_.last_event_time_us.has_value()) ExpireUpTo(*order_.last_event_time_us);
    }
  }
  if (change.paused && !alert.paused) Pause(slot);
  if (!change.paused && alert.paused) Resume(slot);
}

void SymbolFold::Remove(Slot slot) {
  TakeOut(slot);
  UntrackExpiry(slot);
  alerts_[slot].reset();
  free_slots_.push_back(slot);
}

void SymbolFold::ApplyRestart() {
  order_.Restart();
  figures_ = market::DateFigures();
  for (std::unique_ptr<Book>& book : books_) book = std::make_unique<Book>(this);
  for (Slot slot = 0; slot < alerts_.size(); ++slot) {
    if (alerts_[slot] == nullptr || alerts_[slot]->ended) continue;
    Alert& alert = at(slot);
    alert.wake_up_key = alert.wake_down_key = alert.inside_key = alert.window_end_key = kNoKey;
    Arm(slot);
  }
}

}  // namespace stockalert::fold
