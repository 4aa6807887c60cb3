#include "services/notifier/picture/chart_axis.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "services/domain/price/decimal.h"

namespace stockalert::notifier {
namespace {

constexpr int kMicroDigits = 6;
constexpr int kUsualDecimals = 2;

int DecimalsOf(int64_t micros) {
  int decimals = kMicroDigits;
  while (decimals > 0 && micros % 10 == 0) {
    micros /= 10;
    --decimals;
  }
  return decimals;
}

int64_t PriceStep(int64_t span, int count_max) {
  for (int64_t power = 1;; power *= 10) {
    for (const int64_t factor : {1, 2, 5}) {
      // As many steps fit into the span, and one tick more.
      if (span / (factor * power) < count_max) return factor * power;
    }
  }
}

// In minutes; a day's divisors, then days.
int64_t TimeStepMinutes(int64_t span_us, int count_max) {
  constexpr std::array<int64_t, 15> kSteps = {1,   2,   5,   10,  15,   20,       30,      60,
                                              120, 180, 240, 360, 1440, 2 * 1440, 5 * 1440};
  for (const int64_t minutes : kSteps) {
    if (span_us / (minutes * 60'000'000) < count_max) return minutes;
  }
  return 30 * 1440;
}

}  // namespace

std::vector<AxisTick> PriceTicks(int64_t low_micros, int64_t high_micros, int count_max) {
  const int64_t step = PriceStep(high_micros - low_micros, count_max);
  const int decimals = DecimalsOf(step);
  std::vector<AxisTick> ticks;
  for (int64_t at = (low_micros + step - 1) / step * step; at <= high_micros; at += step)
    ticks.push_back({at, price::FormatMicrosRounded(at, decimals)});
  return ticks;
}

std::vector<AxisTick> TimeTicks(int64_t start_us, int64_t end_us, absl::TimeZone zone, int count_max) {
  const absl::Time start = absl::FromUnixMicros(start_us), end = absl::FromUnixMicros(end_us);
  const int64_t step = TimeStepMinutes(end_us - start_us, count_max);
  const absl::CivilMinute first = absl::ToCivilMinute(start, zone);
  const int64_t minute_of_day = first - absl::CivilMinute(absl::CivilDay(first));
  std::vector<AxisTick> ticks;
  absl::Time last = absl::InfinitePast();
  // By the clocks on the wall: an hour that a change of the clocks repeats or leaves out has its ticks once or not.
  for (absl::CivilMinute at = first - minute_of_day % step; absl::FromCivil(at, zone) <= end; at += step) {
    const absl::Time time = absl::FromCivil(at, zone);
    if (time < start || time <= last) continue;
    const bool new_day = !ticks.empty() && absl::ToCivilDay(time, zone) != absl::ToCivilDay(last, zone);
    ticks.push_back({absl::ToUnixMicros(time), absl::FormatTime(new_day ? "%d %b" : "%H:%M", time, zone)});
    last = time;
  }
  return ticks;
}

std::string PriceLabel(int64_t micros, std::optional<int> decimals) {
  return price::FormatMicrosRounded(micros, decimals.value_or(std::max(DecimalsOf(micros), kUsualDecimals)));
}

std::vector<double> SpreadLabels(const std::vector<double>& wanted, double gap, double low, double high) {
  // Labels that would overlap form a stack, which stands around the mean of where they want to be.
  struct Stack {
    double top = 0;  // Of its first label.
    double sum = 0;  // Of where the first one would have to be for each.
    size_t count = 0;
  };
  std::vector<size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return wanted[a] < wanted[b]; });
  const auto settle = [&](Stack& stack) {
    const auto count = static_cast<double>(stack.count);
    stack.top = std::max(low, std::min(stack.sum / count, high - gap * (count - 1)));
  };
  std::vector<Stack> stacks;
  for (const size_t label : order) {
    stacks.push_back({0, wanted[label], 1});
    settle(stacks.back());
    while (stacks.size() > 1) {
      Stack& above = stacks[stacks.size() - 2];
      const Stack below = stacks.back();
      const double height = gap * static_cast<double>(above.count);
      if (above.top + height <= below.top) break;
      above.sum += below.sum - height * static_cast<double>(below.count);
      above.count += below.count;
      stacks.pop_back();
      settle(above);
    }
  }
  std::vector<double> placed(wanted.size());
  size_t next = 0;
  for (const Stack& stack : stacks) {
    for (size_t i = 0; i < stack.count; ++i) placed[order[next++]] = stack.top + gap * static_cast<double>(i);
  }
  return placed;
}

}  // namespace stockalert::notifier
