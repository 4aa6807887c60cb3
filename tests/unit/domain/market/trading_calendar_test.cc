#include "services/domain/market/trading_calendar.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace stockalert::market {
namespace {

int64_t Us(const std::string& text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) throw std::runtime_error(error);
  return absl::ToUnixMicros(time);
}

TEST_CASE("an event time belongs to a session of New York") {
  const std::vector<std::pair<const char*, Session>> table = {
      // Friday, summer time (UTC-4).
      {"2016-05-13T07:59:59.999999Z", Session::kClosed},
      {"2016-05-13T08:00:00Z", Session::kPre},
      {"2016-05-13T13:29:59.999999Z", Session::kPre},
      {"2016-05-13T13:30:00Z", Session::kRegular},
      {"2016-05-13T20:00:00Z", Session::kRegular},  // The official close.
      {"2016-05-13T20:00:00.000001Z", Session::kPost},
      {"2016-05-13T23:59:59Z", Session::kPost},
      {"2016-05-14T00:00:00Z", Session::kClosed},
      // Saturday and Sunday.
      {"2016-05-14T15:00:00Z", Session::kClosed},
      {"2016-05-15T15:00:00Z", Session::kClosed},
      // Winter time (UTC-5).
      {"2026-01-02T14:29:59Z", Session::kPre},
      {"2026-01-02T14:30:00Z", Session::kRegular},
      // The Monday after the clock went forward.
      {"2026-03-09T13:30:00Z", Session::kRegular},
      {"2026-03-09T13:29:59Z", Session::kPre},
  };
  for (const auto& [time, session] : table) {
    CAPTURE(time);
    CHECK(SessionOf(Us(time)) == session);
  }
}

TEST_CASE("holidays are closed and short days close at one") {
  for (const char* noon :
       {"2026-01-01T17:00:00Z", "2026-01-19T17:00:00Z", "2026-02-16T17:00:00Z", "2026-04-03T16:00:00Z",
        "2026-05-25T16:00:00Z", "2026-06-19T16:00:00Z", "2026-07-03T16:00:00Z", "2026-09-07T16:00:00Z",
        "2026-11-26T17:00:00Z", "2026-12-25T17:00:00Z", "2023-01-02T17:00:00Z", "2024-03-29T16:00:00Z",
        "2021-12-24T17:00:00Z"}) {
    CAPTURE(noon);
    CHECK(SessionOf(Us(noon)) == Session::kClosed);
  }
  for (const char* noon :
       {"2021-12-31T17:00:00Z", "2021-06-18T16:00:00Z", "2026-07-06T16:00:00Z", "2025-07-07T16:00:00Z"}) {
    CAPTURE(noon);
    CHECK(SessionOf(Us(noon)) == Session::kRegular);
  }
  for (const char* one_past_one :
       {"2013-11-29T18:01:00Z", "2024-07-03T17:01:00Z", "2024-12-24T18:01:00Z", "2026-11-27T18:01:00Z"}) {
    CAPTURE(one_past_one);
    CHECK(SessionOf(Us(one_past_one)) == Session::kPost);
    CHECK(SessionOf(Us(one_past_one) + int64_t{4} * 3600 * 1'000'000) == Session::kClosed);
  }
}

// xnys.txt says for each year since 1990 which days from Monday to Friday are closed, and which close early.
TEST_CASE("every date since 1990 is what an independent calendar says") {
  std::ifstream table(STOCKALERT_XNYS_TABLE);
  int years = 0;
  for (std::string line; std::getline(table, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    int year = 0;
    words >> year;
    std::map<std::string, int> close_hours;  // 0: closed.
    for (std::string word; words >> word;)
      close_hours[word.substr(0, 5)] = word.size() > 5 ? std::stoi(word.substr(6, 2)) : 0;
    for (absl::CivilDay day(year, 1, 1); day.year() == year; ++day) {
      const std::string name = absl::FormatCivilTime(day);
      CAPTURE(name);
      const absl::Weekday weekday = absl::GetWeekday(day);
      const bool weekend = weekday == absl::Weekday::saturday || weekday == absl::Weekday::sunday;
      const auto found = close_hours.find(name.substr(5));
      const int close_hour = weekend ? 0 : found == close_hours.end() ? 16 : found->second;
      const auto trading = TradingDayOfDate(static_cast<int32_t>(day - absl::CivilDay(1970, 1, 1)));
      REQUIRE(trading.has_value() == (close_hour != 0));
      if (!trading) continue;
      CHECK(trading->close_us - trading->midnight_us == int64_t{close_hour} * 3600 * 1'000'000);
      CHECK(trading->post_end_us - trading->close_us == int64_t{4} * 3600 * 1'000'000);
    }
    ++years;
  }
  CHECK(years == 37);
}

TEST_CASE("before 1971 two holidays were no Mondays, and 1990 is where the calendar is known from") {
  const auto trades = [](int year, int month, int day) {
    return TradingDayOfDate(static_cast<int32_t>(absl::CivilDay(year, month, day) - absl::CivilDay(1970, 1, 1)))
        .has_value();
  };
  CHECK(trades(1970, 2, 16));
  CHECK_FALSE(trades(1970, 2, 23));  // The 22nd was a Sunday.
  CHECK(trades(1970, 5, 25));
  CHECK_FALSE(trades(1970, 5, 29));
  CHECK_FALSE(trades(1971, 2, 15));
  CHECK_FALSE(trades(1971, 5, 31));
  CHECK(absl::CivilDay(1970, 1, 1) + kKnownFrom == absl::CivilDay(1990, 1, 1));
}

TEST_CASE("a trading day has the exchange's open and close") {
  const auto day = TradingDayOf(Us("2014-06-09T15:00:00Z"));
  REQUIRE(day.has_value());
  CHECK(day->open_us == Us("2014-06-09T13:30:00Z"));
  CHECK(day->close_us == Us("2014-06-09T20:00:00Z"));
  CHECK(TradingDayOfDate(day->date)->midnight_us == Us("2014-06-09T04:00:00Z"));
  CHECK_FALSE(TradingDayOf(Us("2014-06-08T15:00:00Z")).has_value());
}

}  // namespace
}  // namespace stockalert::market
