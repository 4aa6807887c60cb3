#include "services/fetcher/rate_limiter.h"

#include <catch2/catch.hpp>
#include <deque>
#include <set>
#include <string>

#include "services/fetcher/finnhub_rest.h"
#include "services/fetcher/finnhub_source.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::fetcher {
namespace {

using Priority = RateLimiter::Priority;

TEST_CASE("never more calls in a minute or a second than the key has") {
  testing::FakeClock clock;
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

TEST_CASE("polling is spread and leaves a fifth to those who wait") {
  testing::FakeClock clock;
  RateLimiter limiter(clock, 60, 30);
  int polls = 0;
  for (int ms = 0; ms < 60'000; ms += 10) {
    if (!limiter.TryAcquire(Priority::kPoll)) ++polls;
    clock.Advance(absl::Milliseconds(10));
  }
  CHECK(polls == 48);
  int users = 0;
  while (!limiter.TryAcquire(Priority::kUser)) ++users;
  CHECK(users >= 12);
  const auto pause = limiter.TryAcquire(Priority::kUser);
  REQUIRE(pause.has_value());
  clock.Advance(*pause);
  CHECK_FALSE(limiter.TryAcquire(Priority::kUser).has_value());
}

TEST_CASE("a refusal stops all calls, longer each time; headers are believed") {
  testing::FakeClock clock;
  RateLimiter limiter(clock, 60, 30);
  limiter.OnRefused(std::nullopt);
  CHECK(limiter.TryAcquire(Priority::kUser) == absl::Seconds(5));
  clock.Advance(absl::Seconds(5));
  CHECK_FALSE(limiter.TryAcquire(Priority::kUser).has_value());
  limiter.OnRefused(std::nullopt);
  CHECK(limiter.TryAcquire(Priority::kUser) == absl::Seconds(10));
  for (int i = 0; i < 10; ++i) limiter.OnRefused(std::nullopt);
  CHECK(limiter.TryAcquire(Priority::kUser) == absl::Seconds(60));
  clock.Advance(absl::Seconds(60));
  limiter.OnAnswered(5, std::nullopt);
  CHECK_FALSE(limiter.TryAcquire(Priority::kUser).has_value());
  limiter.OnAnswered(0, clock.Now() + absl::Seconds(20));
  CHECK(limiter.TryAcquire(Priority::kUser) == absl::Seconds(20));
  clock.Advance(absl::Seconds(20));
  limiter.OnRefused(absl::Seconds(3));
  CHECK(limiter.TryAcquire(Priority::kUser) == absl::Seconds(3));
}

TEST_CASE("the oldest price is polled next") {
  PollOrder order;
  CHECK_FALSE(order.Next().has_value());
  order.SetSymbols({"A", "B", "C"});
  int64_t now = 1'000'000'000;
  std::string seen;
  for (int i = 0; i < 6; ++i) {
    const std::string next = *order.Next();
    seen += next;
    order.Polled(next, now += 1'000'000);
  }
  CHECK(seen == "ABCABC");
  order.SetSymbols({"A", "B", "C", "D"});
  CHECK(order.Next() == "D");
  order.Polled("D", now += 1'000'000);
  // A streamed price is fresh, but puts a poll off for three minutes at most.
  order.Streamed("A", now + 1);
  CHECK(order.Next() == "B");
  order.Polled("B", now += 181'000'000);
  order.Polled("C", now);
  order.Polled("D", now);
  order.Streamed("A", now);
  CHECK(order.Next() == "A");
  order.SetSymbols({"B"});
  CHECK(order.Next() == "B");
}

TEST_CASE("URLs") {
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
