#include "services/notifier/settings/notification_settings.h"

#include <catch2/catch.hpp>

#include "absl/time/time.h"

namespace stockalert::notifier {
namespace {

int64_t At(const std::string& text) {
  absl::Time time;
  std::string error;
  REQUIRE(absl::ParseTime(absl::RFC3339_full, text, &time, &error));
  return absl::ToUnixMicros(time);
}

std::string UntilText(const NotificationSettings& settings, const std::string& now) {
  const std::optional<int64_t> until = QuietUntil(settings, At(now));
  return until ? absl::FormatTime(absl::RFC3339_sec, absl::FromUnixMicros(*until), absl::UTCTimeZone()) : "";
}

QuietHours Hours(const char* start, const char* end, std::vector<int> days = {}) {
  return {std::move(days), ReadClock(start).value(), ReadClock(end).value()};
}

NotificationSettings In(const char* zone, std::vector<QuietHours> quiet_hours) {
  return {.time_zone = zone, .price_decimals = {}, .quiet_hours = std::move(quiet_hours), .version = 1};
}

TEST_CASE("quiet hours begin at their start and end before their end, on the day after where need be") {
  const NotificationSettings night = In("Europe/Berlin", {Hours("22:00", "07:00")});
  CHECK(UntilText(night, "2026-11-30T20:59:59.999999Z").empty());
  CHECK(UntilText(night, "2026-11-30T21:00:00Z") == "2026-12-01T06:00:00+00:00");
  CHECK(UntilText(night, "2026-12-01T05:59:59.999999Z") == "2026-12-01T06:00:00+00:00");
  CHECK(UntilText(night, "2026-12-01T06:00:00Z").empty());
  CHECK(UntilText(In("Europe/Berlin", {}), "2026-11-30T21:00:00Z").empty());
}

TEST_CASE("days are those on which quiet hours begin") {
  // 2026-11-27 is a Friday.
  const NotificationSettings friday = In("UTC", {Hours("22:00", "07:00", {5})});
  CHECK(UntilText(friday, "2026-11-26T23:00:00Z").empty());
  CHECK(UntilText(friday, "2026-11-27T06:00:00Z").empty());
  CHECK(UntilText(friday, "2026-11-27T23:00:00Z") == "2026-11-28T07:00:00+00:00");
  CHECK(UntilText(friday, "2026-11-28T06:00:00Z") == "2026-11-28T07:00:00+00:00");
  CHECK(UntilText(friday, "2026-11-28T23:00:00Z").empty());
}

TEST_CASE("quiet hours that touch or overlap are one") {
  // Nights, and whole weekends: from Friday 22:00 to Monday 07:00.
  const NotificationSettings settings =
      In("UTC", {Hours("22:00", "07:00"), Hours("00:00", "00:00", {6, 7}), Hours("06:30", "07:00", {1})});
  CHECK(UntilText(settings, "2026-11-27T21:59:59Z").empty());
  CHECK(UntilText(settings, "2026-11-27T22:00:00Z") == "2026-11-30T07:00:00+00:00");
  CHECK(UntilText(settings, "2026-11-29T12:00:00Z") == "2026-11-30T07:00:00+00:00");
  CHECK(UntilText(settings, "2026-11-30T07:00:00Z").empty());
  // The same start and end: a whole day.
  const NotificationSettings day = In("UTC", {Hours("09:00", "09:00", {1})});
  CHECK(UntilText(day, "2026-11-30T09:00:00Z") == "2026-12-01T09:00:00+00:00");
  CHECK(UntilText(day, "2026-12-01T09:00:00Z").empty());
}

TEST_CASE("when the clock is put forward, what it leaves out is that moment") {
  // In Berlin 02:00 CET became 03:00 CEST on 2026-03-29, at 01:00 UTC.
  const NotificationSettings ends = In("Europe/Berlin", {Hours("22:00", "02:30")});
  CHECK(UntilText(ends, "2026-03-29T00:30:00Z") == "2026-03-29T01:00:00+00:00");
  CHECK(UntilText(ends, "2026-03-29T01:00:00Z").empty());
  const NotificationSettings starts = In("Europe/Berlin", {Hours("02:30", "04:00")});
  CHECK(UntilText(starts, "2026-03-29T00:59:59Z").empty());
  CHECK(UntilText(starts, "2026-03-29T01:00:00Z") == "2026-03-29T02:00:00+00:00");
  const NotificationSettings skipped = In("Europe/Berlin", {Hours("02:10", "02:50")});
  CHECK(UntilText(skipped, "2026-03-29T00:59:59Z").empty());
  CHECK(UntilText(skipped, "2026-03-29T01:00:00Z").empty());
  // Across the change they are an hour shorter.
  const NotificationSettings night = In("Europe/Berlin", {Hours("22:00", "07:00")});
  CHECK(UntilText(night, "2026-03-28T21:00:00Z") == "2026-03-29T05:00:00+00:00");
}

TEST_CASE("when the clock is put back, quiet hours begin at the first start and end at the last end") {
  // In Berlin 03:00 CEST became 02:00 CET on 2026-10-25, at 01:00 UTC: 02:30 was at 00:30 and at 01:30 UTC.
  const NotificationSettings ends = In("Europe/Berlin", {Hours("22:00", "02:30")});
  CHECK(UntilText(ends, "2026-10-24T21:00:00Z") == "2026-10-25T01:30:00+00:00");
  CHECK(UntilText(ends, "2026-10-25T00:45:00Z") == "2026-10-25T01:30:00+00:00");
  CHECK(UntilText(ends, "2026-10-25T01:30:00Z").empty());
  const NotificationSettings starts = In("Europe/Berlin", {Hours("02:30", "04:00")});
  CHECK(UntilText(starts, "2026-10-25T00:29:59Z").empty());
  CHECK(UntilText(starts, "2026-10-25T00:30:00Z") == "2026-10-25T03:00:00+00:00");
  CHECK(UntilText(starts, "2026-10-25T01:10:00Z") == "2026-10-25T03:00:00+00:00");
}

TEST_CASE("what would never end is bounded, and is told from what leaves a part of the week") {
  const std::vector<QuietHours> all = {Hours("00:00", "12:00"), Hours("12:00", "00:00")};
  CHECK(CoverWeek(all));
  CHECK(CoverWeek({Hours("05:00", "05:00")}));
  CHECK(!CoverWeek({Hours("00:00", "23:59")}));
  CHECK(!CoverWeek({Hours("00:00", "00:00", {1, 2, 3, 4, 5, 6})}));
  // The last minute of Sunday is covered by what begins on it.
  CHECK(CoverWeek({Hours("00:00", "23:59"), Hours("23:59", "00:01")}));
  CHECK(!CoverWeek({}));
  CHECK(UntilText(In("UTC", all), "2026-11-30T00:00:00Z") == "2026-12-15T00:00:00+00:00");
}

TEST_CASE("time zones are those of the database, by name") {
  for (const char* zone :
       {"UTC", "Europe/Berlin", "America/New_York", "Etc/GMT+5", "EST5EDT", "America/Port-au-Prince"})
    CHECK(IsTimeZone(zone));
  for (const char* zone :
       {"", "Berlin", "europe/berlin", "libc:Europe/Berlin", "localtime", "posix/Europe/Berlin", "right/UTC",
        "../zoneinfo/UTC", "/usr/share/zoneinfo/UTC", "Europe", "Europe/", "Fixed/UTC+05:00:00", "tzdata.zi", "CET ",
        "posixrules", "zone.tab", "+05:00", "Europe/Berlin\n"})
    CHECK_FALSE(IsTimeZone(zone));
  CHECK_FALSE(IsTimeZone(std::string(10'000, 'a')));
  CHECK(TimeZoneOf("Europe/Berlin").name() == "Europe/Berlin");
}

TEST_CASE("times of the day are read and written as on a clock") {
  CHECK(ReadClock("00:00") == 0);
  CHECK(ReadClock("23:59") == 1439);
  for (const char* text : {"", "24:00", "7:00", "07:60", "07-00", "07:00 ", "aa:bb", "-1:00", "07:0x"})
    CHECK_FALSE(ReadClock(text).has_value());
  for (const int minute : {0, 9, 59, 600, 1439}) CHECK(ReadClock(FormatClock(minute)) == minute);
}

TEST_CASE("quiet hours are stored as text, and what is none is none") {
  const std::vector<QuietHours> hours = {Hours("22:00", "07:00", {1, 5}), Hours("00:00", "00:00")};
  CHECK(QuietHoursText(hours) ==
        R"([{"days":[1,5],"end":"07:00","start":"22:00"},{"days":[],"end":"00:00","start":"00:00"}])");
  CHECK(ReadQuietHours(QuietHoursText(hours)) == hours);
  CHECK(QuietHoursText({}) == "[]");
  for (const char* text : {"", "{}", "[1]", R"([{"days":["x"],"start":"22:00","end":"07:00"}])",
                           R"([{"days":[],"start":22,"end":"07:00"}])", R"([{"days":3,"start":"22:00"}])"})
    CHECK(ReadQuietHours(text).empty());
}

}  // namespace
}  // namespace stockalert::notifier
