#include "services/common/postgres/arrays.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace stockalert::postgres {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

template <typename Values, typename Append>
std::string Join(const Values& values, Append append) {
  std::string text = "{";
  bool first = true;
  for (const auto& value : values) {
    if (!first) text += ',';
    first = false;
    append(text, value);
  }
  text += '}';
  return text;
}

void AppendHex(std::string& text, std::string_view bytes) {
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += kHexDigits[value >> 4];
    text += kHexDigits[value & 15];
  }
}

int FromHexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

std::string BigintArray(const std::vector<int64_t>& values) {
  return Join(values, [](std::string& text, int64_t value) { absl::StrAppend(&text, value); });
}

std::string BigintArray(const std::vector<std::optional<int64_t>>& values) {
  return Join(values, [](std::string& text, const std::optional<int64_t>& value) {
    if (value) {
      absl::StrAppend(&text, *value);
    } else {
      text += "NULL";
    }
  });
}

std::string BooleanArray(const std::vector<bool>& values) {
  return Join(values, [](std::string& text, bool value) { text += value ? 't' : 'f'; });
}

std::string TextArray(const std::vector<std::string>& values) {
  return Join(values, [](std::string& text, const std::string& value) {
    text += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  });
}

std::string ByteaArray(const std::vector<std::string>& values) {
  return Join(values, [](std::string& text, const std::string& value) {
    text += "\"\\\\x";
    AppendHex(text, value);
    text += '"';
  });
}

std::string ByteaLiteral(std::string_view bytes) {
  std::string text = "\\x";
  text.reserve(2 + bytes.size() * 2);
  AppendHex(text, bytes);
  return text;
}

absl::StatusOr<std::string> BytesFromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return absl::InvalidArgumentError("an odd number of hexadecimal digits");
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = FromHexDigit(hex[i]);
    const int low = FromHexDigit(hex[i + 1]);
    if (high < 0 || low < 0) return absl::InvalidArgumentError("not hexadecimal digits");
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

}  // namespace stockalert::postgres
