#include "services/user/user_store.h"

#include "services/common/base/error.h"

namespace stockalert::user {

absl::Status UserNotFound(const std::string& id) {
  return base::NotFound("USER_NOT_FOUND", "there is no user users/" + id + " that this key reaches",
                        {{"name", "users/" + id}});
}

absl::Status ApiKeyNotFound(const std::string& id) {
  return base::NotFound("API_KEY_NOT_FOUND", "the user has no such API key: ListApiKeys tells the names",
                        {{"key", id}});
}

absl::Status FollowedTickerNotFound(const std::string& symbol) {
  return base::NotFound("FOLLOWED_TICKER_NOT_FOUND",
                        "the user does not follow this ticker: ListFollowedTickers tells which", {{"symbol", symbol}});
}

absl::Status EmailTaken() {
  return base::AlreadyExists("EMAIL_TAKEN",
                             "another user has verified this e-mail address: use that user's key, or another address");
}

absl::Status EmailVerified() {
  return base::FailedPrecondition("EMAIL_VERIFIED", "the address is verified already: no code is needed");
}

absl::Status EmailCodeInvalid() {
  return base::FailedPrecondition(
      "EMAIL_CODE_INVALID",
      "the code is wrong, has expired, was tried too often, or was for another address: SendEmailVerification "
      "makes a new one");
}

absl::Status EmailCodeRate(int64_t wait_us) {
  return base::ResourceExhausted("EMAIL_VERIFICATION_RATE", "too many codes were asked for: try again later",
                                 absl::Microseconds(wait_us));
}

absl::Status InvitationInvalid() {
  return base::PermissionDenied("INVITATION_INVALID",
                                "the invitation is not known, has expired or has been used: ask for another one");
}

absl::Status RequestIdReused() {
  return base::InvalidField("request_id", "was used for a different request: choose a new one", "REQUEST_ID_REUSED");
}

absl::Status ApiKeyQuota(int64_t live_max) {
  return base::ResourceExhausted(
      "API_KEY_QUOTA", "the user has " + std::to_string(live_max) + " keys already: revoke one before creating another",
      std::nullopt, {{"limit", std::to_string(live_max)}});
}

absl::Status FollowQuota(int64_t followed_max) {
  return base::ResourceExhausted(
      "FOLLOW_QUOTA", "the user follows " + std::to_string(followed_max) + " tickers already: unfollow one first",
      std::nullopt, {{"limit", std::to_string(followed_max)}});
}

}  // namespace stockalert::user
