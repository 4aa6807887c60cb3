// The picture, by what is in it: what its colours are where the layout says.
#include "services/notifier/picture/price_chart.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include "tests/support/png/png.h"
#include "tests/support/sample_charts/sample_charts.h"

namespace stockalert::notifier {
namespace {

using testing::Png;

const PriceChart& Chart() {
  static const PriceChart chart(ChartFont::Load().value());
  return chart;
}

std::string Drawn(const ChartInput& input) {
  const absl::StatusOr<std::string> png = Chart().Draw(input);
  INFO(png.status());
  REQUIRE(png.ok());
  return *png;
}

int Pixel(double at) { return static_cast<int>(std::floor(at * kPixelsPerPoint)); }

// The dashes of a line take at least half of its row.
int InRow(const Png& picture, const ChartLayout& layout, double y, unsigned color) {
  return picture.Count(color, Pixel(layout.plot.left), Pixel(y), Pixel(layout.plot.right), Pixel(y) + 1);
}

TEST_CASE("picture: the line, the trigger, the candles and the labels are where they belong") {
  for (const ChartInput& input : {TargetChart(), TrailingChart()}) {
    const ChartLayout layout = *LayOutChart(input);
    const Png picture(Drawn(input));
    CHECK(picture.width() == 1200);
    CHECK(picture.height() == 600);
    for (const int x : {0, 1199}) {
      for (const int y : {0, 599}) CHECK(picture.At(x, y) == ChartColors::kBackground);
    }
    CHECK(picture.At(Pixel(layout.trigger.x), Pixel(layout.trigger.y)) == ChartColors::kTrigger);
    CHECK(InRow(picture, layout, layout.lines[0].y, ChartColors::kLine) > Pixel(layout.plot.right) / 3);
    CHECK(InRow(picture, layout, layout.lines[0].y, ChartColors::kLine) < Pixel(layout.plot.right) * 3 / 4);
    // Beside the plot, flags with white letters.
    const auto tag = [&](double y, unsigned color) {
      return picture.Count(color, Pixel(layout.plot.right + 6), Pixel(y - 7), 1190, Pixel(y + 7));
    };
    CHECK(tag(layout.trigger_label_y, ChartColors::kTrigger) > 1000);
    CHECK(tag(layout.trigger_label_y, ChartColors::kBackground) > 100);
    CHECK(tag(layout.lines[0].label_y, ChartColors::kLine) > 1000);
    CHECK(tag(layout.lines[0].label_y, ChartColors::kBackground) > 100);
    for (const ChartCandle& candle : layout.candles) {
      if (std::hypot(candle.x - layout.trigger.x, candle.close_y - layout.trigger.y) < 20) continue;
      const double middle = (candle.open_y + candle.close_y) / 2;
      if (std::abs(middle - layout.lines[0].y) < 3) continue;
      CHECK(picture.At(Pixel(candle.x), Pixel(middle)) == (candle.rises ? ChartColors::kRise : ChartColors::kFall));
    }
    CHECK(picture.Count(ChartColors::kInk, 0, 0, 400, 60) > 300);
  }
}

TEST_CASE("picture: without a line there is none, and no bars are no picture") {
  ChartInput input = TargetChart();
  input.lines_micros.clear();
  CHECK(Png(Drawn(input)).Count(ChartColors::kLine) == 0);
  input.bars.clear();
  CHECK(absl::IsNotFound(Chart().Draw(input).status()));
}

TEST_CASE("picture: a line that is off the scale is at the edge") {
  ChartInput input = TargetChart();
  input.lines_micros = {100'000'000};
  const ChartLayout layout = *LayOutChart(input);
  CHECK(InRow(Png(Drawn(input)), layout, layout.plot.bottom, ChartColors::kLine) > Pixel(layout.plot.right) / 3);
}

TEST_CASE("picture: minutes without a price are bridged") {
  const auto bridged = [](const ChartInput& input) { return Png(Drawn(input)).Count(ChartColors::kBridge); };
  ChartInput input = TargetChart();
  CHECK(bridged(input) == 0);
  // A flat one, away from the grid.
  input.bars[21] = input.bars[20];
  input.bars[40].open_micros = input.bars[20].close_micros;
  input.bars[40].high_micros = std::max(input.bars[40].high_micros, input.bars[40].open_micros);
  input.bars.erase(input.bars.begin() + 21, input.bars.begin() + 40);
  CHECK(bridged(input) > 100);
}

TEST_CASE("picture: the same prices make the same picture, from any thread") {
  const std::string first = Drawn(TargetChart());
  std::vector<std::string> others(4);
  std::vector<std::thread> threads;
  for (std::string& other : others)
    threads.emplace_back([&other] { other = Chart().Draw(TargetChart()).value_or("none"); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& other : others) CHECK(other == first);
  CHECK(Drawn(TrailingChart()) != first);
  const PriceChart another(ChartFont::Load().value());
  CHECK(*another.Draw(TargetChart()) == first);
}

TEST_CASE("picture: it is small, whatever is in it") {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    ChartInput input = TargetChart();
    input.symbol = "LONG.SYMBOL-OF.THIRTY.TWO.LETTER";
    input.title = std::string(1000, 'W');
    input.bars = MadeUpBars(240, 99'000'000'000, 400'000'000, 0, seed);
    for (PriceBar& bar : input.bars) bar.start_us += seed % 2 * bar.start_us % 7 * kSampleMinuteUs;
    input.trigger_us = input.bars.back().start_us;
    input.trigger_micros = 99'123'456'789;
    input.lines_micros = {99'500'000'001, 98'500'000'001};
    const std::string png = Drawn(input);
    CHECK(png.size() <= kPictureBytesMax);
    CHECK(png.size() > 10'000);
  }
}

TEST_CASE("picture: a text that is too long is cut, and any text is drawn") {
  const auto drawn = [](const std::string& symbol, const std::string& title) {
    ChartInput input = TargetChart();
    input.symbol = symbol;
    input.title = title;
    return Drawn(input);
  };
  const Png cut(drawn(std::string(200, 'W'), std::string(200, '\xc3')));
  CHECK(cut.Count(ChartColors::kBackground, 1180, 0, 1200, 70) == 20 * 70);
  // Of what is no UTF-8 cairo would draw no picture at all.
  CHECK(drawn("A\xff", "\xff\xfe") != "");
  CHECK(drawn("", "") != "");
  CHECK(drawn("A", "\xe2\x82\xac\xf0\x9f\x9a\x80") != "");
}

TEST_CASE("picture: a font that is not there is said so") {
  const absl::Status status = ChartFont::Load("/nonexistent").status();
  CHECK(absl::IsNotFound(status));
  CHECK(status.message() ==
        "the font /nonexistent/DejaVuSans.ttf cannot be read: install Debian's package fonts-dejavu-core");
}

}  // namespace
}  // namespace stockalert::notifier
