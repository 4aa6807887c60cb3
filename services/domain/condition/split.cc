#include "services/domain/condition/split.h"

namespace stockalert::condition {
namespace {

struct ConditionScaler {
  price::SplitRatio ratio;

  void Scale(int64_t* micros) const { *micros = price::ScaleMicros(*micros, ratio); }

  void operator()(PriceTarget& target) const { Scale(&target.price_micros); }
  void operator()(PercentChange& change) const { Scale(&change.given_price_micros); }
  void operator()(TrailingChange& trailing) const {
    Scale(&trailing.amount_micros);
    if (trailing.activation_price_micros.has_value()) Scale(&*trailing.activation_price_micros);
  }
  void operator()(Channel& channel) const {
    Scale(&channel.low_micros);
    Scale(&channel.high_micros);
  }
};

}  // namespace

void ScaleDefinition(price::SplitRatio ratio, Definition* definition) {
  const ConditionScaler scaler{ratio};
  std::visit(scaler, definition->condition);
  scaler.Scale(&definition->hysteresis_micros);
}

}  // namespace stockalert::condition
