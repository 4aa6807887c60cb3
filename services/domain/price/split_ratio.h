// What a split of shares does to a price. Pure; thread-safe.
#pragma once

#include <cstdint>

namespace stockalert::price {

// Of each `denominator` shares of before there are `numerator` now: 4 and 1 in a 4-for-1 split, 1 and 10 where ten
// shares become one. Both above 0.
struct SplitRatio {
  int64_t numerator = 1;
  int64_t denominator = 1;
  bool operator==(const SplitRatio&) const = default;
};

// A price, an amount or a hysteresis of before the split as it is after it: times denominator / numerator, rounded half
// to even, at least one micro and at most kMaxPriceMicros. Zero stays zero.
int64_t ScaleMicros(int64_t micros, SplitRatio ratio);

}  // namespace stockalert::price
