// What SymbolFold shows of itself, and its way into a checkpoint and back.
#include "services/domain/fold/symbol_fold.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "services/domain/condition/arming.h"
#include "services/domain/fold/kinds.h"

namespace stockalert::fold {
namespace {

using condition::Sessions;
using market::DateFigure;

}  // namespace

AlertView SymbolFold::ViewOf(Slot slot) const {
  const Alert alert = alerts_.Get(slot);
  AlertView view;
  view.symbol = symbol_;
  view.definition = alert.definition;
  view.revision = alert.revision;
  view.armed_revision = alert.armed_revision;
  view.trigger_number = alert.trigger_number;
  view.paused = alert.paused;
  view.ended = alert.ended;
  view.expired = alert.expired;
  const std::optional<DateFigure> figure = condition::AwaitedFigure(alert.definition);
  view.waiting = figure.has_value() && !figures_.first(*figure).has_value();
  view.held = hold != nullptr;
  return view;
}

SymbolView SymbolFold::View() const {
  SymbolView view;
  view.last_event_time_us = order_.last_event_time_us;
  const auto last_of = [this](Sessions sessions) -> std::optional<int64_t> {
    const std::optional<PricePoint>& last = books_[static_cast<size_t>(sessions)]->last;
    return last.has_value() ? std::optional(last->price_micros) : std::nullopt;
  };
  view.last_regular_price_micros = last_of(Sessions::kRegular);
  view.last_extended_price_micros = last_of(Sessions::kExtended);
  view.previous_close_micros = figures_.latest(DateFigure::kPreviousClose);
  view.day_open_micros = figures_.latest(DateFigure::kDayOpen);
  if (hold != nullptr) view.held_records = static_cast<int64_t>(hold->records().size());
  return view;
}

void SymbolFold::CatchUp() {
  for (std::optional<Book>& book : books_) book->CatchUp(&steps_);
}

SavedSymbol SymbolFold::Save() const {
  SavedSymbol saved;
  saved.symbol = symbol_;
  saved.publisher_epoch = order_.publisher_epoch;
  saved.sequence = order_.sequence;
  saved.last_event_time_us = order_.last_event_time_us;
  saved.date = figures_.date();
  for (DateFigure figure : market::kDateFigures) {
    saved.first_reference_micros[static_cast<size_t>(figure)] = figures_.first(figure);
    saved.latest_reference_micros[static_cast<size_t>(figure)] = figures_.latest(figure);
  }
  for (size_t i = 0; i < books_.size(); ++i) saved.books[i] = SaveBook(*books_[i]);
  saved.rules = figures_.rules();
  saved.first_rules_of_date = figures_.first_rules();
  saved.range = figures_.range();
  saved.splits = splits_;
  if (hold != nullptr) saved.held_records = hold->records();
  return saved;
}

SavedBook SymbolFold::SaveBook(const Book& book) {
  SavedBook saved;
  saved.last = book.last;
  for (const auto& [window_us, windows] : book.windows()) {
    for (size_t leg : {kUpLeg, kDownLeg}) {
      if (windows->legs[leg].size() == 0) continue;
      saved.windows.push_back({window_us, leg == kUpLeg, windows->legs[leg].Entries()});
    }
  }
  return saved;
}

void SymbolFold::LoadBook(const SavedBook& saved, Book* book) const {
  book->last = saved.last;
  for (DateFigure figure : market::kDateFigures) {
    if (!figures_.first(figure).has_value()) continue;
    for (Rung& rung : book->GroupOf(figure).legs) rung.reference_micros = *figures_.first(figure);
  }
  for (const SavedWindow& window : saved.windows) {
    ExtremeLadder& ladder = book->WindowsOf(window.window_us).legs[window.up ? kUpLeg : kDownLeg];
    for (const PricePoint& entry : window.rungs) ladder.FindOrMakeRung(entry);
  }
}

SavedAlert SaveAlert(const PackedAlerts& alerts, Slot slot, const SavedBeside& beside) {
  const Alert alert = alerts.Get(slot);
  SavedAlert saved;
  saved.id = alerts.id(slot).Text();
  saved.symbol = beside.symbol;
  saved.definition = alert.definition;
  saved.revision = alert.revision;
  saved.armed_revision = alert.armed_revision;
  saved.trigger_number = alert.trigger_number;
  saved.paused = alert.paused;
  saved.ended = alert.ended;
  saved.expired = alert.expired;
  // Of an alert that can only be armed anew, nothing but its identity matters.
  if (alert.ended || alert.expired) return saved;
  saved.since_last_quote = beside.since_last_quote.Contains(slot);
  saved.begun = alert.begun;
  saved.activated = alert.activated;
  saved.residence = alert.residence;
  saved.last_trigger_time_us = alert.last_trigger_time_us;
  saved.last_trigger_date = alert.last_trigger_date;
  if (condition::AwaitedFigure(alert.definition).has_value()) {
    saved.own_reference = alert.own_reference;
    // In the index an alert is always up to date with its symbol.
    saved.date_stamp = alert.residence == Residence::kIndexed ? beside.date : alert.date_stamp;
  }
  saved.has_own_price_before = alert.has_own_price_before;
  saved.own_price_before_micros = alert.own_price_before_micros;
  for (size_t i : {kUpLeg, kDownLeg}) {
    const Leg& leg = alert.legs[i];
    saved.legs[i].ready = leg.ready;
    saved.legs[i].reference_micros = leg.rung != nullptr ? leg.rung->reference_micros : leg.reference_micros;
    saved.legs[i].window_entries = leg.entries;
  }
  return saved;
}

void SymbolFold::SaveAlerts(std::vector<SavedAlert>* alerts) const {
  const SavedBeside beside = WhatIsSavedBeside();
  alerts_.ForEach([&](Slot slot) { alerts->push_back(SaveAlert(alerts_, slot, beside)); });
}

FrozenAlerts SymbolFold::FreezeAlerts() const { return FrozenAlerts(alerts_, WhatIsSavedBeside()); }

absl::Status SymbolFold::Load(const SavedSymbol& saved) {
  order_ = {saved.publisher_epoch, saved.sequence, saved.last_event_time_us};
  splits_ = saved.splits;
  if (saved.held_records.has_value()) hold = std::make_unique<Hold>(*saved.held_records);
  if (saved.last_event_time_us.has_value()) figures_.EnterDate(*saved.last_event_time_us, saved.rules);
  if (figures_.date() != saved.date) {
    return absl::InvalidArgumentError(absl::StrCat("symbol ", symbol_, ": its date is not that of its last quote"));
  }
  for (DateFigure figure : market::kDateFigures) {
    // What was saved has been counted: any quote that carries figures will do.
    const market::FigureSource source{.rules = market::Rules::kFirst};
    LearnFigure(figure, source, saved.first_reference_micros[static_cast<size_t>(figure)]);
    LearnFigure(figure, source, saved.latest_reference_micros[static_cast<size_t>(figure)]);
  }
  figures_.LoadRange(saved.range, saved.first_rules_of_date);
  for (size_t i = 0; i < books_.size(); ++i) {
    const SavedBook& book = saved.books[i];
    for (const SavedWindow& window : book.windows) {
      if (window.rungs.empty() || !book.last.has_value()) {
        return absl::InvalidArgumentError(absl::StrCat("symbol ", symbol_, ": a window without prices"));
      }
    }
    LoadBook(book, &*books_[i]);
  }
  return absl::OkStatus();
}

absl::StatusOr<Slot> SymbolFold::LoadAlert(const SavedAlert& saved) {
  const auto broken = [&saved](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("alert ", saved.id, ": ", what));
  };
  if (condition::FindViolationAfterSplits(saved.definition).has_value())
    return broken("its definition breaks the rules");
  const Slot slot = alerts_.Add(AlertId(saved.id));
  if (saved.since_last_quote) AddSinceLastQuote(slot);
  OpenAlert open(this, slot);
  Alert& alert = *open;
  alert.definition = saved.definition;
  alert.revision = saved.revision;
  alert.armed_revision = saved.armed_revision;
  alert.trigger_number = saved.trigger_number;
  alert.paused = saved.paused;
  alert.ended = saved.ended;
  alert.expired = saved.expired;
  alert.begun = saved.begun;
  alert.activated = saved.activated;
  alert.own_reference = saved.own_reference;
  alert.last_trigger_time_us = saved.last_trigger_time_us;
  alert.last_trigger_date = saved.last_trigger_date;
  alert.date_stamp = saved.date_stamp;
  // Earlier versions saved one of alerts that were only armed since the last price, too: it was that price.
  if (saved.has_own_price_before && (saved.paused || saved.residence == Residence::kFresh)) {
    alert.has_own_price_before = true;
    alert.own_price_before_micros = saved.own_price_before_micros;
  }
  for (size_t i : {kUpLeg, kDownLeg}) {
    alert.legs[i].ready = saved.legs[i].ready;
    alert.legs[i].reference_micros = saved.legs[i].reference_micros;
    alert.legs[i].entries = saved.legs[i].window_entries;
  }
  if (!alert.ended && !alert.expired) TrackExpiry(alert);
  const std::optional<DateFigure> figure = condition::AwaitedFigure(alert.definition);
  switch (saved.residence) {
    case Residence::kOut:
      return slot;
    case Residence::kFresh:
      AwaitPrice(alert);
      return slot;
    case Residence::kAwaitingReference:
      if (!figure.has_value()) return broken("it awaits a reference that it has no use for");
      AwaitFigure(alert, *figure);
      return slot;
    case Residence::kIndexed:
      break;
  }
  if (!alert.begun || !BookOf(alert).last.has_value()) return broken("it is watched without having begun");
  const char* contradiction =
      VisitKind(alert.definition.condition, [&](const auto& kind) { return kind.Restore(SubjectOf(alert)); });
  if (contradiction != nullptr) return broken(contradiction);
  AddToBook(alert);
  return slot;
}

}  // namespace stockalert::fold
