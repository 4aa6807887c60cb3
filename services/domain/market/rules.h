// By which rules of docs/semantics.md a quote is evaluated. The log says it of each quote, so that a replay computes
// what was computed. Plain values.
#pragma once

#include <cstdint>

namespace stockalert::market {

enum class Rules : uint8_t {
  // No gaps; figures are ignored in PRE quotes alone; all dates are New York's.
  kFirst = 1,
  // The whole contract: gaps, no figures before 9:30 in New York, markets that trade round the clock.
  kWithGaps = 2,
};
inline constexpr Rules kNewestRules = Rules::kWithGaps;

}  // namespace stockalert::market
