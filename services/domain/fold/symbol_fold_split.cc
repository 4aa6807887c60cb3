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
  if (alert->price_before_micros.has_value())
    alert->price_before_micros = price::ScaleMicros(*alert->price_before_micros, ratio);
  for (Leg& leg : alert->legs) {
    leg.reference_micros = price::ScaleMicros(leg.reference_micros, ratio);
    leg.rung = nullptr;
    std::vector<PricePoint> entries = leg.entries();
    ScalePoints(ratio, &entries);
    leg.SetEntries(std::move(entries));
  }
}

}  // namespace

bool SymbolFold::ApplySplit(const record::Split& split) {
  const bool known = std::any_of(splits_.begin(), splits_.end(), [&](const SavedSplit& one) {
    return one.number >= split.number || one.split_id == split.split_id;
  });
  if (known) return false;
  splits_.push_back({split.split_id, split.number, split.ratio});

  CatchUp();
  std::array<SavedBook, kBooks> books;
  for (size_t i = 0; i < kBooks; ++i) {
    books[i] = SaveBook(*books_[i]);
    ScaleBook(split.ratio, &books[i]);
  }
  std::vector<std::pair<Slot, Residence>> residences;
  for (Slot slot = 0; slot < alerts_.size(); ++slot) {
    if (alerts_[slot] == nullptr) continue;
    residences.emplace_back(slot, at(slot).residence);
    RemoveFromBook(slot);
    ScaleAlert(split.ratio, &at(slot));
  }
  figures_.ScalePrices([&](int64_t micros) { return price::ScaleMicros(micros, split.ratio); });
  for (size_t i = 0; i < kBooks; ++i) {
    const int64_t prices_seen = books_[i]->prices_seen;
    books_[i].emplace(this);
    books_[i]->prices_seen = prices_seen;
    LoadBook(books[i], &*books_[i]);
  }
  for (const auto& [slot, residence] : residences) {
    if (residence == Residence::kIndexed) {
      VisitKind(at(slot).definition.condition, [&](const auto& kind) { return kind.Restore(SubjectOf(slot)); });
    }
    ReturnTo(slot, residence);
  }
  return true;
}

void SymbolFold::ScaleToPresent(int64_t splits_applied, condition::Definition* definition) const {
  for (const SavedSplit& split : splits_) {
    if (split.number > splits_applied) condition::ScaleDefinition(split.ratio, definition);
  }
}

}  // namespace stockalert::fold
