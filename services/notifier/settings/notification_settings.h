// How a user's notifications are written, and when they are quiet. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace stockalert::notifier {

inline constexpr char kFirstTimeZone[] = "America/New_York";
inline constexpr int kPriceDecimalsMax = 6;
inline constexpr int kQuietHoursMax = 14;
inline constexpr int kMinutesPerDay = 24 * 60;
// No quiet hours last for longer, whatever the time zone does. What covers a whole week is refused.
inline constexpr absl::Duration kQuietTimeMax = absl::Hours(15 * 24);

// A part of the week. Minutes are those of the day by the clock of the user's time zone, 0 to 1439.
struct QuietHours {
  std::vector<int> days = {};  // On which it begins, 1 Monday to 7 Sunday, rising; none: every day.
  int start_minute = 0;
  int end_minute = 0;  // Not after the start: on the next day.
  bool operator==(const QuietHours&) const = default;
};

struct NotificationSettings {
  std::string time_zone = kFirstTimeZone;
  std::optional<int> price_decimals = {};  // None: all that a price has, at least two.
  std::vector<QuietHours> quiet_hours = {};
  int64_t version = 0;  // 0: never changed.
  bool operator==(const NotificationSettings&) const = default;
};

// Whether it names a time zone of the IANA database that this machine has. Reads a file of it, once for each.
bool IsTimeZone(const std::string& name);
// UTC for what is none (any more).
absl::TimeZone TimeZoneOf(const std::string& name);

// When the quiet hours in which `now_us` lies end; those that touch or overlap are one. None: it is not quiet.
// Each begins at its first start on a day (when the clock is put back, there may be two), and ends at its last end; a
// start or end that the clock leaves out is when it is put forward. At most kQuietTimeMax after `now_us`.
std::optional<int64_t> QuietUntil(const NotificationSettings& settings, int64_t now_us);
// Whether they leave no minute of the week.
bool CoverWeek(const std::vector<QuietHours>& quiet_hours);

// "22:05" and its minute of the day. None: no time of a day is written so.
std::optional<int> ReadClock(std::string_view text);
std::string FormatClock(int minute);

// As stored: JSON. Anything else that is read is as if there were none.
std::string QuietHoursText(const std::vector<QuietHours>& quiet_hours);
std::vector<QuietHours> ReadQuietHours(const std::string& text);

}  // namespace stockalert::notifier
