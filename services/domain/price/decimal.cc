#include "services/domain/price/decimal.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace stockalert::price {
namespace {

constexpr int kPriceDigits = 6;
constexpr int kPercentDigits = 4;
// Longer text cannot be a sensible decimal; the bound keeps messages and loops short.
constexpr size_t kMaxTextLength = 64;

absl::Status NotADecimal() {
  return absl::InvalidArgumentError(
      "is not a plain decimal number: write digits with an optional fraction, as in \"150.25\"");
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// `mantissa` (digits only) times 10^`exponent`, as a count of 10^-`digits`.
absl::StatusOr<int64_t> Scale(bool negative, std::string mantissa, int exponent, int digits) {
  while (!mantissa.empty() && mantissa.back() == '0') {
    mantissa.pop_back();
    ++exponent;
  }
  const size_t first = mantissa.find_first_not_of('0');
  if (first == std::string::npos) return 0;
  mantissa.erase(0, first);
  const int shift = exponent + digits;
  if (shift < 0) {
    return absl::InvalidArgumentError(absl::StrCat("has more than ", digits, " decimal places"));
  }
  constexpr int kMaxDigits = 19;
  if (mantissa.size() + static_cast<size_t>(shift) > kMaxDigits) {
    return absl::InvalidArgumentError("is larger than 1000000000000");
  }
  mantissa.append(static_cast<size_t>(shift), '0');
  __int128 value = 0;
  for (char c : mantissa) value = value * 10 + (c - '0');
  if (value > kMaxPriceMicros) return absl::InvalidArgumentError("is larger than 1000000000000");
  return static_cast<int64_t>(negative ? -value : value);
}

absl::StatusOr<int64_t> Parse(std::string_view text, int digits, bool exponent_allowed) {
  if (text.empty()) return absl::InvalidArgumentError("is empty: write a decimal number, as in \"150.25\"");
  if (text.size() > kMaxTextLength) return NotADecimal();
  size_t i = 0;
  const bool negative = text[0] == '-';
  if (negative) ++i;
  std::string mantissa;
  const size_t whole_begin = i;
  for (; i < text.size() && IsDigit(text[i]); ++i) mantissa.push_back(text[i]);
  if (i == whole_begin) return NotADecimal();
  int exponent = 0;
  if (i < text.size() && text[i] == '.') {
    const size_t fraction_begin = ++i;
    for (; i < text.size() && IsDigit(text[i]); ++i) {
      mantissa.push_back(text[i]);
      --exponent;
    }
    if (i == fraction_begin) return NotADecimal();
  }
  if (exponent_allowed && i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    bool negative_exponent = false;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) negative_exponent = text[i++] == '-';
    const size_t exponent_begin = i;
    int written = 0;
    for (; i < text.size() && IsDigit(text[i]); ++i) written = std::min(written * 10 + (text[i] - '0'), 1000);
    if (i == exponent_begin) return NotADecimal();
    exponent += negative_exponent ? -written : written;
  }
  if (i != text.size()) return NotADecimal();
  return Scale(negative, std::move(mantissa), exponent, digits);
}

}  // namespace

absl::StatusOr<int64_t> ParseDecimal(std::string_view text, int digits) { return Parse(text, digits, false); }

absl::StatusOr<int64_t> ParsePrice(std::string_view text) {
  absl::StatusOr<int64_t> micros = ParseDecimal(text, kPriceDigits);
  if (micros.ok() && *micros <= 0) return absl::InvalidArgumentError("must be above zero");
  return micros;
}

absl::StatusOr<int64_t> ParseJsonNumberMicros(std::string_view text) { return Parse(text, kPriceDigits, true); }

std::string FormatDecimal(int64_t count, int digits) {
  const bool negative = count < 0;
  // Negating the smallest value overflows a signed count; the unsigned one holds it.
  uint64_t magnitude = negative ? ~static_cast<uint64_t>(count) + 1 : static_cast<uint64_t>(count);
  std::string text;
  bool significant = false;
  for (int i = 0; i < digits; ++i) {
    const char digit = static_cast<char>('0' + magnitude % 10);
    magnitude /= 10;
    significant = significant || digit != '0';
    if (significant) text.push_back(digit);
  }
  if (significant) text.push_back('.');
  do {
    text.push_back(static_cast<char>('0' + magnitude % 10));
    magnitude /= 10;
  } while (magnitude != 0);
  if (negative) text.push_back('-');
  std::reverse(text.begin(), text.end());
  return text;
}

std::string FormatMicros(int64_t micros) { return FormatDecimal(micros, kPriceDigits); }
std::string FormatPercentE4(int64_t percent_e4) { return FormatDecimal(percent_e4, kPercentDigits); }

std::string FormatMicrosRounded(int64_t micros, int decimals) {
  const bool negative = micros < 0;
  const uint64_t magnitude = negative ? ~static_cast<uint64_t>(micros) + 1 : static_cast<uint64_t>(micros);
  uint64_t unit = 1;
  for (int i = decimals; i < kPriceDigits; ++i) unit *= 10;
  uint64_t count = magnitude / unit;
  const uint64_t rest = magnitude % unit;
  if (rest * 2 > unit || (rest * 2 == unit && count % 2 == 1)) ++count;
  std::string digits = std::to_string(count);
  if (digits.size() <= static_cast<size_t>(decimals))
    digits.insert(0, static_cast<size_t>(decimals) + 1 - digits.size(), '0');
  if (decimals > 0) digits.insert(digits.size() - static_cast<size_t>(decimals), 1, '.');
  return negative && count > 0 ? "-" + digits : digits;
}

}  // namespace stockalert::price
