#include "services/common/base/bounded_executor.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <thread>

#include "absl/time/clock.h"

namespace stockalert::base {
namespace {

TEST_CASE("accepted work runs, also what waits when Stop is called") {
  BoundedExecutor executor("test", 2, 100);
  std::atomic<int> ran{0};
  const auto run = [&ran] { ++ran; };
  for (int i = 0; i < 50; ++i) REQUIRE(executor.TrySubmit(run));
  CHECK(executor.Stop(absl::Now() + absl::Seconds(10)));
  CHECK(ran == 50);
  CHECK_FALSE(executor.TrySubmit(run));
  CHECK(ran == 50);
}

TEST_CASE("work beyond the queue is refused, and what has not begun at the deadline is dropped") {
  std::latch begun(1);
  std::latch release(1);
  std::atomic<int> ran{0};
  std::atomic<int> dropped{0};
  const auto run = [&ran] { ++ran; };
  const auto drop = [&dropped] { ++dropped; };
  {
    BoundedExecutor executor("test", 1, 2);
    REQUIRE(executor.TrySubmit([&] {
      begun.count_down();
      release.wait();
      ++ran;
    }));
    begun.wait();
    CHECK(executor.in_flight() == 1);
    for (int i = 0; i < 2; ++i) REQUIRE(executor.TrySubmit(run, drop));
    CHECK(executor.queued() == 2);
    CHECK(executor.unfinished() == 3);
    CHECK(executor.finished() == 0);
    CHECK_FALSE(executor.TrySubmit(run, drop));
    CHECK_FALSE(executor.Stop(absl::Now() + absl::Milliseconds(20)));
    CHECK(dropped == 2);
    CHECK(executor.unfinished() == 1);
    release.count_down();
    while (executor.unfinished() > 0) std::this_thread::yield();
    CHECK(executor.finished() == 1);
  }
  CHECK(ran == 1);
  CHECK(dropped == 2);
}

TEST_CASE("every task ends exactly once while submitters race with Stop") {
  std::atomic<int> accepted{0};
  std::atomic<int> ended{0};
  {
    BoundedExecutor executor("test", 3, 16);
    std::vector<std::thread> submitters;
    submitters.reserve(4);
    for (int t = 0; t < 4; ++t) {
      submitters.emplace_back([&] {
        for (int i = 0; i < 2000; ++i) {
          if (executor.TrySubmit([&] { ++ended; }, [&] { ++ended; })) ++accepted;
        }
      });
    }
    executor.Stop(absl::Now() + absl::Milliseconds(1));
    for (std::thread& submitter : submitters) submitter.join();
  }
  CHECK(accepted == ended);
}

}  // namespace
}  // namespace stockalert::base
