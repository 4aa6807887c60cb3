#include "services/domain/market/exchange_date.h"

namespace stockalert::market {
namespace {

constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;
constexpr int64_t kDayUs = 24 * kHourUs;
constexpr int64_t kFirstDay = -25567;  // 1900-01-01.
constexpr int64_t kLastDay = 2932896;  // 9999-12-31.

int64_t FloorDivide(int64_t value, int64_t by) {
  const int64_t quotient = value / by;
  return value % by < 0 ? quotient - 1 : quotient;
}

// Days since 1970-01-01 of a date of the Gregorian calendar; years are counted from March, so that leap days come last.
int64_t DaysFromCivil(int64_t year, int64_t month, int64_t day) {
  const int64_t shifted_year = month <= 2 ? year - 1 : year;
  const int64_t era = FloorDivide(shifted_year, 400);
  const int64_t year_of_era = shifted_year - era * 400;
  const int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

int64_t YearOf(int64_t days) {
  const int64_t shifted = days + 719468;
  const int64_t era = FloorDivide(shifted, 146097);
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  return year_of_era + era * 400 + (month_from_march >= 10 ? 1 : 0);
}

// 0 is Sunday; 1970-01-01 was a Thursday.
int64_t WeekdayOf(int64_t days) { return (((days + 4) % 7) + 7) % 7; }

// The `n`th Sunday of a month, n from 1.
int64_t Sunday(int64_t year, int64_t month, int n) {
  const int64_t first = DaysFromCivil(year, month, 1);
  return first + (7 - WeekdayOf(first)) % 7 + int64_t{7} * (n - 1);
}

int64_t LastSunday(int64_t year, int64_t month, int64_t length) {
  const int64_t last = DaysFromCivil(year, month, length);
  return last - WeekdayOf(last);
}

struct SummerTime {
  int64_t first_day;  // The clock goes forward at 02:00 of it,
  int64_t last_day;   // and back at 02:00 of it.
};

// The Uniform Time Act of 1966 with its amendments; the years 1974 and 1975 are those of the energy crisis.
SummerTime SummerTimeOf(int64_t year) {
  if (year >= 2007) return {Sunday(year, 3, 2), Sunday(year, 11, 1)};
  if (year >= 1987) return {Sunday(year, 4, 1), LastSunday(year, 10, 31)};
  if (year == 1974) return {DaysFromCivil(1974, 1, 6), LastSunday(year, 10, 31)};
  if (year == 1975) return {DaysFromCivil(1975, 2, 23), LastSunday(year, 10, 31)};
  return {LastSunday(year, 4, 30), LastSunday(year, 10, 31)};
}

// When the local day begins. Both changes of the clock come after midnight: a day begins by the rule of the evening
// before.
int64_t BeginUs(int64_t day) {
  const SummerTime summer = SummerTimeOf(YearOf(day));
  const bool in_summer = day > summer.first_day && day <= summer.last_day;
  return day * kDayUs + (in_summer ? 4 : 5) * kHourUs;
}

}  // namespace

ExchangeDay ExchangeDayOf(int64_t event_time_us) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  // New York is four or five hours behind: the day is that of the time five hours back, or the next.
  int64_t day = event_time_us < kMin + 5 * kHourUs ? kFirstDay - 1 : FloorDivide(event_time_us - 5 * kHourUs, kDayUs);
  if (day < kFirstDay) return {static_cast<int32_t>(kFirstDay - 1), kMin, BeginUs(kFirstDay)};
  if (day >= kLastDay) return {static_cast<int32_t>(kLastDay), BeginUs(kLastDay), kMax};
  if (event_time_us >= BeginUs(day + 1)) ++day;
  return {static_cast<int32_t>(day), BeginUs(day), day == kLastDay ? kMax : BeginUs(day + 1)};
}

ExchangeDay UtcDayOf(int64_t event_time_us) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const int64_t day = FloorDivide(event_time_us, kDayUs);
  return {static_cast<int32_t>(day), day <= kMin / kDayUs ? kMin : day * kDayUs,
          day >= kMax / kDayUs ? kMax : (day + 1) * kDayUs};
}

}  // namespace stockalert::market
