// Rounds the prices of sources that send binary noise (104.30000000000001, 609.9400024414062), which no market quotes.
// Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace stockalert::price {

// The decimals that a file's prices may be rounded to.
inline constexpr int kRoundedDecimalsMax = 6;

// A number in plain or exponent form ("1.5e2") in micros, rounded half to even to `decimals` of them (0 to 6). Zero and
// negative values are returned as they are. INVALID_ARGUMENT: no number, or outside of ±1e12.
absl::StatusOr<int64_t> ParseMicrosRounded(std::string_view text, int decimals);

}  // namespace stockalert::price
