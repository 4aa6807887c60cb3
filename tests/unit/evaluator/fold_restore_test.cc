// A fold restored from a checkpoint is the fold that it was taken from: the same outcomes, for ever after.
#include <catch2/catch.hpp>

#include "services/evaluator/core/checkpoint_codec.h"
#include "services/evaluator/core/fold.h"
#include "tests/unit/evaluator/random_log.h"

namespace stockalert::evaluator {
namespace {

Fold ThroughBytes(const Fold& fold) {
  const absl::StatusOr<FoldState> state = DecodeCheckpoint(EncodeCheckpoint(fold.Snapshot()));
  if (!state.ok()) FAIL(std::string(state.status().message()));
  absl::StatusOr<Fold> restored = Fold::Restore(*state);
  if (!restored.ok()) FAIL(std::string(restored.status().message()));
  return *std::move(restored);
}

TEST_CASE("a fold restored before every record does what one does that never stopped") {
  int64_t triggers = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    RandomLog log(seed);
    Fold steady;
    Fold restored;
    for (int64_t offset = 0; offset < 300; ++offset) {
      CAPTURE(offset);
      const Event event = log.Next();
      const Place place{offset, offset * 1000};
      Outcome expected;
      Outcome got;
      steady.Apply(event, place, &expected);
      restored = ThroughBytes(restored);
      restored.Apply(event, place, &got);
      REQUIRE(got == expected);
      REQUIRE(restored.Snapshot() == steady.Snapshot());
      triggers += static_cast<int64_t>(expected.triggers.size());
    }
  }
  CHECK(triggers > 1000);
}

TEST_CASE("a fold restored once goes on as the other") {
  for (uint64_t seed = 100; seed <= 140; ++seed) {
    CAPTURE(seed);
    RandomLog log(seed);
    Fold steady;
    Fold restored;
    for (int64_t offset = 0; offset < 1000; ++offset) {
      CAPTURE(offset);
      if (offset == 400) restored = ThroughBytes(steady);
      const Event event = log.Next();
      Outcome expected;
      Outcome got;
      steady.Apply(event, {offset, 0}, &expected);
      if (offset < 400) continue;
      restored.Apply(event, {offset, 0}, &got);
      REQUIRE(got == expected);
    }
    REQUIRE(restored.Snapshot() == steady.Snapshot());
  }
}

TEST_CASE("batching changes nothing") {
  for (uint64_t seed = 200; seed <= 205; ++seed) {
    CAPTURE(seed);
    RandomLog one_log(seed);
    RandomLog other_log(seed);
    Fold one;
    Fold other;
    Outcome batch;
    Outcome all;
    for (int64_t offset = 0; offset < 500; ++offset) {
      one.Apply(one_log.Next(), {offset, 0}, &batch);
      Outcome single;
      other.Apply(other_log.Next(), {offset, 0}, &single);
      all.triggers.insert(all.triggers.end(), single.triggers.begin(), single.triggers.end());
      all.confirmations.insert(all.confirmations.end(), single.confirmations.begin(), single.confirmations.end());
      all.statuses.insert(all.statuses.end(), single.statuses.begin(), single.statuses.end());
    }
    CHECK(batch == all);
  }
}

TEST_CASE("a state that contradicts itself is refused") {
  RandomLog log(7);
  Fold fold;
  Outcome outcome;
  for (int64_t offset = 0; offset < 300; ++offset) fold.Apply(log.Next(), {offset, 0}, &outcome);
  const FoldState good = fold.Snapshot();
  REQUIRE(Fold::Restore(good).ok());
  REQUIRE(good.alerts.size() > 2);

  FoldState bad = good;
  bad.alerts.push_back(bad.alerts.front());
  CHECK_FALSE(Fold::Restore(bad).ok());
  bad = good;
  bad.alerts.front().symbol = "NONE";
  CHECK_FALSE(Fold::Restore(bad).ok());
  bad = good;
  bad.symbols.push_back(bad.symbols.front());
  CHECK_FALSE(Fold::Restore(bad).ok());
  bad = good;
  bad.alerts.front().definition.cooldown_us = -1;
  CHECK_FALSE(Fold::Restore(bad).ok());
  bad = good;
  for (SavedSymbol& symbol : bad.symbols) symbol.date += 1;
  CHECK_FALSE(Fold::Restore(bad).ok());
  bad = good;
  bad.tombstones = {{"x", 1, 0}, {"x", 1, 0}};
  CHECK_FALSE(Fold::Restore(bad).ok());
}

}  // namespace
}  // namespace stockalert::evaluator
