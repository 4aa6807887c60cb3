// Signatures of Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), and the text form of their keys.
//
// What is signed is "id.timestamp.body". Each pair of keys makes two signatures: `v1` by HMAC-SHA256 for receivers that
// store a secret, `v1a` by Ed25519 for those that store only the public key. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/base/ids.h"

namespace stockalert::webhook {

// The keys of one webhook at one time, as bytes.
struct Keys {
  std::string hmac_key;      // 24 to 64 bytes; new ones have 32.
  std::string ed25519_seed;  // 32 bytes.
  bool operator==(const Keys&) const = default;
};

// Random ones.
Keys NewKeys(base::IdSource& ids);

// "whsec_" and the HMAC's key in base64: for verifying `v1`. Secret.
std::string SecretText(const Keys& keys);
// "whsk_" and seed and public key in base64. Secret, never given to a receiver.
std::string PrivateKeyText(const Keys& keys);
// "whpk_" and the public key in base64: for verifying `v1a`.
std::string PublicKeyText(const Keys& keys);

// One text of both keys, "whsec_… whsk_…", as it is stored, encrypted.
std::string SerializeKeys(const Keys& keys);
// INVALID_ARGUMENT: not such a text, a key of another length, or a public key that does not belong to the seed. The
// message shows nothing of the text.
absl::StatusOr<Keys> ParseKeys(std::string_view text);

// Keys that are ready to sign: to make them ready takes longer than a signature.
class Signer {
 public:
  explicit Signer(const Keys& keys);
  // "v1,… v1a,…", as Sign below.
  std::string Sign(std::string_view id, int64_t timestamp_s, std::string_view body) const;

 private:
  struct Ready;
  std::shared_ptr<const Ready> ready_;  // Shared by copies; never changed.
};

// What `webhook-signature` holds: of each pair in turn `v1,…` and `v1a,…`, separated by spaces; the current keys first,
// then the previous ones. `timestamp_s` is `webhook-timestamp`, Unix seconds. `id` must hold no '.'.
std::string Sign(const std::vector<Keys>& keys, std::string_view id, int64_t timestamp_s, std::string_view body);
std::string Sign(const std::vector<Signer>& signers, std::string_view id, int64_t timestamp_s, std::string_view body);

// Whether one of the signatures in `header` is that of `keys`, by either scheme. For receivers in tests and tools.
bool Verify(const Keys& keys, std::string_view id, int64_t timestamp_s, std::string_view body, std::string_view header);

}  // namespace stockalert::webhook
