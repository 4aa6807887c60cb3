#include "services/domain/condition/split.h"

#include <catch2/catch.hpp>

namespace stockalert::condition {
namespace {

Definition Halved(Condition condition, int64_t hysteresis_micros = 0) {
  Definition definition;
  definition.condition = condition;
  definition.hysteresis_micros = hysteresis_micros;
  definition.expire_time_us = 1000;
  definition.cooldown_us = 1000;
  ScaleDefinition({2, 1}, &definition);
  CHECK(definition.expire_time_us == 1000);
  CHECK(definition.cooldown_us == 1000);
  return definition;
}

TEST_CASE("a split scales every price of a definition, and nothing else") {
  const Definition target = Halved(PriceTarget{TargetOp::kCrosses, 100}, 10);
  CHECK(std::get<PriceTarget>(target.condition) == PriceTarget{TargetOp::kCrosses, 50});
  CHECK(target.hysteresis_micros == 5);
  const PercentChange given{PercentOp::kUp, 5000, PercentReference::kGiven, 100, 0};
  CHECK(std::get<PercentChange>(Halved(given).condition).given_price_micros == 50);
  CHECK(std::get<PercentChange>(Halved(given).condition).percent_e4 == 5000);
  const PercentChange window{PercentOp::kUp, 5000, PercentReference::kWindow, 0, 60};
  CHECK(std::get<PercentChange>(Halved(window).condition) == window);
  const TrailingChange amount{TrailingOp::kFallsFromHigh, 30, 0, 100};
  CHECK(std::get<TrailingChange>(Halved(amount).condition) == TrailingChange{TrailingOp::kFallsFromHigh, 15, 0, 50});
  const TrailingChange percent{TrailingOp::kFallsFromHigh, 0, 5000, std::nullopt};
  CHECK(std::get<TrailingChange>(Halved(percent).condition) == percent);
  CHECK(std::get<Channel>(Halved(Channel{ChannelOp::kLeaves, 100, 120}).condition) ==
        Channel{ChannelOp::kLeaves, 50, 60});
}

}  // namespace
}  // namespace stockalert::condition
