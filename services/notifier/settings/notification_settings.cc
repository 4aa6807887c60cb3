#include "services/notifier/settings/notification_settings.h"

#include <algorithm>
#include <bitset>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr int kMinutesPerWeek = 7 * kMinutesPerDay;
constexpr size_t kTimeZoneNameMax = 64;
// Parts of the database that are no names of zones, or are those of other clocks.
constexpr const char* kNoZones[] = {"localtime", "posixrules", "Factory"};

bool IsName(const std::string& name) {
  if (name.empty() || name.size() > kTimeZoneNameMax || !absl::ascii_isalpha(static_cast<unsigned char>(name[0])))
    return false;
  for (const char* none : kNoZones) {
    if (name == none) return false;
  }
  // posix/… are the same again, right/… count leap seconds.
  if (name.starts_with("posix/") || name.starts_with("right/")) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '+' || c == '-' || c == '/';
  });
}

std::filesystem::path DatabaseFolder() {
  const char* folder = std::getenv("TZDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/usr/share/zoneinfo";
}

// Monday is 1.
int DayOfWeek(absl::CivilDay day) { return static_cast<int>(absl::GetWeekday(day)) + 1; }

struct TimeSpan {
  absl::Time start;
  absl::Time end;
};

TimeSpan SpanOn(const QuietHours& hours, absl::CivilDay day, const absl::TimeZone& zone) {
  const absl::CivilDay end_day = hours.end_minute > hours.start_minute ? day : day + 1;
  const auto start = zone.At(absl::CivilMinute(day) + hours.start_minute);
  const auto end = zone.At(absl::CivilMinute(end_day) + hours.end_minute);
  // What is left out is when the clock is put forward; of two, the first start and the last end.
  return {start.kind == absl::TimeZone::TimeInfo::SKIPPED ? start.trans : start.pre,
          end.kind == absl::TimeZone::TimeInfo::SKIPPED ? end.trans : end.post};
}

// The last end of the quiet hours that hold `time`; `time` itself: it is in none.
absl::Time EndOfHoursAt(const NotificationSettings& settings, absl::Time time, const absl::TimeZone& zone) {
  const absl::CivilDay today = absl::ToCivilDay(time, zone);
  absl::Time end = time;
  for (const QuietHours& hours : settings.quiet_hours) {
    // None lasts for longer than a day.
    for (absl::CivilDay day = today - 2; day <= today; ++day) {
      if (!hours.days.empty() && !std::count(hours.days.begin(), hours.days.end(), DayOfWeek(day))) continue;
      const TimeSpan span = SpanOn(hours, day, zone);
      if (span.start <= time && time < span.end) end = std::max(end, span.end);
    }
  }
  return end;
}

}  // namespace

bool IsTimeZone(const std::string& name) {
  if (!IsName(name)) return false;
  // Asked first, since Abseil never forgets a name that it could not load.
  std::error_code error;
  if (!std::filesystem::is_regular_file(DatabaseFolder() / name, error) || error) return false;
  absl::TimeZone zone;
  return absl::LoadTimeZone(name, &zone);
}

absl::TimeZone TimeZoneOf(const std::string& name) {
  absl::TimeZone zone;
  // Leaves UTC where there is none.
  absl::LoadTimeZone(name, &zone);
  return zone;
}

std::optional<int64_t> QuietUntil(const NotificationSettings& settings, int64_t now_us) {
  if (settings.quiet_hours.empty()) return std::nullopt;
  const absl::TimeZone zone = TimeZoneOf(settings.time_zone);
  const absl::Time now = absl::FromUnixMicros(now_us);
  absl::Time end = now;
  while (end < now + kQuietTimeMax) {
    const absl::Time further = EndOfHoursAt(settings, end, zone);
    if (further == end) break;
    end = further;
  }
  if (end == now) return std::nullopt;
  return absl::ToUnixMicros(std::min(end, now + kQuietTimeMax));
}

bool CoverWeek(const std::vector<QuietHours>& quiet_hours) {
  std::bitset<kMinutesPerWeek> covered;
  for (const QuietHours& hours : quiet_hours) {
    const int length = (hours.end_minute - hours.start_minute + kMinutesPerDay - 1) % kMinutesPerDay + 1;
    for (int day = 1; day <= 7; ++day) {
      if (!hours.days.empty() && !std::count(hours.days.begin(), hours.days.end(), day)) continue;
      const int start = (day - 1) * kMinutesPerDay + hours.start_minute;
      for (int i = 0; i < length; ++i) covered.set(static_cast<size_t>((start + i) % kMinutesPerWeek));
    }
  }
  return covered.all();
}

std::optional<int> ReadClock(std::string_view text) {
  const auto is_digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !is_digit(0) || !is_digit(1) || !is_digit(3) || !is_digit(4))
    return std::nullopt;
  const int hour = (text[0] - '0') * 10 + text[1] - '0';
  const int minute = (text[3] - '0') * 10 + text[4] - '0';
  if (hour > 23 || minute > 59) return std::nullopt;
  return hour * 60 + minute;
}

std::string FormatClock(int minute) {
  std::string text = "00:00";
  text[0] = static_cast<char>('0' + minute / 600);
  text[1] = static_cast<char>('0' + minute / 60 % 10);
  text[3] = static_cast<char>('0' + minute % 60 / 10);
  text[4] = static_cast<char>('0' + minute % 10);
  return text;
}

std::string QuietHoursText(const std::vector<QuietHours>& quiet_hours) {
  Json all = Json::array();
  for (const QuietHours& hours : quiet_hours)
    all.push_back(
        {{"days", hours.days}, {"start", FormatClock(hours.start_minute)}, {"end", FormatClock(hours.end_minute)}});
  return all.dump();
}

std::vector<QuietHours> ReadQuietHours(const std::string& text) {
  std::vector<QuietHours> quiet_hours;
  const Json all = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!all.is_array()) return quiet_hours;
  for (const Json& one : all) {
    if (!one.is_object()) return {};
    QuietHours hours;
    for (const Json& day : one.value("days", Json::array())) {
      if (!day.is_number_integer()) return {};
      hours.days.push_back(day.get<int>());
    }
    const auto clock = [&](const char* name) {
      const Json value = one.value(name, Json());
      return value.is_string() ? ReadClock(value.get<std::string>()) : std::nullopt;
    };
    const std::optional<int> start = clock("start"), end = clock("end");
    if (!start || !end) return {};
    hours.start_minute = *start;
    hours.end_minute = *end;
    quiet_hours.push_back(std::move(hours));
  }
  return quiet_hours;
}

}  // namespace stockalert::notifier
