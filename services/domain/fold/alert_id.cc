#include "services/domain/fold/alert_id.h"

#include <array>
#include <cstddef>
#include <optional>

namespace stockalert::fold {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr int8_t kNoDigit = -1;
// By character. In small letters only: another spelling is another text.
constexpr std::array<int8_t, 256> kValueOf = [] {
  std::array<int8_t, 256> values{};
  values.fill(kNoDigit);
  for (size_t i = 0; i < kDigits.size(); ++i) values[static_cast<uint8_t>(kDigits[i])] = static_cast<int8_t>(i);
  return values;
}();
constexpr size_t kUuidLength = 36;

bool IsDash(size_t place) { return place == 8 || place == 13 || place == 18 || place == 23; }

std::optional<std::pair<uint64_t, uint64_t>> ParseUuid(std::string_view text) {
  if (text.size() != kUuidLength) return std::nullopt;
  uint64_t halves[2] = {0, 0};
  for (size_t i = 0; i < kUuidLength; ++i) {
    if (IsDash(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int8_t digit = kValueOf[static_cast<uint8_t>(text[i])];
    if (digit == kNoDigit) return std::nullopt;
    uint64_t& half = halves[i < 18 ? 0 : 1];
    half = half << 4 | static_cast<uint64_t>(digit);
  }
  return std::pair(halves[0], halves[1]);
}

std::string* StringAt(uint64_t address) { return reinterpret_cast<std::string*>(static_cast<uintptr_t>(address)); }

uint64_t AddressOf(std::string_view text) {
  return text.empty() ? 0 : static_cast<uint64_t>(reinterpret_cast<uintptr_t>(new std::string(text)));
}

}  // namespace

AlertId::AlertId(std::string_view text) {
  if (const auto uuid = ParseUuid(text); uuid.has_value() && uuid->first != 0) {
    high_ = uuid->first;
    low_ = uuid->second;
  } else {
    low_ = AddressOf(text);
  }
}

uint64_t AlertId::CopyOfText() const { return AddressOf(text()); }

void AlertId::DeleteText() { delete StringAt(low_); }

std::string_view AlertId::text() const { return low_ == 0 ? std::string_view() : *StringAt(low_); }

std::string AlertId::Text() const {
  if (has_text()) return std::string(text());
  std::string uuid(kUuidLength, '-');
  uint64_t low = low_;
  uint64_t high = high_;
  for (size_t i = kUuidLength; i-- > 0;) {
    if (IsDash(i)) continue;
    uint64_t& half = i < 18 ? high : low;
    uuid[i] = kDigits[half & 15];
    half >>= 4;
  }
  return uuid;
}

}  // namespace stockalert::fold
