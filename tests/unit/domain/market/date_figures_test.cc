#include "services/domain/market/date_figures.h"

#include <catch2/catch.hpp>

#include "services/domain/price/decimal.h"

namespace stockalert::market {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kHourUs = 3600 * kSecondUs;
// 2025-03-06 10:00 in New York, a Thursday.
constexpr int64_t kOpenUs = int64_t{1741273200} * kSecondUs;
constexpr int64_t kHalfPastNineUs = kOpenUs - kHourUs / 2;
constexpr int64_t kMidnightUs = int64_t{1741323600} * kSecondUs;  // Of the 7th.
constexpr Market kEquity = Market::kUsEquity;

FigureSource From(Session session, int64_t event_time_us = kOpenUs, Rules rules = kNewestRules) {
  return {session, event_time_us, rules};
}

TEST_CASE("a figure counts where its session carries figures and a price could be so") {
  CHECK(CountedFigure(kEquity, From(Session::kRegular), 5) == 5);
  CHECK(CountedFigure(kEquity, From(Session::kPost), 5) == 5);
  CHECK(CountedFigure(kEquity, From(Session::kClosed), 5) == 5);
  CHECK(CountedFigure(kEquity, From(Session::kPre), 5) == std::nullopt);
  CHECK(CountedFigure(kEquity, From(Session::kRegular), std::nullopt) == std::nullopt);
  for (int64_t nonsense : {int64_t{0}, int64_t{-1}, price::kMaxPriceMicros + 1}) {
    CHECK(CountedFigure(kEquity, From(Session::kRegular), nonsense) == std::nullopt);
  }
}

TEST_CASE("before half past nine in New York no quote carries figures, by the newest rules") {
  for (Session session : {Session::kRegular, Session::kPost, Session::kClosed}) {
    CHECK(CarriesFigures(kEquity, From(session, kHalfPastNineUs)));
    CHECK_FALSE(CarriesFigures(kEquity, From(session, kHalfPastNineUs - 1)));
    CHECK(CarriesFigures(kEquity, From(session, kHalfPastNineUs - 1, Rules::kFirst)));
    CHECK(CarriesFigures(Market::kRoundTheClock, From(session, kHalfPastNineUs - 1)));
  }
  // The clock goes forward on 2025-03-09: 9:30 is 13:30 UTC.
  const int64_t half_past_nine_us = int64_t{1741527000} * kSecondUs;
  CHECK(CarriesFigures(kEquity, From(Session::kClosed, half_past_nine_us)));
  CHECK_FALSE(CarriesFigures(kEquity, From(Session::kClosed, half_past_nine_us - 1)));
}

TEST_CASE("the first and the latest of a date's figures are kept until the next date") {
  DateFigures figures;
  const auto enter = [&](int64_t time_us) { figures.EnterDate(time_us, kNewestRules); };
  CHECK(figures.date() == kNoDate);
  CHECK_FALSE(figures.IsOnDate(kOpenUs, kNewestRules));
  CHECK(figures.BeginsDate(kOpenUs, kNewestRules));
  enter(kOpenUs);
  CHECK_FALSE(figures.BeginsDate(kOpenUs, kNewestRules));
  CHECK(figures.Learn(DateFigure::kPreviousClose, From(Session::kRegular), 100));
  CHECK_FALSE(figures.Learn(DateFigure::kPreviousClose, From(Session::kRegular), 101));
  CHECK_FALSE(figures.Learn(DateFigure::kPreviousClose, From(Session::kPre), 102));
  CHECK_FALSE(figures.Learn(DateFigure::kPreviousClose, From(Session::kRegular), std::nullopt));
  enter(kMidnightUs - 1);
  CHECK(figures.first(DateFigure::kPreviousClose) == 100);
  CHECK(figures.latest(DateFigure::kPreviousClose) == 101);
  CHECK(figures.first(DateFigure::kDayOpen) == std::nullopt);
  CHECK(figures.Learn(DateFigure::kDayOpen, From(Session::kRegular), 103));

  const int32_t date = figures.date();
  CHECK_FALSE(figures.IsOnDate(kMidnightUs, kNewestRules));
  enter(kMidnightUs);
  CHECK(figures.date() == date + 1);
  for (DateFigure figure : kDateFigures) {
    CHECK(figures.first(figure) == std::nullopt);
    CHECK(figures.latest(figure) == std::nullopt);
  }
}

TEST_CASE("a high or low is new where it is beyond its price and all that the date has had") {
  DateFigures figures;
  figures.EnterDate(kOpenUs, kNewestRules);
  const auto add = [&](int64_t price, std::optional<int64_t> high, std::optional<int64_t> low,
                       Session session = Session::kRegular) {
    return figures.AddToRange(From(session), price, high, low);
  };
  // Of a date's first quote each that is beyond its price.
  CHECK(add(100, 100, 90).low_micros == 90);
  CHECK_FALSE(add(95, 100, 90).any());
  CHECK(add(95, 101, 90).high_micros == 101);
  CHECK_FALSE(add(95, 101, 90).any());
  CHECK_FALSE(add(110, 109, 111).any());  // Nonsense.
  CHECK_FALSE(add(100, 110, 100).any());  // The price was there.
  CHECK_FALSE(add(100, 120, 80, Session::kPre).any());
  CHECK_FALSE(add(100, std::nullopt, std::nullopt).any());
  CHECK_FALSE(add(100, 0, -1).any());
  CHECK_FALSE(figures.AddToRange(From(Session::kRegular, kOpenUs, Rules::kFirst), 100, 120, 80).any());
  const NewExtremes both = add(100, 120, 80, Session::kClosed);
  CHECK(both.high_micros == 120);
  CHECK(both.low_micros == 80);
  CHECK(figures.range() == DateRange{120, 80});
  figures.EnterDate(kMidnightUs, kNewestRules);
  CHECK(figures.range().empty());
}

TEST_CASE("newer rules in the middle of a date keep what is known of it, and say how it began") {
  DateFigures figures;
  figures.EnterDate(kOpenUs, Rules::kFirst);
  figures.Learn(DateFigure::kDayOpen, From(Session::kRegular), 100);
  figures.AddToRange(From(Session::kRegular), 100, {}, {});
  CHECK_FALSE(figures.IsOnDate(kOpenUs, kNewestRules));
  CHECK_FALSE(figures.BeginsDate(kOpenUs, kNewestRules));
  figures.EnterDate(kOpenUs, kNewestRules);
  CHECK(figures.first(DateFigure::kDayOpen) == 100);
  CHECK(figures.range() == DateRange{100, 100});
  CHECK(figures.rules() == kNewestRules);
  CHECK(figures.first_rules() == Rules::kFirst);
  figures.EnterDate(kMidnightUs, kNewestRules);
  CHECK(figures.first_rules() == kNewestRules);
}

TEST_CASE("round the clock a date is that of UTC, by the newest rules") {
  DateFigures figures(Market::kRoundTheClock);
  const int64_t midnight_us = kMidnightUs - 5 * kHourUs;
  figures.EnterDate(midnight_us - 1, kNewestRules);
  CHECK(figures.date() == 20153);
  CHECK_FALSE(figures.IsOnDate(midnight_us, kNewestRules));
  figures.EnterDate(midnight_us, kNewestRules);
  CHECK(figures.date() == 20154);
  CHECK(DayOf(Market::kRoundTheClock, Rules::kFirst, midnight_us).date == 20153);
  CHECK(DayOf(Market::kUsEquity, kNewestRules, midnight_us).date == 20153);
}

TEST_CASE("a split scales what a date has had") {
  DateFigures figures;
  figures.EnterDate(kOpenUs, kNewestRules);
  figures.Learn(DateFigure::kDayOpen, From(Session::kRegular), 100);
  figures.Learn(DateFigure::kDayOpen, From(Session::kRegular), 104);
  figures.AddToRange(From(Session::kRegular), 96, 120, 80);
  figures.ScalePrices([](int64_t micros) { return micros / 4; });
  CHECK(figures.first(DateFigure::kDayOpen) == 25);
  CHECK(figures.latest(DateFigure::kDayOpen) == 26);
  CHECK(figures.first(DateFigure::kPreviousClose) == std::nullopt);
  CHECK(figures.range() == DateRange{30, 20});
}

}  // namespace
}  // namespace stockalert::market
