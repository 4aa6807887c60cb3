#include "services/domain/price/rounding.h"

#include <catch2/catch.hpp>
#include <string>
#include <tuple>
#include <vector>

namespace stockalert::price {
namespace {

TEST_CASE("prices with noise are rounded half to even") {
  const std::vector<std::tuple<std::string, int, int64_t>> table = {
      {"104.30000000000001", 4, 104'300'000},
      {"1993.3000000000002", 4, 1'993'300'000},
      {"609.9400024414062", 2, 609'940'000},
      {"609.9400024414062", 6, 609'940'002},
      {"99.99999999999999", 4, 100'000'000},
      {"1.00005", 4, 1'000'000},
      {"1.00015", 4, 1'000'200},
      {"1.000050000000001", 4, 1'000'100},
      {"2.5", 0, 2'000'000},
      {"3.5", 0, 4'000'000},
      {"0.5", 0, 0},
      {"0.51", 0, 1'000'000},
      {"0.0000004", 6, 0},
      {"0.00000051", 6, 1},
      {"1.0430000000000001e2", 4, 104'300'000},
      {"1e-9", 6, 0},
      {"1.5e2", 4, 150'000'000},
      {"150.25", 4, 150'250'000},
      {"-1.00015", 4, -1'000'200},
      {"0", 4, 0},
      {"999999999999.99999999", 4, 1'000'000'000'000'000'000},
  };
  for (const auto& [text, decimals, want] : table) {
    CAPTURE(text, decimals);
    const auto got = ParseMicrosRounded(text, decimals);
    REQUIRE(got.ok());
    CHECK(*got == want);
  }
}

TEST_CASE("what is no number stays none") {
  for (const std::string text : {"", "-", "NaN", "inf", "1,5", "1.", ".5", "1.5.0000000001", "$1.00000000001", "1e",
                                 "--1", "1000000000001.00000001", "1.00000000001 ", "12e99999"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseMicrosRounded(text, 4).ok());
  }
}

}  // namespace
}  // namespace stockalert::price
