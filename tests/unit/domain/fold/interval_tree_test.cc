#include "services/domain/fold/interval_tree.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace stockalert::fold {
namespace {

std::set<uint32_t> Found(const IntervalTree& tree, int64_t price, int64_t* steps) {
  std::vector<uint32_t> found;
  tree.Find(price, &found, steps);
  const std::set<uint32_t> distinct(found.begin(), found.end());
  REQUIRE(distinct.size() == found.size());
  return distinct;
}

TEST_CASE("bounds belong to an interval, and equal intervals are apart") {
  IntervalTree tree;
  tree.Insert(10, 20, 1);
  tree.Insert(10, 20, 2);
  tree.Insert(20, 20, 3);
  int64_t steps = 0;
  CHECK(Found(tree, 9, &steps).empty());
  CHECK(Found(tree, 10, &steps) == std::set<uint32_t>{1, 2});
  CHECK(Found(tree, 20, &steps) == std::set<uint32_t>{1, 2, 3});
  CHECK(Found(tree, 21, &steps).empty());
  tree.Erase(10, 1);
  CHECK(Found(tree, 10, &steps) == std::set<uint32_t>{2});
  CHECK(tree.size() == 2);
}

TEST_CASE("what contains a price is found, whatever came and went") {
  const uint32_t seed = 7;
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto below = [&random](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint32_t>(n)); };
  IntervalTree tree;
  std::map<uint32_t, std::pair<int64_t, int64_t>> all;
  for (uint32_t i = 0; i < 6000; ++i) {
    if (all.empty() || below(3) > 0) {
      const int64_t low = below(200);
      const int64_t high = low + below(20);
      tree.Insert(low, high, i);
      all[i] = {low, high};
    } else {
      const auto gone = std::next(all.begin(), below(static_cast<int64_t>(all.size())));
      tree.Erase(gone->second.first, gone->first);
      all.erase(gone);
    }
    REQUIRE(tree.size() == all.size());
    if (i % 10 != 0) continue;
    const int64_t price = below(230) - 5;
    std::set<uint32_t> expected;
    for (const auto& [slot, interval] : all) {
      if (interval.first <= price && price <= interval.second) expected.insert(slot);
    }
    int64_t steps = 0;
    REQUIRE(Found(tree, price, &steps) == expected);
  }
}

TEST_CASE("a search that finds nothing looks at a few nodes of many") {
  IntervalTree tree;
  constexpr uint32_t kCount = 100'000;
  // Narrow channels at each second price, and a thousand nested ones that no searched price is in.
  for (uint32_t i = 0; i < kCount; ++i) tree.Insert(int64_t{i} * 2, int64_t{i} * 2, i);
  for (uint32_t i = 0; i < 1000; ++i) tree.Insert(-5000 + i, -3000 - i, kCount + i);
  int64_t worst = 0;
  for (int64_t price = 1; price < int64_t{2} * kCount; price += 1994) {
    int64_t steps = 0;
    REQUIRE(Found(tree, price, &steps).empty());
    worst = std::max(worst, steps);
  }
  CHECK(worst < 200);
}

}  // namespace
}  // namespace stockalert::fold
