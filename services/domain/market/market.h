// Which kind of market a symbol trades on: a function of its name, so that every service and every replay agrees.
//
// Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace stockalert::market {

enum class Market : uint8_t {
  kUsEquity,       // Sessions and dates of New York.
  kRoundTheClock,  // REGULAR quotes only, dates in UTC; figures are used at any hour.
};

// A symbol with one of these names before a colon ("BINANCE:BTCUSDT") trades round the clock: the exchanges of
// cryptocurrencies and the foreign exchange brokers among Finnhub's (https://finnhub.io/docs/api/crypto-exchanges,
// https://finnhub.io/docs/api/forex-exchanges). All other symbols are US equities.
Market MarketOf(std::string_view symbol);

}  // namespace stockalert::market
