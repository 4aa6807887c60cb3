// Splits. What each kind makes of one is in docs/semantics/vectors.jsonl, and random ones are compared with the
// auditor.
#include <catch2/catch.hpp>

#include "tests/unit/domain/fold/log_builder.h"

namespace stockalert::fold {
namespace {

using condition::PercentOp;
using condition::PercentReference;
using Fired = std::vector<std::string>;

const Fired kNone;

record::Split SplitOf(int64_t number, price::SplitRatio ratio, const std::string& id = "") {
  return {"AAPL", id.empty() ? "split-" + std::to_string(number) : id, number, ratio, kOpenUs};
}

int64_t TargetOf(const LogBuilder& log, const std::string& id) {
  return std::get<condition::PriceTarget>(log.fold.FindAlert(id)->definition.condition).price_micros;
}

TEST_CASE("prices of before a split are scaled, and nothing triggers by it") {
  LogBuilder log;
  log.Create("up", Of(Above(440)));
  log.Create("ended", Of(Above(380), condition::TriggerPolicy::kOnce));
  CHECK(log.Price(400) == Fired{"ended#1"});
  log.Create("falls", Of(Falls(10)));
  const int64_t revision = log.fold.FindAlert("up")->revision;
  CHECK(log.Send(SplitOf(1, {4, 1})) == kNone);
  CHECK(log.fold.FindAlert("up")->revision == revision);
  CHECK(TargetOf(log, "up") == 110 * kUnit);
  CHECK(TargetOf(log, "ended") == 95 * kUnit);
  CHECK(log.fold.FindSymbol("AAPL")->last_regular_price_micros == 100 * kUnit);
  CHECK(log.Price(91) == kNone);
  CHECK(log.Price(90) == Fired{"falls#1"});
  CHECK(log.Price(110) == Fired{"up#1"});
}

TEST_CASE("a split that is known is skipped: by its number, or by its id") {
  LogBuilder log;
  log.Create("a", Of(Above(400)));
  log.Send(SplitOf(1, {2, 1}));
  log.Send(SplitOf(1, {2, 1}));
  log.Send(SplitOf(1, {2, 1}, "another"));
  log.Send(SplitOf(2, {2, 1}, "split-1"));
  CHECK(TargetOf(log, "a") == 200 * kUnit);
  log.fold = Fold::Restore(log.fold.Snapshot()).value();
  log.Send(SplitOf(1, {2, 1}));
  CHECK(TargetOf(log, "a") == 200 * kUnit);
  log.Send(record::Restart{"AAPL"});
  log.Send(SplitOf(1, {2, 1}));
  CHECK(TargetOf(log, "a") == 200 * kUnit);
  log.Send(SplitOf(2, {2, 1}));
  CHECK(TargetOf(log, "a") == 100 * kUnit);
}

TEST_CASE("a split that comes again is told of again and scales nothing; another under its number is not told of") {
  LogBuilder log;
  log.Create("a", Of(Above(400)));
  const record::Split first = SplitOf(1, {2, 1});
  const record::Split second = SplitOf(2, {5, 1});
  for (const record::Split& split : {first, second}) {
    log.Send(split);
    CHECK(log.outcome.splits == std::vector<record::Split>{split});
  }
  CHECK(TargetOf(log, "a") == 40 * kUnit);
  SECTION("of the same log") {}
  SECTION("of another one, which a checkpoint was carried into") {
    log.fold = Fold::Restore(log.fold.Snapshot()).value();
  }
  for (const record::Split& split : {first, second, first}) {
    log.Send(split);
    CHECK(log.outcome.splits == std::vector<record::Split>{split});
  }
  for (const record::Split& other : {SplitOf(1, {2, 1}, "another"), SplitOf(3, {2, 1}, "split-1"), SplitOf(2, {5, 2}),
                                     SplitOf(1, {2, 1}, "split-2")}) {
    log.Send(other);
    CHECK(log.outcome == Outcome{});
  }
  CHECK(TargetOf(log, "a") == 40 * kUnit);
  // What a hold keeps is not settled by a split that had been applied before it.
  log.Send(record::SplitSuspected{"AAPL"});
  log.Price(500);
  log.Send(second);
  CHECK(log.outcome.splits == std::vector<record::Split>{second});
  CHECK(log.outcome.triggers.empty());
  CHECK(log.fold.FindSymbol("AAPL")->held_records == 1);
}

TEST_CASE("a change that was stated before splits does not bring back old prices") {
  LogBuilder log;
  // The symbol's first record of all.
  log.Send(SplitOf(1, {2, 1}));
  log.Send(SplitOf(2, {5, 1}));
  log.Create("none", Of(Above(1000)));
  CHECK(TargetOf(log, "none") == 100 * kUnit);
  log.Change("none", [](record::AlertChange& change) {
    change.armed_revision = change.revision;
    change.splits_applied = 1;
  });
  CHECK(TargetOf(log, "none") == 200 * kUnit);
  log.Change("none", [](record::AlertChange& change) {
    change.armed_revision = change.revision;
    change.splits_applied = 2;
  });
  CHECK(TargetOf(log, "none") == 1000 * kUnit);
}

TEST_CASE("bounds that rounding brings together do not keep a checkpoint from being restored") {
  LogBuilder log;
  condition::Definition narrow = Of(condition::Channel{condition::ChannelOp::kLeaves, 1, 3});
  narrow.hysteresis_micros = 1;
  log.Create("narrow", narrow);
  log.Price(0.000002);
  log.Send(SplitOf(1, {1000, 1}));
  const auto restored = Fold::Restore(log.fold.Snapshot());
  REQUIRE(restored.ok());
  CHECK(restored->Snapshot() == log.fold.Snapshot());
  CHECK(log.Price(0.000002) == Fired{"narrow#1"});
}

TEST_CASE("prices of a window that become equal are one, of the last one's time") {
  LogBuilder log;
  log.Price(0.000004);
  log.Create("window", Of(Percent(PercentOp::kUp, 100, PercentReference::kWindow, 0, 60 * kSecondUs)));
  log.Price(0.000005);
  log.Price(0.000006);
  log.Send(SplitOf(1, {10, 1}));
  const auto restored = Fold::Restore(log.fold.Snapshot());
  REQUIRE(restored.ok());
  CHECK(restored->Snapshot() == log.fold.Snapshot());
  // The first of them has left the window, the last one has not.
  log.At(kOpenUs + 61 * kSecondUs + kSecondUs / 2);
  CHECK(log.Price(0.000002) == Fired{"window#1"});
}

}  // namespace
}  // namespace stockalert::fold
