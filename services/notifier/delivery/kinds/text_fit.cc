#include "services/notifier/delivery/kinds/text_fit.h"

#include <limits>

#include "absl/strings/ascii.h"
#include "services/common/base/text.h"

namespace stockalert::notifier {
namespace {

constexpr std::string_view kEllipsis = "…";

// Of valid UTF-8.
size_t SizeOfFirst(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return size < text.size() ? size : text.size();
}

size_t Count(std::string_view text, TextUnit unit) {
  if (unit == TextUnit::kBytes) return text.size();
  size_t units = 0;
  while (!text.empty()) {
    const size_t size = SizeOfFirst(text);
    units += size == 4 ? 2 : 1;
    text.remove_prefix(size);
  }
  return units;
}

}  // namespace

std::string NoEscape(std::string_view code_point) { return std::string(code_point); }

std::string EscapeMarkup(std::string_view code_point) {
  if (code_point == "&") return "&amp;";
  if (code_point == "<") return "&lt;";
  if (code_point == ">") return "&gt;";
  return std::string(code_point);
}

std::string BreakMention(std::string_view code_point) {
  // U+2060, a word joiner.
  return code_point == "@" ? "@\xe2\x81\xa0" : std::string(code_point);
}

std::string FitText(std::string_view text, size_t max, TextUnit unit, EscapeText escape) {
  std::string rest_of = base::StorableText(text, std::numeric_limits<size_t>::max());
  std::string_view rest = rest_of;
  const size_t ellipsis = Count(kEllipsis, unit);
  std::string fitted;
  size_t units = 0;
  size_t cut = 0;  // Where the ellipsis still fits.
  while (!rest.empty()) {
    const std::string next = escape(rest.substr(0, SizeOfFirst(rest)));
    rest.remove_prefix(SizeOfFirst(rest));
    units += Count(next, unit);
    if (units > max) {
      fitted.resize(cut);
      if (ellipsis <= max) fitted += kEllipsis;
      return fitted;
    }
    fitted += next;
    if (units + ellipsis <= max) cut = fitted.size();
  }
  return fitted;
}

std::string EscapeAll(std::string_view text, EscapeText escape) {
  return FitText(text, std::numeric_limits<size_t>::max() / 2, TextUnit::kBytes, escape);
}

std::string EncodeForForm(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded += c;
    } else if (c == ' ') {
      encoded += '+';
    } else {
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return encoded;
}

}  // namespace stockalert::notifier
