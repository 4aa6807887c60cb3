// Makes quotes from Finnhub's REST replies and stream messages: prices of a symbol from both carry the same day's
// figures.
//
// Not thread-safe. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "services/fetcher/finnhub_json.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::fetcher {

class LiveQuotes {
 public:
  // None: no price, or no time. Figures are used only after the open of the trading date, and not while they are still
  // exactly those of an earlier date.
  std::optional<internal::v1::QuoteRecord> FromRest(const std::string& symbol, const RestQuote& reply);
  // With the figures that REST has given for the date.
  std::optional<internal::v1::QuoteRecord> FromStream(const StreamTrade& trade);

 private:
  struct Figures {
    int32_t date = 0;
    std::optional<int64_t> open_micros;
    std::optional<int64_t> high_micros;
    std::optional<int64_t> low_micros;
    std::optional<int64_t> previous_close_micros;
    bool SameValues(const Figures& other) const {
      return open_micros == other.open_micros && high_micros == other.high_micros && low_micros == other.low_micros &&
             previous_close_micros == other.previous_close_micros;
    }
  };
  static void Attach(const Figures& figures, internal::v1::QuoteRecord& quote);

  std::unordered_map<std::string, Figures> figures_;
};

}  // namespace stockalert::fetcher
