// Where the notifier gets a symbol's prices by the minute, for pictures.
//
// Thread-safe. A call blocks, at most for a second. Bars may always be missing: who asks goes on without them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::notifier {

// The prices within a minute of event time. A minute without a price has no bar.
struct PriceBar {
  int64_t start_us = 0;  // The beginning of the minute, microseconds since 1970 UTC.
  int64_t open_micros = 0;
  int64_t high_micros = 0;
  int64_t low_micros = 0;
  int64_t close_micros = 0;

  bool operator==(const PriceBar&) const = default;
};

inline constexpr int kBarsAskedMax = 1000;

class BarSource {
 public:
  virtual ~BarSource() = default;
  // The last `count_max` (1 to kBarsAskedMax) bars that begin in [start_us, end_us), oldest first; none where no price
  // was accepted then. UNAVAILABLE (TICKER_SERVICE_UNAVAILABLE): the ticker service does not answer in time; others are
  // its own.
  virtual absl::StatusOr<std::vector<PriceBar>> LastBars(const std::string& symbol, int64_t start_us, int64_t end_us,
                                                         int count_max) = 0;
};

}  // namespace stockalert::notifier
