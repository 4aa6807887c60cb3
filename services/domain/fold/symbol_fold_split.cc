// Splits: prices from before one are scaled. docs/semantics.md, "Splits".
#include <algorithm>

#include "services/domain/condition/split.h"
#include "services/domain/fold/kinds.h"
#include "services/domain/fold/symbol_fold.h"

namespace stockalert::fold {
namespace {

// Of prices that have become equal only the latest is of use (each is nearer than the next).
void ScalePoints(price::SplitRatio ratio, std::vector<PricePoint>* points) {
  std::vector<PricePoint> scaled;
  for (const PricePoint& point : *points) {
    const int64_t price_micros = price::ScaleMicros(point.price_micros, ratio);
    if (!scaled.empty() && scaled.back().price_micros == price_micros) scaled.pop_back();
    scaled.push_back({price_micros, point.time_us});
  }
  *points = std::move(scaled);
}

void ScaleBook(price::SplitRatio ratio, SavedBook* book) {
  if (book->last.has_value()) book->last->price_micros = price::ScaleMicros(book->last->price_micros, ratio);
  for (SavedWindow& window : book->windows) ScalePoints(ratio, &window.rungs);
}

void ScaleAlert(price::SplitRatio ratio, Alert* alert) {
  condition::ScaleDefinition(ratio, &alert->definition);
  if (alert->own_price_before_micros.has_value())
    alert->own_price_before_micros = price::ScaleMicros(*alert->own_price_before_micros, ratio);
  for (Leg& leg : alert->legs) {
    leg.reference_micros = price::ScaleMicros(leg.reference_micros, ratio);
    leg.rung = nullptr;
    ScalePoints(ratio, &leg.entries);
  }
}

}  // namespace

SplitEffect SymbolFold::ApplySplit(const record::Split& split) {
  const bool known = std::any_of(splits_.begin(), splits_.end(), [&](const SavedSplit& one) {
    return one.number >= split.number || one.split_id == split.split_id;
  });
  if (known) {
    const SavedSplit same{split.split_id, split.number, split.ratio};
    return std::find(splits_.begin(), splits_.end(), same) != splits_.end() ? SplitEffect::kRepeated
                                                                            : SplitEffect::kSkipped;
  }
  splits_.push_back({split.split_id, split.number, split.ratio});

  CatchUp();
  std::array<SavedBook, kBooks> books;
  for (size_t i = 0; i < kBooks; ++i) {
    books[i] = SaveBook(*books_[i]);
    ScaleBook(split.ratio, &books[i]);
  }
  std::vector<std::pair<Slot, Residence>> residences;
  alerts_.ForEach([&](Slot slot) {
    residences.emplace_back(slot, alerts_.residence(slot));
    OpenAlert alert(this, slot);
    RemoveFromBook(*alert);
    ScaleAlert(split.ratio, &*alert);
  });
  figures_.ScalePrices([&](int64_t micros) { return price::ScaleMicros(micros, split.ratio); });
  for (size_t i = 0; i < kBooks; ++i) {
    books_[i].emplace(this);
    LoadBook(books[i], &*books_[i]);
  }
  for (const auto& [slot, residence] : residences) {
    OpenAlert alert(this, slot);
    if (residence == Residence::kIndexed) {
      VisitKind(alert->definition.condition, [&](const auto& kind) { return kind.Restore(SubjectOf(*alert)); });
    }
    ReturnTo(*alert, residence);
  }
  return SplitEffect::kApplied;
}

condition::Definition SymbolFold::PresentDefinition(const record::AlertChange& change) const {
  condition::Definition definition = change.definition;
  for (const SavedSplit& split : splits_) {
    if (split.number > change.splits_applied) condition::ScaleDefinition(split.ratio, &definition);
  }
  return definition;
}

}  // namespace stockalert::fold
