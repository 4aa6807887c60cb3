// Prices that counted and changed nothing, kept until the ladders of a book (extreme_ladder.h) need them. Of each only
// those matter that are lower, or higher, than all that came later: a ladder that is told these in their order is what
// it would be, had it been told them all. So the others are dropped when room is needed.
//
// Bounded; one addition writes one place and allocates nothing after the first. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "services/domain/fold/fold_state.h"

namespace stockalert::fold {

class PendingPrices {
 public:
  static constexpr size_t kMax = 64;

  // Oldest first.
  class Chain {
   public:
    void Add(PricePoint point) { points_[--begin_] = point; }
    const PricePoint* begin() const { return points_.data() + begin_; }
    const PricePoint* end() const { return points_.data() + kMax; }

   private:
    std::array<PricePoint, kMax> points_;
    size_t begin_ = kMax;
  };

  bool empty() const { return count_ == 0; }

  // False: there is no room; the ladders have to take in what is here first.
  bool Add(PricePoint point) {
    if (count_ == kMax || points_ == nullptr) {
      if (points_ == nullptr) points_ = std::make_unique<std::array<PricePoint, kMax>>();
      Compact();
      if (count_ > kMax * 3 / 4) return false;
    }
    (*points_)[count_++] = point;
    return true;
  }

  // Those that are lower (higher) than all later ones. Not empty if there is any price.
  Chain Lows() const {
    Chain chain;
    int64_t lowest = std::numeric_limits<int64_t>::max();
    for (size_t i = count_; i-- > 0;) {
      const PricePoint& point = (*points_)[i];
      if (point.price_micros >= lowest) continue;
      lowest = point.price_micros;
      chain.Add(point);
    }
    return chain;
  }
  Chain Highs() const {
    Chain chain;
    int64_t highest = std::numeric_limits<int64_t>::min();
    for (size_t i = count_; i-- > 0;) {
      const PricePoint& point = (*points_)[i];
      if (point.price_micros <= highest) continue;
      highest = point.price_micros;
      chain.Add(point);
    }
    return chain;
  }

  void Clear() { count_ = 0; }

 private:
  // Drops what is in neither chain.
  void Compact() {
    int64_t lowest = std::numeric_limits<int64_t>::max();
    int64_t highest = std::numeric_limits<int64_t>::min();
    size_t begin = count_;
    for (size_t i = count_; i-- > 0;) {
      const PricePoint point = (*points_)[i];
      if (point.price_micros >= lowest && point.price_micros <= highest) continue;
      lowest = point.price_micros < lowest ? point.price_micros : lowest;
      highest = point.price_micros > highest ? point.price_micros : highest;
      (*points_)[--begin] = point;
    }
    size_t kept = 0;
    while (begin < count_) (*points_)[kept++] = (*points_)[begin++];
    count_ = kept;
  }

  std::unique_ptr<std::array<PricePoint, kMax>> points_;
  size_t count_ = 0;
};

}  // namespace stockalert::fold
