// What a condition is at the moment when its alert is armed: whether its level is true there, and what it waits for.
//
// Pure functions over plain values; thread-safe. Each kind of condition has its line in arming.cc.
#pragma once

#include <cstdint>
#include <optional>

#include "services/domain/condition/definition.h"
#include "services/domain/market/date_figures.h"

namespace stockalert::condition {

// The latest known values of a symbol when an alert is created; REJECT_IF_MET is decided by them.
struct ArmingMarket {
  std::optional<int64_t> price_micros;           // The last price in a session that the alert counts.
  std::optional<int64_t> previous_close_micros;  // Of the symbol's present date; none where not known yet.
  std::optional<int64_t> day_open_micros;
};

// The figure of the trading date that the alert is measured from; none for other kinds. An alert with one is WAITING
// until the figure of its symbol's date is known.
std::optional<market::DateFigure> AwaitedFigure(const Definition& definition);
bool NeedsPreviousClose(const Definition& definition);
bool NeedsDayOpen(const Definition& definition);

// True where the level of the condition is true at `market.price_micros` as the arming price, so that REJECT_IF_MET
// refuses. CROSSES, ENTERS and LEAVES are moves: no creation policy concerns them. Percent from the arming price,
// windows and trailing are measured from the arming price, so they are never met there.
bool IsMetAtArming(const Definition& definition, const ArmingMarket& market);

}  // namespace stockalert::condition
