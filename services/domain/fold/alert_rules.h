// Small questions about an alert's definition that the parts of SymbolFold share. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/extreme_ladder.h"
#include "services/domain/market/date_figures.h"

namespace stockalert::fold {

// A percent EITHER has both legs, every other alert one.
inline constexpr size_t kUpLeg = 0;
inline constexpr size_t kDownLeg = 1;

// Which of the date's figures is the alert's reference; none: neither is.
inline std::optional<market::DateFigure> DateFigureOf(const condition::Definition& definition) {
  const auto* change = std::get_if<condition::PercentChange>(&definition.condition);
  if (change == nullptr) return std::nullopt;
  if (change->reference == condition::PercentReference::kPreviousClose) return market::DateFigure::kPreviousClose;
  if (change->reference == condition::PercentReference::kDayOpen) return market::DateFigure::kDayOpen;
  return std::nullopt;
}

inline bool HasLeg(condition::PercentOp op, size_t leg) {
  return op == condition::PercentOp::kEither || (op == condition::PercentOp::kUp) == (leg == kUpLeg);
}

inline Direction DirectionOf(size_t leg) { return leg == kUpLeg ? Direction::kUp : Direction::kDown; }

inline size_t LegOf(const condition::TrailingChange& trailing) {
  return trailing.op == condition::TrailingOp::kRisesFromLow ? kUpLeg : kDownLeg;
}

inline Measure MeasureOf(const condition::TrailingChange& trailing) {
  return trailing.percent_e4 != 0 ? Measure::kPercent : Measure::kAmount;
}

inline int64_t DistanceOf(const condition::TrailingChange& trailing) {
  return trailing.percent_e4 != 0 ? trailing.percent_e4 : trailing.amount_micros;
}

inline bool IsReached(Direction direction, Measure measure, int64_t reference, int64_t distance, int64_t price) {
  return Signed(direction, price) >= SignedLevel(direction, measure, reference, distance);
}

inline bool IsInside(const condition::Channel& channel, int64_t price) {
  return price >= channel.low_micros && price <= channel.high_micros;
}

inline bool ActivatedBy(const condition::TrailingChange& trailing, int64_t price) {
  if (!trailing.activation_price_micros.has_value()) return true;
  return trailing.op == condition::TrailingOp::kFallsFromHigh ? price >= *trailing.activation_price_micros
                                                              : price <= *trailing.activation_price_micros;
}

}  // namespace stockalert::fold
