#include "services/tools/client/attempt_picture.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace stockalert::client {
namespace {

namespace pb = ::stockalert::notification::v1;

constexpr size_t kColumnsMin = 20, kColumnsMax = 72;
constexpr int64_t kSecondUs = 1'000'000;

int64_t UsOf(const google::protobuf::Timestamp& time) { return time.seconds() * kSecondUs + time.nanos() / 1'000; }

struct Moment {
  int64_t time_us = 0;
  enum { kFailed, kSucceeded, kNext } what = kFailed;
};

std::vector<Moment> MomentsOf(const pb::Delivery& delivery) {
  std::vector<Moment> moments;
  for (const auto& attempt : delivery.attempts()) {
    moments.push_back({UsOf(attempt.start_time()), attempt.error().empty() ? Moment::kSucceeded : Moment::kFailed});
  }
  std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) { return a.time_us < b.time_us; });
  if (!moments.empty() && delivery.has_next_attempt_time()) {
    const int64_t next_us = UsOf(delivery.next_attempt_time());
    moments.push_back({std::max(next_us, moments.back().time_us), Moment::kNext});
  }
  return moments;
}

// The largest unit alone: "45s", "6m", "2h", "3d".
std::string Rough(int64_t seconds) {
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrCat((seconds + 30) / 60, "m");
  if (seconds < 48 * 3600) return absl::StrCat((seconds + 1800) / 3600, "h");
  return absl::StrCat((seconds + 43'200) / 86'400, "d");
}

}  // namespace

std::vector<AttemptMark> MarksOf(const pb::Delivery& delivery, size_t columns) {
  const std::vector<Moment> moments = MomentsOf(delivery);
  if (moments.empty()) return {};
  columns = std::max(columns, kColumnsMin);
  const auto logarithm = [&](const Moment& moment) {
    return std::log1p(static_cast<double>(moment.time_us - moments.front().time_us) / kSecondUs);
  };
  const double whole = std::max(logarithm(moments.back()), std::log1p(1));
  std::vector<AttemptMark> marks;
  for (const Moment& moment : moments) {
    AttemptMark mark;
    mark.column = static_cast<size_t>(std::lround(logarithm(moment) / whole * static_cast<double>(columns - 1)));
    if (!marks.empty() && mark.column <= marks.back().column) {
      mark.column = std::min(marks.back().column + 1, columns - 1);
      if (mark.column == marks.back().column) marks.pop_back();
    }
    mark.sign = moment.what == Moment::kFailed ? "✗" : moment.what == Moment::kSucceeded ? "✓" : "○";
    mark.colour = moment.what == Moment::kFailed      ? Colour::kRed
                  : moment.what == Moment::kSucceeded ? Colour::kGreen
                                                      : Colour::kYellow;
    const int64_t after_s = (moment.time_us - moments.front().time_us + kSecondUs / 2) / kSecondUs;
    mark.label = marks.empty() ? "0" : Rough(after_s);
    marks.push_back(std::move(mark));
  }
  return marks;
}

std::string AttemptPicture(const Terminal& terminal, const pb::Delivery& delivery) {
  const size_t columns = terminal.columns == 0 ? kColumnsMax : std::clamp(terminal.columns, kColumnsMin, kColumnsMax);
  const std::vector<AttemptMark> marks = MarksOf(delivery, columns);
  if (marks.empty()) return "";
  std::string line, times;
  size_t drawn = 0;
  for (const AttemptMark& mark : marks) {
    std::string way;
    for (; drawn < mark.column; ++drawn) way += "·";
    absl::StrAppend(&line, terminal.Paint(way, Colour::kDim), terminal.Paint(mark.sign, mark.colour));
    ++drawn;
    const bool fits = mark.column + mark.label.size() <= columns || mark.column == columns - 1;
    const size_t begin = std::min(mark.column, columns - mark.label.size());
    if (fits && (times.empty() || begin > times.size())) {
      times.append(begin - times.size(), ' ');
      times += mark.label;
    }
  }
  return absl::StrCat(
      line, "\n", terminal.Paint(times, Colour::kDim), "\n",
      terminal.Paint("✗ failed  ✓ received  ○ next; time since the first attempt, on a logarithmic scale",
                     Colour::kDim),
      "\n");
}

}  // namespace stockalert::client
