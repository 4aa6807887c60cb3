// The scales of a chart: round prices, round times, and how both are written. Pure and thread-safe; prices in micros,
// times in Unix microseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace stockalert::notifier {

// A value of an axis that has a line of the grid.
struct AxisTick {
  int64_t at = 0;
  std::string label;
  bool operator==(const AxisTick&) const = default;
};

// Multiples of 1, 2 or 5 times a power of ten in [low, high], at most `count_max` (at least 2), written exactly and all
// with as many decimals as the step has. 0 <= low < high.
std::vector<AxisTick> PriceTicks(int64_t low_micros, int64_t high_micros, int count_max);

// Times of the zone's clocks in [start, end], at most `count_max` (at least 2): full minutes, hours or days. The first
// one of a day is written as its date, unless it is the very first. 0 < end - start <= 30 days.
std::vector<AxisTick> TimeTicks(int64_t start_us, int64_t end_us, absl::TimeZone zone, int count_max);

// A price as the user wants it: with that many decimals (0 to 6), rounded half to even; none given: exactly, with two
// at least.
std::string PriceLabel(int64_t micros, std::optional<int> decimals);

// Where labels are put that want to be at `wanted`, so that neighbours are `gap` apart and all are in [low, high], each
// moved as little as can be. In the order of `wanted`.
std::vector<double> SpreadLabels(const std::vector<double>& wanted, double gap, double low, double high);

}  // namespace stockalert::notifier
