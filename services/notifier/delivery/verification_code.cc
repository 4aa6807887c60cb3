#include "services/notifier/delivery/verification_code.h"

#include <cstddef>

#include "absl/strings/ascii.h"

namespace stockalert::notifier {
namespace {

constexpr std::string_view kLetters = "ABCDEFGHJKMNPQRSTUVWXYZ23456789";
constexpr size_t kCodeLength = 8;
constexpr size_t kRandomBytes = 32;
// Codes are longer than this only by mistake.
constexpr size_t kTypedMax = 64;

}  // namespace

std::string NewCode(base::IdSource& ids) {
  std::string code;
  std::string random = ids.NewToken(kRandomBytes);
  // Ends: 25 of 32 bytes would have to be above the last multiple of the alphabet's length, which are left out because
  // they would favour its first letters.
  while (code.size() < kCodeLength) {
    random = base::Sha256(random);
    for (const char c : random) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 256 / kLetters.size() * kLetters.size() && code.size() < kCodeLength)
        code += kLetters[byte % kLetters.size()];
    }
  }
  return code;
}

std::string NormalizeCode(std::string_view typed) {
  std::string code;
  for (const char c : typed.substr(0, kTypedMax)) {
    if (!absl::ascii_isspace(static_cast<unsigned char>(c)) && c != '-')
      code += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return code;
}

}  // namespace stockalert::notifier
