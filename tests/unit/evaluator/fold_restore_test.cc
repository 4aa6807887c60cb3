// A fold restored from a checkpoint is the fold that it was taken from: the same outcomes, for ever after.
#include <catch2/catch.hpp>

#include "services/domain/fold/fold.h"
#include "services/evaluator/checkpoint_codec.h"
#include "tests/unit/domain/fold/random_log.h"

namespace stockalert::evaluator {
namespace {

fold::Fold ThroughBytes(const fold::Fold& fold) {
  const absl::StatusOr<fold::FoldState> state = DecodeCheckpoint(EncodeCheckpoint(fold.Snapshot()));
  if (!state.ok()) FAIL(std::string(state.status().message()));
  absl::StatusOr<fold::Fold> restored = fold::Fold::Restore(*state);
  if (!restored.ok()) FAIL(std::string(restored.status().message()));
  return *std::move(restored);
}

TEST_CASE("a fold restored before every record does what one does that never stopped") {
  int64_t triggers = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    fold::RandomLog log(seed);
    fold::Fold steady;
    fold::Fold restored;
    for (int64_t offset = 0; offset < 300; ++offset) {
      CAPTURE(offset);
      const record::Event event = log.Next();
      const record::Place place{offset, offset * 1000};
      fold::Outcome expected;
      fold::Outcome got;
      steady.Apply(event, place, &expected);
      restored = ThroughBytes(restored);
      restored.Apply(event, place, &got);
      REQUIRE(got == expected);
      REQUIRE(restored.Snapshot() == steady.Snapshot());
      triggers += static_cast<int64_t>(expected.triggers.size());
    }
  }
  CHECK(triggers > 900);
}

TEST_CASE("a fold restored once goes on as the other") {
  for (uint64_t seed = 100; seed <= 140; ++seed) {
    CAPTURE(seed);
    fold::RandomLog log(seed);
    fold::Fold steady;
    fold::Fold restored;
    for (int64_t offset = 0; offset < 1000; ++offset) {
      CAPTURE(offset);
      if (offset == 400) restored = ThroughBytes(steady);
      const record::Event event = log.Next();
      fold::Outcome expected;
      fold::Outcome got;
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
    fold::RandomLog one_log(seed);
    fold::RandomLog other_log(seed);
    fold::Fold one;
    fold::Fold other;
    fold::Outcome batch;
    fold::Outcome all;
    for (int64_t offset = 0; offset < 500; ++offset) {
      one.Apply(one_log.Next(), {offset, 0}, &batch);
      fold::Outcome single;
      other.Apply(other_log.Next(), {offset, 0}, &single);
      all.triggers.insert(all.triggers.end(), single.triggers.begin(), single.triggers.end());
      all.confirmations.insert(all.confirmations.end(), single.confirmations.begin(), single.confirmations.end());
      all.statuses.insert(all.statuses.end(), single.statuses.begin(), single.statuses.end());
      all.splits.insert(all.splits.end(), single.splits.begin(), single.splits.end());
    }
    CHECK(batch == all);
  }
}

TEST_CASE("a state that contradicts itself is refused") {
  fold::RandomLog log(7);
  fold::Fold fold;
  fold::Outcome outcome;
  for (int64_t offset = 0; offset < 300; ++offset) fold.Apply(log.Next(), {offset, 0}, &outcome);
  const fold::FoldState good = fold.Snapshot();
  REQUIRE(fold::Fold::Restore(good).ok());
  REQUIRE(good.alerts.size() > 2);

  fold::FoldState bad = good;
  bad.alerts.push_back(bad.alerts.front());
  CHECK_FALSE(fold::Fold::Restore(bad).ok());
  bad = good;
  bad.alerts.front().symbol = "NONE";
  CHECK_FALSE(fold::Fold::Restore(bad).ok());
  bad = good;
  bad.symbols.push_back(bad.symbols.front());
  CHECK_FALSE(fold::Fold::Restore(bad).ok());
  bad = good;
  bad.alerts.front().definition.cooldown_us = -1;
  CHECK_FALSE(fold::Fold::Restore(bad).ok());
  bad = good;
  for (fold::SavedSymbol& symbol : bad.symbols) symbol.date += 1;
  CHECK_FALSE(fold::Fold::Restore(bad).ok());
  bad = good;
  bad.tombstones = {{"x", 1, 0}, {"x", 1, 0}};
  CHECK_FALSE(fold::Fold::Restore(bad).ok());
}

}  // namespace
}  // namespace stockalert::evaluator
