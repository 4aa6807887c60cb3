#include "services/domain/condition/arming.h"

#include <variant>

#include "services/domain/condition/level.h"

namespace stockalert::condition {
namespace {

using market::DateFigure;

// A kind of condition that is missing from one of these does not compile.
struct FigureOf {
  std::optional<DateFigure> operator()(const PriceTarget&) const { return std::nullopt; }
  std::optional<DateFigure> operator()(const TrailingChange&) const { return std::nullopt; }
  std::optional<DateFigure> operator()(const Channel&) const { return std::nullopt; }
  std::optional<DateFigure> operator()(const PercentChange& change) const {
    if (change.reference == PercentReference::kPreviousClose) return DateFigure::kPreviousClose;
    if (change.reference == PercentReference::kDayOpen) return DateFigure::kDayOpen;
    return std::nullopt;
  }
};

struct IsMet {
  const int64_t price_micros;
  const ArmingMarket& market;

  bool operator()(const PriceTarget& target) const {
    if (target.op == TargetOp::kAtOrAbove) return price_micros >= target.price_micros;
    return target.op == TargetOp::kAtOrBelow && price_micros <= target.price_micros;
  }
  bool operator()(const TrailingChange&) const { return false; }
  bool operator()(const Channel&) const { return false; }
  bool operator()(const PercentChange& change) const {
    const std::optional<int64_t> reference = ReferenceOf(change);
    if (!reference.has_value()) return false;
    const bool up = change.op != PercentOp::kDown && price_micros >= LevelAbovePercent(*reference, change.percent_e4);
    const bool down = change.op != PercentOp::kUp && price_micros <= LevelBelowPercent(*reference, change.percent_e4);
    return up || down;
  }

  std::optional<int64_t> ReferenceOf(const PercentChange& change) const {
    switch (change.reference) {
      case PercentReference::kGiven:
        return change.given_price_micros;
      case PercentReference::kPreviousClose:
        return market.previous_close_micros;
      case PercentReference::kDayOpen:
        return market.day_open_micros;
      case PercentReference::kArming:
      case PercentReference::kWindow:
        break;
    }
    return std::nullopt;
  }
};

}  // namespace

std::optional<DateFigure> AwaitedFigure(const Definition& definition) {
  return std::visit(FigureOf(), definition.condition);
}

bool NeedsPreviousClose(const Definition& definition) {
  return AwaitedFigure(definition) == DateFigure::kPreviousClose;
}

bool NeedsDayOpen(const Definition& definition) { return AwaitedFigure(definition) == DateFigure::kDayOpen; }

bool IsMetAtArming(const Definition& definition, const ArmingMarket& market) {
  if (!market.price_micros.has_value()) return false;
  return std::visit(IsMet{*market.price_micros, market}, definition.condition);
}

}  // namespace stockalert::condition
