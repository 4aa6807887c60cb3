#include "services/domain/market/exchange_date.h"

#include <catch2/catch.hpp>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace stockalert::market {
namespace {

constexpr int64_t kSecondUs = 1'000'000;

TEST_CASE("a date begins at midnight in New York") {
  // 2025-03-07 05:00 UTC is midnight in winter; 2025-03-10 04:00 UTC in summer, the clock having gone forward on the
  // 9th.
  const int64_t winter_us = int64_t{1741323600} * kSecondUs;
  const int64_t summer_us = int64_t{1741579200} * kSecondUs;
  for (int64_t midnight_us : {winter_us, summer_us}) {
    const ExchangeDay day = ExchangeDayOf(midnight_us);
    CHECK(day.begin_us == midnight_us);
    CHECK(ExchangeDayOf(midnight_us - 1).date == day.date - 1);
    CHECK(ExchangeDayOf(midnight_us - 1).end_us == midnight_us);
    CHECK(ExchangeDayOf(day.end_us - 1).date == day.date);
    CHECK(ExchangeDayOf(day.end_us).date == day.date + 1);
  }
  const int64_t hour_us = 3600 * kSecondUs;
  const ExchangeDay spring = ExchangeDayOf(int64_t{1741500000} * kSecondUs);  // 2025-03-09.
  CHECK(spring.end_us - spring.begin_us == 23 * hour_us);
  const ExchangeDay autumn = ExchangeDayOf(int64_t{1762095600} * kSecondUs);  // 2025-11-02.
  CHECK(autumn.end_us - autumn.begin_us == 25 * hour_us);
}

TEST_CASE("every date of 1970 to 2040 begins when the zone database says") {
  absl::TimeZone zone;
  REQUIRE(absl::LoadTimeZone("America/New_York", &zone));
  const absl::CivilDay epoch(1970, 1, 1);
  const auto midnight_us = [&](absl::CivilDay day) { return absl::ToUnixMicros(absl::FromCivil(day, zone)); };
  for (absl::CivilDay day = epoch; day < absl::CivilDay(2041, 1, 1); ++day) {
    const int64_t begin_us = midnight_us(day);
    const int64_t end_us = midnight_us(day + 1);
    for (const int64_t time_us : {begin_us, begin_us + (end_us - begin_us) / 2, end_us - 1}) {
      const ExchangeDay found = ExchangeDayOf(time_us);
      if (found.date == day - epoch && found.begin_us == begin_us && found.end_us == end_us) continue;
      CAPTURE(day - epoch, time_us, found.date, found.begin_us, begin_us, found.end_us, end_us);
      FAIL("another date than the zone database's");
    }
  }
}

TEST_CASE("the smallest and largest times have a date, too") {
  for (int64_t time_us : {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), int64_t{0}}) {
    const ExchangeDay day = ExchangeDayOf(time_us);
    CHECK(day.date != kNoDate);
    CHECK(day.begin_us <= time_us);
    CHECK(day.end_us >= time_us);
  }
}

}  // namespace
}  // namespace stockalert::market
