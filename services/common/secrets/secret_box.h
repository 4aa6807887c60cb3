// Encrypts secrets for storage: AES-256-GCM with keys that the operator keeps in a file.
//
// The file has a line for each key, `ID BASE64`: an id of 1 to 32 of [A-Za-z0-9_-], and 32 bytes. The first key
// encrypts, all of them decrypt: to change keys, insert a new first line, and remove the old one when nothing is
// encrypted with it any more. Empty lines and those that begin with '#' are skipped. Thread-safe; no error and no log
// line shows a secret.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::secrets {

class SecretBox {
 public:
  // INVALID_ARGUMENT, with the number of the line: not such a file, no key in it, or an id that occurs twice.
  static absl::StatusOr<SecretBox> FromText(std::string_view text);
  // Also INVALID_ARGUMENT: it cannot be read. Errors name the file.
  static absl::StatusOr<SecretBox> FromFile(const std::string& path);

  SecretBox(const SecretBox&) = default;
  SecretBox(SecretBox&&) = default;
  SecretBox& operator=(const SecretBox&) = default;
  SecretBox& operator=(SecretBox&&) = default;
  // Wipes the keys.
  ~SecretBox();

  // Text of [A-Za-z0-9_-] that contains the format, the key's id, the nonce, and `secret` encrypted with the first key.
  // It can only be opened for the same `owner` (the destination's id), so that one row's secret is of no use in
  // another. Each call returns a different text.
  std::string Seal(std::string_view secret, std::string_view owner) const;

  // NOT_FOUND: sealed with a key that the file does not have; the message says which. DATA_LOSS: not sealed for this
  // owner, or changed since.
  absl::StatusOr<std::string> Open(std::string_view sealed, std::string_view owner) const;

  // A keyed hash of `text` in hex: equal for equal texts, and of no use to whoever has no more than the database.
  // Changes with the first key.
  std::string Tag(std::string_view text) const;

  // Whether Tag made this of `text` with any of the keys; `tag` may be the first 32 characters or more of one. Takes
  // the same time whatever differs.
  bool IsTag(std::string_view tag, std::string_view text) const;

  // The id of the key that seals.
  const std::string& sealing_key_id() const { return keys_.front().id; }
  // Whether it was sealed with another key than the one that seals now. Also true for text that cannot be read.
  bool IsSealedByOldKey(std::string_view sealed) const;

 private:
  struct Key {
    std::string id;
    std::string bytes;
  };
  explicit SecretBox(std::vector<Key> keys) : keys_(std::move(keys)) {}

  static std::string TagOf(const Key& key, std::string_view text);

  std::vector<Key> keys_;  // At least one.
};

}  // namespace stockalert::secrets
