// Makes the picture of a mail: asks for the last bars, and draws them. A mail never waits long for it: when the bars
// cannot be had, nobody asks again for ten seconds, and then one mail does for all.
//
// Thread-safe; a call for each mail may be under way at once. What becomes of pictures is counted, and why there are
// none is logged once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/notifier/bars/bar_source.h"
#include "services/notifier/picture/price_chart.h"

namespace stockalert::notifier {

class PictureMaker {
 public:
  // Which bars are shown: those that begin so long before the trigger, and so long after it if there are some.
  static constexpr absl::Duration kBefore = absl::Hours(2);
  static constexpr absl::Duration kAfter = absl::Minutes(10);
  static constexpr absl::Duration kPause = absl::Seconds(10);

  // Without a font there are no pictures; that is logged here. `bars` and `clock` must outlive it.
  PictureMaker(BarSource& bars, absl::StatusOr<ChartFont> font, const base::MonotonicClock& clock);

  // A PNG of `chart`, whose bars it finds. None: the mail goes without. Blocks for as long as BarSource and PriceChart
  // may.
  std::optional<std::string> Make(ChartInput chart);

 private:
  bool MayAsk();
  void NoteAnswered();
  void NoteFault(const absl::Status& status);
  bool FindBars(ChartInput& chart);

  BarSource& bars_;
  const base::MonotonicClock& clock_;
  std::optional<PriceChart> chart_;
  base::Mutex mutex_;
  // 0: the last one who asked was answered.
  int64_t ask_again_us_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace stockalert::notifier
