#include "services/user/registration_limit.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::user {
namespace {

TEST_CASE("ports do not count, networks of IPv6 do") {
  CHECK(PeerWithoutPort("ipv4:127.0.0.1:41234") == "ipv4:127.0.0.1");
  CHECK(PeerWithoutPort("ipv6:[2001:db8:1:2:3:4:5:6]:443") == PeerWithoutPort("ipv6:%5B2001:db8:1:2:9:9:9:9%5D:80"));
  CHECK(PeerWithoutPort("ipv6:[2001:db8:1:2:3:4:5:6]:443") != PeerWithoutPort("ipv6:[2001:db8:1:3:3:4:5:6]:443"));
  CHECK(PeerWithoutPort("unix:") == "unix:");
  CHECK(PeerWithoutPort("") == "");
}

TEST_CASE("a peer has its share, everybody together has theirs, and both refill") {
  testing::FakeClock clock;
  RegistrationLimit limit(3, 2, clock);
  CHECK(limit.Take("ipv4:1.1.1.1:1").ok());
  CHECK(limit.Take("ipv4:1.1.1.1:2").ok());
  const absl::Status refused = limit.Take("ipv4:1.1.1.1:3");
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::ReasonOf(refused) == "REGISTRATION_RATE");
  const auto delay = base::FindErrorDetails(refused)->retry_delay;
  REQUIRE(delay.has_value());
  CHECK(*delay == absl::Seconds(30));
  CHECK(limit.Take("ipv4:2.2.2.2:1").ok());
  CHECK_FALSE(limit.Take("ipv4:3.3.3.3:1").ok());
  clock.Advance(*delay);
  CHECK(limit.Take("ipv4:1.1.1.1:4").ok());
  CHECK_FALSE(limit.Take("ipv4:1.1.1.1:5").ok());
}

TEST_CASE("a refusal takes nothing, and time that runs backwards does no harm") {
  testing::FakeClock clock;
  RegistrationLimit limit(100, 1, clock);
  CHECK(limit.Take("a").ok());
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(limit.Take("a").ok());
  CHECK(limit.Take("b").ok());
  clock.Advance(absl::Hours(-1));
  CHECK_FALSE(limit.Take("a").ok());
  clock.Advance(absl::Hours(2));
  CHECK(limit.Take("a").ok());
}

TEST_CASE("more peers than are remembered fall back to the limit over all") {
  testing::FakeClock clock;
  RegistrationLimit limit(50, 1, clock, 10);
  int taken = 0;
  for (int i = 0; i < 200; ++i) taken += limit.Take("peer" + std::to_string(i)).ok() ? 1 : 0;
  CHECK(taken == 50);
}

}  // namespace
}  // namespace stockalert::user
