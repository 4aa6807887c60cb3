// Which session of the New York exchanges an event time belongs to, and when a date's regular session begins and ends.
//
// Computed, not asked for: weekends, the exchanges' holidays and their early closes follow rules that are known years
// ahead (NYSE rule 7.2), each with the year in which it began, and the closures since 1990 that nobody could foresee
// are listed. Right from kKnownFrom on, as far as the past goes (tests/unit/domain/market/xnys.txt); what is announced
// later has to be added. Before that it is not known: the rules of 1990 are taken, with other hours, Saturdays and
// closures left out. Pure and thread-safe.
//
// It decides which session a publisher gives a quote, and nothing that is computed from the log.
#pragma once

#include <cstdint>
#include <optional>

#include "services/domain/market/market.h"
#include "services/domain/market/session.h"

namespace stockalert::market {

// 1990-01-01, in days since 1970-01-01.
inline constexpr int32_t kKnownFrom = 7305;

// The regular session of a trading date.
struct TradingDay {
  int32_t date = 0;  // Days since 1970-01-01.
  int64_t midnight_us = 0;
  int64_t open_us = 0;      // 9:30 in New York.
  int64_t close_us = 0;     // 16:00, or 13:00 (until 1992: 14:00) on a day of an early close.
  int64_t post_end_us = 0;  // Four hours later.
};

// None on weekends and holidays.
std::optional<TradingDay> TradingDayOf(int64_t event_time_us);
// The same for a date. `date` in days since 1970-01-01.
std::optional<TradingDay> TradingDayOfDate(int32_t date);
// 9:30 and 16:00 of any date, a holiday too: for data of markets that trade then.
TradingDay NominalDayOfDate(int32_t date);

// PRE from 4:00, REGULAR from 9:30 to the close, POST until four hours after it, else CLOSED. The very moment of the
// close is REGULAR: the official closing price is dated so.
Session SessionOf(int64_t event_time_us);
// Of a market that trades round the clock: always REGULAR.
Session SessionOf(Market market, int64_t event_time_us);

}  // namespace stockalert::market
