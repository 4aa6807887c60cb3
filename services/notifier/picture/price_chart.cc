#include "services/notifier/picture/price_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <optional>

#include "absl/strings/str_cat.h"

namespace stockalert::notifier {
namespace {

using Surface = std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)>;
using Context = std::unique_ptr<cairo_t, decltype(&cairo_destroy)>;

constexpr double kSymbolSize = 16;
constexpr double kTitleSize = 13;
// LayOutChart reckons with that of labels.
constexpr double kLabelSize = 11;
constexpr double kHeadBaseline = 26;
constexpr double kLegendBaseline = 45;
constexpr double kTagHeight = 16;
constexpr double kMarkerRadius = 4;
constexpr std::array<double, 2> kDashes = {6, 4};
constexpr char kEllipsis[] = "\xe2\x80\xa6";

// The middle of the nearest row or column of pixels: a thin line there is sharp.
double Sharp(double at) { return (std::floor(at * kPixelsPerPoint) + 0.5) / kPixelsPerPoint; }

class Pen {
 public:
  Pen(cairo_t* context, const ChartFont& font) : context_(context), font_(font) {
    cairo_scale(context, kPixelsPerPoint, kPixelsPerPoint);
    cairo_font_options_t* options = cairo_font_options_create();
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(context, options);
    cairo_font_options_destroy(options);
  }

  void Draw(const ChartLayout& layout) {
    SetColor(ChartColors::kBackground);
    cairo_paint(context_);
    DrawGrid(layout);
    DrawCandles(layout);
    for (const ChartLine& line : layout.lines) DrawLine(layout.plot, line);
    DrawTrigger(layout);
    DrawHead(layout);
  }

 private:
  void SetColor(unsigned color, double opacity = 1) {
    const auto part = [color](int shift) { return ((color >> shift) & 0xff) / 255.0; };
    cairo_set_source_rgba(context_, part(16), part(8), part(0), opacity);
  }

  void SetFont(cairo_font_face_t* face, double size) {
    cairo_set_font_face(context_, face);
    cairo_set_font_size(context_, size);
  }

  double WidthOf(const std::string& text) {
    cairo_text_extents_t extents;
    cairo_text_extents(context_, text.c_str(), &extents);
    return extents.x_advance;
  }

  void Stroke(double from_x, double from_y, double to_x, double to_y, double width) {
    cairo_set_line_width(context_, width);
    cairo_move_to(context_, from_x, from_y);
    cairo_line_to(context_, to_x, to_y);
    cairo_stroke(context_);
  }

  void Circle(const ChartPoint& center, double radius) {
    cairo_new_sub_path(context_);
    cairo_arc(context_, center.x, center.y, radius, 0, 2 * std::numbers::pi);
    cairo_fill(context_);
  }

  // Returns where it ends.
  double Write(double x, double baseline, const std::string& text) {
    cairo_move_to(context_, x, baseline);
    cairo_show_text(context_, text.c_str());
    return x + WidthOf(text);
  }

  // Cut at a character's end, so that it fits.
  double WriteWithin(double x, double baseline, std::string text, double right) {
    if (x + WidthOf(text) > right) {
      do {
        while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.pop_back();
        if (!text.empty()) text.pop_back();
      } while (!text.empty() && x + WidthOf(text + kEllipsis) > right);
      text += kEllipsis;
    }
    return Write(x, baseline, text);
  }

  void DrawGrid(const ChartLayout& layout) {
    const ChartBox& plot = layout.plot;
    SetFont(font_.regular(), kLabelSize);
    for (const ChartTick& tick : layout.prices) {
      SetColor(ChartColors::kGrid);
      Stroke(plot.left, Sharp(tick.at), plot.right, Sharp(tick.at), 1);
      SetColor(ChartColors::kFaintInk);
      if (tick.label_shown) Write(plot.right + 7, tick.at + 4, tick.label);
    }
    for (const ChartTick& tick : layout.times) {
      SetColor(ChartColors::kGrid);
      Stroke(Sharp(tick.at), plot.top, Sharp(tick.at), plot.bottom, 1);
      SetColor(ChartColors::kFaintInk);
      const double half = WidthOf(tick.label) / 2;
      Write(std::clamp(tick.at - half, 2.0, plot.right - half), plot.bottom + 17, tick.label);
    }
  }

  void DrawCandles(const ChartLayout& layout) {
    const double half = layout.candle_width / 2;
    SetColor(ChartColors::kBridge);
    for (const ChartBridge& bridge : layout.bridges) Stroke(bridge.from.x, bridge.from.y, bridge.to.x, bridge.to.y, 1);
    for (const ChartCandle& candle : layout.candles) {
      SetColor(candle.rises ? ChartColors::kRise : ChartColors::kFall);
      const double top = std::min(candle.open_y, candle.close_y), bottom = std::max(candle.open_y, candle.close_y);
      Stroke(candle.x, candle.high_y, candle.x, candle.low_y, std::min(1.0, half));
      // A price that did not move is a dash.
      const double height = std::max(bottom - top, 1.0);
      cairo_rectangle(context_, candle.x - half, (top + bottom - height) / 2, layout.candle_width, height);
      cairo_fill(context_);
    }
  }

  // A label beside the plot, like a flag.
  void DrawTag(double left, double middle, const std::string& text, unsigned color) {
    SetFont(font_.bold(), kLabelSize);
    SetColor(color);
    const double top = middle - kTagHeight / 2, right = kChartWidth - 4, tip = 5;
    cairo_move_to(context_, left - 1, middle);
    cairo_line_to(context_, left + tip - 1, top);
    cairo_line_to(context_, right, top);
    cairo_line_to(context_, right, top + kTagHeight);
    cairo_line_to(context_, left + tip - 1, top + kTagHeight);
    cairo_close_path(context_);
    cairo_fill(context_);
    SetColor(ChartColors::kBackground);
    Write(left + 7, middle + 4, text);
  }

  void DrawLine(const ChartBox& plot, const ChartLine& line) {
    SetColor(ChartColors::kLine);
    cairo_set_dash(context_, kDashes.data(), kDashes.size(), 0);
    Stroke(plot.left, line.y, plot.right, line.y, 1.5);
    cairo_set_dash(context_, nullptr, 0, 0);
    DrawTag(plot.right, line.label_y, line.label, ChartColors::kLine);
  }

  void DrawTrigger(const ChartLayout& layout) {
    const ChartPoint& at = layout.trigger;
    SetColor(ChartColors::kTrigger);
    Stroke(at.x, at.y, layout.plot.right, at.y, 1);
    DrawTag(layout.plot.right, layout.trigger_label_y, layout.trigger_label, ChartColors::kTrigger);
    SetColor(ChartColors::kBackground);
    Circle(at, kMarkerRadius + 1.25);
    SetColor(ChartColors::kTrigger);
    Circle(at, kMarkerRadius);
  }

  void DrawHead(const ChartLayout& layout) {
    const double left = layout.plot.left, right = kChartWidth - left;
    SetColor(ChartColors::kInk);
    SetFont(font_.bold(), kSymbolSize);
    const double end = WriteWithin(left, kHeadBaseline, layout.symbol, right - 40);
    SetColor(ChartColors::kFaintInk);
    SetFont(font_.regular(), kTitleSize);
    WriteWithin(end + 8, kHeadBaseline, layout.title, right);
    DrawLegend(layout, left);
  }

  void DrawLegend(const ChartLayout& layout, double x) {
    const double middle = kLegendBaseline - 4;
    SetFont(font_.regular(), kLabelSize);
    SetColor(ChartColors::kTrigger);
    Circle({x + kMarkerRadius, middle}, kMarkerRadius);
    SetColor(ChartColors::kFaintInk);
    x = Write(x + 14, kLegendBaseline, absl::StrCat("triggered ", layout.trigger_time)) + 18;
    if (layout.lines.empty()) return;
    SetColor(ChartColors::kLine);
    cairo_set_dash(context_, kDashes.data(), kDashes.size(), 0);
    Stroke(x, middle, x + 16, middle, 1.5);
    cairo_set_dash(context_, nullptr, 0, 0);
    SetColor(ChartColors::kFaintInk);
    Write(x + 22, kLegendBaseline, "reference");
  }

  cairo_t* const context_;
  const ChartFont& font_;
};

cairo_status_t Append(void* target, const unsigned char* bytes, unsigned size) {
  std::string& png = *static_cast<std::string*>(target);
  if (png.size() + size > kPictureBytesMax) return CAIRO_STATUS_WRITE_ERROR;
  png.append(reinterpret_cast<const char*>(bytes), size);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

absl::StatusOr<std::string> PriceChart::Draw(const ChartInput& input) const {
  const std::optional<ChartLayout> layout = LayOutChart(input);
  if (!layout) return absl::NotFoundError("there are no prices to draw");
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(kChartWidth) * kPixelsPerPoint,
                                                   static_cast<int>(kChartHeight) * kPixelsPerPoint),
                        &cairo_surface_destroy);
  const Context context(cairo_create(surface.get()), &cairo_destroy);
  Pen(context.get(), font_).Draw(*layout);
  cairo_status_t status = cairo_status(context.get());
  std::string png;
  if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_write_to_png_stream(surface.get(), &Append, &png);
  if (status != CAIRO_STATUS_SUCCESS) {
    return absl::ResourceExhaustedError(absl::StrCat("the picture cannot be drawn: ", cairo_status_to_string(status)));
  }
  return png;
}

}  // namespace stockalert::notifier
