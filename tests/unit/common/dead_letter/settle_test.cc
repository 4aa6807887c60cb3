#include "services/common/dead_letter/settle.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "services/common/base/failure_kind.h"

namespace stockalert::dead_letter {
namespace {

using base::FailureKind;
using Disposition = Item::Disposition;

absl::Status OfRecord() {
  return base::WithFailureKind(absl::InvalidArgumentError("data that cannot be held"), FailureKind::kOfRecord);
}
absl::Status Unclear() { return base::WithFailureKind(absl::InternalError("something broke"), FailureKind::kUnclear); }
absl::Status Passing() {
  return base::WithFailureKind(absl::UnavailableError("the store is away"), FailureKind::kPassing);
}

// Records that are taken all or none, as a transaction takes them.
struct Store {
  std::set<size_t> poison;   // Never can be stored.
  std::set<size_t> unclear;  // Fail for a reason that nobody is sure of.
  int fails_at = -1;         // The call of this number finds the store away.
  absl::Status keep_status;
  int calls = 0;
  std::multiset<size_t> applied;
  std::vector<size_t> kept;

  Actions MakeActions() {
    return {[this](const std::vector<size_t>& indices) -> absl::Status {
              if (calls++ == fails_at) return Passing();
              for (const size_t index : indices) {
                if (poison.contains(index)) return OfRecord();
                if (unclear.contains(index)) return Unclear();
              }
              applied.insert(indices.begin(), indices.end());
              return absl::OkStatus();
            },
            [this](const std::vector<Refused>& refused) {
              if (!keep_status.ok()) return keep_status;
              for (const Refused& one : refused) kept.push_back(one.index);
              return absl::OkStatus();
            }};
  }
};

// `partitions` in turn; each record's offset is its index.
std::vector<Item> Records(size_t count, int partitions = 1) {
  std::vector<Item> items;
  for (size_t i = 0; i < count; ++i) {
    items.push_back({{"t", static_cast<int32_t>(i % static_cast<size_t>(partitions))},
                     static_cast<int64_t>(i),
                     Disposition::kApply,
                     ""});
  }
  return items;
}

TEST_CASE("a sound batch is one try, and every partition goes on behind its last record") {
  Store store;
  const auto settled = Settle(Records(5, 2), store.MakeActions());
  REQUIRE(settled.ok());
  CHECK(store.calls == 1);
  CHECK(settled->applied == 5);
  CHECK(settled->held.empty());
  CHECK(settled->next_offsets == std::map<kafka::TopicPartition, int64_t>{{{"t", 0}, 5}, {{"t", 1}, 4}});
}

TEST_CASE("one record at fault among two thousand is found by bisection, and all others are stored") {
  Store store;
  store.poison = {1234};
  const auto settled = Settle(Records(2000, 4), store.MakeActions());
  REQUIRE(settled.ok());
  CHECK(settled->applied == 1999);
  CHECK(store.applied.size() == 1999);
  CHECK(store.kept == std::vector<size_t>{1234});
  CHECK(store.calls <= 2 * 11 + 1);
  CHECK(settled->held.empty());
  CHECK(settled->next_offsets.at({"t", 2}) == 1999);
}

TEST_CASE("a batch of nothing but records at fault is bounded, and all are kept") {
  Store store;
  for (size_t i = 0; i < 64; ++i) store.poison.insert(i);
  const auto settled = Settle(Records(64), store.MakeActions());
  REQUIRE(settled.ok());
  CHECK(store.calls == 127);
  CHECK(store.kept.size() == 64);
}

TEST_CASE("what fails for no clear reason holds its partition at its place, and no other") {
  Store store;
  store.unclear = {5};
  const auto settled = Settle(Records(12, 3), store.MakeActions());
  REQUIRE(settled.ok());
  REQUIRE(settled->held.size() == 1);
  CHECK(settled->held.at({"t", 2}).offset == 5);
  CHECK(settled->next_offsets.at({"t", 2}) == 5);
  CHECK(settled->next_offsets.at({"t", 0}) == 10);
  CHECK(settled->next_offsets.at({"t", 1}) == 11);
  // Its partition's records before it are stored, those behind it are not.
  CHECK(store.applied == std::multiset<size_t>{0, 1, 2, 3, 4, 6, 7, 9, 10});
  CHECK(store.kept.empty());
}

TEST_CASE("an unknown kind holds its partition, and what is not understood behind it is not put aside yet") {
  Store store;
  std::vector<Item> items = Records(8, 2);
  items[1].disposition = Disposition::kDeadLetter;
  items[3].disposition = Disposition::kHold;
  items[3].cause = "an unknown kind";
  items[5].disposition = Disposition::kDeadLetter;
  items[2].disposition = Disposition::kPassOver;
  const auto settled = Settle(items, store.MakeActions());
  REQUIRE(settled.ok());
  CHECK(settled->held.at({"t", 1}).offset == 3);
  CHECK(settled->held.at({"t", 1}).cause == "an unknown kind");
  CHECK(store.kept == std::vector<size_t>{1});
  CHECK(store.applied == std::multiset<size_t>{0, 4, 6});
  CHECK(settled->next_offsets.at({"t", 0}) == 7);
  CHECK(settled->next_offsets.at({"t", 1}) == 3);
}

TEST_CASE("a record that an operator put aside holds its partition no longer") {
  Store store;
  store.unclear = {4};
  std::vector<Item> items = Records(8, 2);
  items[1].disposition = Disposition::kHold;
  Actions actions = store.MakeActions();
  std::set<size_t> kept_by_operator;
  actions.is_kept = [&](size_t index) { return kept_by_operator.contains(index); };
  CHECK(Settle(items, actions)->held.size() == 2);
  kept_by_operator = {1, 4};
  const auto settled = Settle(items, actions);
  REQUIRE(settled.ok());
  CHECK(settled->held.empty());
  CHECK(settled->next_offsets.at({"t", 0}) == 7);
  CHECK(settled->next_offsets.at({"t", 1}) == 8);
  actions.is_kept = [&](size_t) -> absl::StatusOr<bool> { return Passing(); };
  CHECK_FALSE(Settle(items, actions).ok());
}

TEST_CASE("while the store is down nothing becomes a dead letter, and the batch is settled again") {
  Store store;
  store.poison = {3};
  store.fails_at = 2;
  CHECK(base::FailureKindOf(Settle(Records(8), store.MakeActions()).status()) == FailureKind::kPassing);
  CHECK(store.kept.empty());
  store.keep_status = Passing();
  CHECK(base::FailureKindOf(Settle(Records(8), store.MakeActions()).status()) == FailureKind::kPassing);
  store.keep_status = absl::OkStatus();
  const auto settled = Settle(Records(8), store.MakeActions());
  REQUIRE(settled.ok());
  CHECK(store.kept == std::vector<size_t>{3});
}

TEST_CASE("where there is no room for dead letters their partitions are held, not the others") {
  Store store;
  store.poison = {2, 4};
  store.keep_status = base::WithFailureKind(absl::ResourceExhaustedError("full"), FailureKind::kUnclear);
  const auto settled = Settle(Records(9, 2), store.MakeActions());
  REQUIRE(settled.ok());
  CHECK(settled->held.at({"t", 0}).offset == 2);
  CHECK(settled->held.at({"t", 0}).cause.find("full") != std::string::npos);
  CHECK(settled->next_offsets.at({"t", 0}) == 2);
  CHECK(settled->next_offsets.at({"t", 1}) == 8);
}

TEST_CASE("whatever fails, nothing is lost and nothing is passed: random batches") {
  std::mt19937 random(20260107);
  for (int round = 0; round < 2000; ++round) {
    Store store;
    std::vector<Item> items = Records(1 + random() % 40, 1 + static_cast<int>(random() % 5));
    for (size_t i = 0; i < items.size(); ++i) {
      switch (random() % 12) {
        case 0:
          store.poison.insert(i);
          break;
        case 1:
          if (random() % 3 == 0) store.unclear.insert(i);
          break;
        case 2:
          items[i].disposition = Disposition::kDeadLetter;
          break;
        case 3:
          if (random() % 4 == 0) items[i].disposition = Disposition::kHold;
          break;
        case 4:
          items[i].disposition = Disposition::kPassOver;
          break;
        default:
          break;
      }
    }
    const bool full = random() % 4 == 0;
    if (full) store.keep_status = base::WithFailureKind(absl::ResourceExhaustedError("full"), FailureKind::kUnclear);
    const auto settled = Settle(items, store.MakeActions());
    REQUIRE(settled.ok());
    CHECK(store.calls <= 2 * static_cast<int>(items.size()));
    for (size_t i = 0; i < items.size(); ++i) {
      INFO("round " << round << " record " << i);
      const bool passed = items[i].offset < settled->next_offsets.at(items[i].place);
      const bool kept = std::find(store.kept.begin(), store.kept.end(), i) != store.kept.end();
      const bool bad = store.poison.contains(i) || items[i].disposition == Disposition::kDeadLetter;
      const bool holding = store.unclear.contains(i) || items[i].disposition == Disposition::kHold || (full && bad);
      // What holds is never passed; what is passed was stored, put aside, or no concern.
      CHECK_FALSE((passed && holding));
      if (passed && items[i].disposition != Disposition::kPassOver) CHECK((bad ? kept : store.applied.count(i) == 1));
      // A partition that nothing holds goes on to its end.
      if (!passed) CHECK(settled->held.contains(items[i].place));
      if (kept) CHECK(passed);
    }
  }
}

}  // namespace
}  // namespace stockalert::dead_letter
