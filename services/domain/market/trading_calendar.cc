#include "services/domain/market/trading_calendar.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "services/domain/market/exchange_date.h"

namespace stockalert::market {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::last;
using std::chrono::month;
using std::chrono::sys_days;
using std::chrono::weekday;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr int64_t kMinuteUs = int64_t{60} * 1'000'000;
constexpr int64_t kHourUs = 60 * kMinuteUs;
constexpr int64_t kDayUs = 24 * kHourUs;

sys_days Date(year y, unsigned m, unsigned d) { return sys_days(y / month(m) / day(d)); }

// A Saturday's holiday is kept on Friday, a Sunday's on Monday.
sys_days Observed(sys_days holiday) {
  const weekday w(holiday);
  if (w == std::chrono::Saturday) return holiday - days(1);
  if (w == std::chrono::Sunday) return holiday + days(1);
  return holiday;
}

// The Gregorian Easter Sunday (Butcher's rule).
sys_days Easter(year y) {
  const int n = static_cast<int>(y);
  const int a = n % 19, b = n / 100, c = n % 100;
  const int d = b / 4, e = b % 4, f = (b + 8) / 25, g = (b - f + 1) / 3;
  const int h = (19 * a + b - d - g + 15) % 30;
  const int i = c / 4, k = c % 4;
  const int l = (32 + 2 * e + 2 * i - h - k) % 7;
  const int m = (a + 11 * h + 22 * l) / 451;
  const int month_number = (h + l - 7 * m + 114) / 31;
  const int day_number = (h + l - 7 * m + 114) % 31 + 1;
  return Date(y, static_cast<unsigned>(month_number), static_cast<unsigned>(day_number));
}

// What no rule foresaw. Days of mourning for presidents, September 11, a hurricane.
bool WasClosed(year_month_day date) {
  using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): the dates' own notation.
  static constexpr std::array kClosures = {1994y / 4 / 27,  2001y / 9 / 11, 2001y / 9 / 12, 2001y / 9 / 13,
                                           2001y / 9 / 14,  2004y / 6 / 11, 2007y / 1 / 2,  2012y / 10 / 29,
                                           2012y / 10 / 30, 2018y / 12 / 5, 2025y / 1 / 9};
  return std::find(kClosures.begin(), kClosures.end(), date) != kClosures.end();
}

bool IsHoliday(sys_days date) {
  const year y = year_month_day(date).year();
  const int number = static_cast<int>(y);
  const auto nth = [&](unsigned m, weekday w, unsigned n) { return sys_days(y / month(m) / w[n]); };
  // New Year's Day on a Saturday is not kept: the Friday before ends the old year's books.
  const sys_days new_year = Date(y, 1, 1);
  if (weekday(new_year) != std::chrono::Saturday && date == Observed(new_year)) return true;
  if (number >= 1998 && date == nth(1, std::chrono::Monday, 3)) return true;  // Martin Luther King Day.
  if (number >= 2022 && date == Observed(Date(y, 6, 19))) return true;        // Juneteenth.
  // Those that the law moved to Mondays.
  const sys_days washington = number >= 1971 ? nth(2, std::chrono::Monday, 3) : Observed(Date(y, 2, 22));
  const sys_days memorial =
      number >= 1971 ? sys_days(y / month(5) / std::chrono::Monday[last]) : Observed(Date(y, 5, 30));
  return date == washington || date == memorial || date == Easter(y) - days(2) || date == Observed(Date(y, 7, 4)) ||
         date == nth(9, std::chrono::Monday, 1) || date == nth(11, std::chrono::Thursday, 4) ||
         date == Observed(Date(y, 12, 25));
}

// The early close of a trading date, in hours after midnight.
std::optional<int> EarlyCloseOf(sys_days date) {
  const year_month_day ymd(date);
  const int number = static_cast<int>(ymd.year());
  const weekday w(date);
  const bool before_friday = w != std::chrono::Friday && w != std::chrono::Saturday && w != std::chrono::Sunday;
  const bool july_4th_on_thursday = weekday(Date(ymd.year(), 7, 4)) == std::chrono::Thursday;
  const auto is = [&](unsigned m, unsigned d) { return ymd.month() == month(m) && ymd.day() == day(d); };
  const int usual = number <= 1992 ? 14 : 13;
  // Christmas Eve, and the day after Thanksgiving.
  if (is(12, 24) && before_friday && number >= 1990) return usual;
  if (number >= 1992 && date == sys_days(ymd.year() / month(11) / std::chrono::Thursday[4]) + days(1)) return usual;
  // The day before Independence Day; until 2012 the Friday after it, where that made a long week-end.
  if (number >= 1995 && is(7, 3) && before_friday && !(number <= 2012 && july_4th_on_thursday)) return usual;
  if (number >= 1995 && number <= 2012 && is(7, 5) && july_4th_on_thursday) return usual;
  // Once only.
  if ((is(12, 26) && (number == 1997 || number == 2003)) || (is(12, 31) && number == 1999)) return usual;
  return std::nullopt;
}

}  // namespace

TradingDay NominalDayOfDate(int32_t date) {
  // Any moment of the date in New York leads to its midnight: noon of it in UTC is one.
  const int64_t midnight_us = ExchangeDayOf(int64_t{date} * kDayUs + kDayUs / 2).begin_us;
  return {date, midnight_us, midnight_us + 9 * kHourUs + 30 * kMinuteUs, midnight_us + 16 * kHourUs,
          midnight_us + 20 * kHourUs};
}

std::optional<TradingDay> TradingDayOfDate(int32_t date) {
  const sys_days civil{days(date)};
  const weekday w(civil);
  if (w == std::chrono::Saturday || w == std::chrono::Sunday || IsHoliday(civil) || WasClosed(civil))
    return std::nullopt;
  // The clock changes on Sundays only, so that a trading day has 24 hours.
  TradingDay day = NominalDayOfDate(date);
  if (const std::optional<int> close_hour = EarlyCloseOf(civil)) {
    day.close_us = day.midnight_us + *close_hour * kHourUs;
    day.post_end_us = day.close_us + 4 * kHourUs;
  }
  return day;
}

std::optional<TradingDay> TradingDayOf(int64_t event_time_us) {
  return TradingDayOfDate(ExchangeDayOf(event_time_us).date);
}

Session SessionOf(int64_t event_time_us) {
  const std::optional<TradingDay> day = TradingDayOf(event_time_us);
  if (!day || event_time_us < day->midnight_us + 4 * kHourUs) return Session::kClosed;
  if (event_time_us < day->open_us) return Session::kPre;
  if (event_time_us <= day->close_us) return Session::kRegular;
  if (event_time_us < day->post_end_us) return Session::kPost;
  return Session::kClosed;
}

Session SessionOf(Market market, int64_t event_time_us) {
  return market == Market::kRoundTheClock ? Session::kRegular : SessionOf(event_time_us);
}

}  // namespace stockalert::market
