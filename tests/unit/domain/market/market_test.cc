#include "services/domain/market/market.h"

#include <catch2/catch.hpp>

#include "services/domain/market/trading_calendar.h"

namespace stockalert::market {
namespace {

TEST_CASE("the exchange before the colon says whether a symbol trades round the clock") {
  for (const char* symbol : {"BINANCE:BTCUSDT", "COINBASE:ETH-USD", "OANDA:EUR_USD", "KRAKEN:X"}) {
    CAPTURE(symbol);
    CHECK(MarketOf(symbol) == Market::kRoundTheClock);
  }
  for (const char* symbol :
       {"AAPL", "BRK.B", "BINANCE", "BINANCE:", ":BTCUSDT", "BINANCEX:BTCUSDT", "NYSE:BINANCE", "LSE:VOD", ""}) {
    CAPTURE(symbol);
    CHECK(MarketOf(symbol) == Market::kUsEquity);
  }
}

TEST_CASE("round the clock every time is of the regular session") {
  constexpr int64_t kSaturdayUs = int64_t{1741433400} * 1'000'000;  // 2025-03-08 06:30 in New York.
  CHECK(SessionOf(Market::kUsEquity, kSaturdayUs) == Session::kClosed);
  CHECK(SessionOf(Market::kRoundTheClock, kSaturdayUs) == Session::kRegular);
}

}  // namespace
}  // namespace stockalert::market
