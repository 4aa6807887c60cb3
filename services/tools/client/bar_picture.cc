#include "services/tools/client/bar_picture.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "services/domain/price/decimal.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

constexpr std::array<const char*, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr size_t kColumnsMin = 20, kColumnsMax = 72;

// Oldest first.
std::vector<int64_t> ClosesOf(const std::vector<ticker::v1::Bar>& bars) {
  std::vector<int64_t> closes;
  for (auto bar = bars.rbegin(); bar != bars.rend(); ++bar) {
    if (const auto micros = price::ParsePrice(bar->close()); micros.ok()) closes.push_back(*micros);
  }
  return closes;
}

}  // namespace

std::string Sparkline(const std::vector<ticker::v1::Bar>& bars, size_t columns) {
  const std::vector<int64_t> closes = ClosesOf(bars);
  if (closes.empty()) return "";
  columns = std::clamp<size_t>(columns, 1, closes.size());
  std::vector<int64_t> shown;
  for (size_t column = 1; column <= columns; ++column) shown.push_back(closes[column * closes.size() / columns - 1]);
  const auto [lowest, highest] = std::ranges::minmax(shown);
  std::string line;
  for (const int64_t close : shown) {
    // A picture: a double will do.
    const double height =
        highest == lowest ? 0.5 : static_cast<double>(close - lowest) / static_cast<double>(highest - lowest);
    line += kBlocks[std::min(static_cast<size_t>(height * kBlocks.size()), kBlocks.size() - 1)];
  }
  return line;
}

std::string BarPicture(const Terminal& terminal, const std::vector<ticker::v1::Bar>& bars) {
  const size_t columns = terminal.columns == 0 ? kColumnsMax : std::clamp(terminal.columns, kColumnsMin, kColumnsMax);
  const std::string line = Sparkline(bars, columns);
  if (line.empty()) return "";
  const std::vector<int64_t> closes = ClosesOf(bars);
  const auto [lowest, highest] = std::ranges::minmax(closes);
  return absl::StrCat(terminal.Paint(line, Colour::kCyan), "\n",
                      terminal.Paint(absl::StrCat("closing prices from ", FormatTime(bars.back().start_time()), " to ",
                                                  FormatTime(bars.front().start_time()), ", ",
                                                  price::FormatMicros(lowest), " to ", price::FormatMicros(highest)),
                                     Colour::kDim),
                      "\n");
}

}  // namespace stockalert::client
