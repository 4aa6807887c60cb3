#include "services/common/base/fair_queue.h"

#include <catch2/catch.hpp>

#include <deque>
#include <map>
#include <random>
#include <string>
#include <utility>

namespace stockalert::base {

TEST_CASE("one owner's backlog is not in front of another's item") {
  FairQueue<std::string, int> queue;
  for (int i = 0; i < 1000; ++i) queue.Push("noisy", i);
  queue.Push("quiet", 7);
  CHECK(queue.size() == 1001);
  CHECK(queue.size_of("noisy") == 1000);
  CHECK(queue.size_of("nobody") == 0);
  CHECK(queue.owners() == 2);
  CHECK(queue.Pop() == std::pair<std::string, int>("noisy", 0));
  CHECK(queue.Pop() == std::pair<std::string, int>("quiet", 7));
  for (int i = 1; i < 1000; ++i) CHECK(queue.Pop() == std::pair<std::string, int>("noisy", i));
  CHECK(queue.empty());
  CHECK(queue.owners() == 0);
}

TEST_CASE("what is removed is gone, the rest keeps its order and turns") {
  FairQueue<std::string, int> queue;
  for (int i = 0; i < 10; ++i) queue.Push(i % 2 == 0 ? "even" : "odd", i);
  queue.Push("other", 7);
  queue.RemoveIf([](int item) { return item % 2 == 1; });
  CHECK(queue.size() == 5);
  CHECK(queue.owners() == 1);
  queue.Push("odd", 11);
  CHECK(queue.Pop().second == 0);
  CHECK(queue.Pop().second == 11);
  CHECK(queue.Pop().second == 2);
  queue.RemoveIf([](int) { return true; });
  CHECK(queue.empty());
}

TEST_CASE(
    "whatever is pushed and popped, an item waits for at most one of each other owner for each of its own, and none is "
    "lost") {
  const unsigned seed = GENERATE(1U, 2U, 3U, 4U, 5U);
  std::mt19937 random(seed);
  FairQueue<int, int> queue;
  std::map<int, std::deque<int>> expected;
  std::map<int, std::map<int, int>> popped_since;  // By who waits, then by who was served.
  int next = 0;
  size_t pushed = 0;
  size_t popped = 0;
  for (int step = 0; step < 20'000; ++step) {
    // Owner 0 brings nine of ten.
    if (random() % 2 == 0 || queue.empty()) {
      const int owner = random() % 10 < 9 ? 0 : static_cast<int>(random() % 20) + 1;
      if (expected[owner].empty()) popped_since[owner].clear();
      expected[owner].push_back(next);
      queue.Push(owner, next++);
      ++pushed;
      continue;
    }
    const auto [owner, item] = queue.Pop();
    ++popped;
    REQUIRE(!expected[owner].empty());
    REQUIRE(expected[owner].front() == item);
    expected[owner].pop_front();
    popped_since[owner].clear();
    for (auto& [other, items] : expected) {
      if (other != owner && !items.empty()) REQUIRE(++popped_since[other][owner] <= 1);
    }
  }
  while (!queue.empty()) {
    queue.Pop();
    ++popped;
  }
  CHECK(pushed == popped);
}

}  // namespace stockalert::base
