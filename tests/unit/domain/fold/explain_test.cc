// What the fold says of an alert is what it then does: explanations held against copies of the fold that are given each
// price in question.
#include "services/domain/fold/explain.h"

#include <catch2/catch.hpp>

#include <random>
#include <set>

#include "services/domain/fold/fold.h"
#include "services/domain/price/decimal.h"
#include "tests/unit/domain/fold/log_builder.h"
#include "tests/unit/domain/fold/random_log.h"

namespace stockalert::fold {
namespace {

using condition::PercentOp;
using condition::PercentReference;
using condition::TriggerPolicy;

// Copies of a fold, each given one more price of an alert's symbol.
class Trial {
 public:
  Trial(const Fold& fold, std::string alert_id) : state_(fold.Snapshot()), id_(std::move(alert_id)) {
    symbol_ = fold.FindAlert(id_)->symbol;
    for (const SavedSymbol& saved : state_.symbols) {
      if (saved.symbol != symbol_) continue;
      rules_ = saved.rules;
      time_us_ = saved.last_event_time_us.value_or(kOpenUs);
    }
  }

  // Whether the alert triggers at the price; and what is then said of it.
  bool Triggers(int64_t price_micros, std::optional<int64_t> time_us = std::nullopt) {
    Fold copy = *Fold::Restore(state_);
    record::Quote quote;
    quote.symbol = symbol_;
    quote.price_micros = price_micros;
    quote.event_time_us = time_us.value_or(time_us_);
    quote.rules = rules_;
    Outcome outcome;
    copy.Apply(quote, {}, &outcome);
    after = copy.Explain(id_);
    for (const record::Trigger& trigger : outcome.triggers) {
      if (trigger.alert_id == id_) return true;
    }
    return false;
  }

  std::optional<Explanation> after;

 private:
  FoldState state_;
  std::string id_, symbol_;
  market::Rules rules_ = market::kNewestRules;
  int64_t time_us_ = kOpenUs;
};

// The ends of the ranges, the prices beside them, and some others.
std::set<int64_t> Candidates(const std::vector<ExplainedSide>& sides, std::mt19937_64* random) {
  std::set<int64_t> prices = {1, price::kMaxPriceMicros};
  const auto add = [&](const std::optional<int64_t>& end) {
    for (int64_t beside = -1; end.has_value() && beside <= 1; ++beside) prices.insert(*end + beside);
  };
  for (const ExplainedSide& side : sides) {
    for (const std::vector<PriceRange>& ranges : {side.trigger_ranges, side.ready_ranges}) {
      for (const PriceRange& range : ranges) {
        add(range.low_micros);
        add(range.high_micros);
      }
    }
    add(side.reference_micros);
  }
  for (int i = 0; i < 4; ++i) prices.insert(90'000'000 + static_cast<int64_t>((*random)() % 20'000'000));
  std::erase_if(prices, [](int64_t micros) { return !price::IsValidPriceMicros(micros); });
  return prices;
}

bool Contain(const std::vector<PriceRange>& ranges, int64_t price_micros) {
  for (const PriceRange& range : ranges) {
    if (range.Contains(price_micros)) return true;
  }
  return false;
}

// Of a side that waits to become ready.
bool IsNotReady(Readiness readiness) {
  return readiness == Readiness::kMetSinceArming || readiness == Readiness::kMetSinceEdge ||
         readiness == Readiness::kWithinHysteresis;
}

// Levels that the passing of time does not move.
bool IsTimeless(const condition::Definition& definition) {
  const auto* change = std::get_if<condition::PercentChange>(&definition.condition);
  return change == nullptr || change->reference == PercentReference::kArming ||
         change->reference == PercentReference::kGiven;
}

// How much was compared, so that a test that compares nothing is seen.
struct Compared {
  int64_t prices = 0, triggers = 0, made_ready = 0, in_cooldown = 0;
  std::set<Readiness> readiness;
};

void Compare(const Fold& fold, const std::string& id, std::mt19937_64* random, Compared* compared) {
  const FoldState before = fold.Snapshot();
  const std::optional<Explanation> explained = fold.Explain(id);
  REQUIRE(explained.has_value());
  REQUIRE(fold.Snapshot() == before);
  compared->readiness.insert(explained->readiness);
  Trial trial(fold, id);
  const bool swallowed = explained->cooldown_end_us.has_value();
  for (const int64_t price : Candidates(explained->sides, random)) {
    ++compared->prices;
    bool expected = false;
    for (const ExplainedSide& side : explained->sides) expected = expected || Contain(side.trigger_ranges, price);
    CAPTURE(price, explained->readiness);
    const bool triggers = trial.Triggers(price);
    REQUIRE(triggers == (expected && !swallowed));
    compared->triggers += triggers ? 1 : 0;
    if (swallowed && IsTimeless(explained->definition) &&
        explained->definition.trigger_policy == TriggerPolicy::kRepeat) {
      const int64_t end_us = *explained->cooldown_end_us;
      const bool expires = explained->definition.expire_time_us.value_or(end_us + 1) <= end_us;
      REQUIRE_FALSE(trial.Triggers(price, end_us - 1));
      REQUIRE(trial.Triggers(price, end_us) == (expected && !expires));
      ++compared->in_cooldown;
      continue;
    }
    for (size_t i = 0; i < explained->sides.size(); ++i) {
      const ExplainedSide& side = explained->sides[i];
      // A trigger of the other side begins anew.
      if (!IsNotReady(side.readiness) || expected) continue;
      REQUIRE((trial.after->sides.at(i).readiness == Readiness::kReady ||
               trial.after->sides.at(i).readiness == Readiness::kOnTarget) == Contain(side.ready_ranges, price));
      ++compared->made_ready;
    }
  }
}

Explanation Explained(const LogBuilder& log, const std::string& id) { return *log.fold.Explain(id); }

PriceRange From(int64_t low_micros) { return {low_micros, std::nullopt}; }
PriceRange UpTo(int64_t high_micros) { return {std::nullopt, high_micros}; }

}  // namespace

TEST_CASE("the prices that an explanation names trigger, and those beside them do not") {
  Compared compared;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    RandomLog log(seed);
    Fold fold;
    record::Place place;
    std::set<std::string> ids;
    for (int i = 0; i < 300; ++i) {
      const record::Event event = log.Next();
      if (const auto* change = std::get_if<record::AlertChange>(&event)) ids.insert(change->alert_id);
      Outcome outcome;
      ++place.offset;
      fold.Apply(event, place, &outcome);
      if (ids.empty() || random() % 6 != 0) continue;
      auto id = ids.begin();
      std::advance(id, static_cast<std::ptrdiff_t>(random() % ids.size()));
      if (fold.FindAlert(*id).has_value()) Compare(fold, *id, &random, &compared);
    }
  }
  // As it is worth something.
  CHECK(compared.prices > 10'000);
  CHECK(compared.triggers > 1'000);
  CHECK(compared.made_ready > 500);
  CHECK(compared.in_cooldown > 200);
  CHECK(compared.readiness.size() == 13);  // Every one.
}

TEST_CASE("what is explained of an alert nobody knows") {
  LogBuilder log;
  log.Price(100);
  CHECK_FALSE(log.fold.Explain("none").has_value());
  log.Create("a", Of(Above(150)));
  log.Delete("a");
  CHECK_FALSE(log.fold.Explain("a").has_value());
}

TEST_CASE("a target says where it triggers, and what it waits for where it is met") {
  LogBuilder log;
  log.Create("first", Of(Above(150)));
  CHECK(Explained(log, "first").readiness == Readiness::kAwaitingPrice);
  CHECK(Explained(log, "first").sides[0].trigger_ranges == std::vector<PriceRange>{From(150 * kUnit)});
  CHECK_FALSE(Explained(log, "first").last_event_time_us.has_value());
  log.At(kOpenUs).Price(160);
  condition::Definition waits = Of(Above(150));
  waits.creation_policy = condition::CreationPolicy::kWaitForCross;
  waits.hysteresis_micros = 2 * kUnit;
  log.Create("waits", waits);
  Explanation explained = Explained(log, "waits");
  CHECK(explained.readiness == Readiness::kMetSinceArming);
  CHECK(explained.sides[0].trigger_ranges.empty());
  CHECK(explained.sides[0].ready_ranges == std::vector<PriceRange>{UpTo(148 * kUnit)});
  CHECK(explained.last_price_micros == 160 * kUnit);
  CHECK(explained.last_price_time_us == kOpenUs);
  CHECK(explained.last_event_time_us == kOpenUs);
  log.Price(149);
  CHECK(Explained(log, "waits").readiness == Readiness::kWithinHysteresis);
  log.Price(148);
  CHECK(Explained(log, "waits").readiness == Readiness::kReady);
  log.Price(151);
  CHECK(Explained(log, "waits").readiness == Readiness::kMetSinceEdge);
  CHECK(Explained(log, "waits").trigger_number == 1);
  log.Pause("waits");
  CHECK(Explained(log, "waits").readiness == Readiness::kPaused);
  CHECK(Explained(log, "waits").last_price_micros == 151 * kUnit);
  CHECK_FALSE(Explained(log, "waits").last_price_time_us.has_value());
}

TEST_CASE("of a held symbol's alert the next price changes nothing") {
  LogBuilder log;
  log.Price(100);
  log.Create("a", Of(Above(150)));
  log.Create("paused", Of(Above(150)));
  log.Pause("paused");
  log.Send(record::SplitSuspected{"AAPL", 0, 0});
  log.Price(160);
  const Explanation held = Explained(log, "a");
  CHECK(held.readiness == Readiness::kHeld);
  REQUIRE(held.sides.size() == 1);
  CHECK(held.sides[0].trigger_ranges.empty());
  CHECK(held.last_price_micros == 100 * kUnit);
  CHECK(Explained(log, "paused").readiness == Readiness::kPaused);
  log.Send(record::SplitDismissed{"AAPL", 0, 0});
  CHECK(Explained(log, "a").readiness == Readiness::kMetSinceEdge);
}

TEST_CASE("each side of a percentage up or down has its own levels, exact to the micro") {
  LogBuilder log;
  log.Price(100.000001);
  log.Create("p", Of(Percent(PercentOp::kEither, 3, PercentReference::kArming)));
  const Explanation explained = Explained(log, "p");
  REQUIRE(explained.sides.size() == 2);
  CHECK(explained.sides[0].reference_micros == 100'000'001);
  CHECK(explained.sides[0].trigger_ranges == std::vector<PriceRange>{From(103'000'002)});
  CHECK(explained.sides[1].trigger_ranges == std::vector<PriceRange>{UpTo(97'000'000)});
}

TEST_CASE("a window lists what it may be measured from, and forgets with the symbol's time") {
  LogBuilder log;
  log.Price(100);
  log.Create("w", Of(Percent(PercentOp::kUp, 10, PercentReference::kWindow, 0, 10 * kSecondUs)));
  log.Price(102);
  log.Price(101);
  Explanation explained = Explained(log, "w");
  REQUIRE(explained.sides[0].window.size() == 2);
  CHECK(explained.sides[0].window[0] == PricePoint{100 * kUnit, kOpenUs});
  CHECK(explained.sides[0].trigger_ranges == std::vector<PriceRange>{From(110 * kUnit)});
  // A quote that does not count for it takes the time on.
  log.At(kOpenUs + 11 * kSecondUs).Price(105, market::Session::kClosed);
  explained = Explained(log, "w");
  CHECK(explained.sides[0].reference_micros == 101 * kUnit);
  log.At(kOpenUs + 60 * kSecondUs).Price(105, market::Session::kClosed);
  explained = Explained(log, "w");
  CHECK(explained.sides[0].window.empty());
  CHECK(explained.sides[0].trigger_ranges.empty());
}

TEST_CASE("cooldowns, the rest of a date, ends and splits are told") {
  LogBuilder log;
  log.Price(100);
  log.Create("repeat", Of(Above(150), TriggerPolicy::kRepeat, 60 * kSecondUs));
  log.Create("daily", Of(Above(150), TriggerPolicy::kOnceADay));
  log.Create("once", Of(Above(150), TriggerPolicy::kOnce));
  log.Price(150);
  CHECK(Explained(log, "repeat").cooldown_end_us == kOpenUs + 61 * kSecondUs);
  // Midnight in New York.
  CHECK(Explained(log, "daily").cooldown_end_us == kOpenUs + 14 * 3600 * kSecondUs);
  CHECK(Explained(log, "once").readiness == Readiness::kEnded);
  CHECK(Explained(log, "once").sides.empty());
  log.At(kOpenUs + 61 * kSecondUs).Price(140);
  CHECK_FALSE(Explained(log, "repeat").cooldown_end_us.has_value());

  record::Split split;
  split.symbol = "AAPL";
  split.number = 1;
  split.split_id = "s";
  split.ratio = {2, 1};
  log.Send(split);
  const Explanation halved = Explained(log, "repeat");
  CHECK(halved.last_price_micros == 70 * kUnit);
  CHECK(halved.sides[0].trigger_ranges == std::vector<PriceRange>{From(75 * kUnit)});
  REQUIRE(halved.splits.size() == 1);
  CHECK(halved.splits[0].split_id == "s");
}

}  // namespace stockalert::fold
