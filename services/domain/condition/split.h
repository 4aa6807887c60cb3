// A definition after a split of its symbol. Pure; thread-safe.
#pragma once

#include "services/domain/condition/definition.h"
#include "services/domain/price/split_ratio.h"

namespace stockalert::condition {

// Scales every price in it: target, bounds, given price, activation, amount and hysteresis. Rounding may bring bounds
// together that FindViolation wants apart; such an alert goes on as it is.
void ScaleDefinition(price::SplitRatio ratio, Definition* definition);

}  // namespace stockalert::condition
