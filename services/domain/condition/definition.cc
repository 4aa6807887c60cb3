#include "services/domain/condition/definition.h"

#include "services/domain/price/decimal.h"

namespace stockalert::condition {
namespace {

using price::IsValidPriceMicros;
using price::kHundredPercentE4;

constexpr char kNotAPrice[] = "must be above 0 and at most 1000000000000, with at most six decimals";

struct ConditionRules {
  const Definition& definition;
  bool after_splits;  // Bounds may have come together.

  std::optional<Violation> operator()(const PriceTarget& target) const {
    if (!IsValidPriceMicros(target.price_micros)) return Violation{"condition.price_target.price", kNotAPrice};
    if (!after_splits && target.op == TargetOp::kAtOrAbove && definition.hysteresis_micros >= target.price_micros) {
      return Violation{"hysteresis", "must be below the target: no price could make the alert ready again"};
    }
    return std::nullopt;
  }

  std::optional<Violation> operator()(const PercentChange& change) const {
    if (change.percent_e4 <= 0) return Violation{"condition.percent_change.percent", "must be above 0"};
    if (change.op != PercentOp::kUp && change.percent_e4 >= kHundredPercentE4) {
      return Violation{"condition.percent_change.percent", "must be below 100 where a fall is watched for"};
    }
    if (change.percent_e4 > price::kMaxPriceMicros) {
      return Violation{"condition.percent_change.percent", "is too large"};
    }
    if (change.reference == PercentReference::kGiven && !IsValidPriceMicros(change.given_price_micros)) {
      return Violation{"condition.percent_change.given_price", kNotAPrice};
    }
    if (change.reference == PercentReference::kWindow && change.window_us <= 0) {
      return Violation{"condition.percent_change.window", "must be above 0"};
    }
    return NoHysteresis();
  }

  std::optional<Violation> operator()(const TrailingChange& trailing) const {
    if (trailing.percent_e4 != 0 && trailing.amount_micros != 0) {
      return Violation{"condition.trailing_change.amount", "goes without a percent: the distance is one or the other"};
    }
    if (trailing.percent_e4 == 0) {
      if (!IsValidPriceMicros(trailing.amount_micros)) return Violation{"condition.trailing_change.amount", kNotAPrice};
    } else {
      if (trailing.percent_e4 <= 0) return Violation{"condition.trailing_change.percent", "must be above 0"};
      if (trailing.op == TrailingOp::kFallsFromHigh && trailing.percent_e4 >= kHundredPercentE4) {
        return Violation{"condition.trailing_change.percent", "must be below 100 where a fall is watched for"};
      }
      if (trailing.percent_e4 > price::kMaxPriceMicros) {
        return Violation{"condition.trailing_change.percent", "is too large"};
      }
    }
    if (trailing.activation_price_micros.has_value() && !IsValidPriceMicros(*trailing.activation_price_micros)) {
      return Violation{"condition.trailing_change.activation_price", kNotAPrice};
    }
    return NoHysteresis();
  }

  std::optional<Violation> operator()(const Channel& channel) const {
    if (!IsValidPriceMicros(channel.low_micros)) return Violation{"condition.channel.low", kNotAPrice};
    if (!IsValidPriceMicros(channel.high_micros)) return Violation{"condition.channel.high", kNotAPrice};
    const int64_t width = channel.high_micros - channel.low_micros;
    if (width < 0 || (width == 0 && !after_splits)) return Violation{"condition.channel.low", "must be below high"};
    if (!after_splits && channel.op == ChannelOp::kLeaves &&
        definition.hysteresis_micros > width - definition.hysteresis_micros) {
      return Violation{"hysteresis", "must be at most half the channel: no price could make the alert ready again"};
    }
    return std::nullopt;
  }

  std::optional<Violation> NoHysteresis() const {
    if (definition.hysteresis_micros == 0) return std::nullopt;
    return Violation{"hysteresis", "is for price targets and channels only; percent and trailing alerts take none"};
  }
};

}  // namespace

bool Definition::ArmsWhenChangedTo(const Definition& other) const {
  Definition same_expiry = other;
  same_expiry.expire_time_us = expire_time_us;
  return *this != same_expiry;
}

namespace {

std::optional<Violation> FindViolation(const Definition& definition, bool after_splits) {
  if (definition.hysteresis_micros < 0 || definition.hysteresis_micros > price::kMaxPriceMicros) {
    return Violation{"hysteresis", "must be 0 or more and at most 1000000000000"};
  }
  if (definition.cooldown_us < 0) return Violation{"cooldown", "must be 0 or more"};
  if (definition.cooldown_us > 0 && definition.trigger_policy != TriggerPolicy::kRepeat) {
    return Violation{"cooldown", "goes with trigger policy REPEAT only"};
  }
  return std::visit(ConditionRules{definition, after_splits}, definition.condition);
}

}  // namespace

std::optional<Violation> FindViolation(const Definition& definition) {
  return FindViolation(definition, /*after_splits=*/false);
}

std::optional<Violation> FindViolationAfterSplits(const Definition& definition) {
  return FindViolation(definition, /*after_splits=*/true);
}

}  // namespace stockalert::condition
