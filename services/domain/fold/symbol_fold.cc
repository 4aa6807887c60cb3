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

SymbolFold::SymbolFold(std::string symbol, uint32_t number)
    : symbol_(std::move(symbol)), figures_(market::MarketOf(symbol_)), number_(number) {
  for (std::optional<Book>& book : books_) book.emplace(this);
}

void SymbolFold::OnMovedTo(Slot slot, Direction direction, Rung* rung) {
  alerts_.MoveToRung(slot, direction == Direction::kUp ? kUpLeg : kDownLeg, rung);
}

SymbolFold::OpenAlert::OpenAlert(SymbolFold* fold, Slot slot) : alerts_(fold->alerts_) {
  fold->books_[static_cast<size_t>(alerts_.sessions(slot))]->CatchUp(&fold->steps_);
  alert_ = alerts_.Get(slot);
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
  if (std::exchange(any_since_last_quote_, false)) since_last_quote_.Clear();
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

void SymbolFold::BeginQuiet(Session session, int64_t last_snapshot, QuietSymbol* quiet) const {
  if (!order_.last_event_time_us.has_value() || any_since_last_quote_) return;
  QuietTerms terms;
  terms.interval = QuietInterval::Everything();
  for (Sessions sessions : {Sessions::kRegular, Sessions::kExtended}) {
    if (!condition::CountsSession(sessions, session)) continue;
    const Book& book = *books_[static_cast<size_t>(sessions)];
    terms.interval.Narrow(book.quiet);
    terms.keeps_points = terms.keeps_points || book.follows_extremes();
  }
  // An expiry is reached at its time, a date ends before its end.
  terms.interval.KeepUntil(next_expiry_us_ - 1);
  terms.interval.KeepUntil(figures_.end_us() - 1);
  terms.snapshot_number = last_snapshot;
  terms.order = order_;
  terms.range = figures_.range();
  terms.previous_close_micros = figures_.latest(DateFigure::kPreviousClose).value_or(0);
  terms.day_open_micros = figures_.latest(DateFigure::kDayOpen).value_or(0);
  terms.session = session;
  terms.rules = figures_.rules();
  quiet->Begin(terms);
}

void SymbolFold::EndQuiet(QuietSymbol* quiet) {
  if (quiet->taken()) {
    order_.sequence = quiet->sequence();
    order_.last_event_time_us = quiet->last().time_us;
    figures_.ExtendRange(quiet->range());
    for (Sessions sessions : {Sessions::kRegular, Sessions::kExtended}) {
      if (!condition::CountsSession(sessions, quiet->session())) continue;
      Book& book = *books_[static_cast<size_t>(sessions)];
      quiet->ForEachPoint([&](PricePoint point) { book.TakeQuiet(point, &steps_); });
    }
  }
  quiet->End();
}

void SymbolFold::EnterDate(int64_t event_time_us, market::Rules rules) {
  if (figures_.IsOnDate(event_time_us, rules)) return;
  if (!figures_.BeginsDate(event_time_us, rules)) return figures_.EnterDate(event_time_us, rules);
  // No alert is evaluated until the new date's reference is known; then all are ready and measured from it.
  std::vector<Slot> own;
  for (std::optional<Book>& book : books_) {
    for (DateFigure figure : market::kDateFigures) {
      const Book::Slots& slots = book->OwnReference(figure);
      own.insert(own.end(), slots.begin(), slots.end());
    }
  }
  for (Slot slot : own) RemoveFromBook(*OpenAlert(this, slot));
  for (std::optional<Book>& book : books_) {
    for (DateFigure figure : market::kDateFigures) {
      for (size_t leg : {kUpLeg, kDownLeg}) {
        Rung& rung = book->GroupOf(figure).legs[leg];
        for (const SlotAt& member : rung.unready) alerts_.SetReady(member.slot, leg);
        steps_ += static_cast<int64_t>(rung.unready.size());
        rung.ready.insert(rung.unready.begin(), rung.unready.end());
        rung.unready.clear();
      }
    }
  }
  figures_.EnterDate(event_time_us, rules);
  for (Slot slot : own) {
    OpenAlert alert(this, slot);
    RefreshDate(*alert);
    AddToBook(*alert);
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
  while (!expiries_.empty() && expiries_.begin()->at <= event_time_us) {
    OpenAlert alert(this, expiries_.begin()->slot);
    expiries_.erase(expiries_.begin());
    Expire(*alert);
    ++steps_;
  }
  next_expiry_us_ = expiries_.empty() ? kNoExpiry : expiries_.begin()->at;
}

void SymbolFold::Expire(Alert& alert) {
  RemoveFromBook(alert);
  alert.expired = true;
  alert.legs = {};
  expiry_reached_ = true;
}

void SymbolFold::EvaluateChanged(Book& book, const Counted& counted) {
  if (book.TakeQuiet(counted.point, &steps_)) return;
  for (Slot slot : book.Advance(counted.point, figures_, &steps_)) Evaluate(*OpenAlert(this, slot), counted);
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
  alert.has_own_price_before = false;
  alert.own_price_before_micros.reset();
}

bool SymbolFold::IsPastExpiry(const Alert& alert) const {
  return alert.definition.expire_time_us.has_value() && order_.last_event_time_us.has_value() &&
         *order_.last_event_time_us >= *alert.definition.expire_time_us;
}

void SymbolFold::Arm(Alert& alert) {
  AddSinceLastQuote(alert.slot);
  const Book& book = BookOf(alert);
  ResetToUnarmed(alert);
  const std::optional<DateFigure> figure = condition::AwaitedFigure(alert.definition);
  if (figure.has_value() && figures_.latest(*figure) != figures_.first(*figure)) {
    // The figure was corrected after the other alerts of the date took it as their reference.
    alert.own_reference = true;
    for (Leg& leg : alert.legs) leg.reference_micros = *figures_.latest(*figure);
  }
  UntrackExpiry(alert);
  if (IsPastExpiry(alert)) {
    Expire(alert);
    return;
  }
  TrackExpiry(alert);

  if (book.last.has_value() && !AwaitsFigure(alert)) StartAtArmingPrice(alert, book.last->price_micros);
  if (alert.paused) {
    KeepPriceBefore(alert);
    SaveForPause(alert);
  } else if (alert.begun) {
    AddToBook(alert);
  } else if (book.last.has_value()) {
    AwaitFigure(alert, *figure);
  } else {
    AwaitPrice(alert);
  }
}

void SymbolFold::StartAtArmingPrice(Alert& alert, int64_t price_micros) {
  const Subject subject = SubjectOf(alert);
  subject.alert.begun = true;
  const bool ready_if_met = subject.alert.definition.creation_policy == CreationPolicy::kFireIfMet;
  VisitKind(subject.alert.definition.condition,
            [&](const auto& kind) { kind.StartAtArmingPrice(subject, price_micros, ready_if_met); });
}

// Unless it keeps one from a pause before, since which it has seen no price.
void SymbolFold::KeepPriceBefore(Alert& alert) const {
  if (alert.has_own_price_before) return;
  const Book& book = BookOf(alert);
  alert.has_own_price_before = true;
  if (book.last.has_value()) alert.own_price_before_micros = book.last->price_micros;
}

void SymbolFold::Pause(Alert& alert) {
  alert.paused = true;
  if (alert.ended || alert.expired) return;
  KeepPriceBefore(alert);
  RemoveFromBook(alert);
  SaveForPause(alert);
}

void SymbolFold::SaveForPause(Alert& alert) {
  const Subject subject = SubjectOf(alert);
  if (!subject.alert.begun) return;
  subject.book.CatchUp(&steps_);
  VisitKind(subject.alert.definition.condition, [&](const auto& kind) { kind.SaveForPause(subject); });
}

void SymbolFold::Resume(Alert& alert) {
  alert.paused = false;
  if (alert.ended || alert.expired) return;
  AddSinceLastQuote(alert.slot);
  AwaitPrice(alert);
}

void SymbolFold::Evaluate(Alert& alert, const Counted& counted) {
  const bool has_own_before = std::exchange(alert.has_own_price_before, false);
  const int64_t price_before = (has_own_before ? alert.own_price_before_micros : counted.price_before_micros)
                                   .value_or(counted.point.price_micros);
  alert.own_price_before_micros.reset();
  RemoveFromBook(alert);
  const std::optional<DateFigure> figure = condition::AwaitedFigure(alert.definition);
  if (figure.has_value()) RefreshDate(alert);
  const bool awaits = figure.has_value() && !DateReferenceOf(alert, *figure, figures_).has_value();
  if (!alert.begun && awaits) {
    AwaitFigure(alert, *figure);
    return;
  }
  bool evaluated = !awaits;
  if (!alert.begun) {
    StartAtArmingPrice(alert, counted.point.price_micros);
    evaluated = MayTriggerAtFirstPrice(alert);
  }
  if (evaluated) Judge(alert, price_before, counted);
  if (!alert.ended) AddToBook(alert);
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

void SymbolFold::Judge(Alert& alert, int64_t price_before, const Counted& counted) {
  const Subject subject = SubjectOf(alert);
  const Judgement judgement = VisitKind(
      alert.definition.condition, [&](const auto& kind) { return kind.Judge(subject, counted.point, price_before); });
  if (!judgement.triggers()) return;
  if (counted.triggered != nullptr &&
      std::binary_search(counted.triggered->begin(), counted.triggered->end(), alert.slot)) {
    return;  // One trigger a quote: this edge is there for the next one.
  }
  if (IsSwallowed(alert, counted)) {
    Swallow(alert, judgement, counted.counters);
    return;
  }
  Fire(alert, price_before, judgement, counted);
}

void SymbolFold::Fire(Alert& alert, int64_t price_before, const Judgement& judgement, const Counted& counted) {
  const Subject subject = SubjectOf(alert);
  ++counted.counters->triggers;
  ++alert.trigger_number;
  record::Trigger trigger;
  trigger.alert_id = alerts_.id(alert.slot).Text();
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
    UntrackExpiry(alert);
    alert.legs = {};
  } else {
    alert.last_trigger_time_us = counted.point.time_us;
    alert.last_trigger_date = figures_.date();
    VisitKind(alert.definition.condition, [&](const auto& kind) {
      kind.ContinueAfterTrigger(subject, counted.point.price_micros, judgement.ready_after_edge);
    });
  }
  counted.outcome->triggers.push_back(std::move(trigger));
}

void SymbolFold::AwaitPrice(Alert& alert) {
  Book& book = BookOf(alert);
  alert.residence = Residence::kFresh;
  book.fresh().insert(alert.slot);
  book.quiet = {};
}

void SymbolFold::AwaitFigure(Alert& alert, DateFigure figure) {
  Book& book = BookOf(alert);
  alert.residence = Residence::kAwaitingReference;
  book.AwaitingReference(figure).insert(alert.slot);
  book.quiet = {};
}

void SymbolFold::AddToBook(Alert& alert) {
  const Subject subject = SubjectOf(alert);
  alert.residence = Residence::kIndexed;
  subject.book.CatchUp(&steps_);
  subject.book.quiet = {};
  VisitKind(alert.definition.condition, [&](const auto& kind) {
    kind.AddToBook(subject);
    subject.book.AddWakes(alert.slot, kind.WakesOf(alert));
  });
}

void SymbolFold::RemoveFromBook(Alert& alert) {
  const Subject subject = SubjectOf(alert);
  switch (std::exchange(alert.residence, Residence::kOut)) {
    case Residence::kOut:
      return;
    case Residence::kFresh:
      subject.book.fresh().erase(alert.slot);
      return;
    case Residence::kAwaitingReference:
      subject.book.AwaitingReference(*condition::AwaitedFigure(alert.definition)).erase(alert.slot);
      return;
    case Residence::kIndexed:
      break;
  }
  VisitKind(alert.definition.condition, [&](const auto& kind) {
    subject.book.RemoveWakes(alert.slot, kind.WakesOf(alert));
    kind.RemoveFromBook(subject);
  });
}

void SymbolFold::TrackExpiry(const Alert& alert) {
  if (!alert.definition.expire_time_us.has_value()) return;
  expiries_.insert({*alert.definition.expire_time_us, alert.slot});
  next_expiry_us_ = std::min(next_expiry_us_, *alert.definition.expire_time_us);
}

void SymbolFold::UntrackExpiry(const Alert& alert) {
  if (alert.definition.expire_time_us.has_value()) expiries_.erase({*alert.definition.expire_time_us, alert.slot});
}

void SymbolFold::AddSinceLastQuote(Slot slot) {
  since_last_quote_.Add(slot);
  any_since_last_quote_ = true;
}

Slot SymbolFold::Add(const AlertId& id, const record::AlertChange& change) {
  const Slot slot = alerts_.Add(id);
  OpenAlert alert(this, slot);
  alert->definition = PresentDefinition(change);
  alert->revision = change.revision;
  alert->armed_revision = change.armed_revision;
  alert->paused = change.paused;
  Arm(*alert);
  return slot;
}

void SymbolFold::Change(Slot slot, const record::AlertChange& change) {
  OpenAlert alert(this, slot);
  const bool expiry_moves = change.definition.expire_time_us != alert->definition.expire_time_us;
  const bool arms = change.armed_revision > alert->armed_revision || (alert->expired && expiry_moves);
  alert->revision = change.revision;
  if (arms) {
    RemoveFromBook(*alert);
    UntrackExpiry(*alert);
    alert->definition = PresentDefinition(change);
    alert->armed_revision = std::max(alert->armed_revision, change.armed_revision);
    alert->paused = change.paused;
    Arm(*alert);
    return;
  }
  if (expiry_moves) {
    UntrackExpiry(*alert);
    alert->definition.expire_time_us = change.definition.expire_time_us;
    if (!alert->ended) IsPastExpiry(*alert) ? Expire(*alert) : TrackExpiry(*alert);
  }
  if (change.paused && !alert->paused) Pause(*alert);
  if (!change.paused && alert->paused) Resume(*alert);
}

void SymbolFold::Remove(Slot slot) {
  {
    OpenAlert alert(this, slot);
    RemoveFromBook(*alert);
    UntrackExpiry(*alert);
  }
  alerts_.Remove(slot);
}

void SymbolFold::ApplyRestart() {
  order_.Restart();
  figures_ = market::DateFigures(figures_.market());
  for (std::optional<Book>& book : books_) book.emplace(this);
  alerts_.ForEach([this](Slot slot) {
    if (!alerts_.ended(slot)) Arm(*OpenAlert(this, slot));
  });
}

}  // namespace stockalert::fold
