#include "services/domain/price/split_ratio.h"

#include <catch2/catch.hpp>

#include "services/domain/price/decimal.h"

namespace stockalert::price {
namespace {

TEST_CASE("a split multiplies prices by denominator over numerator") {
  CHECK(ScaleMicros(400'000'000, {4, 1}) == 100'000'000);
  CHECK(ScaleMicros(150'000'000, {3, 2}) == 100'000'000);
  CHECK(ScaleMicros(1'000'000, {1, 10}) == 10'000'000);
}

TEST_CASE("half of a micro goes to the even one") {
  CHECK(ScaleMicros(1, {2, 1}) == 1);  // At least one.
  CHECK(ScaleMicros(3, {2, 1}) == 2);
  CHECK(ScaleMicros(5, {2, 1}) == 2);
  CHECK(ScaleMicros(7, {2, 1}) == 4);
  CHECK(ScaleMicros(10, {3, 1}) == 3);
  CHECK(ScaleMicros(11, {3, 1}) == 4);
}

TEST_CASE("nothing stays nothing, and no price leaves the range of prices") {
  CHECK(ScaleMicros(0, {4, 1}) == 0);
  CHECK(ScaleMicros(1, {1'000'000, 1}) == 1);
  CHECK(ScaleMicros(kMaxPriceMicros, {1, 1'000'000}) == kMaxPriceMicros);
  CHECK(ScaleMicros(kMaxPriceMicros, {1'000'000, 999'999}) == 999'999'000'000'000'000);
}

}  // namespace
}  // namespace stockalert::price
