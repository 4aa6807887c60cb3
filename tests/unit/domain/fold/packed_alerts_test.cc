#include "services/domain/fold/packed_alerts.h"

#include <catch2/catch.hpp>

#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>

#include "services/domain/fold/slot_set.h"

namespace stockalert::fold {
namespace {

using condition::PercentReference;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

class Source {
 public:
  explicit Source(uint32_t seed) : random_(seed) {}
  size_t Below(size_t limit) { return random_() % limit; }
  bool Flag() { return Below(2) == 0; }
  // Zero half of the time, as what few alerts have is by default.
  int64_t Number() {
    const int64_t numbers[] = {0, 0, 0, 0, 0, 1, -1, 4'294'967'296, 123'456'789'012, kMin, kMax};
    return numbers[Below(std::size(numbers))];
  }
  std::optional<int64_t> Optional() { return Flag() ? std::nullopt : std::optional(Number()); }
  template <typename Enum>
  Enum Of(Enum last) {
    return static_cast<Enum>(Below(static_cast<size_t>(last) + 1));
  }

  condition::Condition Condition() {
    switch (Below(4)) {
      case 0:
        return condition::PriceTarget{Of(condition::TargetOp::kCrosses), Number()};
      case 1:
        return condition::PercentChange{Of(condition::PercentOp::kEither), Number(), Of(PercentReference::kWindow),
                                        Number(), Number()};
      case 2:
        return condition::TrailingChange{Of(condition::TrailingOp::kRisesFromLow), Number(), Number(), Optional()};
      default:
        return condition::Channel{Of(condition::ChannelOp::kLeaves), Number(), Number()};
    }
  }

  struct Leg Leg(Rung* rungs) {
    struct Leg leg;
    leg.ready = Flag();
    if (Below(3) == 0) {
      leg.rung = rungs + Below(3);
    } else {
      leg.reference_micros = Number();
    }
    if (Below(8) == 0) leg.entries = {{Number(), Number()}, {Number(), 7}};
    return leg;
  }

  Alert AlertAt(Slot slot, Rung* rungs) {
    Alert alert;
    alert.slot = slot;
    alert.definition.condition = Condition();
    alert.definition.trigger_policy = Of(condition::TriggerPolicy::kOnceADay);
    alert.definition.cooldown_us = Number();
    alert.definition.hysteresis_micros = Number();
    alert.definition.creation_policy = Of(condition::CreationPolicy::kRejectIfMet);
    alert.definition.sessions = Of(condition::Sessions::kExtended);
    alert.definition.expire_time_us = Optional();
    alert.revision = Number();
    alert.armed_revision = Number();
    alert.trigger_number = Number();
    alert.paused = Flag();
    alert.ended = Flag();
    alert.expired = Flag();
    alert.begun = Flag();
    alert.activated = Flag();
    alert.own_reference = Flag();
    alert.residence = Of(Residence::kIndexed);
    alert.last_trigger_time_us = Optional();
    if (Flag()) alert.last_trigger_date = static_cast<int32_t>(Number());
    if (Flag()) alert.date_stamp = static_cast<int32_t>(Number());
    alert.has_own_price_before = Flag();
    alert.own_price_before_micros = Optional();
    alert.watched_from = static_cast<int8_t>(static_cast<int>(Below(3)) - 1);
    for (struct Leg& leg : alert.legs) leg = Leg(rungs);
    if (Below(4) == 0) alert.legs[kDownLeg] = alert.legs[kUpLeg];
    return alert;
  }

 private:
  std::mt19937 random_;
};

TEST_CASE("packing loses nothing of an alert, whatever was in its slot before") {
  Source source(7);
  std::array<Rung, 3> rungs;
  PackedAlerts store;
  std::map<Slot, Alert> expected;
  for (int i = 0; i < 200'000; ++i) {
    const size_t what = source.Below(8);
    if (expected.empty() || (what == 0 && expected.size() < 70)) {
      // A UUID or another text.
      const Slot slot = store.Add(AlertId(source.Flag() ? "c0ffee00-0000-4000-8000-00000000000" + std::to_string(i % 10)
                                                        : "alert-" + std::to_string(i)));
      REQUIRE(expected.count(slot) == 0);
      Alert fresh;
      fresh.slot = slot;
      if (!(store.Get(slot) == fresh)) FAIL("slot " << slot << " still holds something of the alert before");
      expected[slot] = source.AlertAt(slot, rungs.data());
      store.Put(expected[slot]);
      continue;
    }
    auto& [slot, alert] = *std::next(expected.begin(), static_cast<std::ptrdiff_t>(source.Below(expected.size())));
    if (what == 1) {
      store.Remove(slot);
      CHECK_FALSE(store.Contains(slot));
      expected.erase(slot);
      continue;
    }
    if (what == 2) {
      const size_t leg = source.Below(2);
      store.SetReady(slot, leg);
      alert.legs[leg].ready = true;
    } else if (what == 3) {
      const size_t leg = source.Below(2);
      if (alert.legs[leg].rung == nullptr) continue;
      alert.legs[leg].rung = rungs.data() + source.Below(3);
      store.MoveToRung(slot, leg, alert.legs[leg].rung);
    } else {
      alert = source.AlertAt(slot, rungs.data());
      store.Put(alert);
    }
    if (!(store.Get(slot) == alert)) FAIL("slot " << slot << " holds another alert than was put there, at step " << i);
    if (store.revision(slot) != alert.revision || store.residence(slot) != alert.residence ||
        store.sessions(slot) != alert.definition.sessions || store.begun(slot) != alert.begun ||
        store.ended(slot) != alert.ended) {
      FAIL("parts of slot " << slot << " differ from the whole");
    }
  }
  std::vector<Slot> slots;
  store.ForEach([&](Slot slot) { slots.push_back(slot); });
  REQUIRE(slots.size() == expected.size());
  size_t at = 0;
  for (const auto& [slot, alert] : expected) {
    CHECK(slots[at++] == slot);
    CHECK(store.Get(slot) == alert);
  }
}

TEST_CASE("a store keeps each alert's id") {
  PackedAlerts store;
  const Slot a = store.Add(AlertId("a"));
  const Slot b = store.Add(AlertId("c0ffee00-0000-4000-8000-000000000001"));
  CHECK(store.id(a).Text() == "a");
  CHECK(store.id(b).Text() == "c0ffee00-0000-4000-8000-000000000001");
  store.Remove(a);
  CHECK(store.id(b).Text() == "c0ffee00-0000-4000-8000-000000000001");
}

TEST_CASE("a slab gives numbers again, the lowest of a chunk first, and keeps records where they are") {
  Slab<int, 4> slab;
  for (uint32_t i = 0; i < 10; ++i) {
    CHECK(slab.Add() == i);
    slab[i] = static_cast<int>(i);
  }
  const int* const ninth = &slab[9];
  for (int i = 0; i < 100; ++i) slab.Add();
  CHECK(&slab[9] == ninth);
  slab.Remove(2);
  slab.Remove(1);
  CHECK_FALSE(slab.Contains(1));
  CHECK(slab.Contains(3));
  CHECK_FALSE(slab.Contains(1000));
  CHECK(slab.Add() == 1);
  CHECK(slab[1] == 0);
  CHECK(slab.Add() == 2);
  // A chunk that is all empty comes back, too.
  for (uint32_t i = 4; i < 8; ++i) slab.Remove(i);
  std::set<uint32_t> again;
  for (int i = 0; i < 4; ++i) again.insert(slab.Add());
  CHECK(again == std::set<uint32_t>{4, 5, 6, 7});
  CHECK(slab[5] == 0);
}

TEST_CASE("a set of slots holds what was added since it was cleared") {
  SlotSet set;
  std::set<uint32_t> expected;
  Source source(11);
  for (int i = 0; i < 20'000; ++i) {
    if (source.Below(50) == 0) {
      set.Clear();
      expected.clear();
    }
    const auto slot = static_cast<uint32_t>(source.Below(source.Flag() ? 130 : 10'000));
    set.Add(slot);
    expected.insert(slot);
    const auto other = static_cast<uint32_t>(source.Below(200));
    if (set.Contains(other) != (expected.count(other) == 1)) FAIL("slot " << other);
    if (i % 10 == 0) CHECK(set.Sorted() == std::vector<uint32_t>(expected.begin(), expected.end()));
  }
  CHECK_FALSE(set.Contains(1'000'000));
}

}  // namespace
}  // namespace stockalert::fold
