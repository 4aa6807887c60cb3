// What a picture of a symbol's last prices shows, and where: the scales, the candles, the alert's line, the trigger and
// every label, in points of a picture of 600 by 300 whose origin is its upper left corner. Nothing is drawn here. Pure
// and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/notifier/bars/bar_source.h"
#include "services/notifier/picture/chart_axis.h"

namespace stockalert::notifier {

inline constexpr double kChartWidth = 600;
inline constexpr double kChartHeight = 300;
// Older bars than the latest so many, and those a day or more away from the trigger, are left out.
inline constexpr size_t kChartBarsMax = 240;

// Prices in micros, above 0; times in Unix microseconds.
struct ChartInput {
  std::string symbol;
  std::string title;           // "AAPL at or above 150": the alert in one line.
  std::vector<PriceBar> bars;  // Oldest first.
  // The prices that the trigger was measured against: a target, a bound, a reference, an extreme. At most two count.
  std::vector<int64_t> lines_micros;
  int64_t trigger_micros = 0;
  int64_t trigger_us = 0;
  absl::TimeZone zone = absl::UTCTimeZone();
  std::optional<int> price_decimals;  // PriceLabel.
};

struct ChartPoint {
  double x = 0;
  double y = 0;
};

struct ChartBox {
  double left = 0;
  double top = 0;
  double right = 0;
  double bottom = 0;
};

// A line of the grid.
struct ChartTick {
  double at = 0;  // x of a time, y of a price.
  std::string label;
  bool label_shown = true;  // False: something more important stands there.
};

struct ChartCandle {
  double x = 0;
  double open_y = 0;
  double close_y = 0;
  double high_y = 0;
  double low_y = 0;
  bool rises = false;
};

// From one candle's close to the next one's open, over minutes without a price.
struct ChartBridge {
  ChartPoint from;
  ChartPoint to;
};

struct ChartLine {
  // The price is on the scale, or so far above or below it that its line is at the plot's edge, and the label says so.
  enum class Place : uint8_t { kOnScale, kAbove, kBelow };
  double y = 0;
  Place place = Place::kOnScale;
  std::string label;
  double label_y = 0;  // Of the label's middle, beside the plot.
};

struct ChartLayout {
  std::string symbol;  // Valid UTF-8 in any case, as the next.
  std::string title;   // Without the symbol where it begins with it.
  ChartBox plot;
  std::vector<ChartTick> prices;
  std::vector<ChartTick> times;
  std::vector<ChartCandle> candles;
  double candle_width = 0;
  std::vector<ChartBridge> bridges;
  std::vector<ChartLine> lines;
  ChartPoint trigger;
  std::string trigger_label;
  double trigger_label_y = 0;
  std::string trigger_time;  // "2026-11-23 14:30:00 EST".
};

// None: there are no bars near the trigger, or it has no price.
std::optional<ChartLayout> LayOutChart(const ChartInput& input);

}  // namespace stockalert::notifier
