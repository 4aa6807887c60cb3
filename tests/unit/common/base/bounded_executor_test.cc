#include "services/common/base/bounded_executor.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

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

// One thread, held by a first task until everything is submitted.
struct Held {
  explicit Held(BoundedExecutor& executor) {
    REQUIRE(executor.TrySubmit([this] {
      begun.count_down();
      release.wait();
    }));
    begun.wait();
  }
  std::latch begun{1};
  std::latch release{1};
};

TEST_CASE("keys take turns: one with much work waiting does not hold up the others") {
  std::mutex mutex;
  std::string order;
  BoundedExecutor executor("test", 1, 1000);
  Held held(executor);
  const auto submit = [&](const std::string& key) {
    return executor.TrySubmit(key, [&, key] {
      std::lock_guard lock(mutex);
      order += key;
    });
  };
  for (int i = 0; i < 100; ++i) REQUIRE(submit("n") == BoundedExecutor::Taken::kYes);
  for (const char* key : {"a", "b", "a"}) REQUIRE(submit(key) == BoundedExecutor::Taken::kYes);
  held.release.count_down();
  CHECK(executor.Stop(absl::Now() + absl::Seconds(10)));
  CHECK(order.substr(0, 6) == "nabnan");
  CHECK(order.size() == 103);
}

TEST_CASE("no key fills the queue or takes all threads; our own work has no share") {
  BoundedExecutor executor("test", 2, 10, {.tasks_max = 3, .running_max = 1});
  std::latch begun(1);
  std::latch release(1);
  std::atomic<int> quiet{0};
  std::atomic<int> noisy{0};
  REQUIRE(executor.TrySubmit("noisy", [&] {
    begun.count_down();
    release.wait();
    ++noisy;
  }) == BoundedExecutor::Taken::kYes);
  begun.wait();
  const auto count_noisy = [&] { ++noisy; };
  for (int i = 0; i < 2; ++i) REQUIRE(executor.TrySubmit("noisy", count_noisy) == BoundedExecutor::Taken::kYes);
  CHECK(executor.TrySubmit("noisy", count_noisy) == BoundedExecutor::Taken::kShareFull);
  // The second thread is free, and not for the noisy one.
  std::latch ran(1);
  REQUIRE(executor.TrySubmit("quiet", [&] {
    ++quiet;
    ran.count_down();
  }) == BoundedExecutor::Taken::kYes);
  ran.wait();
  CHECK(noisy == 0);
  std::latch both_begun(1);
  REQUIRE(executor.TrySubmit([&] {
    both_begun.count_down();
    release.wait();
  }));
  both_begun.wait();
  int own = 0;
  while (executor.TrySubmit([] {})) ++own;
  CHECK(own == 8);
  CHECK(executor.TrySubmit("quiet", [] {}) == BoundedExecutor::Taken::kQueueFull);
  release.count_down();
  // What waits for its turn is done, too, before the end.
  CHECK(executor.Stop(absl::Now() + absl::Seconds(10)));
  CHECK(noisy == 3);
  CHECK(executor.TrySubmit("quiet", [] {}) == BoundedExecutor::Taken::kStopped);
  CHECK(executor.queued() == 0);
}

TEST_CASE("many keys from many threads: each task runs or is dropped, once") {
  std::atomic<int> accepted{0};
  std::atomic<int> ended{0};
  {
    BoundedExecutor executor("test", 4, 50, {.tasks_max = 5, .running_max = 2});
    std::vector<std::thread> clients;
    for (int c = 0; c < 4; ++c) {
      clients.emplace_back([&, c] {
        for (int i = 0; i < 5000; ++i) {
          const auto done = [&ended] { ++ended; };
          if (executor.TrySubmit("user " + std::to_string((c * 7 + i) % 13), done, done) ==
              BoundedExecutor::Taken::kYes)
            ++accepted;
        }
      });
    }
    for (std::thread& client : clients) client.join();
  }
  CHECK(accepted > 0);
  CHECK(ended == accepted);
}

}  // namespace
}  // namespace stockalert::base
