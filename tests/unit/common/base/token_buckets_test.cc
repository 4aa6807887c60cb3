#include "services/common/base/token_buckets.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::base {
namespace {

int TakeMany(TokenBuckets& buckets, const std::string& key, int count) {
  int taken = 0;
  for (int i = 0; i < count; ++i) taken += buckets.TryAcquire(key) ? 0 : 1;
  return taken;
}

TEST_CASE("a bucket gives the tokens it holds, then new ones as they come, and says when") {
  testing::FakeMonotonicClock clock;
  TokenBuckets buckets(clock, {.per_s = 2, .burst = 10});
  CHECK(TakeMany(buckets, "a", 100) == 10);
  CHECK(TakeMany(buckets, "b", 100) == 10);
  const std::optional<absl::Duration> wait = buckets.TimeUntilAvailable("a", 4);
  REQUIRE(wait);
  CHECK(*wait >= absl::Seconds(2));
  CHECK(*wait < absl::Seconds(2) + absl::Milliseconds(1));
  clock.Advance(*wait);
  CHECK_FALSE(buckets.TimeUntilAvailable("a", 4));
  CHECK_FALSE(buckets.TryAcquire("a", 4));
  CHECK(buckets.TryAcquire("a"));
  clock.Advance(absl::Hours(1));
  CHECK(buckets.FillLevel("a") == 1.0);
  // More than there will ever be: as much as there is.
  CHECK_FALSE(buckets.TryAcquire("a", 1000));
  CHECK(buckets.FillLevel("a") == 0.0);
}

TEST_CASE("a minute's registrations may come at once or spread out") {
  testing::FakeMonotonicClock clock;
  TokenBuckets buckets(clock, TokenBuckets::Rate::PerMinute(60));
  CHECK_FALSE(buckets.TryAcquire("a", 60));
  const std::optional<absl::Duration> wait = buckets.TryAcquire("a", 2);
  REQUIRE(wait);
  CHECK(absl::ToDoubleSeconds(*wait) == Approx(2.0));
  clock.Advance(absl::Milliseconds(1999));
  CHECK(buckets.TryAcquire("a", 2));
  clock.Advance(absl::Milliseconds(1));
  CHECK_FALSE(buckets.TryAcquire("a", 2));
}

TEST_CASE("a clock that goes back takes no tokens away") {
  testing::FakeMonotonicClock clock;
  TokenBuckets buckets(clock, TokenBuckets::Rate::PerMinute(10));
  CHECK_FALSE(buckets.TryAcquire("a", 10));
  clock.Advance(-absl::Hours(1));
  CHECK(buckets.TryAcquire("a"));
  clock.Advance(absl::Minutes(2));
  CHECK_FALSE(buckets.TryAcquire("a", 10));
}

TEST_CASE("who brings many keys gets no full bucket by it") {
  testing::FakeMonotonicClock clock;
  TokenBuckets buckets(clock, {.per_s = 0.1, .burst = 5}, 10);
  CHECK(TakeMany(buckets, "mine", 100) == 5);
  int taken = 0;
  for (int i = 0; i < 1000; ++i) {
    taken += TakeMany(buckets, "other " + std::to_string(i), 10);
    clock.Advance(absl::Milliseconds(2));
  }
  // Nine with a bucket of their own, and one for all others.
  CHECK(taken == 10 * 5);
  CHECK(buckets.size() <= 10);
  CHECK(TakeMany(buckets, "mine", 10) == 0);
  // Those that have filled up again make room.
  clock.Advance(absl::Minutes(2));
  CHECK(TakeMany(buckets, "new", 10) == 5);
  CHECK(buckets.size() <= 2);
}

}  // namespace
}  // namespace stockalert::base
