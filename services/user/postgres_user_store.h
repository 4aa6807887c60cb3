// The user store on PostgreSQL (schema stockalert_user), through SOCI. Thread-safe.
#pragma once

#include "services/common/postgres/pool.h"
#include "services/user/user_store.h"

namespace stockalert::user {

class PostgresUserStore final : public UserStore {
 public:
  // `pool` must outlive it.
  explicit PostgresUserStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<CreatedUser> CreateUser(const User& user, const ApiKey& key, const RequestTag& request,
                                         const std::optional<std::string>& invitation_sha256) override;
  absl::Status CreateInvitation(const Invitation& invitation) override;
  absl::StatusOr<User> GetUser(const std::string& id) override;
  absl::StatusOr<User> ChangeUser(const std::string& id, const std::function<absl::Status(User&)>& change) override;
  absl::Status DeleteUser(const std::string& id, int64_t now_us, const std::string& traceparent,
                          const std::function<absl::Status(const User&)>& check) override;
  absl::Status PutEmailCode(const std::string& user_id, const EmailCode& code, const EmailCodeLimits& limits) override;
  absl::StatusOr<User> VerifyEmail(const std::string& user_id, const std::optional<std::string>& code_sha256,
                                   int64_t now_us, int tries_max) override;
  absl::StatusOr<std::vector<UntoldEmailCode>> ReadUntoldEmailCodes(int limit) override;
  absl::Status MarkEmailCodesTold(const std::vector<UntoldEmailCode>& codes) override;
  absl::StatusOr<std::vector<User>> ListUsers(const std::optional<TimePlace>& after, int limit) override;
  absl::StatusOr<CreatedKey> CreateApiKey(const ApiKey& key, const RequestTag& request,
                                          const KeyLimits& limits) override;
  absl::StatusOr<std::vector<ApiKey>> ListApiKeys(const std::string& user_id, const std::optional<TimePlace>& after,
                                                  int limit) override;
  absl::StatusOr<ApiKey> RevokeApiKey(const std::string& user_id, const std::string& key_id, int64_t now_us) override;
  absl::StatusOr<std::optional<ApiKey>> FindApiKey(const std::string& secret_sha256) override;
  absl::StatusOr<FollowedTicker> Follow(const std::string& user_id, const FollowedTicker& ticker,
                                        int64_t followed_max) override;
  absl::Status Unfollow(const std::string& user_id, const std::string& symbol) override;
  absl::StatusOr<std::vector<FollowedTicker>> ListFollowed(const std::string& user_id, const std::string& after_symbol,
                                                           int limit) override;
  absl::StatusOr<std::optional<FollowedTicker>> FindFollowed(const std::string& user_id,
                                                             const std::string& symbol) override;
  absl::StatusOr<int64_t> CountFollowed(const std::string& user_id) override;
  absl::StatusOr<int64_t> CountFollowers(const std::string& symbol) override;
  absl::StatusOr<std::vector<Deletion>> ReadDeletions(int limit) override;
  absl::Status ForgetDeletions(const std::vector<int64_t>& sequences) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::user
