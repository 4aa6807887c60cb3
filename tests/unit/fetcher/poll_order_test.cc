#include "services/fetcher/poll_order.h"

#include <catch2/catch.hpp>
#include <string>

namespace stockalert::fetcher {
namespace {

constexpr int64_t kSecond = 1'000'000;

TEST_CASE("the oldest price is polled next") {
  PollOrder order;
  int64_t now = 1'000 * kSecond;
  CHECK_FALSE(order.Next(now).has_value());
  order.SetSymbols({"A", "B", "C"});
  std::string seen;
  for (int i = 0; i < 6; ++i) {
    const std::string next = *order.Next(now);
    seen += next;
    order.MarkUnderWay(next);
    order.OnPolled(next, now += kSecond);
  }
  CHECK(seen == "ABCABC");
  order.SetSymbols({"A", "B", "C", "D"});
  CHECK(order.Next(now) == "D");
  order.OnPolled("D", now += kSecond);
  // A streamed price is fresh, but puts a poll off for three minutes at most.
  order.OnStreamed("A", now + 1);
  CHECK(order.Next(now) == "B");
  order.OnPolled("B", now += 181 * kSecond);
  order.OnPolled("C", now);
  order.OnPolled("D", now);
  order.OnStreamed("A", now);
  CHECK(order.Next(now) == "A");
  order.SetSymbols({"B"});
  CHECK(order.Next(now) == "B");
  CHECK(order.size() == 1);
}

TEST_CASE("what is under way is not begun again, and one that was not polled after all keeps its turn") {
  PollOrder order;
  order.SetSymbols({"A", "B"});
  order.MarkUnderWay("A");
  CHECK(order.Next(kSecond) == "B");
  order.MarkUnderWay("B");
  CHECK_FALSE(order.Next(kSecond).has_value());
  order.Release("A");
  CHECK(order.Next(kSecond) == "A");
  // Gone while it was under way: its end changes nothing.
  order.SetSymbols({"A"});
  order.OnPolled("B", kSecond);
  CHECK(order.size() == 1);
  order.SetSymbols({});
  CHECK(order.empty());
  CHECK_FALSE(order.Next(kSecond).has_value());
}

TEST_CASE("failed and denied symbols are set aside for growing pauses, the others take their turns") {
  PollOrder order;
  order.SetSymbols({"A", "B"});
  int64_t now = kSecond;
  const auto pause_of = [&] { return order.AsideOf("A", now)->left; };
  order.OnFailed("A", now);
  CHECK(order.Next(now) == "B");
  CHECK(pause_of() == absl::Seconds(5));
  CHECK_FALSE(order.AsideOf("A", now)->denied);
  CHECK(order.failed() == 1);
  order.OnPolled("B", now);
  now += 5 * kSecond;
  CHECK_FALSE(order.AsideOf("A", now).has_value());
  CHECK(order.Next(now) == "A");
  order.MarkUnderWay("A");
  order.OnFailed("A", now);
  CHECK(pause_of() == absl::Seconds(10));
  for (int i = 0; i < 100; ++i) order.OnFailed("A", now);
  CHECK(pause_of() == PollOrder::kFailedPauseMax);
  // Another reason begins anew.
  order.OnDenied("A", now);
  CHECK(pause_of() == PollOrder::kDeniedPauseMin);
  CHECK(order.AsideOf("A", now)->denied);
  order.OnDenied("A", now);
  CHECK(pause_of() == absl::Minutes(2));
  for (int i = 0; i < 100; ++i) order.OnDenied("A", now);
  CHECK(pause_of() == PollOrder::kDeniedPauseMax);
  CHECK(order.denied() == 1);
  CHECK(order.failed() == 0);
  CHECK(order.NextAside() == "A");
  order.OnPolled("A", now);
  CHECK(order.denied() == 0);
  order.OnDenied("A", now);
  CHECK(pause_of() == PollOrder::kDeniedPauseMin);
}

TEST_CASE("failures that were the source's fault are forgiven, denials are not, until they are, too") {
  PollOrder order;
  order.SetSymbols({"A", "B", "C"});
  order.OnFailed("A", kSecond);
  order.OnDenied("B", kSecond);
  order.MarkUnderWay("C");
  order.ForgiveFailures();
  CHECK(order.Next(kSecond) == "A");
  CHECK(order.failed() == 0);
  CHECK(order.denied() == 1);
  CHECK(order.AsideOf("B", kSecond)->denied);
  order.ForgiveDenials();
  CHECK(order.denied() == 0);
  CHECK_FALSE(order.AsideOf("B", kSecond).has_value());
  order.MarkUnderWay("A");
  CHECK(order.Next(kSecond) == "B");
  order.SetSymbols({"C"});
  order.OnPolled("C", 2 * kSecond);
  CHECK(order.Next(2 * kSecond) == "C");
}

}  // namespace
}  // namespace stockalert::fetcher
