// The prices and times at which nothing can happen to any alert of a book: a quote inside needs no look at the index.
//
// Always on the safe side: it may be narrower than it could be, never wider. Plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace stockalert::fold {

struct QuietInterval {
  static constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  static constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

  // Both inclusive; the default is empty: look at the index.
  int64_t low_micros = kMax;
  int64_t high_micros = kMin;
  int64_t until_us = kMin;  // Event time, inclusive.

  static QuietInterval Everything() { return {kMin, kMax, kMax}; }

  bool Contains(int64_t price_micros, int64_t time_us) const {
    return price_micros >= low_micros && price_micros <= high_micros && time_us <= until_us;
  }
  void Narrow(const QuietInterval& other) {
    low_micros = std::max(low_micros, other.low_micros);
    high_micros = std::min(high_micros, other.high_micros);
    KeepUntil(other.until_us);
  }
  void KeepBelow(int64_t price_micros) { high_micros = std::min(high_micros, price_micros - 1); }
  void KeepAbove(int64_t price_micros) { low_micros = std::max(low_micros, price_micros + 1); }
  void KeepUntil(int64_t time_us) { until_us = std::min(until_us, time_us); }
};

}  // namespace stockalert::fold
