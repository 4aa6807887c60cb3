#include "services/domain/market/date_figures.h"

#include <catch2/catch.hpp>

#include "services/domain/price/decimal.h"

namespace stockalert::market {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
// 2025-03-06 10:00 in New York, a Thursday.
constexpr int64_t kOpenUs = int64_t{1741273200} * kSecondUs;
constexpr int64_t kMidnightUs = int64_t{1741323600} * kSecondUs;  // Of the 7th.

TEST_CASE("a figure counts where its session carries figures and a price could be so") {
  CHECK(CountedFigure(Session::kRegular, 5) == 5);
  CHECK(CountedFigure(Session::kPost, 5) == 5);
  CHECK(CountedFigure(Session::kClosed, 5) == 5);
  CHECK(CountedFigure(Session::kPre, 5) == std::nullopt);
  CHECK(CountedFigure(Session::kRegular, std::nullopt) == std::nullopt);
  for (int64_t nonsense : {int64_t{0}, int64_t{-1}, price::kMaxPriceMicros + 1}) {
    CHECK(CountedFigure(Session::kRegular, nonsense) == std::nullopt);
  }
}

TEST_CASE("the first and the latest of a date's figures are kept until the next date") {
  DateFigures figures;
  CHECK(figures.date() == kNoDate);
  CHECK_FALSE(figures.IsOnDate(kOpenUs));
  figures.EnterDate(kOpenUs);
  CHECK(figures.Learn(DateFigure::kPreviousClose, Session::kRegular, 100));
  CHECK_FALSE(figures.Learn(DateFigure::kPreviousClose, Session::kRegular, 101));
  CHECK_FALSE(figures.Learn(DateFigure::kPreviousClose, Session::kPre, 102));
  CHECK_FALSE(figures.Learn(DateFigure::kPreviousClose, Session::kRegular, std::nullopt));
  figures.EnterDate(kMidnightUs - 1);
  CHECK(figures.first(DateFigure::kPreviousClose) == 100);
  CHECK(figures.latest(DateFigure::kPreviousClose) == 101);
  CHECK(figures.first(DateFigure::kDayOpen) == std::nullopt);
  CHECK(figures.Learn(DateFigure::kDayOpen, Session::kRegular, 103));

  const int32_t date = figures.date();
  CHECK_FALSE(figures.IsOnDate(kMidnightUs));
  figures.EnterDate(kMidnightUs);
  CHECK(figures.date() == date + 1);
  for (DateFigure figure : kDateFigures) {
    CHECK(figures.first(figure) == std::nullopt);
    CHECK(figures.latest(figure) == std::nullopt);
  }
}

}  // namespace
}  // namespace stockalert::market
