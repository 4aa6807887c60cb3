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

void ChannelKind::AddToBook(const Subject& subject) const {
  const auto& [alert, slot, book, figures] = subject;
  const int64_t low = channel.low_micros;
  const int64_t high = channel.high_micros;
  const int64_t hysteresis = alert.definition.hysteresis_micros;
  const bool ready = alert.legs[kUpLeg].ready;
  switch (channel.op) {
    case ChannelOp::kEnters:
      if (ready) {
        book.WakeInside(alert, slot, low, high);
      } else {
        book.WakeAtOrAbove(alert, slot, std::max(high + 1, high + hysteresis));
        book.WakeAtOrBelow(alert, slot, std::min(low - 1, low - hysteresis));
      }
      break;
    case ChannelOp::kLeaves:
      if (ready) {
        book.WakeAtOrAbove(alert, slot, high + 1);
        book.WakeAtOrBelow(alert, slot, low - 1);
      } else {
        book.WakeInside(alert, slot, low + hysteresis, high - hysteresis);
      }
      break;
  }
}

}  // namespace stockalert::fold
