// The prices at which a change from a reference is reached, exactly: whole micros, so that a level is one comparison.
//
// `price ≥ reference × (1 + p/100)` is, prices being whole micros, `price ≥ LevelAbovePercent(reference, p)`, the
// product rounded up; likewise rounded down below. Pure; thread-safe. Products are in 128 bits and cannot overflow for
// references up to price::kMaxPriceMicros; a level beyond 64 bits is one that no price reaches, and comes back as the
// nearest limit.
#pragma once

#include <cstdint>
#include <limits>

#include "services/domain/price/decimal.h"

namespace stockalert::condition {

inline int64_t LevelAbovePercent(int64_t reference_micros, int64_t percent_e4) {
  const __int128 factor = static_cast<__int128>(price::kHundredPercentE4) + percent_e4;
  const __int128 scaled = reference_micros * factor;
  const __int128 level = (scaled + price::kHundredPercentE4 - 1) / price::kHundredPercentE4;
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  return level > kNever ? kNever : static_cast<int64_t>(level);
}

// For percentages below 100; the result is at least 0.
inline int64_t LevelBelowPercent(int64_t reference_micros, int64_t percent_e4) {
  const __int128 factor = static_cast<__int128>(price::kHundredPercentE4) - percent_e4;
  const __int128 scaled = reference_micros * factor;
  return static_cast<int64_t>(scaled / price::kHundredPercentE4);
}

}  // namespace stockalert::condition
