// Real prices, replayed whole: some hundred alerts of every kind and policy over the file that ships with the fetcher,
// and over a longer one where it is there. Every trigger of the fold equals the auditor's.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <variant>
#include <vector>

#include <catch2/catch.hpp>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/fold.h"
#include "services/domain/record/log_record.h"
#include "services/fetcher/replay_file.h"
#include "tests/simulation/evaluator/comparison.h"
#include "tests/simulation/evaluator/random.h"
#include "tests/support/auditor/auditor.h"

namespace stockalert::simulation {
namespace {

using condition::Channel;
using condition::ChannelOp;
using condition::Condition;
using condition::CreationPolicy;
using condition::PercentChange;
using condition::PercentOp;
using condition::PercentReference;
using condition::PriceTarget;
using condition::TargetOp;
using condition::TrailingChange;
using condition::TrailingOp;
using condition::TriggerPolicy;
using fold::Fold;
using fold::Outcome;
using record::AlertChange;
using record::Event;

constexpr int64_t kUnit = 1'000'000;
constexpr int64_t kMinuteUs = 60 * kUnit;

// Every kind there is, with bounds where the prices of the file lie.
std::vector<Condition> Conditions(int64_t low, int64_t high) {
  std::vector<Condition> conditions;
  const auto between = [&](int64_t parts) {
    return (low + (high - low) * parts / 10) / 10'000 * 10'000;
  };  // To the cent.
  for (int64_t parts : {1, 4, 7, 9}) {
    for (TargetOp op : {TargetOp::kAtOrAbove, TargetOp::kAtOrBelow, TargetOp::kCrosses}) {
      conditions.push_back(PriceTarget{op, between(parts)});
    }
    for (ChannelOp op : {ChannelOp::kEnters, ChannelOp::kLeaves})
      conditions.push_back(Channel{op, between(parts - 1), between(parts + 1)});
  }
  for (int64_t percent_e4 : {2'500, 10'000, 30'000}) {
    for (PercentOp op : {PercentOp::kUp, PercentOp::kDown, PercentOp::kEither}) {
      conditions.push_back(PercentChange{op, percent_e4, PercentReference::kArming, 0, 0});
      conditions.push_back(PercentChange{op, percent_e4, PercentReference::kPreviousClose, 0, 0});
      conditions.push_back(PercentChange{op, percent_e4, PercentReference::kDayOpen, 0, 0});
      conditions.push_back(PercentChange{op, percent_e4, PercentReference::kGiven, between(5), 0});
      for (int64_t minutes : {5, 30, 3 * 24 * 60}) {
        conditions.push_back(PercentChange{op, percent_e4, PercentReference::kWindow, 0, minutes * kMinuteUs});
      }
    }
    for (TrailingOp op : {TrailingOp::kFallsFromHigh, TrailingOp::kRisesFromLow}) {
      conditions.push_back(TrailingChange{op, 0, percent_e4, std::nullopt});
      conditions.push_back(TrailingChange{op, percent_e4 * 50, 0, between(6)});
    }
  }
  return conditions;
}

std::vector<Event> Alerts(const std::string& symbol, int64_t low, int64_t high, Random& random) {
  std::vector<Event> alerts;
  for (const Condition& condition : Conditions(low, high)) {
    for (TriggerPolicy policy :
         {TriggerPolicy::kOnce, TriggerPolicy::kRepeat, TriggerPolicy::kRepeat, TriggerPolicy::kOnceADay}) {
      AlertChange change;
      change.alert_id = "a" + std::to_string(1000 + alerts.size());
      change.symbol = symbol;
      change.revision = change.armed_revision = 1;
      change.definition.condition = condition;
      change.definition.trigger_policy = policy;
      if (policy == TriggerPolicy::kRepeat && random.Chance(0.7)) {
        change.definition.cooldown_us = random.Pick<int64_t>({1, 10, 60}) * kMinuteUs;
      }
      change.definition.creation_policy = random.Pick({CreationPolicy::kFireIfMet, CreationPolicy::kWaitForCross});
      if (random.Chance(0.4)) {
        change.definition.hysteresis_micros = random.Pick<int64_t>({10'000, 50'000, 200'000});
        if (FindViolation(change.definition).has_value()) change.definition.hysteresis_micros = 0;
      }
      REQUIRE_FALSE(FindViolation(change.definition).has_value());
      alerts.push_back(change);
    }
  }
  return alerts;
}

void Replay(const std::string& path) {
  const auto file = fetcher::ReadReplayFile(path, "");
  INFO(path);
  REQUIRE(file.ok());
  REQUIRE_FALSE(file->ticks.empty());
  const auto [low, high] =
      std::minmax_element(file->ticks.begin(), file->ticks.end(),
                          [](const auto& a, const auto& b) { return a.price_micros < b.price_micros; });
  Random random(1);
  const std::vector<Event> alerts = Alerts(file->symbols.front(), low->price_micros, high->price_micros, random);

  // Half of the alerts are there from the first price on, the others come one by one on the way.
  std::vector<Event> events(alerts.begin(), alerts.begin() + static_cast<std::ptrdiff_t>(alerts.size() / 2));
  size_t next_alert = events.size();
  const size_t spread = std::max<size_t>(1, file->ticks.size() / (2 * (alerts.size() - next_alert)));
  for (size_t i = 0; i < file->ticks.size(); ++i) {
    internal::v1::LogRecord record;
    *record.mutable_quote() = file->QuoteOf(file->ticks[i]);
    record.mutable_quote()->set_publisher_epoch(1);
    record.mutable_quote()->set_sequence(static_cast<int64_t>(i) + 1);
    const auto decoded = record::ReadLogRecord(record.quote().symbol(), record.SerializeAsString());
    REQUIRE(decoded.problem.empty());
    events.push_back(decoded.event);
    if (i % spread == 0 && next_alert < alerts.size()) events.push_back(alerts[next_alert++]);
  }

  Fold fold;
  auditor::Auditor auditor;
  int64_t triggers = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    const int64_t offset = static_cast<int64_t>(i);
    Outcome outcome;
    fold.Apply(events[i], {offset, 0}, &outcome);
    const auto expected = auditor.Apply(offset, events[i]);
    triggers += static_cast<int64_t>(expected.size());
    if (const auto difference = Difference(outcome.triggers, expected)) FAIL("at event " << i << "\n" << *difference);
  }
  std::cout << path << ": " << file->ticks.size() << " quotes, " << alerts.size() << " alerts, " << triggers
            << " triggers\n";
  CHECK(triggers > 0);
}

TEST_CASE("the shipped prices, replayed whole", "[simulation]") { Replay(STOCKALERT_SHIPPED_PRICES); }

TEST_CASE("a month of minutes, replayed whole", "[simulation]") {
  const char* given = std::getenv("STOCKALERT_MINUTE_BARS");
  const std::string path = given != nullptr ? given : STOCKALERT_MINUTE_BARS;
  if (!std::filesystem::exists(path)) {
    std::cout << path << " is not there: skipped\n";
    return;
  }
  Replay(path);
}

}  // namespace
}  // namespace stockalert::simulation
