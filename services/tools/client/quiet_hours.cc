#include "services/tools/client/quiet_hours.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace stockalert::client {

namespace {

using Settings = notification::v1::NotificationSettings;

constexpr const char* kDays[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

absl::Status Wrong() {
  return absl::InvalidArgumentError(
      "write \"22:00-07:00\" for every day, or the days on which they begin before it: \"mon-fri 22:00-07:00\", "
      "\"sat,sun 00:00-12:00\"");
}

// 0 for Monday; -1: no day.
int DayOf(const std::string& name) {
  const auto found = std::find(std::begin(kDays), std::end(kDays), absl::AsciiStrToLower(name));
  return found == std::end(kDays) ? -1 : static_cast<int>(found - std::begin(kDays));
}

bool AddDays(const std::string& part, Settings::QuietHours& hours) {
  const std::vector<std::string> ends = absl::StrSplit(part, '-');
  if (ends.size() > 2) return false;
  const int first = DayOf(ends.front());
  const int last = DayOf(ends.back());
  if (first < 0 || last < 0) return false;
  for (int day = first;; day = (day + 1) % 7) {
    hours.add_days(static_cast<Settings::Day>(day + 1));
    if (day == last) return true;
  }
}

}  // namespace

absl::StatusOr<Settings::QuietHours> ParseQuietHours(const std::string& text) {
  const std::vector<std::string> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (words.empty() || words.size() > 2) return Wrong();
  Settings::QuietHours hours;
  if (words.size() == 2) {
    const std::vector<std::string> parts = absl::StrSplit(words[0], ',');
    for (const std::string& part : parts) {
      if (!AddDays(part, hours)) return Wrong();
    }
  }
  const std::vector<std::string> times = absl::StrSplit(words.back(), '-');
  if (times.size() != 2) return Wrong();
  hours.set_start_time(times[0]);
  hours.set_end_time(times[1]);
  return hours;
}

std::string FormatQuietHours(const Settings::QuietHours& hours) {
  std::string text;
  for (const int day : hours.days()) {
    if (day >= 1 && day <= 7) absl::StrAppend(&text, text.empty() ? "" : ",", kDays[day - 1]);
  }
  return absl::StrCat(text, text.empty() ? "" : " ", hours.start_time(), "-", hours.end_time());
}

}  // namespace stockalert::client
