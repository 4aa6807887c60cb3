// What a condition is at the moment when its alert is armed: whether its level is true there, and what it waits for.
//
// Pure functions over plain values; thread-safe. Each kind of condition has its line in arming.cc.
#pragma once

#include <cstdint>
#include <optional>

#include "services/domain/condition/definition.h"
#include "services/domain/market/date_figures.h"

namespace stockalert::condition {

// The latest that is known of a symbol when an alert is created: what REJECT_IF_MET decides by.
struct ArmingMarket {
  std::optional<int64_t> price_micros;           // The last price in a session that the alert counts.
  std::optional<int64_t> previous_close_micros;  // Of the symbol's present date; none where not known yet.
  std::optional<int64_t> day_open_micros;
};

// Which figure of the trading date an alert is measured from; none: neither. Such an alert is WAITING until its
// symbol's date has it.
std::optional<market::DateFigure> AwaitedFigure(const Definition& definition);
bool NeedsPreviousClose(const Definition& definition);
bool NeedsDayOpen(const Definition& definition);

// True where the level of the condition is true at `market.price_micros` as the arming price, so that REJECT_IF_MET
// refuses. CROSSES, ENTERS and LEAVES are moves, which no creation policy concerns; percent from the arming price,
// windows and trailing measure from the arming price itself and are never met there.
bool IsMetAtArming(const Definition& definition, const ArmingMarket& market);

}  // namespace stockalert::condition
