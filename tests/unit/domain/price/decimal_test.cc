#include "services/domain/price/decimal.h"

#include <catch2/catch.hpp>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace stockalert::price {
namespace {

TEST_CASE("a price is read exactly") {
  const std::vector<std::pair<const char*, int64_t>> cases = {
      {"150.25", 150'250'000},
      {"96", 96'000'000},
      {"0.000001", 1},
      {"0.100000000000", 100'000},
      {"007.5", 7'500'000},
      {"1000000000000", kMaxPriceMicros},
      {"1000000000000.000000", kMaxPriceMicros},
      {"999999999999.999999", kMaxPriceMicros - 1},
      {"0000000000000000000000000000001", 1'000'000},
  };
  for (const auto& [text, micros] : cases) {
    CAPTURE(text);
    const absl::StatusOr<int64_t> parsed = ParsePrice(text);
    REQUIRE(parsed.ok());
    CHECK(*parsed == micros);
  }
}

TEST_CASE("a price out of bounds is refused") {
  for (const char* text : {"",
                           " ",
                           "0",
                           "0.000000",
                           "-0",
                           "-1",
                           "-0.000001",
                           "0.0000001",
                           "1.1234567",
                           "1000000000000.000001",
                           "1000000000000.5",
                           "1000000000001",
                           "9223372036854775808",
                           "99999999999999999999999999",
                           "NaN",
                           "nan",
                           "inf",
                           "Infinity",
                           "+1",
                           "1.",
                           ".5",
                           "1,5",
                           "1 ",
                           " 1",
                           "1e3",
                           "1E-3",
                           "0x10",
                           "1.2.3",
                           "--1",
                           "1-",
                           "\xd9\xa1",
                           "abc",
                           "1\n"}) {
    CAPTURE(text);
    const absl::StatusOr<int64_t> parsed = ParsePrice(text);
    CHECK_FALSE(parsed.ok());
    CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_FALSE(parsed.status().message().empty());
  }
  CHECK_FALSE(ParsePrice(std::string(65, '1')).ok());
  CHECK_FALSE(ParsePrice(std::string("1\0", 2)).ok());
}

TEST_CASE("a decimal may be negative, and counts its own digits") {
  CHECK(*ParseDecimal("-3.5", 6) == -3'500'000);
  CHECK(*ParseDecimal("-0", 6) == 0);
  CHECK(*ParseDecimal("2.5", 4) == 25'000);
  CHECK(*ParseDecimal("0.0001", 4) == 1);
  CHECK_FALSE(ParseDecimal("0.00001", 4).ok());
  CHECK(*ParseDecimal("12", 0) == 12);
  CHECK_FALSE(ParseDecimal("12.5", 0).ok());
}

TEST_CASE("a source's number may have an exponent") {
  CHECK(*ParseJsonNumberMicros("1.5e2") == 150'000'000);
  CHECK(*ParseJsonNumberMicros("1E-6") == 1);
  CHECK(*ParseJsonNumberMicros("2.5E+1") == 25'000'000);
  CHECK(*ParseJsonNumberMicros("0") == 0);
  CHECK(*ParseJsonNumberMicros("0e999999999") == 0);
  CHECK(*ParseJsonNumberMicros("-1") == -1'000'000);
  for (const char* text : {"1e", "1e+", "e5", "1e-7", "1e999999999", "1e-999999999", "1e1.5", "NaN"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseJsonNumberMicros(text).ok());
  }
}

TEST_CASE("a count is written as the shortest decimal") {
  CHECK(FormatMicros(150'250'000) == "150.25");
  CHECK(FormatMicros(96'000'000) == "96");
  CHECK(FormatMicros(1) == "0.000001");
  CHECK(FormatMicros(0) == "0");
  CHECK(FormatMicros(-500'000) == "-0.5");
  CHECK(FormatMicros(kMaxPriceMicros) == "1000000000000");
  CHECK(FormatPercentE4(25'000) == "2.5");
  CHECK(FormatPercentE4(1) == "0.0001");
  CHECK(FormatDecimal(std::numeric_limits<int64_t>::min(), 6) == "-9223372036854.775808");
  CHECK(FormatDecimal(7, 0) == "7");
}

TEST_CASE("formatted decimals are parsed to the same value") {
  uint64_t x = 88172645463325252u;
  for (int i = 0; i < 2000; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    const int64_t micros = 1 + static_cast<int64_t>(x % static_cast<uint64_t>(kMaxPriceMicros));
    CAPTURE(micros);
    REQUIRE(*ParsePrice(FormatMicros(micros)) == micros);
  }
}

TEST_CASE("prices are rounded half to even, to just so many decimals") {
  CHECK(FormatMicrosRounded(2'500'000, 0) == "2");
  CHECK(FormatMicrosRounded(3'500'000, 0) == "4");
  CHECK(FormatMicrosRounded(-2'500'001, 0) == "-3");
  CHECK(FormatMicrosRounded(-400'000, 0) == "0");
  CHECK(FormatMicrosRounded(1, 6) == "0.000001");
  CHECK(FormatMicrosRounded(0, 2) == "0.00");
  CHECK(FormatMicrosRounded(995'000, 2) == "1.00");
  CHECK(FormatMicrosRounded(kMaxPriceMicros, 1) == "1000000000000.0");
  CHECK(FormatMicrosRounded(std::numeric_limits<int64_t>::min(), 6) == "-9223372036854.775808");
}

}  // namespace
}  // namespace stockalert::price
