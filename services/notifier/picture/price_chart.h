// Draws the picture that LayOutChart has laid out, as a PNG of 1,200 by 600 pixels: two to a point, for sharp displays.
//
// Thread-safe. The same input gives the same picture, byte for byte, with the same cairo and FreeType. A picture takes
// some 20 ms of one processor and 3 MB of memory while it is drawn.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "services/notifier/picture/chart_font.h"
#include "services/notifier/picture/chart_layout.h"

namespace stockalert::notifier {

inline constexpr int kPixelsPerPoint = 2;
inline constexpr size_t kPictureBytesMax = 64 * 1024;

// 0xRRGGBB.
struct ChartColors {
  static constexpr unsigned kBackground = 0xffffff;
  static constexpr unsigned kInk = 0x111827;
  static constexpr unsigned kFaintInk = 0x5b6472;
  static constexpr unsigned kGrid = 0xe8ebef;
  static constexpr unsigned kBridge = 0xc3cad4;
  static constexpr unsigned kRise = 0x0e9f85;
  static constexpr unsigned kFall = 0xe0475b;
  static constexpr unsigned kLine = 0x2457d6;
  static constexpr unsigned kTrigger = 0x7a1fa2;
};

class PriceChart {
 public:
  explicit PriceChart(ChartFont font) : font_(std::move(font)) {}

  // NOT_FOUND: there is nothing to draw (LayOutChart). RESOURCE_EXHAUSTED: it has more than kPictureBytesMax, or there
  // is no memory.
  absl::StatusOr<std::string> Draw(const ChartInput& input) const;

 private:
  const ChartFont font_;
};

}  // namespace stockalert::notifier
