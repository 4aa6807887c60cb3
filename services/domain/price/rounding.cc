#include "services/domain/price/rounding.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "services/domain/price/decimal.h"

namespace stockalert::price {
namespace {

// Longer text is no sensible number; the bound keeps the loops short.
constexpr size_t kTextMax = 64;
constexpr int kExponentMax = 400;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The digits without point and exponent, and how many of them are behind the point (may be negative).
struct Digits {
  std::string digits;
  int behind = 0;
};

// `text` is a number, as ParseJsonNumberMicros takes one.
Digits Split(std::string_view text) {
  Digits split;
  bool fraction = false;
  size_t i = 0;
  for (; i < text.size() && (IsDigit(text[i]) || text[i] == '.'); ++i) {
    if (text[i] == '.') {
      fraction = true;
      continue;
    }
    split.digits.push_back(text[i]);
    split.behind += fraction ? 1 : 0;
  }
  if (i == text.size()) return split;
  const bool negative = text[++i] == '-';
  int exponent = 0;
  for (; i < text.size(); ++i) {
    if (IsDigit(text[i])) exponent = std::min(exponent * 10 + (text[i] - '0'), kExponentMax);
  }
  split.behind += negative ? exponent : -exponent;
  return split;
}

}  // namespace

absl::StatusOr<int64_t> ParseMicrosRounded(std::string_view text, int decimals) {
  absl::StatusOr<int64_t> exact = ParseJsonNumberMicros(text);
  const bool negative = !text.empty() && text.front() == '-';
  const std::string_view magnitude = text.substr(negative ? 1 : 0);
  // What cannot be a number at all, or is too large, is refused for more decimals, too.
  const bool number = !magnitude.empty() && magnitude.size() <= kTextMax && IsDigit(magnitude.front()) &&
                      magnitude.find_first_not_of("0123456789.eE+-") == std::string_view::npos;
  if (!exact.ok() && (!number || exact.status().message().find("decimal places") == absl::string_view::npos))
    return exact;
  Digits split = Split(magnitude);
  const int over = split.behind - decimals;
  if (over <= 0) return exact;
  // "" is zero: what is cut off from it lies below a half.
  if (over > static_cast<int>(split.digits.size())) return 0;
  const size_t kept = split.digits.size() - static_cast<size_t>(over);
  const std::string rest = split.digits.substr(kept);
  split.digits.resize(kept);
  const bool exactly_half = rest.front() == '5' && rest.find_first_not_of('0', 1) == std::string::npos;
  const bool odd = kept > 0 && (split.digits.back() - '0') % 2 == 1;
  const bool up = exactly_half ? odd : rest.front() >= '5';
  // As a count of units of the last decimal, which the parser bounds.
  const std::string whole = absl::StrCat(split.digits.empty() ? "0" : split.digits, "e", -decimals);
  absl::StatusOr<int64_t> micros = ParseJsonNumberMicros(whole);
  if (!micros.ok()) return micros;
  int64_t unit = 1;
  for (int i = decimals; i < kRoundedDecimalsMax; ++i) unit *= 10;
  const int64_t rounded = *micros + (up ? unit : 0);
  return negative ? -rounded : rounded;
}

}  // namespace stockalert::price
