#include "services/domain/fold/extreme_ladder.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace stockalert::fold {
namespace {

// Alerts as the ladder's owner keeps them, and what each has seen, one by one.
struct Members : ExtremeLadder::Members {
  struct Alert {
    int64_t distance = 0;
    bool ready = true;
    bool follows = false;
    Rung* rung = nullptr;
    std::vector<PricePoint> seen;
  };
  std::map<Slot, Alert> alerts;
  int64_t moves = 0;

  Rung* Put(Slot slot, Rung* rung) { return alerts.at(slot).rung = rung; }
  void OnMovedTo(Slot slot, Direction, Rung* rung) override {
    alerts.at(slot).rung = rung;
    ++moves;
  }
};

std::set<Slot> FoundBy(const ExtremeLadder& ladder, int64_t price) {
  std::vector<Slot> found;
  int64_t steps = 0;
  ladder.Find(price, &found, &steps);
  return {found.begin(), found.end()};
}

int64_t ExtremeOf(const Members::Alert& alert, Direction direction, std::optional<int64_t> window_us, int64_t now_us) {
  std::optional<int64_t> extreme;
  for (const PricePoint& point : alert.seen) {
    if (window_us.has_value() && point.time_us < now_us - *window_us) continue;
    if (!extreme.has_value() || Signed(direction, point.price_micros) < Signed(direction, *extreme)) {
      extreme = point.price_micros;
    }
  }
  return *extreme;
}

void RunAgainstOneByOne(Direction direction, Measure measure, std::optional<int64_t> window_us, uint32_t seed) {
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto below = [&random](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint32_t>(n)); };
  Members members;
  ExtremeLadder ladder(direction, measure, window_us, &members);
  PricePoint last{100'000'000, 1000};
  Slot next_slot = 0;
  int64_t steps = 0;
  const int64_t tenth = measure == Measure::kPercent ? 10'000 : 1'000'000;
  for (int i = 0; i < 1500; ++i) {
    const int64_t what = below(10);
    if (what < 3 && members.alerts.size() < 60) {
      const Slot slot = next_slot++;
      Members::Alert& alert = members.alerts[slot];
      alert.distance = tenth * (1 + below(8));
      alert.ready = below(3) > 0;
      alert.follows = below(4) == 0;
      alert.seen = {last};
      if (alert.follows) {
        ladder.AddFollower(members.Put(slot, ladder.FindOrMakeRung(last)), slot);
      } else {
        ladder.Add(members.Put(slot, ladder.FindOrMakeRung(last)), alert.distance, slot, alert.ready);
      }
    } else if (what < 4 && !members.alerts.empty()) {
      const auto gone = std::next(members.alerts.begin(), below(static_cast<int64_t>(members.alerts.size())));
      if (gone->second.follows) {
        ladder.RemoveFollower(gone->second.rung, gone->first);
      } else {
        ladder.Remove(gone->second.rung, gone->second.distance, gone->first, gone->second.ready);
      }
      members.alerts.erase(gone);
    } else {
      last.price_micros = std::max<int64_t>(50'000'000, last.price_micros + (below(9) - 4) * 500'000);
      last.time_us += below(4);
      ladder.Advance(last, &steps);
      std::set<Slot> expected;
      for (auto& [slot, alert] : members.alerts) {
        alert.seen.push_back(last);
        const int64_t extreme = ExtremeOf(alert, direction, window_us, last.time_us);
        if (alert.rung == nullptr || alert.rung->reference_micros != extreme) {
          FAIL("alert " << slot << " has another extreme");
        }
        const bool level =
            Signed(direction, last.price_micros) >= SignedLevel(direction, measure, extreme, alert.distance);
        if (level == alert.ready && !alert.follows) expected.insert(slot);
        // Where it says that it is, it is.
        if (alert.follows != (alert.rung->followers.count(slot) == 1)) FAIL("follower " << slot << " was left behind");
      }
      if (FoundBy(ladder, last.price_micros) != expected) FAIL("others are found than those that change");
    }
    if (ladder.size() != members.alerts.size()) FAIL("the ladder counts another number of alerts");
  }
}

TEST_CASE("a ladder of all time knows each alert's extreme and finds the alerts that change") {
  for (Direction direction : {Direction::kUp, Direction::kDown}) {
    for (Measure measure : {Measure::kPercent, Measure::kAmount}) {
      for (uint32_t seed = 1; seed <= 5; ++seed) RunAgainstOneByOne(direction, measure, std::nullopt, seed);
    }
  }
}

TEST_CASE("a ladder of a window knows each alert's extreme and finds the alerts that change") {
  for (Direction direction : {Direction::kUp, Direction::kDown}) {
    for (int64_t window_us : {1, 3, 10, 50, 1000}) {
      for (uint32_t seed = 1; seed <= 3; ++seed) RunAgainstOneByOne(direction, Measure::kPercent, window_us, seed);
    }
  }
}

TEST_CASE("an entry leaves the window just after its length") {
  Members members;
  members.alerts[1] = {};
  ExtremeLadder ladder(Direction::kUp, Measure::kPercent, 10, &members);
  int64_t steps = 0;
  ladder.Add(members.Put(1, ladder.FindOrMakeRung({100, 0})), 1, 1, true);
  ladder.Advance({120, 10}, &steps);
  CHECK(members.alerts[1].rung->reference_micros == 100);
  ladder.Advance({130, 11}, &steps);
  CHECK(members.alerts[1].rung->reference_micros == 120);
}

TEST_CASE("a follower moves with the rung and is never found") {
  Members members;
  members.alerts[1] = {};
  ExtremeLadder ladder(Direction::kDown, Measure::kPercent, 1000, &members);
  int64_t steps = 0;
  ladder.AddFollower(members.Put(1, ladder.FindOrMakeRung({100'000'000, 0})), 1);
  ladder.Advance({110'000'000, 1}, &steps);
  CHECK(members.alerts[1].rung->reference_micros == 110'000'000);
  ladder.Advance({10'000'000, 2}, &steps);
  CHECK(FoundBy(ladder, 10'000'000).empty());
  CHECK(members.alerts[1].rung->reference_micros == 110'000'000);
  ladder.RemoveFollower(members.alerts[1].rung, 1);
  CHECK(ladder.size() == 0);
}

TEST_CASE("followers of the smaller rung go along when it merges into the larger") {
  Members members;
  ExtremeLadder ladder(Direction::kDown, Measure::kPercent, std::nullopt, &members);
  int64_t steps = 0;
  for (Slot slot = 1; slot <= 5; ++slot) {
    members.alerts[slot] = {};
    members.alerts[slot].distance = 10'000;
    if (slot <= 3) {
      ladder.Add(members.Put(slot, ladder.FindOrMakeRung({100'000'000, 0})), 10'000, slot, true);
    } else {
      ladder.AddFollower(members.Put(slot, ladder.FindOrMakeRung({110'000'000, 0})), slot);
    }
  }
  ladder.Advance({120'000'000, 1}, &steps);
  REQUIRE(ladder.rung_count() == 1);
  CHECK(members.alerts[4].rung->reference_micros == 120'000'000);
  CHECK(members.alerts[4].rung->size() == 5);
  // And they are taken along by the next merge, too, and can be removed.
  members.alerts[6] = {};
  ladder.Add(members.Put(6, ladder.FindOrMakeRung({90'000'000, 1})), 10'000, 6, true);
  ladder.Advance({130'000'000, 2}, &steps);
  CHECK(members.alerts[4].rung->reference_micros == 130'000'000);
  CHECK(members.alerts[5].rung->reference_micros == 130'000'000);
  for (Slot slot = 4; slot <= 5; ++slot) ladder.RemoveFollower(members.alerts[slot].rung, slot);
  CHECK(ladder.size() == 4);
}

TEST_CASE("merging moves the smaller group: a steady rise over many alerts moves each a few times") {
  Members members;
  ExtremeLadder ladder(Direction::kDown, Measure::kPercent, std::nullopt, &members);
  constexpr Slot kCount = 20'000;
  // Each alert has a high of its own, the older the higher.
  for (Slot slot = 0; slot < kCount; ++slot) {
    members.alerts[slot].distance = 10'000;
    ladder.Add(members.Put(slot, ladder.FindOrMakeRung({int64_t{1'000'000'000} - slot, 0})), 10'000, slot, true);
  }
  members.moves = 0;
  int64_t steps = 0;
  for (Slot slot = 0; slot <= kCount; ++slot) ladder.Advance({int64_t{1'000'000'000} - kCount + slot, 0}, &steps);
  CHECK(ladder.rung_count() == 1);
  CHECK(members.moves < int64_t{2} * kCount);
  CHECK(steps < int64_t{8} * kCount);
  // Nothing is left out of the account: a look and a merge a price at least, besides the moves.
  CHECK(steps >= members.moves + int64_t{2} * kCount);
}

}  // namespace
}  // namespace stockalert::fold
