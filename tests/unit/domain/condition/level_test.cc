#include "services/domain/condition/level.h"

#include <catch2/catch.hpp>

namespace stockalert::condition {
namespace {

TEST_CASE("a level is reached exactly, without rounding") {
  uint64_t x = 0x9e3779b97f4a7c15u;
  const auto next = [&x](uint64_t below) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return static_cast<int64_t>(x % below);
  };
  for (int i = 0; i < 5000; ++i) {
    const int64_t reference = 1 + next(i % 2 == 0 ? 1000 : static_cast<uint64_t>(price::kMaxPriceMicros));
    const int64_t percent = 1 + next(999'999);
    const int64_t above = LevelAbovePercent(reference, percent);
    const int64_t below = LevelBelowPercent(reference, percent);
    CAPTURE(reference, percent);
    const auto is_up = [&](int64_t price) {
      return static_cast<__int128>(price) * 1'000'000 >= static_cast<__int128>(reference) * (1'000'000 + percent);
    };
    const auto is_down = [&](int64_t price) {
      return static_cast<__int128>(price) * 1'000'000 <= static_cast<__int128>(reference) * (1'000'000 - percent);
    };
    REQUIRE(is_up(above));
    REQUIRE_FALSE(is_up(above - 1));
    REQUIRE(is_down(below));
    REQUIRE_FALSE(is_down(below + 1));
  }
}

TEST_CASE("a level that no price reaches does not wrap around") {
  CHECK(LevelAbovePercent(price::kMaxPriceMicros, price::kMaxPriceMicros) == std::numeric_limits<int64_t>::max());
  CHECK(LevelBelowPercent(1, 999'999) == 0);
}

}  // namespace
}  // namespace stockalert::condition
