// Snapshots in parts, of a symbol with so many alerts that they are copied packed first.
#include <catch2/catch.hpp>

#include <string>

#include "services/domain/fold/fold.h"
#include "tests/unit/domain/fold/log_builder.h"

namespace stockalert::fold {
namespace {

using condition::Definition;
using condition::PercentOp;
using condition::PercentReference;

constexpr int kAlerts = 3'000;

std::string Id(int i) { return "alert-" + std::to_string(i); }

Definition WithoutExpiry(int i) {
  const int64_t away = 2 + i * 7 % 40;
  switch (i % 9) {
    case 0:
      return Of(Above(100 + away));
    case 1:
      return Of(Crosses(100 + away % 5), condition::TriggerPolicy::kRepeat, 60 * kSecondUs);
    case 2:
      return Of(Percent(PercentOp::kEither, away, PercentReference::kArming));
    case 3:
      return Of(Percent(PercentOp::kDown, away, PercentReference::kPreviousClose), condition::TriggerPolicy::kOnceADay);
    case 4:
      return Of(Percent(PercentOp::kEither, away, PercentReference::kWindow, 0, (5 + i % 2 * 55) * kSecondUs));
    case 5:
      return Of(Falls(away));
    case 6:
      return Of(Falls(away, 104), condition::TriggerPolicy::kOnce);
    case 7:
      return Of(Leaves(100 - away, 100 + away));
    default:
      return Of(Enters(100 + away, 110 + away));
  }
}

// Some expire before the snapshot, some during it; what they shared may be gone then.
Definition DefinitionFor(int i) {
  Definition definition = WithoutExpiry(i);
  if (i % 4 == 0) definition.expire_time_us = kOpenUs + (20 + i % 60) * kSecondUs;
  return definition;
}

void QuoteOther(LogBuilder& log, int i) {
  record::Quote quote;
  quote.symbol = "OTHER" + std::to_string(i);
  quote.price_micros = (50 + i) * kUnit;
  quote.event_time_us = log.time_us();
  log.Send(quote);
}

// Wherever it is in its parts, the log goes on: alerts move between rungs, trigger, are paused, deleted and armed.
void Disturb(LogBuilder& log, int step) {
  log.Price(100 + step % 13 - step % 5, market::Session::kRegular, 100);
  log.Pause(Id(step * 11 % 1'000));
  log.Delete(Id(1'000 + step));
  log.Resume(Id(step * 11 % 1'000));
  log.Rearm(Id(2'000 + step));
  log.Create("new-" + std::to_string(step), DefinitionFor(step));
  QuoteOther(log, step % 7);
}

TEST_CASE("a snapshot in parts is the state at its beginning, whatever happens meanwhile") {
  LogBuilder log;
  log.Price(100, market::Session::kRegular, 99);
  for (int i = 0; i < 5; ++i) QuoteOther(log, i);
  for (int i = 0; i < kAlerts; ++i) {
    log.Create(Id(i), DefinitionFor(i), /*paused=*/i % 31 == 0);
    if (i % 100 == 0) log.Price(100 + i / 100 % 9 - 4);
  }
  for (int i = 0; i < 1'000; i += 17) log.Pause(Id(i));
  for (int i = 0; i < 1'000; i += 34) log.Resume(Id(i));

  for (const bool quiet : {true, false}) {
    const FoldState expected = log.fold.Snapshot();
    log.fold.BeginSnapshot();
    int parts = 0;
    for (bool whole = false; !whole; ++parts) {
      if (!quiet) Disturb(log, parts);
      whole = log.fold.ContinueSnapshot(100);
    }
    CHECK(parts >= kAlerts / 100);
    FoldState copy = log.fold.TakeSnapshot();
    PutInOrder(&copy);
    CHECK(copy.symbols == expected.symbols);
    CHECK(copy.tombstones == expected.tombstones);
    REQUIRE(copy.alerts.size() == expected.alerts.size());
    for (size_t i = 0; i < copy.alerts.size(); ++i) {
      if (!(copy.alerts[i] == expected.alerts[i])) FAIL(copy.alerts[i].id << " differs");
    }
    CHECK(copy == expected);
  }

  // The disturbed fold goes on as one that is restored from its state does.
  const FoldState state = log.fold.Snapshot();
  LogBuilder other;
  other.fold = *Fold::Restore(state);
  CHECK(other.fold.Snapshot() == state);
}

TEST_CASE("a snapshot that is begun anew drops what was frozen for the one before") {
  LogBuilder log;
  log.Price(100);
  for (int i = 0; i < kAlerts; ++i) log.Create(Id(i), DefinitionFor(i));
  log.fold.BeginSnapshot();
  REQUIRE_FALSE(log.fold.ContinueSnapshot(10));
  log.Delete(Id(5));
  const FoldState expected = log.fold.Snapshot();
  log.fold.BeginSnapshot();
  while (!log.fold.ContinueSnapshot(1'000)) {
  }
  FoldState copy = log.fold.TakeSnapshot();
  PutInOrder(&copy);
  CHECK(copy == expected);
}

TEST_CASE("an earlier version's price before of an alert that was only armed is its symbol's") {
  LogBuilder log;
  log.Price(99);
  log.Create("a", Of(Crosses(100)));
  FoldState state = log.fold.Snapshot();
  REQUIRE(state.alerts.size() == 1);
  CHECK_FALSE(state.alerts[0].has_own_price_before);
  // As it was saved with: the last price when it was armed.
  state.alerts[0].has_own_price_before = true;
  state.alerts[0].own_price_before_micros = 99 * kUnit;
  LogBuilder other;
  other.fold = *Fold::Restore(state);
  other.At(log.time_us());
  other.Price(98);
  CHECK(other.Price(101) == std::vector<std::string>{"a#1"});
  CHECK(other.outcome.triggers[0].price_before_micros == 98 * kUnit);
}

}  // namespace
}  // namespace stockalert::fold
