#include "services/common/base/text.h"

#include <cstdint>

namespace stockalert::base {
namespace {

// The bytes of the UTF-8 sequence that begins `text`, which is not empty; 0 where it is none.
size_t SequenceSize(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = (first & 0xe0) == 0xc0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : (first & 0xf8) == 0xf0 ? 4 : 0;
  if (size == 0 || text.size() < size) return 0;
  uint32_t code = first & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  const uint32_t least = size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
  return code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : size;
}

}  // namespace

std::string StorableText(std::string_view text, size_t bytes_max) {
  std::string kept;
  while (!text.empty()) {
    const size_t size = SequenceSize(text);
    if (kept.size() + size > bytes_max) break;
    if (size > 0 && text.front() != '\0') kept.append(text.substr(0, size));
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return kept;
}

}  // namespace stockalert::base
