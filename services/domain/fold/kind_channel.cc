#include "services/domain/fold/kind_channel.h"

#include <algorithm>

namespace stockalert::fold {

using condition::ChannelOp;

void ChannelKind::StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool) const {
  subject.alert.legs[kUpLeg].ready = Holds(price_micros) == (channel.op == ChannelOp::kLeaves);
}

Judgement ChannelKind::Judge(const Subject& subject, PricePoint point, int64_t price_before) const {
  const int64_t low = channel.low_micros;
  const int64_t high = channel.high_micros;
  const int64_t price = point.price_micros;
  const int64_t hysteresis = subject.alert.definition.hysteresis_micros;
  const bool inside = Holds(price);
  Judgement judgement;
  switch (channel.op) {
    case ChannelOp::kEnters:
      judgement.measured_from = price_before < low ? low : high;
      judgement.JudgeLeg(subject.alert, kUpLeg, inside,
                         !inside && (price <= low - hysteresis || price >= high + hysteresis));
      break;
    case ChannelOp::kLeaves:
      judgement.measured_from = price < low ? low : high;
      judgement.JudgeLeg(subject.alert, kUpLeg, !inside, price >= low + hysteresis && price <= high - hysteresis);
      break;
  }
  return judgement;
}

void ChannelKind::ContinueAfterTrigger(const Subject& subject, int64_t, bool ready_after_edge) const {
  subject.alert.legs[kUpLeg].ready = ready_after_edge;
}

Wakes ChannelKind::WakesOf(const Alert& alert) const {
  const int64_t low = channel.low_micros;
  const int64_t high = channel.high_micros;
  const int64_t hysteresis = alert.definition.hysteresis_micros;
  const bool ready = alert.legs[kUpLeg].ready;
  Wakes wakes;
  switch (channel.op) {
    case ChannelOp::kEnters:
      if (ready) {
        wakes.inside = {low, high};
      } else {
        wakes.at_or_above = std::max(high + 1, high + hysteresis);
        wakes.at_or_below = std::min(low - 1, low - hysteresis);
      }
      break;
    case ChannelOp::kLeaves:
      if (ready) {
        wakes.at_or_above = high + 1;
        wakes.at_or_below = low - 1;
      } else {
        wakes.inside = {low + hysteresis, high - hysteresis};
      }
      break;
  }
  return wakes;
}

}  // namespace stockalert::fold
