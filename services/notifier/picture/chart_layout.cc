#include "services/notifier/picture/chart_layout.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "services/common/base/text.h"
#include "services/domain/price/decimal.h"

namespace stockalert::notifier {
namespace {

constexpr int64_t kMinuteUs = 60'000'000;
constexpr int64_t kDayUs = 1440 * kMinuteUs;
constexpr int64_t kSpanUsMin = 30 * kMinuteUs;
constexpr size_t kLinesMax = 2;
constexpr size_t kTextBytesMax = 300;
constexpr double kPlotLeft = 16;
constexpr double kPlotTop = 58;
constexpr double kPlotBottom = kChartHeight - 28;
// A digit's at the size of the labels, which is the widest character of theirs.
constexpr double kDigitWidth = 7;
constexpr double kLabelPadding = 7;
constexpr double kLabelMargin = 10;
constexpr double kLabelGap = 18;
// Labels of the grid that are closer than this to one of a line or the trigger are not shown.
constexpr double kTickLabelGap = 15;
constexpr double kCandleWidthMin = 1;
constexpr double kCandleWidthMax = 9;
constexpr int kPriceTicksMax = 8;
constexpr int kTimeTicksMax = 8;
// Room above the highest price and below the lowest, as a part of what is between them.
constexpr int64_t kRoomPart = 10;
// A line is on the scale where the bars and the trigger keep at least this part of it.
constexpr int64_t kPricesPart = 4;
// A flat price's scale has this part of the price, and so many micros, between its ends.
constexpr int64_t kFlatPart = 1000;
constexpr int64_t kFlatMicros = 10;

struct Range {
  int64_t low = 0;
  int64_t high = 0;
  int64_t span() const { return high - low; }
  void Take(int64_t value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// Linear; from a range to points.
struct Scale {
  Range range;
  double from = 0;
  double to = 0;
  double At(int64_t value) const {
    return from + (to - from) * static_cast<double>(value - range.low) / static_cast<double>(range.span());
  }
};

bool IsFit(const PriceBar& bar, int64_t trigger_us) {
  return bar.low_micros > 0 && bar.low_micros <= std::min(bar.open_micros, bar.close_micros) &&
         bar.high_micros >= std::max(bar.open_micros, bar.close_micros) && price::IsValidPriceMicros(bar.high_micros) &&
         std::abs(bar.start_us - trigger_us) < kDayUs;
}

std::vector<PriceBar> FitBars(const ChartInput& input) {
  std::vector<PriceBar> bars;
  std::copy_if(input.bars.begin(), input.bars.end(), std::back_inserter(bars),
               [&](const PriceBar& bar) { return IsFit(bar, input.trigger_us); });
  if (bars.size() > kChartBarsMax) bars.erase(bars.begin(), bars.end() - kChartBarsMax);
  return bars;
}

// With no room around it yet.
Range PriceRange(const std::vector<PriceBar>& bars, int64_t trigger_micros) {
  Range range = {trigger_micros, trigger_micros};
  for (const PriceBar& bar : bars) {
    range.Take(bar.low_micros);
    range.Take(bar.high_micros);
  }
  const int64_t missing = std::max(range.high / kFlatPart, kFlatMicros) - range.span();
  if (missing > 0) range = {std::max<int64_t>(range.low - missing / 2, 0), range.high + missing / 2};
  return range;
}

std::vector<int64_t> LinePrices(const std::vector<int64_t>& given) {
  std::vector<int64_t> prices;
  for (const int64_t price : given) {
    if (price::IsValidPriceMicros(price) && prices.size() < kLinesMax) prices.push_back(price);
  }
  return prices;
}

// With those lines that leave the prices enough of the scale.
Range WithLines(Range range, const std::vector<int64_t>& line_prices) {
  const int64_t span = range.span();
  for (const int64_t price : line_prices) {
    Range with_line = range;
    with_line.Take(price);
    if (with_line.span() / kPricesPart <= span) range = with_line;
  }
  return range;
}

Range WithRoom(const Range& range) {
  const int64_t room = range.span() / kRoomPart + 1;
  return {std::max<int64_t>(range.low - room, 0), range.high + room};
}

Range TimeRange(const std::vector<PriceBar>& bars, int64_t trigger_us) {
  Range range = {trigger_us, trigger_us};
  for (const PriceBar& bar : bars) {
    range.Take(bar.start_us);
    range.Take(bar.start_us + kMinuteUs);
  }
  range.low = std::min(range.low, range.high - kSpanUsMin);
  // So that the marker of the trigger is not at the edge.
  range.high += range.span() / 50;
  range.low -= range.span() / 100;
  return range;
}

double CandleWidth(const Scale& x) {
  return std::clamp((x.At(x.range.low + kMinuteUs) - x.from) * 0.7, kCandleWidthMin, kCandleWidthMax);
}

std::string TitleWithout(const std::string& symbol, const std::string& title) {
  const std::string begin = symbol + " ";
  return title.starts_with(begin) ? title.substr(begin.size()) : title;
}

std::vector<ChartCandle> Candles(const std::vector<PriceBar>& bars, const Scale& x, const Scale& y) {
  std::vector<ChartCandle> candles;
  for (const PriceBar& bar : bars) {
    candles.push_back({.x = x.At(bar.start_us + kMinuteUs / 2),
                       .open_y = y.At(bar.open_micros),
                       .close_y = y.At(bar.close_micros),
                       .high_y = y.At(bar.high_micros),
                       .low_y = y.At(bar.low_micros),
                       .rises = bar.close_micros >= bar.open_micros});
  }
  return candles;
}

std::vector<ChartBridge> Bridges(const std::vector<PriceBar>& bars, const std::vector<ChartCandle>& candles) {
  std::vector<ChartBridge> bridges;
  for (size_t i = 1; i < bars.size(); ++i) {
    if (bars[i].start_us - bars[i - 1].start_us <= kMinuteUs) continue;
    bridges.push_back({{candles[i - 1].x, candles[i - 1].close_y}, {candles[i].x, candles[i].open_y}});
  }
  return bridges;
}

std::vector<ChartLine> Lines(const std::vector<int64_t>& prices, std::optional<int> decimals, const Scale& y) {
  using enum ChartLine::Place;
  std::vector<ChartLine> lines;
  for (const int64_t price : prices) {
    ChartLine line;
    line.place = price > y.range.high ? kAbove : price < y.range.low ? kBelow : kOnScale;
    line.y = y.At(std::clamp(price, y.range.low, y.range.high));
    line.label = PriceLabel(price, decimals);
    if (line.place != kOnScale) line.label = (line.place == kAbove ? "\xe2\x96\xb2 " : "\xe2\x96\xbc ") + line.label;
    lines.push_back(std::move(line));
  }
  return lines;
}

// Of the widest label, in characters rather than bytes.
double LabelWidth(const ChartLayout& layout) {
  size_t characters = layout.trigger_label.size();
  for (const ChartTick& tick : layout.prices) characters = std::max(characters, tick.label.size());
  for (const ChartLine& line : layout.lines) {
    const size_t hidden = line.place == ChartLine::Place::kOnScale ? 0 : 2;
    characters = std::max(characters, line.label.size() - hidden);
  }
  return kDigitWidth * static_cast<double>(characters) + 2 * kLabelPadding;
}

void PlaceLabels(ChartLayout& layout) {
  std::vector<double> wanted = {layout.trigger.y};
  for (const ChartLine& line : layout.lines) wanted.push_back(line.y);
  const std::vector<double> placed = SpreadLabels(wanted, kLabelGap, layout.plot.top, layout.plot.bottom);
  layout.trigger_label_y = placed[0];
  for (size_t i = 0; i < layout.lines.size(); ++i) layout.lines[i].label_y = placed[i + 1];
  for (ChartTick& tick : layout.prices) {
    tick.label_shown = std::all_of(placed.begin(), placed.end(),
                                   [&](double label_y) { return std::abs(tick.at - label_y) >= kTickLabelGap; });
  }
}

}  // namespace

std::optional<ChartLayout> LayOutChart(const ChartInput& input) {
  const std::vector<PriceBar> bars = FitBars(input);
  if (bars.empty() || !price::IsValidPriceMicros(input.trigger_micros)) return std::nullopt;
  const std::vector<int64_t> line_prices = LinePrices(input.lines_micros);
  const Scale y = {WithRoom(WithLines(PriceRange(bars, input.trigger_micros), line_prices)), kPlotBottom, kPlotTop};
  ChartLayout layout;
  layout.symbol = base::StorableText(input.symbol, kTextBytesMax);
  layout.title = base::StorableText(TitleWithout(input.symbol, input.title), kTextBytesMax);
  layout.lines = Lines(line_prices, input.price_decimals, y);
  layout.trigger_label = PriceLabel(input.trigger_micros, input.price_decimals);
  for (const AxisTick& tick : PriceTicks(y.range.low, y.range.high, kPriceTicksMax))
    layout.prices.push_back({y.At(tick.at), tick.label});
  layout.plot = {kPlotLeft, kPlotTop, kChartWidth - kLabelMargin - LabelWidth(layout), kPlotBottom};

  const Scale x = {TimeRange(bars, input.trigger_us), layout.plot.left, layout.plot.right};
  for (const AxisTick& tick : TimeTicks(x.range.low, x.range.high, input.zone, kTimeTicksMax))
    layout.times.push_back({x.At(tick.at), tick.label});
  layout.candles = Candles(bars, x, y);
  layout.bridges = Bridges(bars, layout.candles);
  layout.candle_width = CandleWidth(x);
  layout.trigger = {x.At(input.trigger_us), y.At(input.trigger_micros)};
  layout.trigger_time = absl::FormatTime("%Y-%m-%d %H:%M:%S %Z", absl::FromUnixMicros(input.trigger_us), input.zone);
  PlaceLabels(layout);
  return layout;
}

}  // namespace stockalert::notifier
