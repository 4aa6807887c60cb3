#include "services/domain/condition/definition.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "services/domain/price/decimal.h"

namespace stockalert::condition {
namespace {

constexpr int64_t kUnit = price::kMicrosPerUnit;

Definition Of(Condition condition, TriggerPolicy policy = TriggerPolicy::kOnce, int64_t cooldown_us = 0,
              int64_t hysteresis_micros = 0) {
  Definition definition;
  definition.condition = condition;
  definition.trigger_policy = policy;
  definition.cooldown_us = cooldown_us;
  definition.hysteresis_micros = hysteresis_micros;
  return definition;
}

PriceTarget Target(TargetOp op, int64_t micros) { return {op, micros}; }
PercentChange Percent(PercentOp op, int64_t e4, PercentReference reference, int64_t given = 0, int64_t window = 0) {
  return {op, e4, reference, given, window};
}

TEST_CASE("valid definitions violate no rule") {
  const std::vector<Definition> good = {
      Of(Target(TargetOp::kAtOrAbove, 1)),
      Of(Target(TargetOp::kCrosses, price::kMaxPriceMicros)),
      Of(Target(TargetOp::kAtOrAbove, 100 * kUnit), TriggerPolicy::kRepeat, 60'000'000, 100 * kUnit - 1),
      Of(Target(TargetOp::kAtOrBelow, 1 * kUnit), TriggerPolicy::kRepeat, 0, 500 * kUnit),
      Of(Target(TargetOp::kCrosses, 1 * kUnit), TriggerPolicy::kOnceADay, 0, 500 * kUnit),
      Of(Percent(PercentOp::kUp, 1, PercentReference::kArming)),
      Of(Percent(PercentOp::kUp, 5'000'000, PercentReference::kPreviousClose)),
      Of(Percent(PercentOp::kDown, 999'999, PercentReference::kDayOpen)),
      Of(Percent(PercentOp::kEither, 20'000, PercentReference::kGiven, 1)),
      Of(Percent(PercentOp::kEither, 20'000, PercentReference::kWindow, 0, 1)),
      Of(TrailingChange{TrailingOp::kFallsFromHigh, 1, 0, std::nullopt}),
      Of(TrailingChange{TrailingOp::kRisesFromLow, 0, 2'000'000, 5 * kUnit}),
      Of(Channel{ChannelOp::kLeaves, 100 * kUnit, 102 * kUnit}, TriggerPolicy::kRepeat, 0, 1 * kUnit),
      Of(Channel{ChannelOp::kEnters, 100 * kUnit, 102 * kUnit}, TriggerPolicy::kRepeat, 0, 50 * kUnit),
  };
  for (size_t i = 0; i < good.size(); ++i) {
    CAPTURE(i);
    const std::optional<Violation> violation = FindViolation(good[i]);
    CHECK_FALSE(violation.has_value());
  }
}

TEST_CASE("a definition that breaks a rule is named by its field") {
  struct Case {
    Definition definition;
    std::string field;
  };
  const std::vector<Case> cases = {
      {Of(Target(TargetOp::kAtOrAbove, 0)), "condition.price_target.price"},
      {Of(Target(TargetOp::kAtOrBelow, -1)), "condition.price_target.price"},
      {Of(Target(TargetOp::kCrosses, price::kMaxPriceMicros + 1)), "condition.price_target.price"},
      {Of(Target(TargetOp::kAtOrAbove, kUnit), TriggerPolicy::kOnce, 0, kUnit), "hysteresis"},
      {Of(Target(TargetOp::kAtOrAbove, kUnit), TriggerPolicy::kOnce, 0, -1), "hysteresis"},
      {Of(Target(TargetOp::kAtOrAbove, kUnit), TriggerPolicy::kOnce, 1), "cooldown"},
      {Of(Target(TargetOp::kAtOrAbove, kUnit), TriggerPolicy::kOnceADay, 1), "cooldown"},
      {Of(Target(TargetOp::kAtOrAbove, kUnit), TriggerPolicy::kRepeat, -1), "cooldown"},
      {Of(Percent(PercentOp::kUp, 0, PercentReference::kArming)), "condition.percent_change.percent"},
      {Of(Percent(PercentOp::kUp, -1, PercentReference::kArming)), "condition.percent_change.percent"},
      {Of(Percent(PercentOp::kDown, 1'000'000, PercentReference::kArming)), "condition.percent_change.percent"},
      {Of(Percent(PercentOp::kEither, 1'000'000, PercentReference::kArming)), "condition.percent_change.percent"},
      {Of(Percent(PercentOp::kUp, 1, PercentReference::kGiven, 0)), "condition.percent_change.given_price"},
      {Of(Percent(PercentOp::kUp, 1, PercentReference::kWindow, 0, 0)), "condition.percent_change.window"},
      {Of(Percent(PercentOp::kUp, 1, PercentReference::kWindow, 0, -1)), "condition.percent_change.window"},
      {Of(Percent(PercentOp::kUp, 1, PercentReference::kArming), TriggerPolicy::kOnce, 0, 1), "hysteresis"},
      {Of(TrailingChange{TrailingOp::kFallsFromHigh, 0, 0, std::nullopt}), "condition.trailing_change.amount"},
      {Of(TrailingChange{TrailingOp::kFallsFromHigh, -1, 0, std::nullopt}), "condition.trailing_change.amount"},
      {Of(TrailingChange{TrailingOp::kFallsFromHigh, 0, 1'000'000, std::nullopt}), "condition.trailing_change.percent"},
      {Of(TrailingChange{TrailingOp::kRisesFromLow, 0, -1, std::nullopt}), "condition.trailing_change.percent"},
      {Of(TrailingChange{TrailingOp::kFallsFromHigh, 1, 0, 0}), "condition.trailing_change.activation_price"},
      {Of(TrailingChange{TrailingOp::kFallsFromHigh, 1, 1, std::nullopt}), "condition.trailing_change.amount"},
      {Of(TrailingChange{TrailingOp::kFallsFromHigh, 1, 0, std::nullopt}, TriggerPolicy::kOnce, 0, 1), "hysteresis"},
      {Of(Channel{ChannelOp::kEnters, 0, 1}), "condition.channel.low"},
      {Of(Channel{ChannelOp::kEnters, 1, price::kMaxPriceMicros + 1}), "condition.channel.high"},
      {Of(Channel{ChannelOp::kEnters, 5, 5}), "condition.channel.low"},
      {Of(Channel{ChannelOp::kEnters, 6, 5}), "condition.channel.low"},
      {Of(Channel{ChannelOp::kLeaves, 100 * kUnit, 102 * kUnit}, TriggerPolicy::kOnce, 0, kUnit + 1), "hysteresis"},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(i, cases[i].field);
    const std::optional<Violation> violation = FindViolation(cases[i].definition);
    REQUIRE(violation.has_value());
    CHECK(violation->field == cases[i].field);
    CHECK(violation->description[0] != '\0');
  }
}

TEST_CASE("rounding at a split may have brought bounds together, and nothing else") {
  const std::vector<Definition> together = {
      Of(Target(TargetOp::kAtOrAbove, 1), TriggerPolicy::kOnce, 0, 1),
      Of(Channel{ChannelOp::kEnters, 1, 1}),
      Of(Channel{ChannelOp::kLeaves, 1, 1}, TriggerPolicy::kOnce, 0, 1),
      Of(Channel{ChannelOp::kLeaves, 1, 3}, TriggerPolicy::kOnce, 0, 2),
  };
  for (const Definition& definition : together) {
    CHECK(FindViolation(definition).has_value());
    CHECK_FALSE(FindViolationAfterSplits(definition).has_value());
  }
  for (const Definition& wrong : {Of(Target(TargetOp::kAtOrAbove, 0)), Of(Channel{ChannelOp::kEnters, 2, 1}),
                                  Of(Target(TargetOp::kAtOrAbove, 1), TriggerPolicy::kOnce, 1)}) {
    CHECK(FindViolationAfterSplits(wrong).has_value());
  }
}

TEST_CASE("a change of anything but the expiry arms the alert anew") {
  const Definition before = Of(Target(TargetOp::kAtOrAbove, 100 * kUnit), TriggerPolicy::kRepeat);
  Definition after = before;
  CHECK_FALSE(before.ArmsWhenChangedTo(after));
  after.expire_time_us = 5;
  CHECK_FALSE(before.ArmsWhenChangedTo(after));
  after.hysteresis_micros = 1;
  CHECK(before.ArmsWhenChangedTo(after));
  after = before;
  after.cooldown_us = 1;
  CHECK(before.ArmsWhenChangedTo(after));
  after = before;
  after.creation_policy = CreationPolicy::kWaitForCross;
  CHECK(before.ArmsWhenChangedTo(after));
  after = before;
  after.sessions = Sessions::kExtended;
  CHECK(before.ArmsWhenChangedTo(after));
  after = before;
  after.condition = Target(TargetOp::kAtOrBelow, 100 * kUnit);
  CHECK(before.ArmsWhenChangedTo(after));
}

}  // namespace
}  // namespace stockalert::condition
