#include "services/common/secrets/secret_box.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"
#include "services/common/base/ids.h"

namespace stockalert::secrets {
namespace {

// Sealed: format, length of the key's id, id, nonce, ciphertext, tag. All before the nonce is authenticated, too.
constexpr char kFormat = 1;
constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr size_t kIdCharactersMax = 32;
constexpr size_t kTagCharactersMin = 32;
constexpr size_t kFileBytesMax = 64 * 1024;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

void Must(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fatal: secrets cannot be sealed: OpenSSL: %s\n", what);
  std::abort();
}

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::string HeaderOf(std::string_view key_id) {
  return absl::StrCat(std::string(1, kFormat), std::string(1, static_cast<char>(key_id.size())), base::ToAbsl(key_id));
}

struct Parts {
  std::string header;
  std::string key_id;
  std::string nonce;
  std::string ciphertext;
  std::string tag;
};

std::optional<Parts> Split(std::string_view sealed) {
  const std::optional<std::string> bytes = base::Base64UrlDecode(sealed);
  if (!bytes || bytes->size() < 2 || (*bytes)[0] != kFormat) return std::nullopt;
  const size_t id_size = static_cast<unsigned char>((*bytes)[1]);
  if (id_size < 1 || id_size > kIdCharactersMax) return std::nullopt;
  const size_t header_size = 2 + id_size;
  if (bytes->size() < header_size + kNonceBytes + kTagBytes) return std::nullopt;
  Parts parts;
  parts.header = bytes->substr(0, header_size);
  parts.key_id = bytes->substr(2, id_size);
  parts.nonce = bytes->substr(header_size, kNonceBytes);
  const size_t begin = header_size + kNonceBytes;
  parts.ciphertext = bytes->substr(begin, bytes->size() - begin - kTagBytes);
  parts.tag = bytes->substr(bytes->size() - kTagBytes);
  return parts;
}

// The sizes of the other authenticated data are bounded by the caller: an owner is an id.
std::string Associated(std::string_view header, std::string_view owner) {
  return absl::StrCat(base::ToAbsl(header), base::ToAbsl(owner));
}

bool IsKeyId(absl::string_view text) {
  return !text.empty() && text.size() <= kIdCharactersMax && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
}

// Standard base64 with its padding, as `openssl rand -base64 32` and `base64` write it.
std::optional<std::string> KeyFromBase64(absl::string_view text) {
  if (text.size() != 44 || text.back() != '=') return std::nullopt;
  if (text.find_first_of("-_") != absl::string_view::npos) return std::nullopt;
  std::string url(text.substr(0, 43));
  std::replace(url.begin(), url.end(), '+', '-');
  std::replace(url.begin(), url.end(), '/', '_');
  std::optional<std::string> bytes = base::Base64UrlDecode(url);
  if (!bytes || bytes->size() != kKeyBytes) return std::nullopt;
  return bytes;
}

std::string Hmac(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  Must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text), text.size(), digest.data(), &size) !=
           nullptr,
       "HMAC");
  return {digest.begin(), digest.begin() + size};
}

}  // namespace

SecretBox::~SecretBox() {
  for (Key& key : keys_) OPENSSL_cleanse(key.bytes.data(), key.bytes.size());
}

absl::StatusOr<SecretBox> SecretBox::FromText(std::string_view text) {
  std::vector<Key> keys;
  int line_number = 0;
  for (const absl::string_view line : absl::StrSplit(base::ToAbsl(text), '\n')) {
    ++line_number;
    const absl::string_view content = absl::StripAsciiWhitespace(line);
    if (content.empty() || content[0] == '#') continue;
    const std::vector<absl::string_view> words = absl::StrSplit(content, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    const auto wrong = [&](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line_number, ": ", what));
    };
    if (words.size() != 2) return wrong("not an id and a key");
    if (!IsKeyId(words[0])) return wrong("the id is not 1 to 32 of [A-Za-z0-9_-]");
    std::optional<std::string> bytes = KeyFromBase64(words[1]);
    if (!bytes) return wrong("the key is not 32 bytes in base64 (openssl rand -base64 32 makes one)");
    for (const Key& key : keys) {
      if (key.id == words[0]) return wrong("the id occurs twice");
    }
    keys.push_back({std::string(words[0]), std::move(*bytes)});
  }
  if (keys.empty()) return absl::InvalidArgumentError("it contains no key");
  return SecretBox(std::move(keys));
}

absl::StatusOr<SecretBox> SecretBox::FromFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.is_open() || (file.fail() && !file.eof())) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  }
  const auto size = static_cast<size_t>(file.gcount());
  if (size > kFileBytesMax) return absl::InvalidArgumentError(absl::StrCat(path, ": larger than 64 KiB"));
  absl::StatusOr<SecretBox> box = FromText(std::string_view(text).substr(0, size));
  OPENSSL_cleanse(text.data(), text.size());
  if (!box.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", box.status().message()));
  return box;
}

std::string SecretBox::Seal(std::string_view secret, std::string_view owner) const {
  const Key& key = keys_.front();
  const std::string header = HeaderOf(key.id);
  const std::string associated = Associated(header, owner);
  std::string nonce(kNonceBytes, '\0');
  Must(RAND_bytes(Bytes(nonce), kNonceBytes) == 1, "RAND_bytes");
  std::string ciphertext(secret.size(), '\0');
  std::string tag(kTagBytes, '\0');
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int size = 0;
  Must(context != nullptr, "EVP_CIPHER_CTX_new");
  Must(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(key.bytes), Bytes(nonce)) == 1, "init");
  Must(EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(std::string_view(associated)),
                         static_cast<int>(associated.size())) == 1,
       "associated data");
  Must(EVP_EncryptUpdate(context.get(), Bytes(ciphertext), &size, Bytes(secret), static_cast<int>(secret.size())) == 1,
       "update");
  Must(EVP_EncryptFinal_ex(context.get(), Bytes(ciphertext) + size, &size) == 1, "final");
  Must(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1, "tag");
  return base::Base64UrlEncode(header + nonce + ciphertext + tag);
}

absl::StatusOr<std::string> SecretBox::Open(std::string_view sealed, std::string_view owner) const {
  const absl::Status broken = absl::DataLossError("not a secret that was sealed for this owner");
  std::optional<Parts> parts = Split(sealed);
  if (!parts) return broken;
  const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.id == parts->key_id; });
  if (key == keys_.end()) {
    if (!IsKeyId(parts->key_id)) return broken;
    return absl::NotFoundError(absl::StrCat("sealed by the key ", parts->key_id, ", which is not in the file of keys"));
  }
  const std::string associated = Associated(parts->header, owner);
  std::string secret(parts->ciphertext.size(), '\0');
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int size = 0;
  Must(context != nullptr, "EVP_CIPHER_CTX_new");
  Must(EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(key->bytes), Bytes(parts->nonce)) == 1,
       "init");
  Must(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, parts->tag.data()) == 1, "tag");
  const bool opened = EVP_DecryptUpdate(context.get(), nullptr, &size, Bytes(std::string_view(associated)),
                                        static_cast<int>(associated.size())) == 1 &&
                      EVP_DecryptUpdate(context.get(), Bytes(secret), &size, Bytes(std::string_view(parts->ciphertext)),
                                        static_cast<int>(parts->ciphertext.size())) == 1 &&
                      EVP_DecryptFinal_ex(context.get(), Bytes(secret) + size, &size) == 1;
  if (!opened) return broken;
  return secret;
}

std::string SecretBox::TagOf(const Key& key, std::string_view text) {
  // Not the key itself, which encrypts.
  std::string tag_key = Hmac(key.bytes, "stockalert tag 1");
  std::string tag = base::HexEncode(Hmac(tag_key, text));
  OPENSSL_cleanse(tag_key.data(), tag_key.size());
  return tag;
}

std::string SecretBox::Tag(std::string_view text) const { return TagOf(keys_.front(), text); }

bool SecretBox::IsTag(std::string_view tag, std::string_view text) const {
  if (tag.size() < kTagCharactersMin) return false;
  bool found = false;
  for (const Key& key : keys_) {
    const std::string right = TagOf(key, text);
    found |= base::ConstantTimeEquals(tag, std::string_view(right).substr(0, tag.size()));
  }
  return found;
}

bool SecretBox::IsSealedByOldKey(std::string_view sealed) const {
  const std::optional<Parts> parts = Split(sealed);
  return !parts || parts->key_id != sealing_key_id();
}

}  // namespace stockalert::secrets
