#include "services/user/registration_limit.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::user {
namespace {

std::string V4(int a, int b) { return "198." + std::to_string(a) + ".7." + std::to_string(b); }

// How many of `count` calls get in.
int TakeMany(RegistrationLimit& limit, const std::string& peer, int count) {
  int taken = 0;
  for (int i = 0; i < count; ++i) taken += limit.TryAcquire(peer).ok() ? 1 : 0;
  return taken;
}

TEST_CASE("an address has its share, everybody together has theirs, and both refill") {
  testing::FakeMonotonicClock clock;
  RegistrationLimit limit(16, 2, clock);
  CHECK(TakeMany(limit, V4(1, 1), 2) == 2);
  const absl::Status refused = limit.TryAcquire(V4(1, 1));
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::ReasonOf(refused) == "REGISTRATION_RATE");
  const auto delay = base::FindErrorDetails(refused)->retry_delay;
  REQUIRE(delay.has_value());
  CHECK(*delay >= absl::Seconds(30));
  CHECK(*delay < absl::Seconds(31));
  for (int a = 2; a < 16; ++a) CHECK(limit.TryAcquire(V4(a, 1)).ok());
  CHECK_FALSE(limit.TryAcquire(V4(17, 1)).ok());
  clock.Advance(*delay);
  CHECK(limit.TryAcquire(V4(1, 1)).ok());
  CHECK_FALSE(limit.TryAcquire(V4(1, 1)).ok());
}

TEST_CASE("IPv6 networks of both sizes are limited, and IPv4-mapped addresses count as IPv4") {
  testing::FakeMonotonicClock clock;
  RegistrationLimit limit(10'000, 10, clock);
  CHECK(TakeMany(limit, "2001:db8:1:2::1", 5) == 5);
  CHECK(TakeMany(limit, "2001:db8:1:2:ffff::9", 100) == 5);
  // The rest of the /48 has three times as much, whatever number of /64 it brings.
  int taken = 0;
  for (int i = 0; i < 1000; ++i) taken += TakeMany(limit, "2001:db8:1:" + std::to_string(i % 90 + 10) + "::1", 1);
  CHECK(taken == 30);
  // The /48 beside it has its own.
  CHECK(TakeMany(limit, "2001:db8:2:2::1", 100) == 10);
  CHECK(TakeMany(limit, "192.0.2.1", 10) == 10);
  CHECK(TakeMany(limit, "::ffff:192.0.2.1", 10) == 0);
}

TEST_CASE("a flood from some networks leaves room for whoever comes from elsewhere") {
  testing::FakeMonotonicClock clock;
  RegistrationLimit limit(1200, 120, clock);
  // Sixty networks, thirty times as much as there is for all, for five minutes; every second somebody else registers.
  int others = 0;
  for (int second = 0; second < 300; ++second) {
    for (int a = 0; a < 60; ++a) TakeMany(limit, V4(a, 1), 10);
    others += limit.TryAcquire("203.0." + std::to_string(second % 250) + ".5").ok() ? 1 : 0;
    clock.Advance(absl::Seconds(1));
  }
  // But for the first moments, in which all of the sixty are newcomers themselves.
  CHECK(others >= 297);
}

TEST_CASE("a refused registration uses up nothing of any limit") {
  testing::FakeMonotonicClock clock;
  RegistrationLimit limit(100, 1, clock);
  CHECK(limit.TryAcquire("a").ok());
  CHECK(TakeMany(limit, "a", 1000) == 0);
  CHECK(limit.TryAcquire("b").ok());
  clock.Advance(absl::Hours(1));
  CHECK(limit.TryAcquire("a").ok());
}

TEST_CASE("networks beyond those remembered share one limit") {
  testing::FakeMonotonicClock clock;
  RegistrationLimit limit(1000, 2, clock, 10);
  CHECK(TakeMany(limit, "first", 5) == 2);
  int taken = 0;
  for (int i = 0; i < 200; ++i) taken += TakeMany(limit, "peer" + std::to_string(i), 1);
  CHECK(taken == 9 + 2);
  CHECK(TakeMany(limit, "first", 5) == 0);
}

}  // namespace
}  // namespace stockalert::user
