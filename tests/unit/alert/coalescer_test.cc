// What concurrent callers want is done together: who waits for whom, whose answer is whose, and what is refused.
#include "services/alert/coalescer.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

namespace stockalert::alert {
namespace {

using Numbers = Coalescer<int, int>;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// Doubles numbers; each group waits at a gate until it is let through.
class Gate {
 public:
  std::vector<int> Run(const std::vector<int>& group) {
    std::unique_lock lock(mutex_);
    groups_.push_back(group);
    came_.notify_all();
    let_.wait(lock, [&] { return let_through_ >= groups_.size(); });
    std::vector<int> answers;
    for (const int number : group) answers.push_back(number * 2);
    return answers;
  }
  void AwaitGroups(size_t count) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return groups_.size() >= count; });
  }
  void LetThrough(size_t count) {
    std::lock_guard lock(mutex_);
    let_through_ += count;
    let_.notify_all();
  }
  std::vector<std::vector<int>> groups() {
    std::lock_guard lock(mutex_);
    return groups_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_, let_;
  std::vector<std::vector<int>> groups_;
  size_t let_through_ = 0;
};

struct Bench {
  explicit Bench(const Numbers::Options& options = {})
      : numbers(options, [this](const std::vector<int>& group) { return gate.Run(group); }) {}

  std::future<absl::StatusOr<int>> Start(int number, absl::Time deadline = Soon(), size_t weight = 1) {
    return std::async(std::launch::async,
                      [this, number, deadline, weight] { return numbers.Call(number, weight, deadline); });
  }
  // Returns once so many wait behind the group under way, which has to stand at the gate.
  void AwaitWaiting(size_t count) {
    while (numbers.waiting() < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  Gate gate;
  Numbers numbers;
};

}  // namespace

TEST_CASE("a caller alone is a group of its own, at once") {
  Bench bench;
  bench.gate.LetThrough(2);
  CHECK(*bench.numbers.Call(1, 1, Soon()) == 2);
  CHECK(*bench.numbers.Call(2, 1, Soon()) == 4);
  CHECK(bench.gate.groups() == std::vector<std::vector<int>>{{1}, {2}});
}

TEST_CASE("who comes while a group is under way gathers for the next, and each has its own answer") {
  Bench bench;
  auto first = bench.Start(1);
  bench.gate.AwaitGroups(1);
  auto second = bench.Start(2);
  bench.AwaitWaiting(1);
  auto third = bench.Start(3);
  bench.AwaitWaiting(2);
  CHECK(bench.gate.groups().size() == 1);
  bench.gate.LetThrough(2);
  CHECK(*first.get() == 2);
  CHECK(*second.get() == 4);
  CHECK(*third.get() == 6);
  CHECK(bench.gate.groups() == std::vector<std::vector<int>>{{1}, {2, 3}});
  // Nothing is left over: the next one begins again.
  bench.gate.LetThrough(1);
  CHECK(*bench.numbers.Call(4, 1, Soon()) == 8);
}

TEST_CASE("a group has a weight at most, but for an item that is heavier by itself") {
  Bench bench({.waiting_max = 100, .weight_max = 10});
  auto first = bench.Start(1);
  bench.gate.AwaitGroups(1);
  std::vector<std::future<absl::StatusOr<int>>> others;
  for (const auto& [number, weight] : std::vector<std::pair<int, size_t>>{{2, 5}, {3, 5}, {4, 11}, {5, 1}}) {
    others.push_back(bench.Start(number, Soon(), weight));
    bench.AwaitWaiting(others.size());
  }
  bench.gate.LetThrough(4);
  for (auto& other : others) CHECK(other.get().ok());
  CHECK(first.get().ok());
  CHECK(bench.gate.groups() == std::vector<std::vector<int>>{{1}, {2, 3}, {4}, {5}});
}

TEST_CASE("a caller too many is refused at once, and the others are answered") {
  Bench bench({.waiting_max = 1, .weight_max = 10});
  auto first = bench.Start(1);
  bench.gate.AwaitGroups(1);
  auto second = bench.Start(2);
  bench.AwaitWaiting(1);
  const auto refused = bench.numbers.Call(3, 1, Soon());
  CHECK(absl::IsResourceExhausted(refused.status()));
  CHECK(base::ReasonOf(refused.status()) == "OVERLOADED");
  bench.gate.LetThrough(2);
  CHECK(first.get().ok());
  CHECK(*second.get() == 4);
}

TEST_CASE("who waits gives up at its deadline, and nothing is done for it") {
  Bench bench;
  auto first = bench.Start(1);
  bench.gate.AwaitGroups(1);
  const auto late = bench.numbers.Call(2, 1, absl::Now() + absl::Milliseconds(20));
  CHECK(absl::IsDeadlineExceeded(late.status()));
  auto third = bench.Start(3);
  bench.AwaitWaiting(1);
  bench.gate.LetThrough(2);
  CHECK(first.get().ok());
  CHECK(*third.get() == 6);
  CHECK(bench.gate.groups() == std::vector<std::vector<int>>{{1}, {3}});
}

TEST_CASE("a deadline that is over before the group begins is no part of it, a leader's neither") {
  Bench bench;
  CHECK(absl::IsDeadlineExceeded(bench.numbers.Call(1, 1, absl::Now() - absl::Seconds(1)).status()));
  CHECK(bench.gate.groups().empty());
  bench.gate.LetThrough(1);
  CHECK(*bench.numbers.Call(2, 1, Soon()) == 4);
}

TEST_CASE("a deadline that passes while the group is under way does not take the answer away") {
  Bench bench;
  auto first = bench.Start(1);
  bench.gate.AwaitGroups(1);
  auto second = bench.Start(2, absl::Now() + absl::Milliseconds(300));
  bench.AwaitWaiting(1);
  bench.gate.LetThrough(1);
  bench.gate.AwaitGroups(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  bench.gate.LetThrough(1);
  CHECK(first.get().ok());
  CHECK(*second.get() == 4);
}

TEST_CASE("of many callers each gets its own answer, each item is in one group, and groups come one at a time") {
  std::atomic<int> running{0};
  std::atomic<int> runs{0};
  std::atomic<bool> overlapped{false};
  std::mutex mutex;
  std::multiset<int> seen;
  Numbers numbers({.waiting_max = 100, .weight_max = 5}, [&](const std::vector<int>& group) {
    if (running.fetch_add(1) != 0) overlapped = true;
    ++runs;
    std::vector<int> answers;
    for (const int number : group) answers.push_back(number * 2);
    {
      std::lock_guard lock(mutex);
      seen.insert(group.begin(), group.end());
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    --running;
    return answers;
  });
  constexpr int kCallers = 16, kCalls = 50;
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < kCalls; ++i) {
        const int number = caller * kCalls + i;
        const auto answer = numbers.Call(number, 1, Soon());
        if (!answer.ok() || *answer != number * 2) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  CHECK(!overlapped);
  CHECK(seen.size() == kCallers * kCalls);
  CHECK(std::set<int>(seen.begin(), seen.end()).size() == kCallers * kCalls);
  CHECK(runs < kCallers * kCalls);
}

}  // namespace stockalert::alert
