#include "services/notifier/picture/chart_layout.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/sample_charts/sample_charts.h"

namespace stockalert::notifier {
namespace {

ChartLayout Laid(const ChartInput& input) {
  const std::optional<ChartLayout> layout = LayOutChart(input);
  REQUIRE(layout);
  return *layout;
}

PriceBar FlatBar(int64_t start_us, int64_t micros) { return {start_us, micros, micros, micros, micros}; }

bool Within(double value, double low, double high) { return value >= low - 0.01 && value <= high + 0.01; }

// What holds for every chart.
void CheckLayout(const ChartLayout& layout) {
  const ChartBox& plot = layout.plot;
  CHECK(plot.right - plot.left > 300);
  CHECK(Within(layout.trigger.x, plot.left, plot.right - 3));
  CHECK(Within(layout.trigger.y, plot.top, plot.bottom));
  CHECK(layout.prices.size() >= 2);
  CHECK(!layout.times.empty());
  for (const ChartTick& tick : layout.prices) CHECK(Within(tick.at, plot.top, plot.bottom));
  for (const ChartTick& tick : layout.times) CHECK(Within(tick.at, plot.left, plot.right));
  for (const ChartCandle& candle : layout.candles) {
    CHECK(Within(candle.x, plot.left, plot.right));
    CHECK(Within(candle.high_y, plot.top, candle.low_y));
    CHECK(Within(candle.low_y, candle.high_y, plot.bottom));
    CHECK(Within(candle.open_y, candle.high_y, candle.low_y));
    CHECK(Within(candle.close_y, candle.high_y, candle.low_y));
    CHECK((candle.close_y <= candle.open_y) == candle.rises);
  }
  std::vector<double> labels = {layout.trigger_label_y};
  for (const ChartLine& line : layout.lines) {
    CHECK(Within(line.y, plot.top, plot.bottom));
    labels.push_back(line.label_y);
  }
  std::sort(labels.begin(), labels.end());
  for (size_t i = 0; i < labels.size(); ++i) {
    CHECK(Within(labels[i], plot.top, plot.bottom));
    if (i > 0) CHECK(labels[i] - labels[i - 1] > 17.9);
    for (const ChartTick& tick : layout.prices) CHECK((!tick.label_shown || std::abs(tick.at - labels[i]) > 14.9));
  }
}

TEST_CASE("chart: a target that is reached") {
  const ChartInput input = TargetChart();
  const ChartLayout layout = Laid(input);
  CheckLayout(layout);
  CHECK(layout.symbol == "ACME");
  CHECK(layout.title == "at or above 150");
  CHECK(layout.candles.size() == input.bars.size());
  CHECK(layout.bridges.empty());
  CHECK(layout.trigger_label == "150.04");
  CHECK(layout.trigger_time == "2026-11-23 11:59:41 EST");
  REQUIRE(layout.lines.size() == 1);
  CHECK(layout.lines[0].label == "150.00");
  CHECK(layout.lines[0].place == ChartLine::Place::kOnScale);
  // The trigger is above the line, and so is its label.
  CHECK(layout.trigger.y < layout.lines[0].y);
  CHECK(layout.trigger_label_y < layout.lines[0].label_y);
  CHECK(layout.times.front().label == "10:15");
  // A minute takes as much room as the next, and the trigger is in the last one.
  CHECK(layout.candles[2].x - layout.candles[1].x == Approx(layout.candles[1].x - layout.candles[0].x));
  CHECK(std::abs(layout.trigger.x - layout.candles.back().x) < layout.candle_width);
}

TEST_CASE("chart: minutes without a price are left out, and bridged") {
  const ChartInput input = TrailingChart();
  const ChartLayout layout = Laid(input);
  CheckLayout(layout);
  REQUIRE(layout.bridges.size() == 1);
  CHECK(layout.bridges[0].to.x - layout.bridges[0].from.x == Approx(10 * (layout.candles[1].x - layout.candles[0].x)));
  CHECK(layout.lines[0].y <= layout.candles[60].high_y);
}

TEST_CASE("chart: without a bar near the trigger there is none") {
  ChartInput input = TargetChart();
  input.bars.clear();
  CHECK_FALSE(LayOutChart(input));
  input.bars = {FlatBar(input.trigger_us - absl::ToInt64Microseconds(absl::Hours(24)), 150'000'000)};
  CHECK_FALSE(LayOutChart(input));
  input.bars = {FlatBar(input.trigger_us, 150'000'000)};
  CHECK(LayOutChart(input));
  for (const PriceBar& broken : {FlatBar(input.trigger_us, 0), FlatBar(input.trigger_us, -1),
                                 PriceBar{input.trigger_us, 10, 9, 8, 9}, PriceBar{input.trigger_us, 10, 12, 11, 12}}) {
    input.bars = {broken};
    CHECK_FALSE(LayOutChart(input));
  }
  input.bars = {FlatBar(input.trigger_us, 150'000'000)};
  input.trigger_micros = 0;
  CHECK_FALSE(LayOutChart(input));
}

TEST_CASE("chart: one bar, and one price") {
  ChartInput input = TargetChart();
  input.bars = {input.bars.back()};
  CheckLayout(Laid(input));
  input.bars = {FlatBar(input.trigger_us - 20'000'000, 150'000'000)};
  input.trigger_micros = 150'000'000;
  const ChartLayout layout = Laid(input);
  CheckLayout(layout);
  CHECK(layout.candle_width <= 9);
  CHECK(layout.times.size() >= 3);
  CHECK(layout.trigger.y == Approx((layout.plot.top + layout.plot.bottom) / 2));
}

TEST_CASE("chart: tiny and huge prices") {
  for (const int64_t micros : std::initializer_list<int64_t>{1, 100, 1'000'000'000'000, 1'000'000'000'000'000'000}) {
    INFO(micros);
    ChartInput input = TargetChart();
    input.bars = {FlatBar(input.trigger_us - 60'000'000, micros), FlatBar(input.trigger_us, micros)};
    input.trigger_micros = micros;
    input.lines_micros = {micros, micros};
    CheckLayout(Laid(input));
  }
  ChartInput input = TargetChart();
  input.bars = {{input.trigger_us, 1, 1'000'000'000'000'000'000, 1, 5}};
  CheckLayout(Laid(input));
}

TEST_CASE("chart: a line that is far away does not flatten the prices") {
  ChartInput input = TargetChart();
  const ChartLayout near = Laid(input);
  for (const auto& [price, place, label] :
       {std::tuple{int64_t{100'000'000}, ChartLine::Place::kBelow, "\xe2\x96\xbc 100.00"},
        {int64_t{200'000'000}, ChartLine::Place::kAbove, "\xe2\x96\xb2 200.00"}}) {
    input.lines_micros = {price};
    const ChartLayout layout = Laid(input);
    CheckLayout(layout);
    REQUIRE(layout.lines.size() == 1);
    CHECK(layout.lines[0].place == place);
    CHECK(layout.lines[0].label == label);
    CHECK(layout.lines[0].y == (place == ChartLine::Place::kAbove ? layout.plot.top : layout.plot.bottom));
    const auto height = [](const ChartLayout& of) { return of.candles[0].low_y - of.candles.back().high_y; };
    CHECK(height(layout) >= height(near));
  }
  // One that leaves them a quarter is on the scale.
  input.lines_micros = {155'000'000};
  CHECK(Laid(input).lines[0].place == ChartLine::Place::kOnScale);
  CheckLayout(Laid(input));
}

TEST_CASE("chart: no line, a line without a price, and more than two") {
  ChartInput input = TargetChart();
  input.lines_micros.clear();
  CHECK(Laid(input).lines.empty());
  input.lines_micros = {0, -5, 149'000'000, 150'000'000, 149'500'000};
  const ChartLayout layout = Laid(input);
  CheckLayout(layout);
  REQUIRE(layout.lines.size() == 2);
  CHECK(layout.lines[1].label == "150.00");
}

TEST_CASE("chart: the latest bars count, those after the trigger, too") {
  ChartInput input = TargetChart();
  input.bars = MadeUpBars(400, 150'000'000, 50'000, 0, 7);
  input.trigger_us = input.bars[390].start_us;
  const ChartLayout layout = Laid(input);
  CheckLayout(layout);
  CHECK(layout.candles.size() == kChartBarsMax);
  CHECK(layout.candles.back().x > layout.trigger.x);
}

TEST_CASE("chart: the user's zone and decimals") {
  ChartInput input = TargetChart();
  REQUIRE(absl::LoadTimeZone("Asia/Tokyo", &input.zone));
  input.price_decimals = 1;
  const ChartLayout layout = Laid(input);
  CHECK(layout.trigger_label == "150.0");
  CHECK(layout.lines[0].label == "150.0");
  CHECK(layout.trigger_time == "2026-11-24 01:59:41 JST");
  CHECK(layout.times.front().label == "00:15");
}

TEST_CASE("chart: whatever the prices are, everything is where it can be seen") {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    INFO(seed);
    ChartInput input = TargetChart();
    const int64_t step = int64_t{1000} << (seed % 15);
    input.bars = MadeUpBars(static_cast<int>(1 + seed % 130), int64_t{10'000'000'000}, step, step / 30, seed);
    input.trigger_us = input.bars.back().start_us + static_cast<int64_t>(seed % 60) * 1'000'000;
    input.trigger_micros = input.bars.back().low_micros;
    input.lines_micros = {input.bars.front().high_micros, input.trigger_micros + static_cast<int64_t>(seed) * 20'000};
    CheckLayout(Laid(input));
  }
}

}  // namespace
}  // namespace stockalert::notifier
