// The rules of users, keys and followed tickers, without transport and database.
//
// Thread-safe as far as its collaborators are. Callers check the form of requests (text, names, times); everything else
// is checked here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/trace/trace.h"
#include "services/user/email.h"
#include "services/user/registration_limit.h"
#include "services/user/ticker_registrar.h"
#include "services/user/user_store.h"

namespace stockalert::user {

enum class Registration { kOpen, kByInvitation, kClosed };

struct UserRules {
  Registration registration = Registration::kOpen;
  absl::Duration email_code_life = absl::Hours(24);
  EmailCodeLimits email_codes = {.pause_us = 60'000'000, .day_max = 5};
  int email_code_tries_max = 10;
  int64_t live_keys_max = 20;
  int64_t dead_keys_max = 100;
  int64_t followed_max = 1000;
  // Of the administrator's key; empty: there is none.
  std::string administrator_key_sha256;
};

struct Registered {
  User user;
  ApiKey key;
  std::string secret;  // Empty where the request was sent again.
};

struct NewKey {
  std::string display_name;
  bool read_only = false;
  std::optional<int64_t> expire_time_us;
};

struct IssuedKey {
  ApiKey key;
  std::string secret;  // Empty where the request was sent again.
};

struct IssuedInvitation {
  std::string code;
  int64_t expire_time_us = 0;
};

struct UserChange {
  std::optional<Email> email;
  std::optional<std::string> display_name;
};

// The user that a key belongs to.
struct Identity {
  std::string user_id;  // Empty for the administrator.
  std::string key_id;
  bool is_administrator = false;
  bool read_only = false;
  std::optional<int64_t> expire_time_us;
};

// Checks the stored user before a change (the etag); an error refuses the change.
using UserCheck = std::function<absl::Status(const User&)>;

class UserLogic {
 public:
  // What is handed in must outlive it.
  UserLogic(UserStore& store, TickerRegistrar& tickers, RegistrationLimit& limit, base::IdSource& ids,
            const base::Clock& clock, const UserRules& rules);

  // RESOURCE_EXHAUSTED (REGISTRATION_RATE) · PERMISSION_DENIED (REGISTRATION_CLOSED, INVITATION_REQUIRED,
  // INVITATION_INVALID). The answer does not depend on other users.
  absl::StatusOr<Registered> Register(const Email& email, const std::string& display_name,
                                      const std::string& request_id, const std::string& invitation_code,
                                      std::string_view peer);
  // Good until `expire_time_us`, or for 7 days. INVALID_ARGUMENT (expire_time): not in the future, or more than 90 days
  // ahead.
  absl::StatusOr<IssuedInvitation> CreateInvitation(const std::string& note, std::optional<int64_t> expire_time_us);
  absl::StatusOr<User> GetUser(const std::string& id);
  absl::StatusOr<User> UpdateUser(const std::string& id, const UserChange& change, const UserCheck& check);
  absl::Status DeleteUser(const std::string& id, const UserCheck& check, const trace::Context& trace);
  // Sends a new code by mail; returns when it expires. FAILED_PRECONDITION (EMAIL_VERIFIED) · RESOURCE_EXHAUSTED
  // (EMAIL_VERIFICATION_RATE).
  absl::StatusOr<int64_t> SendEmailVerification(const std::string& id, const trace::Context& trace);
  // Without a code only if an administrator vouches for the address. FAILED_PRECONDITION (EMAIL_CODE_INVALID) ·
  // ALREADY_EXISTS (EMAIL_TAKEN).
  absl::StatusOr<User> VerifyEmail(const std::string& id, const std::optional<std::string>& code);
  absl::StatusOr<std::vector<User>> ListUsers(const std::optional<TimePlace>& after, int limit);

  // INVALID_ARGUMENT (api_key.expire_time): not in the future. RESOURCE_EXHAUSTED (API_KEY_QUOTA).
  absl::StatusOr<IssuedKey> CreateApiKey(const std::string& user_id, const NewKey& key, const std::string& request_id);
  absl::StatusOr<std::vector<ApiKey>> ListApiKeys(const std::string& user_id, const std::optional<TimePlace>& after,
                                                  int limit);
  absl::StatusOr<ApiKey> RevokeApiKey(const std::string& user_id, const std::string& key_id);

  // UNAUTHENTICATED (API_KEY_INVALID): no such key, expired, or revoked.
  absl::StatusOr<Identity> Authenticate(std::string_view secret);

  // Nothing is followed where the ticker cannot be registered.
  absl::StatusOr<FollowedTicker> Follow(const std::string& user_id, const std::string& symbol,
                                        const trace::Context& trace, absl::Time deadline);
  absl::Status Unfollow(const std::string& user_id, const std::string& symbol);
  absl::StatusOr<std::vector<FollowedTicker>> ListFollowed(const std::string& user_id, const std::string& after_symbol,
                                                           int limit);
  absl::StatusOr<int64_t> CountFollowers(const std::string& symbol);

 private:
  // A fresh key of the user, with its secret.
  IssuedKey MakeKey(const std::string& user_id, const NewKey& key, int64_t now_us);

  UserStore& store_;
  TickerRegistrar& tickers_;
  RegistrationLimit& limit_;
  base::IdSource& ids_;
  const base::Clock& clock_;
  const UserRules rules_;
};

}  // namespace stockalert::user
