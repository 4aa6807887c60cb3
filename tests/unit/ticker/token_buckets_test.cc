#include "services/ticker/token_buckets.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::ticker {
namespace {

TEST_CASE("a bucket gives what it has and fills at its rate") {
  testing::FakeMonotonicClock clock;
  TokenBuckets buckets(clock, 60);
  CHECK(!buckets.Take("a", 60));
  const auto wait = buckets.Take("a", 2);
  REQUIRE(wait);
  CHECK(absl::ToDoubleSeconds(*wait) == Approx(2.0));
  CHECK(!buckets.Take("b", 60));
  clock.Advance(absl::Milliseconds(1999));
  CHECK(buckets.Take("a", 2));
  clock.Advance(absl::Milliseconds(1));
  CHECK(!buckets.Take("a", 2));
  // Never above full.
  clock.Advance(absl::Hours(10));
  CHECK(!buckets.Take("a", 60));
  CHECK(buckets.Take("a", 1));
}

TEST_CASE("more than a full bucket has is as much as it has; a clock that goes back harms nobody") {
  testing::FakeMonotonicClock clock;
  TokenBuckets buckets(clock, 10);
  CHECK(!buckets.Take("a", 100));
  CHECK(buckets.Take("a", 100));
  clock.Advance(-absl::Hours(1));
  CHECK(buckets.Take("a", 1));
  clock.Advance(absl::Minutes(2));
  CHECK(!buckets.Take("a", 100));
}

TEST_CASE("the callers remembered are bounded") {
  testing::FakeMonotonicClock clock;
  TokenBuckets buckets(clock, 10, 3);
  CHECK(!buckets.Take("a", 10));
  CHECK(!buckets.Take("b", 1));
  CHECK(!buckets.Take("c", 1));
  clock.Advance(absl::Seconds(30));
  CHECK(!buckets.Take("d", 1));
  CHECK(buckets.Take("a", 10));
  // At the bound those that are known are remembered; one more, and nobody is.
  TokenBuckets one(clock, 10, 1);
  CHECK(!one.Take("a", 10));
  CHECK(one.Take("a", 1));
  CHECK(!one.Take("b", 1));
  CHECK(!one.Take("a", 10));
}

}  // namespace
}  // namespace stockalert::ticker
