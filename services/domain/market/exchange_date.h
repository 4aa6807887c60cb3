// The trading date of an event time: its calendar date in the exchange's time zone, New York, or in UTC.
//
// The zone's rules since 1967 are written out here rather than read from the machine's zone database: every evaluator,
// of whatever image and age, has to find the same date for the same quote. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <limits>

namespace stockalert::market {

// No date: before the first quote, and after a restart.
inline constexpr int32_t kNoDate = std::numeric_limits<int32_t>::min();

// A date as days since 1970-01-01, and the event times that belong to it: begin_us <= time < end_us.
struct ExchangeDay {
  int32_t date = kNoDate;
  int64_t begin_us = 0;
  int64_t end_us = 0;
};

// Times outside the years 1900 to 9999 get a day of their own at either end.
ExchangeDay ExchangeDayOf(int64_t event_time_us);
// Likewise in UTC, of any time.
ExchangeDay UtcDayOf(int64_t event_time_us);

}  // namespace stockalert::market
