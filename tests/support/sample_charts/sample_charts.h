// Charts of prices that were made up, for tests and for the pictures of docs/delivery.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "services/notifier/picture/chart_layout.h"

namespace stockalert::notifier {

inline constexpr int64_t kSampleMinuteUs = 60'000'000;
// Monday, 2026-11-23, 10:12 in New York.
inline constexpr int64_t kSampleBeginUs = 1'795'446'720'000'000;

inline absl::TimeZone NewYork() {
  absl::TimeZone zone;
  absl::LoadTimeZone("America/New_York", &zone);
  return zone;
}

// A walk by a small generator of its own, the same everywhere: `count` minutes from the first price on, with steps of
// at most `step` micros and a drift, in whole cents.
inline std::vector<PriceBar> MadeUpBars(int count, int64_t first_micros, int64_t step, int64_t drift, uint32_t seed) {
  const auto next = [&seed](int64_t from, int64_t to) {
    seed = seed * 1'664'525 + 1'013'904'223;
    return from + static_cast<int64_t>(seed >> 8) % (to - from + 1);
  };
  const auto cents = [](int64_t micros) { return micros / 10'000 * 10'000; };
  std::vector<PriceBar> bars;
  int64_t price = first_micros;
  for (int i = 0; i < count; ++i) {
    PriceBar bar;
    bar.start_us = kSampleBeginUs + i * kSampleMinuteUs;
    bar.open_micros = bar.low_micros = bar.high_micros = cents(price);
    for (int tick = 0; tick < 6; ++tick) {
      price += next(-step, step) + drift;
      bar.close_micros = cents(price);
      bar.low_micros = std::min(bar.low_micros, bar.close_micros);
      bar.high_micros = std::max(bar.high_micros, bar.close_micros);
    }
    bars.push_back(bar);
  }
  return bars;
}

// A rise up to a target of 150, and the price that reaches it.
inline ChartInput TargetChart() {
  ChartInput input;
  input.symbol = "ACME";
  input.title = "ACME at or above 150";
  input.zone = NewYork();
  input.lines_micros = {150'000'000};
  for (const PriceBar& bar : MadeUpBars(120, 148'530'000, 70'000, 2'900, 5)) {
    input.bars.push_back(bar);
    if (bar.high_micros < 150'000'000) continue;
    input.trigger_micros = bar.high_micros;
    input.trigger_us = bar.start_us + 41'000'000;
    break;
  }
  return input;
}

// A stop that trails the price by 1 %: a rise, minutes without a price, and the fall that triggers it.
inline ChartInput TrailingChart() {
  ChartInput input;
  input.symbol = "ACME";
  input.title = "ACME falls 1% from its high";
  input.zone = NewYork();
  input.bars = MadeUpBars(64, 208'100'000, 90'000, 7'000, 12);
  int64_t highest = 0;
  for (const PriceBar& bar : input.bars) highest = std::max(highest, bar.high_micros);
  for (PriceBar bar : MadeUpBars(40, input.bars.back().close_micros, 90'000, -13'000, 3)) {
    bar.start_us += 73 * kSampleMinuteUs;
    input.bars.push_back(bar);
    if (bar.low_micros > highest / 100 * 99) continue;
    input.trigger_micros = bar.low_micros;
    input.trigger_us = bar.start_us + 52'000'000;
    break;
  }
  input.lines_micros = {highest};
  return input;
}

}  // namespace stockalert::notifier
