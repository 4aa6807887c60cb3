#include "services/common/webhook/webhook_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"

namespace stockalert::webhook {
namespace {

constexpr std::string_view kSecretPrefix = "whsec_";
constexpr std::string_view kPrivatePrefix = "whsk_";
constexpr std::string_view kPublicPrefix = "whpk_";
constexpr std::string_view kHmacScheme = "v1,";
constexpr std::string_view kEd25519Scheme = "v1a,";
constexpr size_t kNewKeyBytes = 32;
constexpr size_t kHmacKeyBytesMin = 24;
constexpr size_t kHmacKeyBytesMax = 64;
constexpr size_t kEd25519KeyBytes = 32;
constexpr size_t kEd25519SignatureBytes = 64;

using EvpKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using EvpContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

// OpenSSL fails here for want of memory, or for a key of a length that nobody may give.
void Must(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fatal: webhooks cannot be signed: OpenSSL: %s\n", what);
  std::abort();
}

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::string Base64(std::string_view bytes) {
  std::string text = base::Base64UrlEncode(bytes);
  std::replace(text.begin(), text.end(), '-', '+');
  std::replace(text.begin(), text.end(), '_', '/');
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

// None for text that Base64 does not make.
std::optional<std::string> FromBase64(std::string_view text) {
  if (text.size() % 4 != 0 || text.find_first_of("-_") != std::string_view::npos) return std::nullopt;
  for (int padding = 0; padding < 2 && !text.empty() && text.back() == '='; ++padding) text.remove_suffix(1);
  std::string url(text);
  std::replace(url.begin(), url.end(), '+', '-');
  std::replace(url.begin(), url.end(), '/', '_');
  return base::Base64UrlDecode(url);
}

std::string SignedText(std::string_view id, int64_t timestamp_s, std::string_view body) {
  return absl::StrCat(base::ToAbsl(id), ".", timestamp_s, ".", base::ToAbsl(body));
}

std::string Hmac(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  Must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text), text.size(), digest.data(), &size) !=
           nullptr,
       "HMAC");
  return std::string(reinterpret_cast<const char*>(digest.data()), size);
}

EvpKey PrivateKey(const Keys& keys) {
  EvpKey key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(keys.ed25519_seed), keys.ed25519_seed.size()),
      &EVP_PKEY_free);
  Must(key != nullptr, "the Ed25519 key does not have 32 bytes");
  return key;
}

std::string PublicKey(const Keys& keys) {
  std::string bytes(kEd25519KeyBytes, '\0');
  size_t size = bytes.size();
  Must(EVP_PKEY_get_raw_public_key(PrivateKey(keys).get(), reinterpret_cast<unsigned char*>(bytes.data()), &size) == 1,
       "EVP_PKEY_get_raw_public_key");
  return bytes;
}

std::string Ed25519(EVP_PKEY* key, std::string_view text) {
  const EvpContext context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  Must(context != nullptr, "EVP_MD_CTX_new");
  Must(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) == 1, "EVP_DigestSignInit");
  std::string signature(kEd25519SignatureBytes, '\0');
  size_t size = signature.size();
  Must(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, Bytes(text),
                      text.size()) == 1,
       "EVP_DigestSign");
  return signature;
}

// What follows `prefix`, from base64.
std::optional<std::string> KeyBytes(absl::string_view text, std::string_view prefix) {
  const std::string_view all = base::ToStd(text);
  if (!all.starts_with(prefix)) return std::nullopt;
  return FromBase64(all.substr(prefix.size()));
}

}  // namespace

Keys NewKeys(base::IdSource& ids) {
  const auto random = [&] { return base::Base64UrlDecode(ids.NewToken(kNewKeyBytes)).value(); };
  Keys keys;
  keys.hmac_key = random();
  keys.ed25519_seed = random();
  return keys;
}

std::string SecretText(const Keys& keys) { return absl::StrCat(base::ToAbsl(kSecretPrefix), Base64(keys.hmac_key)); }

std::string PrivateKeyText(const Keys& keys) {
  return absl::StrCat(base::ToAbsl(kPrivatePrefix), Base64(keys.ed25519_seed + PublicKey(keys)));
}

std::string PublicKeyText(const Keys& keys) {
  return absl::StrCat(base::ToAbsl(kPublicPrefix), Base64(PublicKey(keys)));
}

std::string SerializeKeys(const Keys& keys) { return absl::StrCat(SecretText(keys), " ", PrivateKeyText(keys)); }

absl::StatusOr<Keys> ParseKeys(std::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(base::ToAbsl(text), ' ');
  if (parts.size() != 2) return absl::InvalidArgumentError("not two keys of a webhook");
  const std::optional<std::string> secret = KeyBytes(parts[0], kSecretPrefix);
  if (!secret || secret->size() < kHmacKeyBytesMin || secret->size() > kHmacKeyBytesMax) {
    return absl::InvalidArgumentError("not whsec_ and 24 to 64 bytes in base64");
  }
  const std::optional<std::string> pair = KeyBytes(parts[1], kPrivatePrefix);
  if (!pair || pair->size() != 2 * kEd25519KeyBytes) {
    return absl::InvalidArgumentError("not whsk_ and 64 bytes in base64");
  }
  Keys keys{*secret, pair->substr(0, kEd25519KeyBytes)};
  if (PublicKey(keys) != pair->substr(kEd25519KeyBytes)) {
    return absl::InvalidArgumentError("the public key in whsk_ does not belong to its private key");
  }
  return keys;
}

struct Signer::Ready {
  std::string hmac_key;
  EvpKey ed25519_key;
};

Signer::Signer(const Keys& keys) : ready_(new Ready{keys.hmac_key, PrivateKey(keys)}) {}

std::string Signer::Sign(std::string_view id, int64_t timestamp_s, std::string_view body) const {
  const std::string text = SignedText(id, timestamp_s, body);
  return absl::StrCat(base::ToAbsl(kHmacScheme), Base64(Hmac(ready_->hmac_key, text)), " ",
                      base::ToAbsl(kEd25519Scheme), Base64(Ed25519(ready_->ed25519_key.get(), text)));
}

std::string Sign(const std::vector<Signer>& signers, std::string_view id, int64_t timestamp_s, std::string_view body) {
  std::string header;
  for (const Signer& signer : signers)
    absl::StrAppend(&header, header.empty() ? "" : " ", signer.Sign(id, timestamp_s, body));
  return header;
}

std::string Sign(const std::vector<Keys>& keys, std::string_view id, int64_t timestamp_s, std::string_view body) {
  return Sign(std::vector<Signer>(keys.begin(), keys.end()), id, timestamp_s, body);
}

bool Verify(const Keys& keys, std::string_view id, int64_t timestamp_s, std::string_view body,
            std::string_view header) {
  const std::string text = SignedText(id, timestamp_s, body);
  // Ed25519 gives one signature a key and text, so that ours can be compared with.
  const std::string hmac = absl::StrCat(base::ToAbsl(kHmacScheme), Base64(Hmac(keys.hmac_key, text)));
  const std::string ed25519 = absl::StrCat(base::ToAbsl(kEd25519Scheme), Base64(Ed25519(PrivateKey(keys).get(), text)));
  for (const absl::string_view signature : absl::StrSplit(base::ToAbsl(header), ' ')) {
    if (base::ConstantTimeEquals(base::ToStd(signature), hmac)) return true;
    if (base::ConstantTimeEquals(base::ToStd(signature), ed25519)) return true;
  }
  return false;
}

}  // namespace stockalert::webhook
