// Gaps: a day's new high or low, which was there since the quote before. docs/semantics.md, "Gaps".
#include <algorithm>

#include "services/domain/condition/arming.h"
#include "services/domain/fold/kinds.h"
#include "services/domain/fold/symbol_fold.h"

namespace stockalert::fold {
namespace {

// What a judgement may change, and a test has to leave as it was.
struct Judged {
  explicit Judged(const Alert& alert) : activated(alert.activated) {
    for (size_t leg : {kUpLeg, kDownLeg}) {
      ready[leg] = alert.legs[leg].ready;
      reference_micros[leg] = alert.legs[leg].reference_micros;
    }
  }
  void Restore(Alert* alert) const {
    alert->activated = activated;
    for (size_t leg : {kUpLeg, kDownLeg}) alert->legs[leg].ready = ready[leg];
    RestoreReferences(alert);
  }
  void RestoreReferences(Alert* alert) const {
    for (size_t leg : {kUpLeg, kDownLeg}) alert->legs[leg].reference_micros = reference_micros[leg];
  }

  bool activated;
  std::array<bool, 2> ready{};
  std::array<int64_t, 2> reference_micros{};
};

bool SeesExtreme(const Alert& alert, bool high) {
  return VisitKind(alert.definition.condition, [&](const auto& kind) { return kind.SeesExtreme(alert, high); });
}

// First the high, then the low: visitor(price, whether it is the high).
template <typename Visitor>
void ForEachSeen(const Alert& alert, const market::NewExtremes& extremes, const Visitor& visitor) {
  if (extremes.high_micros.has_value() && SeesExtreme(alert, /*high=*/true)) visitor(*extremes.high_micros, true);
  if (extremes.low_micros.has_value() && SeesExtreme(alert, /*high=*/false)) visitor(*extremes.low_micros, false);
}

}  // namespace

std::vector<Slot> SymbolFold::EvaluateGap(const market::NewExtremes& extremes, const Counted& of) {
  const std::vector<Slot> untested = RemoveUntested();
  std::vector<Slot> triggered;
  for (std::optional<Book>& book : books_) {
    if (!book->last.has_value()) continue;  // No alert has begun.
    std::vector<std::pair<Slot, Residence>> touched;
    for (Slot slot : FindTouched(*book, extremes)) {
      touched.emplace_back(slot, alerts_.residence(slot));
      if (EvaluateExtremes(*OpenAlert(this, slot), extremes, of)) triggered.push_back(slot);
    }
    // Those that are out have taken in what they see of it themselves.
    book->AddExtremes(extremes, &steps_);
    for (const auto& [slot, residence] : touched) ReturnTo(*OpenAlert(this, slot), residence);
  }
  for (Slot slot : untested) AddToBook(*OpenAlert(this, slot));
  std::sort(triggered.begin(), triggered.end());
  return triggered;
}

// Takes those out of the index that do not see it.
std::vector<Slot> SymbolFold::RemoveUntested() {
  std::vector<Slot> removed;
  for (Slot slot : since_last_quote_.Sorted()) {
    if (alerts_.Contains(slot) && alerts_.residence(slot) == Residence::kIndexed) removed.push_back(slot);
  }
  for (Slot slot : removed) RemoveFromBook(*OpenAlert(this, slot));
  return removed;
}

std::vector<Slot> SymbolFold::FindTouched(Book& book, const market::NewExtremes& extremes) {
  std::vector<Slot> touched = book.FindTouched(extremes, figures_, &steps_);
  // Resumed before the last quote, which did not count for them.
  for (Slot slot : book.fresh()) {
    if (alerts_.begun(slot) && !since_last_quote_.Contains(slot)) touched.push_back(slot);
    ++steps_;
  }
  return touched;
}

bool SymbolFold::EvaluateExtremes(Alert& alert, const market::NewExtremes& extremes, const Counted& of) {
  const Book& book = BookOf(alert);
  const int64_t price_before =
      (alert.has_own_price_before ? alert.own_price_before_micros : std::optional(book.last->price_micros)).value_or(0);
  RemoveFromBook(alert);
  if (condition::AwaitedFigure(alert.definition).has_value()) {
    RefreshDate(alert);
    if (AwaitsFigure(alert)) return false;
  }
  const auto at_price = [&](int64_t price_micros) {
    Counted counted = of;
    counted.point.price_micros = price_micros;
    return counted;
  };
  bool triggered = false;
  ForEachSeen(alert, extremes, [&](int64_t price_micros, bool) {
    triggered = triggered || TriggersAt(alert, price_before, at_price(price_micros));
  });
  if (triggered) return true;
  // A high may activate it, and then it sees the low, too.
  ForEachSeen(alert, extremes,
              [&](int64_t price_micros, bool high) { TakeIn(alert, price_before, at_price(price_micros), high); });
  return false;
}

// Against the state before the quote, which is left as it was where it does not trigger.
bool SymbolFold::TriggersAt(Alert& alert, int64_t price_before, const Counted& counted) {
  const Subject subject = SubjectOf(alert);
  const Judged before(alert);
  const Judgement judgement = VisitKind(
      alert.definition.condition, [&](const auto& kind) { return kind.Judge(subject, counted.point, price_before); });
  if (judgement.triggers() && !IsSwallowed(alert, counted)) {
    Fire(alert, price_before, judgement, counted);
    return true;
  }
  before.Restore(&alert);
  return false;
}

void SymbolFold::TakeIn(Alert& alert, int64_t price_before, const Counted& counted, bool high) {
  const Subject subject = SubjectOf(alert);
  const Judged before(alert);
  const auto [judgement, enters] = VisitKind(alert.definition.condition, [&](const auto& kind) {
    return std::pair(kind.Judge(subject, counted.point, price_before), kind.EntersExtreme(high));
  });
  // On a date's first quote even a low may be above the highest price so far.
  if (!enters) before.RestoreReferences(&alert);
  // An edge only after a high and a low of the same quote, whose order nobody knows, is none.
  if (judgement.triggers() && IsSwallowed(alert, counted)) Swallow(alert, judgement, counted.counters);
}

void SymbolFold::ReturnTo(Alert& alert, Residence residence) {
  if (alert.ended) return;
  switch (residence) {
    case Residence::kOut:
      return;
    case Residence::kFresh:
      return AwaitPrice(alert);
    case Residence::kAwaitingReference:
      return AwaitFigure(alert, *condition::AwaitedFigure(alert.definition));
    case Residence::kIndexed:
      return AddToBook(alert);
  }
}

}  // namespace stockalert::fold
