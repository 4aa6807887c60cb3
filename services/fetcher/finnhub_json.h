// Parses Finnhub's messages without ever making a number a double: the digits of the JSON text become an exact decimal.
//
// Pure and thread-safe. Text that is no such reply is INVALID_ARGUMENT; a price that is missing, null, zero, negative,
// or finer than a millionth is recognised, never guessed at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::fetcher {

// A reply of /quote. A value that is not a possible price (zero included) becomes none.
struct RestQuote {
  std::optional<int64_t> current_micros;
  std::optional<int64_t> open_micros;
  std::optional<int64_t> high_micros;
  std::optional<int64_t> low_micros;
  std::optional<int64_t> previous_close_micros;
  // Event time; 0 where the reply has none.
  int64_t time_us = 0;
  // c=0 and d=null: how an unknown symbol is answered. (All zeros is how a known one is answered in an incident.)
  bool looks_unknown = false;
};
absl::StatusOr<RestQuote> ParseRestQuote(std::string_view json);

// The symbols of a reply of /search.
absl::StatusOr<std::vector<std::string>> ParseSearch(std::string_view json);

struct StreamTrade {
  std::string symbol;
  std::optional<int64_t> price_micros;  // None: no price that could be.
  int64_t time_us = 0;
};
struct StreamMessage {
  enum class Kind { kTrades, kPing, kError, kOther };
  Kind kind = Kind::kOther;
  std::vector<StreamTrade> trades;
  std::string error;  // kError: what it says, cut to 200 characters.
};
absl::StatusOr<StreamMessage> ParseStreamMessage(std::string_view json);

}  // namespace stockalert::fetcher
