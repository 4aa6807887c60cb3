// The user store in memory: what tests of the service's rules use, held to the same contract as PostgresUserStore.
// Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <utility>

#include "services/user/user_store.h"

namespace stockalert::testing {

class InMemoryUserStore final : public user::UserStore {
 public:
  absl::StatusOr<user::CreatedUser> CreateUser(const user::User& user, const user::ApiKey& key,
                                               const user::RequestTag& request,
                                               const std::optional<std::string>& invitation_sha256) override;
  absl::Status CreateInvitation(const user::Invitation& invitation) override;
  absl::StatusOr<user::User> GetUser(const std::string& id) override;
  absl::StatusOr<user::User> ChangeUser(const std::string& id,
                                        const std::function<absl::Status(user::User&)>& change) override;
  absl::Status DeleteUser(const std::string& id, int64_t now_us, const std::string& traceparent,
                          const std::function<absl::Status(const user::User&)>& check) override;
  absl::Status PutEmailCode(const std::string& user_id, const user::EmailCode& code,
                            const user::EmailCodeLimits& limits) override;
  absl::StatusOr<user::User> VerifyEmail(const std::string& user_id, const std::optional<std::string>& code_sha256,
                                         int64_t now_us, int tries_max) override;
  absl::StatusOr<std::vector<user::UntoldEmailCode>> ReadUntoldEmailCodes(int limit) override;
  absl::Status MarkEmailCodesTold(const std::vector<user::UntoldEmailCode>& codes) override;
  absl::StatusOr<std::vector<user::User>> ListUsers(const std::optional<user::TimePlace>& after, int limit) override;
  absl::StatusOr<user::CreatedKey> CreateApiKey(const user::ApiKey& key, const user::RequestTag& request,
                                                const user::KeyLimits& limits) override;
  absl::StatusOr<std::vector<user::ApiKey>> ListApiKeys(const std::string& user_id,
                                                        const std::optional<user::TimePlace>& after,
                                                        int limit) override;
  absl::StatusOr<user::ApiKey> RevokeApiKey(const std::string& user_id, const std::string& key_id,
                                            int64_t now_us) override;
  absl::StatusOr<std::optional<user::ApiKey>> FindApiKey(const std::string& secret_sha256) override;
  absl::StatusOr<user::FollowedTicker> Follow(const std::string& user_id, const user::FollowedTicker& ticker,
                                              int64_t followed_max) override;
  absl::Status Unfollow(const std::string& user_id, const std::string& symbol) override;
  absl::StatusOr<std::vector<user::FollowedTicker>> ListFollowed(const std::string& user_id,
                                                                 const std::string& after_symbol, int limit) override;
  absl::StatusOr<std::optional<user::FollowedTicker>> FindFollowed(const std::string& user_id,
                                                                   const std::string& symbol) override;
  absl::StatusOr<int64_t> CountFollowed(const std::string& user_id) override;
  absl::StatusOr<int64_t> CountFollowers(const std::string& symbol) override;
  absl::StatusOr<std::vector<user::Deletion>> ReadDeletions(int limit) override;
  absl::Status ForgetDeletions(const std::vector<int64_t>& sequences) override;

  // From now on every call answers UNAVAILABLE, until called with false.
  void SetDown(bool down);

 private:
  struct Request {
    std::string fingerprint;
    std::string user_id;
    std::string key_id;
  };
  struct KeptCode {
    std::string email;
    std::string email_key;
    user::EmailCode code;
    bool told = false;
    int tries = 0;
    int64_t day_begin_us = 0;
    int made_in_day = 0;
  };
  using RequestKey = std::pair<std::string, std::string>;  // Scope and request id.

  // Must be called with mutex_ held.
  absl::Status CheckUp() const;
  // Whether another user has verified it.
  bool EmailIsTaken(const std::string& email_key, const std::string& by_other_than) const;

  std::mutex mutex_;  // Guards all below.
  bool down_ = false;
  std::map<std::string, user::User> users_;
  std::map<std::string, user::ApiKey> keys_;
  std::map<RequestKey, Request> requests_;
  std::map<std::pair<std::string, std::string>, int64_t> followed_;  // (user id, symbol) → since when.
  std::map<std::string, KeptCode> codes_;                            // By user id.
  std::map<std::string, user::Invitation> invitations_;              // Unused ones, by hash.
  std::map<int64_t, user::Deletion> deletions_;
  int64_t last_sequence_ = 0;
};

}  // namespace stockalert::testing
