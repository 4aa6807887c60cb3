#include "services/domain/fold/symbol_fold.h"

#include <algorithm>

#include "services/domain/condition/arming.h"
#include "services/domain/condition/counted_sessions.h"
#include "services/domain/fold/kinds.h"

namespace stockalert::fold {

using condition::CreationPolicy;
using condition::Sessions;
using condition::TriggerPolicy;
using market::DateFigure;
using market::Session;

SymbolFold::SymbolFold(std::string symbol) : figures_(market::MarketOf(symbol)), symbol_(std::move(symbol)) {
  for (std::optional<Book>& book : books_) book.emplace(this);
}

void SymbolFold::OnMovedTo(Slot slot, Direction direction, Rung* rung) {
  at(slot).legs[direction == Direction::kUp ? kUpLeg : kDownLeg].rung = rung;
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
  const std::optional<int64_t> time_before_us = order_.last_event_time_us;
  switch (order_.RecordArrival(quote.publisher_epoch, quote.sequence, quote.event_time_us)) {
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
  const market::Rules rules_before = figures_.rules();
  const market::FigureSource source{quote.session, quote.event_time_us, quote.rules};
  EnterDate(quote.event_time_us, quote.rules);
  LearnFigure(market::DateFigure::kPreviousClose, source, quote.previous_close_micros);
  LearnFigure(market::DateFigure::kDayOpen, source, quote.day_open_micros);
  ExpireUpTo(quote.event_time_us);

  const size_t first_trigger = outcome->triggers.size();
  const market::NewExtremes beyond =
      figures_.AddToRange(source, quote.price_micros, quote.day_high_micros, quote.day_low_micros);
  std::vector<Slot> triggered;
  if (beyond.any()) {
    // Of quotes of older rules not all is known that decides about a gap.
    const market::Rules oldest = std::min({quote.rules, rules_before, figures_.first_rules()});
    if (oldest >= market::Rules::kWithGaps && time_before_us.has_value()) {
      triggered =
          EvaluateGap(beyond, {{0, quote.event_time_us}, std::nullopt, offset, counters, outcome, time_before_us});
    }
  }
  if (!since_last_quote_.empty()) since_last_quote_.clear();
  for (Sessions sessions : {Sessions::kRegular, Sessions::kExtended}) {
    if (!condition::CountsSession(sessions, quote.session)) continue;
    Book& book = *books_[static_cast<size_t>(sessions)];
    std::optional<int64_t> price_before_micros;
    if (book.last.has_value()) price_before_micros = book.last->price_micros;
    EvaluateChanged(
        book,
        {{quote.price_micros, quote.event_time_us}, price_before_micros, offset, counters, outcome, {}, &triggered});
  }
  std::sort(outcome->triggers.begin() + static_cast<std::ptrdiff_t>(first_trigger), outcome->triggers.end(),
            [](const record::Trigger& a, const record::Trigger& b) { return a.alert_id < b.alert_id; });
}

void SymbolFold::EnterDate(int64_t event_time_us, market::Rules rules) {
  if (figures_.IsOnDate(event_time_us, rules)) return;
  if (!figures_.BeginsDate(event_time_us, rules)) return figures_.EnterDate(event_time_us, rules);
  // No alert is evaluated until the new date's reference is known; then all are ready and measured from it.
  std::vector<Slot> own;
  for (std::optional<Book>& book : books_) {
    for (DateFigure figure : market::kDateFigures) {
      const Book::SlotSet& slots = book->OwnReference(figure);
      own.insert(own.end(), slots.begin(), slots.end());
    }
  }
  for (Slot slot : own) RemoveFromBook(slot);
  for (std::optional<Book>& book : books_) {
    for (DateFigure figure : market::kDateFigures) {
      for (size_t leg : {kUpLeg, kDownLeg}) {
        Rung& rung = book->GroupOf(figure).legs[leg];
        for (const auto& [distance, slot] : rung.unready) at(slot).legs[leg].ready = true;
        steps_ += static_cast<int64_t>(rung.unready.size());
        rung.ready.insert(rung.unready.begin(), rung.unready.end());
        rung.unready.clear();
      }
    }
  }
  figures_.EnterDate(event_time_us, rules);
  for (Slot slot : own) {
    RefreshDate(at(slot));
    AddToBook(slot);
  }
}

void SymbolFold::LearnFigure(DateFigure figure, const market::FigureSource& source,
                             const std::optional<int64_t>& micros) {
  if (!figures_.Learn(figure, source, micros)) return;
  for (std::optional<Book>& book : books_) {
    for (Rung& rung : book->GroupOf(figure).legs) rung.reference_micros = *micros;
    book->quiet = {};
  }
}

void SymbolFold::ExpireUpTo(int64_t event_time_us) {
  if (event_time_us < next_expiry_us_) return;
  while (!expiries_.empty() && expiries_.begin()->first <= event_time_us) {
    const Slot slot = expiries_.begin()->second;
    expiries_.erase(expiries_.begin());
    RemoveFromBook(slot);
    at(slot).expired = true;
    expiry_reached_ = true;
    ++steps_;
  }
  next_expiry_us_ = expiries_.empty() ? kNoExpiry : expiries_.begin()->first;
}

void SymbolFold::EvaluateChanged(Book& book, const Counted& counted) {
  if (book.TakeQuiet(counted.point, &steps_)) return;
  for (Slot slot : book.Advance(counted.point, figures_, &steps_)) Evaluate(slot, counted);
  book.FindQuiet(figures_, &steps_);
}

void SymbolFold::RefreshDate(Alert& alert) const {
  if (alert.date_stamp == figures_.date()) return;
  alert.date_stamp = figures_.date();
  alert.own_reference = false;
  if (!alert.begun) return;
  for (Leg& leg : alert.legs) leg.ready = true;
}

bool SymbolFold::AwaitsFigure(const Alert& alert) const {
  const std::optional<DateFigure> figure = condition::AwaitedFigure(alert.definition);
  return figure.has_value() && !DateReferenceOf(alert, *figure, figures_).has_value();
}

// Clears what the alert knew before it was armed.
void SymbolFold::ResetToUnarmed(Alert& alert) const {
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
  alert.price_before_micros.reset();
  if (book.last.has_value()) alert.price_before_micros = book.last->price_micros;
  alert.prices_seen_before = book.prices_seen;
}

bool SymbolFold::ExpiresAtArming(const Alert& alert) const {
  return alert.definition.expire_time_us.has_value() && order_.last_event_time_us.has_value() &&
         *order_.last_event_time_us >= *alert.definition.expire_time_us;
}

void SymbolFold::Arm(Slot slot) {
  since_last_quote_.insert(slot);
  Alert& alert = at(slot);
  Book& book = BookOf(alert);
  ResetToUnarmed(alert);
  const std::optional<DateFigure> figure = condition::AwaitedFigure(alert.definition);
  if (figure.has_value() && figures_.latest(*figure) != figures_.first(*figure)) {
    // The figure was corrected after the other alerts of the date took it as their reference.
    alert.own_reference = true;
    for (Leg& leg : alert.legs) leg.reference_micros = *figures_.latest(*figure);
  }
  UntrackExpiry(slot);
  if (ExpiresAtArming(alert)) {
    alert.expired = true;
    expiry_reached_ = true;
    return;
  }
  TrackExpiry(slot);

  if (book.last.has_value() && !AwaitsFigure(alert)) StartAtArmingPrice(slot, book.last->price_micros);
  if (alert.paused) {
    SaveForPause(slot);
  } else if (alert.begun) {
    AddToBook(slot);
  } else if (book.last.has_value()) {
    AwaitFigure(slot, *figure);
  } else {
    AwaitPrice(slot);
  }
}

void SymbolFold::StartAtArmingPrice(Slot slot, int64_t price_micros) {
  const Subject subject = SubjectOf(slot);
  subject.alert.begun = true;
  const bool ready_if_met = subject.alert.definition.creation_policy == CreationPolicy::kFireIfMet;
  VisitKind(subject.alert.definition.condition,
            [&](const auto& kind) { kind.StartAtArmingPrice(subject, price_micros, ready_if_met); });
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
  RemoveFromBook(slot);
  SaveForPause(slot);
}

void SymbolFold::SaveForPause(Slot slot) {
  const Subject subject = SubjectOf(slot);
  if (!subject.alert.begun) return;
  subject.book.CatchUp(&steps_);
  VisitKind(subject.alert.definition.condition, [&](const auto& kind) { kind.SaveForPause(subject); });
}

void SymbolFold::Resume(Slot slot) {
  Alert& alert = at(slot);
  alert.paused = false;
  if (alert.ended || alert.expired) return;
  since_last_quote_.insert(slot);
  alert.prices_seen_before = BookOf(alert).prices_seen;
  AwaitPrice(slot);
}

void SymbolFold::Evaluate(Slot slot, const Counted& counted) {
  Alert& alert = at(slot);
  const bool has_own_before = alert.prices_seen_before == BookOf(alert).prices_seen - 1;
  const int64_t price_before =
      (has_own_before ? alert.price_before_micros : counted.price_before_micros).value_or(counted.point.price_micros);
  RemoveFromBook(slot);
  const std::optional<DateFigure> figure = condition::AwaitedFigure(alert.definition);
  if (figure.has_value()) RefreshDate(alert);
  const bool awaits = figure.has_value() && !DateReferenceOf(alert, *figure, figures_).has_value();
  if (!alert.begun && awaits) {
    AwaitFigure(slot, *figure);
    return;
  }
  bool evaluated = !awaits;
  if (!alert.begun) {
    StartAtArmingPrice(slot, counted.point.price_micros);
    evaluated = MayTriggerAtFirstPrice(alert);
  }
  if (evaluated) Judge(slot, price_before, counted);
  if (!alert.ended) AddToBook(slot);
}

// The first price after arming is also the arming price.
bool SymbolFold::MayTriggerAtFirstPrice(const Alert& alert) {
  if (alert.definition.creation_policy != CreationPolicy::kFireIfMet) return false;
  return VisitKind(alert.definition.condition, [](const auto& kind) { return kind.MayTriggerAtFirstPrice(); });
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

void SymbolFold::Swallow(Alert& alert, const Judgement& judgement, Counters* counters) {
  ++counters->edges_swallowed;
  for (size_t leg : {kUpLeg, kDownLeg}) {
    if (judgement.edge[leg]) alert.legs[leg].ready = judgement.ready_after_edge;
  }
}

void SymbolFold::Judge(Slot slot, int64_t price_before, const Counted& counted) {
  const Subject subject = SubjectOf(slot);
  Alert& alert = subject.alert;
  const Judgement judgement = VisitKind(
      alert.definition.condition, [&](const auto& kind) { return kind.Judge(subject, counted.point, price_before); });
  if (!judgement.triggers()) return;
  if (counted.triggered != nullptr && std::binary_search(counted.triggered->begin(), counted.triggered->end(), slot)) {
    return;  // One trigger a quote: this edge is there for the next one.
  }
  if (IsSwallowed(alert, counted)) {
    Swallow(alert, judgement, counted.counters);
    return;
  }
  Fire(slot, price_before, judgement, counted);
}

void SymbolFold::Fire(Slot slot, int64_t price_before, const Judgement& judgement, const Counted& counted) {
  const Subject subject = SubjectOf(slot);
  Alert& alert = subject.alert;
  ++counted.counters->triggers;
  ++alert.trigger_number;
  alert.last_trigger_time_us = counted.point.time_us;
  alert.last_trigger_date = figures_.date();
  record::Trigger trigger;
  trigger.alert_id = alert.id.Text();
  trigger.symbol = symbol_;
  trigger.revision = alert.revision;
  trigger.trigger_number = alert.trigger_number;
  trigger.price_micros = counted.point.price_micros;
  trigger.event_time_us = counted.point.time_us;
  trigger.price_before_micros = price_before;
  trigger.reference_micros = judgement.measured_from;
  trigger.offset = counted.offset;
  trigger.late = counted.late_from_us.has_value();
  trigger.late_from_us = counted.late_from_us;
  trigger.ends_alert = alert.definition.trigger_policy == TriggerPolicy::kOnce;
  if (trigger.ends_alert) {
    alert.ended = true;
    UntrackExpiry(slot);
    alert.legs = {};
  } else {
    VisitKind(alert.definition.condition, [&](const auto& kind) {
      kind.ContinueAfterTrigger(subject, counted.point.price_micros, judgement.ready_after_edge);
    });
  }
  counted.outcome->triggers.push_back(std::move(trigger));
}

void SymbolFold::AwaitPrice(Slot slot) {
  Book& book = BookOf(at(slot));
  at(slot).residence = Residence::kFresh;
  book.fresh().insert(slot);
  book.quiet = {};
}

void SymbolFold::AwaitFigure(Slot slot, DateFigure figure) {
  Book& book = BookOf(at(slot));
  at(slot).residence = Residence::kAwaitingReference;
  book.AwaitingReference(figure).insert(slot);
  book.quiet = {};
}

void SymbolFold::AddToBook(Slot slot) {
  const Subject subject = SubjectOf(slot);
  subject.alert.residence = Residence::kIndexed;
  subject.book.CatchUp(&steps_);
  subject.book.quiet = {};
  VisitKind(subject.alert.definition.condition, [&](const auto& kind) { kind.AddToBook(subject); });
}

void SymbolFold::RemoveFromBook(Slot slot) {
  const Subject subject = SubjectOf(slot);
  Alert& alert = subject.alert;
  switch (std::exchange(alert.residence, Residence::kOut)) {
    case Residence::kOut:
      return;
    case Residence::kFresh:
      subject.book.fresh().erase(slot);
      return;
    case Residence::kAwaitingReference:
      subject.book.AwaitingReference(*condition::AwaitedFigure(alert.definition)).erase(slot);
      return;
    case Residence::kIndexed:
      break;
  }
  subject.book.CatchUp(&steps_);
  subject.book.RemoveWakes(alert, slot);
  VisitKind(alert.definition.condition, [&](const auto& kind) { kind.RemoveFromBook(subject); });
}

void SymbolFold::TrackExpiry(Slot slot) {
  const Alert& alert = at(slot);
  if (!alert.definition.expire_time_us.has_value()) return;
  expiries_.emplace(*alert.definition.expire_time_us, slot);
  next_expiry_us_ = std::min(next_expiry_us_, *alert.definition.expire_time_us);
}

void SymbolFold::UntrackExpiry(Slot slot) {
  const Alert& alert = at(slot);
  if (alert.definition.expire_time_us.has_value()) expiries_.erase({*alert.definition.expire_time_us, slot});
}

Slot SymbolFold::Add(const record::AlertChange& change) {
  const Slot slot = NewSlot();
  Alert& alert = at(slot);
  alert.id = AlertId(change.alert_id);
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
    RemoveFromBook(slot);
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
  RemoveFromBook(slot);
  UntrackExpiry(slot);
  alerts_[slot].reset();
  free_slots_.push_back(slot);
}

void SymbolFold::ApplyRestart() {
  order_.Restart();
  figures_ = market::DateFigures(figures_.market());
  for (std::optional<Book>& book : books_) book.emplace(this);
  for (Slot slot = 0; slot < alerts_.size(); ++slot) {
    if (alerts_[slot] == nullptr || alerts_[slot]->ended) continue;
    Alert& alert = at(slot);
    alert.wake_up_key = alert.wake_down_key = alert.inside_key = alert.window_end_key = Alert::kNoKey;
    Arm(slot);
  }
}

}  // namespace stockalert::fold
