// A channel that the price enters or leaves.
#pragma once

#include <utility>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/kind.h"

namespace stockalert::fold {

struct ChannelKind : KeepsOnlyWakes, KeepsNothing, SeesAllExtremes {
  explicit ChannelKind(const condition::Channel& of) : channel(of) {}

  static bool MayTriggerAtFirstPrice() { return false; }
  void StartAtArmingPrice(const Subject& subject, int64_t price_micros, bool ready_if_met) const;
  Judgement Judge(const Subject& subject, PricePoint point, int64_t price_before) const;
  void ContinueAfterTrigger(const Subject& subject, int64_t price_micros, bool ready_after_edge) const;
  Wakes WakesOf(const Alert& alert) const;

  const condition::Channel& channel;

 private:
  bool Holds(int64_t price_micros) const {
    return price_micros >= channel.low_micros && price_micros <= channel.high_micros;
  }
};

template <typename Visitor>
decltype(auto) WithKind(const condition::Channel& channel, Visitor&& visitor) {
  return std::forward<Visitor>(visitor)(ChannelKind(channel));
}

}  // namespace stockalert::fold
