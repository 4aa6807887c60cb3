#include "tests/support/user_store/in_memory_user_store.h"

#include <algorithm>
#include <tuple>

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/store_failure.h"

namespace stockalert::testing {
namespace {

template <typename Row>
std::vector<Row> Page(std::vector<Row> rows, const std::optional<user::TimePlace>& after, int limit) {
  const auto place = [](const Row& row) { return std::tie(row.create_time_us, row.id); };
  std::sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return place(a) < place(b); });
  if (after)
    std::erase_if(rows, [&](const Row& row) { return place(row) <= std::tie(after->create_time_us, after->id); });
  if (rows.size() > static_cast<size_t>(limit)) rows.resize(static_cast<size_t>(limit));
  return rows;
}

bool IsDead(const user::ApiKey& key, int64_t now_us) {
  return key.revoke_time_us.has_value() || (key.expire_time_us && *key.expire_time_us <= now_us);
}

}  // namespace

void InMemoryUserStore::SetDown(bool down) {
  std::lock_guard lock(mutex_);
  down_ = down;
}

absl::Status InMemoryUserStore::CheckUp() const {
  return down_ ? base::Unavailable(postgres::kReasonDatabaseUnavailable, "the store was told to be down")
               : absl::OkStatus();
}

bool InMemoryUserStore::EmailIsTaken(const std::string& email_key, const std::string& by_other_than) const {
  return std::any_of(users_.begin(), users_.end(), [&](const auto& entry) {
    return entry.second.email_key == email_key && entry.second.email_verify_time_us && entry.first != by_other_than;
  });
}

absl::StatusOr<user::CreatedUser> InMemoryUserStore::CreateUser(const user::User& user, const user::ApiKey& key,
                                                                const user::RequestTag& request,
                                                                const std::optional<std::string>& invitation_sha256) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const RequestKey request_key("register/" + request.fingerprint, request.request_id);
  if (const auto known = requests_.find(request_key); known != requests_.end()) {
    return user::CreatedUser{users_.at(known->second.user_id), keys_.at(known->second.key_id), true};
  }
  if (invitation_sha256) {
    const auto invitation = invitations_.find(*invitation_sha256);
    if (invitation == invitations_.end() || invitation->second.expire_time_us <= user.create_time_us)
      return user::InvitationInvalid();
    invitations_.erase(invitation);
  }
  users_[user.id] = user;
  keys_[key.id] = key;
  if (!request.request_id.empty()) requests_[request_key] = Request{request.fingerprint, user.id, key.id};
  return user::CreatedUser{user, key, false};
}

absl::Status InMemoryUserStore::CreateInvitation(const user::Invitation& invitation) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  invitations_[invitation.code_sha256] = invitation;
  return absl::OkStatus();
}

absl::StatusOr<user::User> InMemoryUserStore::GetUser(const std::string& id) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const auto found = users_.find(id);
  if (found == users_.end()) return user::UserNotFound(id);
  return found->second;
}

absl::StatusOr<user::User> InMemoryUserStore::ChangeUser(const std::string& id,
                                                         const std::function<absl::Status(user::User&)>& change) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const auto found = users_.find(id);
  if (found == users_.end()) return user::UserNotFound(id);
  user::User changed = found->second;
  STOCKALERT_RETURN_IF_ERROR(change(changed));
  if (changed.email_verify_time_us && EmailIsTaken(changed.email_key, id)) return user::EmailTaken();
  found->second = changed;
  return changed;
}

absl::Status InMemoryUserStore::PutEmailCode(const std::string& user_id, const user::EmailCode& code,
                                             const user::EmailCodeLimits& limits) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const auto found = users_.find(user_id);
  if (found == users_.end()) return user::UserNotFound(user_id);
  if (found->second.email_verify_time_us) return user::EmailVerified();
  constexpr int64_t kDayUs = 86'400'000'000;
  const int64_t now_us = code.create_time_us;
  KeptCode kept{.email = found->second.email,
                .email_key = found->second.email_key,
                .code = code,
                .day_begin_us = now_us,
                .made_in_day = 1};
  if (const auto before = codes_.find(user_id); before != codes_.end()) {
    const KeptCode& last = before->second;
    if (now_us < last.code.create_time_us + limits.pause_us) {
      return user::EmailCodeRate(last.code.create_time_us + limits.pause_us - now_us);
    }
    if (now_us < last.day_begin_us + kDayUs) {
      if (last.made_in_day >= limits.day_max) return user::EmailCodeRate(last.day_begin_us + kDayUs - now_us);
      kept.day_begin_us = last.day_begin_us;
      kept.made_in_day = last.made_in_day + 1;
    }
  }
  codes_[user_id] = std::move(kept);
  return absl::OkStatus();
}

absl::StatusOr<user::User> InMemoryUserStore::VerifyEmail(const std::string& user_id,
                                                          const std::optional<std::string>& code_sha256, int64_t now_us,
                                                          int tries_max) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const auto found = users_.find(user_id);
  if (found == users_.end()) return user::UserNotFound(user_id);
  user::User& user = found->second;
  if (user.email_verify_time_us) return user;
  if (code_sha256) {
    const auto kept = codes_.find(user_id);
    if (kept == codes_.end() || kept->second.tries >= tries_max) return user::EmailCodeInvalid();
    ++kept->second.tries;
    const KeptCode& known = kept->second;
    if (known.email_key != user.email_key || known.code.expire_time_us <= now_us ||
        known.code.code_sha256 != *code_sha256) {
      return user::EmailCodeInvalid();
    }
  }
  if (EmailIsTaken(user.email_key, user_id)) return user::EmailTaken();
  user.email_verify_time_us = now_us;
  user.update_time_us = now_us;
  ++user.version;
  codes_.erase(user_id);
  return user;
}

absl::StatusOr<std::vector<user::UntoldEmailCode>> InMemoryUserStore::ReadUntoldEmailCodes(int limit) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  std::vector<user::UntoldEmailCode> codes;
  for (const auto& [id, kept] : codes_) {
    if (!kept.told) codes.push_back({id, kept.email, kept.code});
  }
  std::sort(codes.begin(), codes.end(),
            [](const auto& a, const auto& b) { return a.code.create_time_us < b.code.create_time_us; });
  if (codes.size() > static_cast<size_t>(limit)) codes.resize(static_cast<size_t>(limit));
  return codes;
}

absl::Status InMemoryUserStore::MarkEmailCodesTold(const std::vector<user::UntoldEmailCode>& codes) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  for (const user::UntoldEmailCode& told : codes) {
    const auto kept = codes_.find(told.user_id);
    if (kept != codes_.end() && kept->second.code.code_sha256 == told.code.code_sha256) kept->second.told = true;
  }
  return absl::OkStatus();
}

absl::Status InMemoryUserStore::DeleteUser(const std::string& id, int64_t now_us, const std::string& traceparent,
                                           const std::function<absl::Status(const user::User&)>& check) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const auto found = users_.find(id);
  if (found == users_.end()) return user::UserNotFound(id);
  STOCKALERT_RETURN_IF_ERROR(check(found->second));
  users_.erase(found);
  std::erase_if(keys_, [&](const auto& entry) { return entry.second.user_id == id; });
  std::erase_if(requests_, [&](const auto& entry) { return entry.second.user_id == id; });
  std::erase_if(followed_, [&](const auto& entry) { return entry.first.first == id; });
  codes_.erase(id);
  ++last_sequence_;
  deletions_[last_sequence_] = user::Deletion{last_sequence_, id, now_us, traceparent};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<user::User>> InMemoryUserStore::ListUsers(const std::optional<user::TimePlace>& after,
                                                                     int limit) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  std::vector<user::User> users;
  users.reserve(users_.size());
  for (const auto& [id, user] : users_) users.push_back(user);
  return Page(std::move(users), after, limit);
}

absl::StatusOr<user::CreatedKey> InMemoryUserStore::CreateApiKey(const user::ApiKey& key,
                                                                 const user::RequestTag& request,
                                                                 const user::KeyLimits& limits) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  if (!users_.contains(key.user_id)) return user::UserNotFound(key.user_id);
  const RequestKey request_key("key/" + key.user_id, request.request_id);
  if (const auto known = requests_.find(request_key); known != requests_.end()) {
    if (known->second.fingerprint != request.fingerprint) return user::RequestIdReused();
    return user::CreatedKey{keys_.at(known->second.key_id), true};
  }
  std::vector<user::ApiKey> dead;
  int64_t live = 0;
  for (const auto& [id, other] : keys_) {
    if (other.user_id != key.user_id) continue;
    if (IsDead(other, limits.now_us)) {
      dead.push_back(other);
    } else {
      ++live;
    }
  }
  if (live >= limits.live_max) return user::ApiKeyQuota(limits.live_max);
  const int dead_count = static_cast<int>(dead.size());
  dead = Page(std::move(dead), std::nullopt, dead_count);
  for (size_t i = 0; i + static_cast<size_t>(limits.dead_max) < dead.size(); ++i) {
    keys_.erase(dead[i].id);
    std::erase_if(requests_, [&](const auto& entry) { return entry.second.key_id == dead[i].id; });
  }
  keys_[key.id] = key;
  if (!request.request_id.empty()) requests_[request_key] = Request{request.fingerprint, key.user_id, key.id};
  return user::CreatedKey{key, false};
}

absl::StatusOr<std::vector<user::ApiKey>> InMemoryUserStore::ListApiKeys(const std::string& user_id,
                                                                         const std::optional<user::TimePlace>& after,
                                                                         int limit) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  if (!users_.contains(user_id)) return user::UserNotFound(user_id);
  std::vector<user::ApiKey> keys;
  for (const auto& [id, key] : keys_) {
    if (key.user_id == user_id) keys.push_back(key);
  }
  return Page(std::move(keys), after, limit);
}

absl::StatusOr<user::ApiKey> InMemoryUserStore::RevokeApiKey(const std::string& user_id, const std::string& key_id,
                                                             int64_t now_us) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const auto found = keys_.find(key_id);
  if (found == keys_.end() || found->second.user_id != user_id) return user::ApiKeyNotFound(key_id);
  if (!found->second.revoke_time_us) found->second.revoke_time_us = now_us;
  return found->second;
}

absl::StatusOr<std::optional<user::ApiKey>> InMemoryUserStore::FindApiKey(const std::string& secret_sha256) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  for (const auto& [id, key] : keys_) {
    if (key.secret_sha256 == secret_sha256) return std::optional<user::ApiKey>(key);
  }
  return std::optional<user::ApiKey>();
}

absl::StatusOr<user::FollowedTicker> InMemoryUserStore::Follow(const std::string& user_id,
                                                               const user::FollowedTicker& ticker,
                                                               int64_t followed_max) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  if (!users_.contains(user_id)) return user::UserNotFound(user_id);
  const std::pair<std::string, std::string> key(user_id, ticker.symbol);
  if (const auto known = followed_.find(key); known != followed_.end())
    return user::FollowedTicker{ticker.symbol, known->second};
  const auto count = std::count_if(followed_.begin(), followed_.end(),
                                   [&](const auto& entry) { return entry.first.first == user_id; });
  if (count >= followed_max) return user::FollowQuota(followed_max);
  followed_[key] = ticker.create_time_us;
  return ticker;
}

absl::Status InMemoryUserStore::Unfollow(const std::string& user_id, const std::string& symbol) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  return followed_.erase({user_id, symbol}) > 0 ? absl::OkStatus() : user::FollowedTickerNotFound(symbol);
}

absl::StatusOr<std::vector<user::FollowedTicker>> InMemoryUserStore::ListFollowed(const std::string& user_id,
                                                                                  const std::string& after_symbol,
                                                                                  int limit) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  if (!users_.contains(user_id)) return user::UserNotFound(user_id);
  std::vector<user::FollowedTicker> tickers;
  for (auto entry = followed_.upper_bound({user_id, after_symbol});
       entry != followed_.end() && entry->first.first == user_id && tickers.size() < static_cast<size_t>(limit);
       ++entry) {
    tickers.push_back({entry->first.second, entry->second});
  }
  return tickers;
}

absl::StatusOr<std::optional<user::FollowedTicker>> InMemoryUserStore::FindFollowed(const std::string& user_id,
                                                                                    const std::string& symbol) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  const auto found = followed_.find({user_id, symbol});
  if (found == followed_.end()) return std::optional<user::FollowedTicker>();
  return std::optional<user::FollowedTicker>(user::FollowedTicker{symbol, found->second});
}

absl::StatusOr<int64_t> InMemoryUserStore::CountFollowed(const std::string& user_id) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  if (!users_.contains(user_id)) return user::UserNotFound(user_id);
  return std::count_if(followed_.begin(), followed_.end(),
                       [&](const auto& entry) { return entry.first.first == user_id; });
}

absl::StatusOr<int64_t> InMemoryUserStore::CountFollowers(const std::string& symbol) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  return std::count_if(followed_.begin(), followed_.end(),
                       [&](const auto& entry) { return entry.first.second == symbol; });
}

absl::StatusOr<std::vector<user::Deletion>> InMemoryUserStore::ReadDeletions(int limit) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  std::vector<user::Deletion> deletions;
  for (const auto& [sequence, deletion] : deletions_) {
    if (deletions.size() == static_cast<size_t>(limit)) break;
    deletions.push_back(deletion);
  }
  return deletions;
}

absl::Status InMemoryUserStore::ForgetDeletions(const std::vector<int64_t>& sequences) {
  std::lock_guard lock(mutex_);
  STOCKALERT_RETURN_IF_ERROR(CheckUp());
  for (const int64_t sequence : sequences) deletions_.erase(sequence);
  return absl::OkStatus();
}

}  // namespace stockalert::testing
