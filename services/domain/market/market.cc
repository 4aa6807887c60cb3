#include "services/domain/market/market.h"

#include <algorithm>
#include <array>

namespace stockalert::market {
namespace {

// The dates of a symbol's history depend on it: a name is added with new rules only (record::Rules).
constexpr std::array<std::string_view, 18> kRoundTheClockExchanges = {
    "BINANCE", "BINANCEUS", "BITFINEX", "BITMEX", "BITTREX", "BYBIT", "COINBASE", "FXCM",     "GEMINI",
    "HITBTC",  "HUOBI",     "KRAKEN",   "KUCOIN", "OANDA",   "OKEX",  "OKX",      "POLONIEX", "ZB"};

}  // namespace

Market MarketOf(std::string_view symbol) {
  const size_t colon = symbol.find(':');
  if (colon == std::string_view::npos || colon + 1 == symbol.size()) return Market::kUsEquity;
  const std::string_view exchange = symbol.substr(0, colon);
  const bool listed = std::find(kRoundTheClockExchanges.begin(), kRoundTheClockExchanges.end(), exchange) !=
                      kRoundTheClockExchanges.end();
  return listed ? Market::kRoundTheClock : Market::kUsEquity;
}

}  // namespace stockalert::market
