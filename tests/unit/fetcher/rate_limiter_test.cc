#include "services/fetcher/rate_limiter.h"

#include <catch2/catch.hpp>
#include <deque>
#include <set>
#include <string>

#include "services/fetcher/finnhub_rest.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::fetcher {
namespace {

using Priority = RateLimiter::Priority;

TEST_CASE("never more calls in a minute or a second than the key has") {
  testing::FakeMonotonicClock clock;
  RateLimiter limiter(clock, 60, 30);
  std::deque<int64_t> calls;
  int users = 0;
  for (int step = 0; step < 60'000; ++step) {
    clock.Advance(absl::Milliseconds(5));
    const bool user = step % 2 == 0;
    if (!limiter.TryAcquire(user ? Priority::kUser : Priority::kPoll)) {
      calls.push_back(clock.NowUs());
      users += user ? 1 : 0;
      if (calls.size() > 60 && calls[calls.size() - 1] - calls[calls.size() - 61] < 60'000'000)
        FAIL("61 calls in a minute");
      if (calls.size() > 30 && calls[calls.size() - 1] - calls[calls.size() - 31] < 1'000'000)
        FAIL("31 calls in a second");
    }
  }
  CHECK(calls.size() >= 295);
  CHECK(users > 0);
}

TEST_CASE("polling is spread, and has its four fifths however much users ask for") {
  testing::FakeMonotonicClock clock;
  RateLimiter limiter(clock, 60, 30);
  limiter.SetPolling(true);
  int polls = 0;
  int users = 0;
  for (int ms = 0; ms < 60'000; ms += 10) {
    if (!limiter.TryAcquire(Priority::kUser, "greedy" + std::to_string(ms % 70))) ++users;
    if (!limiter.TryAcquire(Priority::kPoll)) ++polls;
    clock.Advance(absl::Milliseconds(10));
  }
  CHECK(polls == 48);
  CHECK(users == 12);
  const auto wait = limiter.TryAcquire(Priority::kUser, "another");
  if (wait) {
    clock.Advance(wait->pause);
    CHECK_FALSE(limiter.TryAcquire(Priority::kUser, "another").has_value());
  }
}

TEST_CASE("users have the whole budget while nothing is polled") {
  testing::FakeMonotonicClock clock;
  RateLimiter limiter(clock, 20, 30);
  int calls = 0;
  while (!limiter.TryAcquire(Priority::kUser)) ++calls;
  CHECK(calls == 20);
  // Polling has its part again as soon as there is something to poll and the minute lets it.
  limiter.SetPolling(true);
  clock.Advance(absl::Minutes(1));
  calls = 0;
  while (!limiter.TryAcquire(Priority::kUser)) ++calls;
  CHECK(calls == 4);
}

TEST_CASE("a user has a fair share, and leaves as much for the next") {
  testing::FakeMonotonicClock clock;
  RateLimiter limiter(clock, 60, 30);
  limiter.SetPolling(true);
  const auto take_all = [&](const std::string& user) {
    int calls = 0;
    while (!limiter.TryAcquire(Priority::kUser, user)) ++calls;
    return calls;
  };
  CHECK(take_all("a") == 6);
  const auto wait = limiter.TryAcquire(Priority::kUser, "a");
  REQUIRE(wait.has_value());
  CHECK(wait->own_share);
  CHECK(wait->pause == absl::Minutes(1));
  CHECK(take_all("b") == 4);
  CHECK(take_all("c") == 2);
  const auto full = limiter.TryAcquire(Priority::kUser, "d");
  REQUIRE(full.has_value());
  CHECK_FALSE(full->own_share);
  clock.Advance(absl::Minutes(1));
  CHECK(take_all("a") == 6);
}

TEST_CASE("a refusal stops all calls, longer each time; headers are believed") {
  testing::FakeMonotonicClock clock;
  RateLimiter limiter(clock, 60, 30);
  limiter.OnRefused(std::nullopt);
  CHECK(limiter.TryAcquire(Priority::kUser)->pause == absl::Seconds(5));
  clock.Advance(absl::Seconds(5));
  CHECK_FALSE(limiter.TryAcquire(Priority::kUser).has_value());
  limiter.OnRefused(std::nullopt);
  CHECK(limiter.TryAcquire(Priority::kUser)->pause == absl::Seconds(10));
  for (int i = 0; i < 10; ++i) limiter.OnRefused(std::nullopt);
  CHECK(limiter.TryAcquire(Priority::kUser)->pause == absl::Seconds(60));
  clock.Advance(absl::Seconds(60));
  limiter.OnAnswered(5, std::nullopt);
  CHECK_FALSE(limiter.TryAcquire(Priority::kUser).has_value());
  limiter.OnAnswered(0, absl::Seconds(20));
  CHECK(limiter.TryAcquire(Priority::kUser)->pause == absl::Seconds(20));
  clock.Advance(absl::Seconds(20));
  limiter.OnRefused(absl::Seconds(3));
  CHECK(limiter.TryAcquire(Priority::kUser)->pause == absl::Seconds(3));
}

TEST_CASE("URLs are split into scheme, host, port and path, and malformed ones are refused") {
  const auto url = ParseUrl("https://finnhub.io/api/v1/", "http", "https");
  REQUIRE(url.ok());
  CHECK(url->origin() == "https://finnhub.io:443");
  CHECK(url->path == "/api/v1");
  CHECK(ParseUrl("ws://127.0.0.1:8080", "ws", "wss")->port == "8080");
  for (const char* wrong : {"", "finnhub.io", "ftp://finnhub.io", "https://", "https://a:b", "https://a:0",
                            "https://a:99999", "https://user@host", "https://host/path?token=x", "http://a#b"}) {
    CAPTURE(wrong);
    CHECK_FALSE(ParseUrl(wrong, "http", "https").ok());
  }
}

}  // namespace
}  // namespace stockalert::fetcher
