// Exact decimals for prices, amounts and percentages: signed 64-bit counts of a fixed unit, never a double.
//
// A price, an amount or a hysteresis is counted in micros (1e-6 of the currency unit); a percentage in 1e-4 of a
// percent. All functions are pure and thread-safe; bad text comes back as InvalidArgument with a message that says what
// to write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace stockalert::price {

inline constexpr int64_t kMicrosPerUnit = 1'000'000;
// The largest price anything may have: 1e12 units.
inline constexpr int64_t kMaxPriceMicros = 1'000'000'000'000 * kMicrosPerUnit;
// 100 % in units of 1e-4 of a percent.
inline constexpr int64_t kHundredPercentE4 = 1'000'000;

// Parses plain decimal text ("150.25", "-3", "0.000001") into a count of 10^-`digits`. Accepts an optional leading '-',
// digits, and an optional fraction; trailing zeros of the fraction do not count as precision. Refuses empty text,
// exponents, signs elsewhere, "NaN", "inf", white space, more than `digits` significant decimals and anything outside
// ±kMaxPriceMicros counts.
absl::StatusOr<int64_t> ParseDecimal(std::string_view text, int digits);

// A price in micros that a quote could have: > 0 and <= kMaxPriceMicros.
absl::StatusOr<int64_t> ParsePrice(std::string_view text);

// A JSON number's text as a source sends it, exponent form included ("1.5e2"), into micros; zero and negative values
// are returned as they are: refusing them is the caller's rule.
absl::StatusOr<int64_t> ParseJsonNumberMicros(std::string_view text);

// True for a price that may be evaluated: 0 < micros <= kMaxPriceMicros.
constexpr bool IsValidPriceMicros(int64_t micros) { return micros > 0 && micros <= kMaxPriceMicros; }

// Shortest plain decimal text: "150.25", "96", "-0.5".
std::string FormatDecimal(int64_t count, int digits);
std::string FormatMicros(int64_t micros);
// With just so many decimals, 0 to 6, rounded half to even: 150.125 with two of them is "150.12".
std::string FormatMicrosRounded(int64_t micros, int decimals);
std::string FormatPercentE4(int64_t percent_e4);

}  // namespace stockalert::price
