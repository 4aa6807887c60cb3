// Where new ids and secrets come from, and the text forms that go with them.
//
// IdSource is thread-safe. SystemIdSource draws from OpenSSL's generator and ends the process where that fails: no id
// or key may ever be guessable. The fake is in tests/support/fake_ids.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace stockalert::base {

class IdSource {
 public:
  virtual ~IdSource() = default;
  // A random UUID (version 4), in lower case.
  virtual std::string NewUuid() = 0;
  // `bytes` random bytes as base64url without padding: 32 bytes make 43 characters.
  virtual std::string NewToken(size_t bytes) = 0;
};

class SystemIdSource final : public IdSource {
 public:
  std::string NewUuid() override;
  std::string NewToken(size_t bytes) override;
};

// Whether `text` is a UUID in its canonical lower-case form.
bool IsUuid(std::string_view text);

// Without padding, in the URL-safe alphabet.
std::string Base64UrlEncode(std::string_view bytes);
// None for text that Base64UrlEncode does not make.
std::optional<std::string> Base64UrlDecode(std::string_view text);

// The 32 bytes of SHA-256.
std::string Sha256(std::string_view bytes);
// Lower case.
std::string HexEncode(std::string_view bytes);

// Compares in a time that depends on the lengths alone.
bool ConstantTimeEquals(std::string_view a, std::string_view b);

}  // namespace stockalert::base
