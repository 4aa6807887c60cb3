// What the user service stores: users, API keys, followed tickers, invitations, and an outbox of what the other
// services have to be told: deletions, and codes to be mailed.
//
// Thread-safe; every call is one transaction. Implementations: PostgresUserStore, and InMemoryUserStore in
// tests/support; one contract suite holds both. Errors are those of base/error.h: USER_NOT_FOUND, API_KEY_NOT_FOUND and
// the like where named below, and UNAVAILABLE (DATABASE_UNAVAILABLE) from any call.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::user {

struct User {
  std::string id;
  std::string email;
  std::string email_key;  // In lower case; unique among the verified.
  std::string display_name;
  int64_t create_time_us = 0;
  int64_t update_time_us = 0;
  int64_t version = 1;
  std::optional<int64_t> email_verify_time_us = std::nullopt;
  bool operator==(const User&) const = default;
};

struct ApiKey {
  std::string id;
  std::string user_id;
  std::string display_name;
  bool read_only = false;
  std::string secret_prefix;
  std::string secret_sha256;  // 32 bytes.
  int64_t create_time_us = 0;
  std::optional<int64_t> expire_time_us;
  std::optional<int64_t> revoke_time_us;
  bool operator==(const ApiKey&) const = default;
};

struct FollowedTicker {
  std::string symbol;
  int64_t create_time_us = 0;
  bool operator==(const FollowedTicker&) const = default;
};

// A request that may be sent again.
struct RequestTag {
  std::string request_id;   // Empty: the request has none.
  std::string fingerprint;  // 32 bytes: what was asked for.
};

struct CreatedUser {
  User user;
  ApiKey key;
  bool repeated = false;  // The request was known: nothing was made.
};

struct CreatedKey {
  ApiKey key;
  bool repeated = false;
};

// A place in a list ordered by (create time, id): the next page starts after it.
struct TimePlace {
  int64_t create_time_us = 0;
  std::string id;
};

// A user is gone; the other services have not been told yet.
struct Deletion {
  int64_t sequence = 0;
  std::string user_id;
  int64_t delete_time_us = 0;
  std::string traceparent;
  bool operator==(const Deletion&) const = default;
};

// Lets one user register.
struct Invitation {
  std::string code_sha256;  // 32 bytes.
  std::string note;
  int64_t create_time_us = 0;
  int64_t expire_time_us = 0;
};

// A code that proves an address; a user has one at a time.
struct EmailCode {
  std::string code;
  std::string code_sha256;  // 32 bytes.
  std::string traceparent;
  int64_t create_time_us = 0;
  int64_t expire_time_us = 0;
};

struct EmailCodeLimits {
  int64_t pause_us = 0;  // Between two codes of a user.
  int day_max = 0;       // Codes of a user in 24 hours.
};

// A code that the broker does not have yet.
struct UntoldEmailCode {
  std::string user_id;
  std::string email;
  EmailCode code;
};

struct KeyLimits {
  int64_t now_us = 0;
  // Keys that are neither revoked nor expired.
  int64_t live_max = 0;
  // Revoked and expired keys that are still shown; the oldest beyond that number are deleted.
  int64_t dead_max = 0;
};

class UserStore {
 public:
  virtual ~UserStore() = default;

  // An invitation whose hash is given is used up, at the time of the user's creation. A repeated request is recognised
  // by its id and fingerprint together: registration must not reveal that an id was used for something else.
  // PERMISSION_DENIED (INVITATION_INVALID).
  virtual absl::StatusOr<CreatedUser> CreateUser(const User& user, const ApiKey& key, const RequestTag& request,
                                                 const std::optional<std::string>& invitation_sha256) = 0;
  virtual absl::Status CreateInvitation(const Invitation& invitation) = 0;
  // NOT_FOUND (USER_NOT_FOUND).
  virtual absl::StatusOr<User> GetUser(const std::string& id) = 0;
  // Lets `change` alter the user (except the id) while nobody else does, and stores the user if it changed. `change`
  // may run more than once; its error is returned. NOT_FOUND (USER_NOT_FOUND).
  virtual absl::StatusOr<User> ChangeUser(const std::string& id, const std::function<absl::Status(User&)>& change) = 0;
  // Deletes the user and everything that belongs to them, and adds the deletion to the outbox. `check` may refuse.
  // NOT_FOUND (USER_NOT_FOUND).
  virtual absl::Status DeleteUser(const std::string& id, int64_t now_us, const std::string& traceparent,
                                  const std::function<absl::Status(const User&)>& check) = 0;
  // Stores a code for the user's present address in place of any earlier one, and adds it to the outbox. NOT_FOUND
  // (USER_NOT_FOUND) · FAILED_PRECONDITION (EMAIL_VERIFIED) · RESOURCE_EXHAUSTED (EMAIL_VERIFICATION_RATE).
  virtual absl::Status PutEmailCode(const std::string& user_id, const EmailCode& code,
                                    const EmailCodeLimits& limits) = 0;
  // Verifies the user's address by the code, or without one where there is none. A verified address stays as it is. A
  // wrong code counts: after `tries_max` of them the code is invalid. NOT_FOUND (USER_NOT_FOUND) ·
  // FAILED_PRECONDITION (EMAIL_CODE_INVALID) · ALREADY_EXISTS (EMAIL_TAKEN).
  virtual absl::StatusOr<User> VerifyEmail(const std::string& user_id, const std::optional<std::string>& code_sha256,
                                           int64_t now_us, int tries_max) = 0;
  // The oldest codes that are not published yet.
  virtual absl::StatusOr<std::vector<UntoldEmailCode>> ReadUntoldEmailCodes(int limit) = 0;
  // These codes were published, or need not be any more: from here on only their hashes are kept. Newer codes of the
  // same users remain to be published.
  virtual absl::Status MarkEmailCodesTold(const std::vector<UntoldEmailCode>& codes) = 0;

  // By (create time, id).
  virtual absl::StatusOr<std::vector<User>> ListUsers(const std::optional<TimePlace>& after, int limit) = 0;

  // NOT_FOUND (USER_NOT_FOUND) · RESOURCE_EXHAUSTED (API_KEY_QUOTA) · INVALID_ARGUMENT (REQUEST_ID_REUSED).
  virtual absl::StatusOr<CreatedKey> CreateApiKey(const ApiKey& key, const RequestTag& request,
                                                  const KeyLimits& limits) = 0;
  // By (create time, id). NOT_FOUND (USER_NOT_FOUND).
  virtual absl::StatusOr<std::vector<ApiKey>> ListApiKeys(const std::string& user_id,
                                                          const std::optional<TimePlace>& after, int limit) = 0;
  // A revoked key stays as it is. NOT_FOUND (API_KEY_NOT_FOUND).
  virtual absl::StatusOr<ApiKey> RevokeApiKey(const std::string& user_id, const std::string& key_id,
                                              int64_t now_us) = 0;
  // None: no such key.
  virtual absl::StatusOr<std::optional<ApiKey>> FindApiKey(const std::string& secret_sha256) = 0;

  // A followed ticker stays as it is. NOT_FOUND (USER_NOT_FOUND) · RESOURCE_EXHAUSTED (FOLLOW_QUOTA).
  virtual absl::StatusOr<FollowedTicker> Follow(const std::string& user_id, const FollowedTicker& ticker,
                                                int64_t followed_max) = 0;
  // NOT_FOUND (FOLLOWED_TICKER_NOT_FOUND).
  virtual absl::Status Unfollow(const std::string& user_id, const std::string& symbol) = 0;
  // By symbol (its bytes). NOT_FOUND (USER_NOT_FOUND).
  virtual absl::StatusOr<std::vector<FollowedTicker>> ListFollowed(const std::string& user_id,
                                                                   const std::string& after_symbol, int limit) = 0;
  virtual absl::StatusOr<std::optional<FollowedTicker>> FindFollowed(const std::string& user_id,
                                                                     const std::string& symbol) = 0;
  // NOT_FOUND (USER_NOT_FOUND).
  virtual absl::StatusOr<int64_t> CountFollowed(const std::string& user_id) = 0;
  virtual absl::StatusOr<int64_t> CountFollowers(const std::string& symbol) = 0;

  // The oldest deletions that are not published yet.
  virtual absl::StatusOr<std::vector<Deletion>> ReadDeletions(int limit) = 0;
  // These were published.
  virtual absl::Status ForgetDeletions(const std::vector<int64_t>& sequences) = 0;
};

// The errors that every store gives.
absl::Status UserNotFound(const std::string& id);
absl::Status ApiKeyNotFound(const std::string& id);
absl::Status FollowedTickerNotFound(const std::string& symbol);
absl::Status EmailTaken();
absl::Status EmailVerified();
absl::Status EmailCodeInvalid();
absl::Status EmailCodeRate(int64_t wait_us);
absl::Status InvitationInvalid();
absl::Status RequestIdReused();
absl::Status ApiKeyQuota(int64_t live_max);
absl::Status FollowQuota(int64_t followed_max);

}  // namespace stockalert::user
