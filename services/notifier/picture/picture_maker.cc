#include "services/notifier/picture/picture_maker.h"

#include <utility>

#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::notifier {
namespace {

constexpr char kDrawn[] = "drawn";
constexpr char kNoPrices[] = "no_prices";
constexpr char kNoAnswer[] = "no_answer";
constexpr char kNotAsked[] = "not_asked";
constexpr char kNotDrawn[] = "not_drawn";
constexpr char kNoFont[] = "no_font";

prometheus::Counter& Pictures(const char* outcome) {
  return metrics::GetCounter("stockalert_notifier_pictures_total",
                             "Pictures that mails were to have, by what became of them", {{"outcome", outcome}});
}

}  // namespace

PictureMaker::PictureMaker(BarSource& bars, absl::StatusOr<ChartFont> font, const base::MonotonicClock& clock)
    : bars_(bars), clock_(clock) {
  for (const char* outcome : {kDrawn, kNoPrices, kNoAnswer, kNotAsked, kNotDrawn, kNoFont}) Pictures(outcome);
  if (font.ok()) {
    chart_.emplace(*std::move(font));
  } else {
    log::Warning("mails go without pictures", {{"error", font.status().message()}});
  }
}

std::optional<std::string> PictureMaker::Make(ChartInput chart) {
  const auto without = [](const char* outcome) {
    Pictures(outcome).Increment();
    return std::nullopt;
  };
  if (!chart_) return without(kNoFont);
  if (!MayAsk()) return without(kNotAsked);
  if (!FindBars(chart)) return without(kNoAnswer);
  absl::StatusOr<std::string> png = chart_->Draw(chart);
  if (absl::IsNotFound(png.status())) return without(kNoPrices);
  if (!png.ok()) {
    static log::Limiter limiter(absl::Minutes(1));
    if (const auto suppressed = limiter.Allow()) {
      log::Error("a picture cannot be drawn, and its mail goes without",
                 {{"error", png.status().message()}, {"symbol", chart.symbol}, {"suppressed", *suppressed}});
    }
    return without(kNotDrawn);
  }
  Pictures(kDrawn).Increment();
  return *std::move(png);
}

bool PictureMaker::FindBars(ChartInput& chart) {
  absl::StatusOr<std::vector<PriceBar>> bars =
      bars_.LastBars(chart.symbol, chart.trigger_us - absl::ToInt64Microseconds(kBefore),
                     chart.trigger_us + absl::ToInt64Microseconds(kAfter), static_cast<int>(kChartBarsMax));
  // A symbol that is not known any more has no bars.
  if (!bars.ok() && !absl::IsNotFound(bars.status())) {
    NoteFault(bars.status());
    return false;
  }
  NoteAnswered();
  if (bars.ok()) chart.bars = *std::move(bars);
  return true;
}

bool PictureMaker::MayAsk() {
  base::MutexLock lock(mutex_);
  if (ask_again_us_ == 0) return true;
  if (clock_.NowUs() < ask_again_us_) return false;
  // The others wait for what this one hears.
  ask_again_us_ = clock_.NowUs() + absl::ToInt64Microseconds(kPause);
  return true;
}

void PictureMaker::NoteAnswered() {
  base::MutexLock lock(mutex_);
  if (ask_again_us_ != 0) log::Info("mails have pictures again");
  ask_again_us_ = 0;
}

void PictureMaker::NoteFault(const absl::Status& status) {
  base::MutexLock lock(mutex_);
  if (ask_again_us_ == 0) {
    log::Warning("mails go without pictures until the ticker service gives their prices",
                 {{"error", status.message()}});
  }
  ask_again_us_ = clock_.NowUs() + absl::ToInt64Microseconds(kPause);
}

}  // namespace stockalert::notifier
