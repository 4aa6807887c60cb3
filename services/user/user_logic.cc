#include "services/user/user_logic.h"

#include <utility>

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/domain/market/symbol.h"

namespace stockalert::user {
namespace {

constexpr std::string_view kSecretStart = "sak_";
constexpr size_t kSecretRandomBytes = 32;
constexpr size_t kSecretSize = 4 + 43;
// "sak_" and four characters: enough to tell one's keys apart, 232 random bits left.
constexpr size_t kPrefixSize = 8;
constexpr char kAdministratorKeyId[] = "administrator";
constexpr char kFirstKeyName[] = "first key";

constexpr absl::Duration kInvitationLife = absl::Hours(7 * 24);
constexpr absl::Duration kInvitationLifeMax = absl::Hours(90 * 24);
constexpr size_t kInvitationRandomBytes = 16;
// 50 bits, of which at most `email_code_tries_max` can be tried; without letters that look like others.
constexpr std::string_view kCodeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr size_t kCodeSize = 10;

// A code that people can type.
std::string NewEmailCode(base::IdSource& ids) {
  const std::optional<std::string> random = base::Base64UrlDecode(ids.NewToken(kCodeSize));
  std::string code;
  for (const char byte : random.value()) code += kCodeAlphabet[static_cast<unsigned char>(byte) % kCodeAlphabet.size()];
  return code;
}

// As people type it: in whatever case, with spaces and dashes.
std::string NormalEmailCode(std::string_view typed) {
  std::string code;
  for (const char c : typed) {
    if (c == ' ' || c == '-') continue;
    code += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return code;
}

absl::Status InvalidKey() {
  return base::Unauthenticated("API_KEY_INVALID", "the API key is not known, has expired or was revoked");
}

// A hash of parts that cannot run into each other.
std::string Fingerprint(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += std::to_string(part.size()) + ":" + part;
  return base::Sha256(all);
}

}  // namespace

UserLogic::UserLogic(UserStore& store, TickerRegistrar& tickers, RegistrationLimit& limit, base::IdSource& ids,
                     const base::Clock& clock, const UserRules& rules)
    : store_(store), tickers_(tickers), limit_(limit), ids_(ids), clock_(clock), rules_(rules) {}

IssuedKey UserLogic::MakeKey(const std::string& user_id, const NewKey& key, int64_t now_us) {
  IssuedKey issued;
  issued.secret = std::string(kSecretStart) + ids_.NewToken(kSecretRandomBytes);
  issued.key = ApiKey{.id = ids_.NewUuid(),
                      .user_id = user_id,
                      .display_name = key.display_name,
                      .read_only = key.read_only,
                      .secret_prefix = issued.secret.substr(0, kPrefixSize),
                      .secret_sha256 = base::Sha256(issued.secret),
                      .create_time_us = now_us,
                      .expire_time_us = key.expire_time_us,
                      .revoke_time_us = std::nullopt};
  return issued;
}

absl::StatusOr<Registered> UserLogic::Register(const Email& email, const std::string& display_name,
                                               const std::string& request_id, const std::string& invitation_code,
                                               std::string_view peer) {
  STOCKALERT_RETURN_IF_ERROR(limit_.TryAcquire(peer));
  std::optional<std::string> invitation_sha256;
  switch (rules_.registration) {
    case Registration::kOpen:
      break;
    case Registration::kByInvitation:
      if (invitation_code.empty()) {
        return base::PermissionDenied("INVITATION_REQUIRED",
                                      "registration is by invitation: ask the administrator for a code");
      }
      invitation_sha256 = base::Sha256(invitation_code);
      break;
    case Registration::kClosed:
      return base::PermissionDenied("REGISTRATION_CLOSED", "this installation takes no new users");
  }
  const int64_t now_us = clock_.NowUs();
  const User user{.id = ids_.NewUuid(),
                  .email = email.address,
                  .email_key = email.key,
                  .display_name = display_name,
                  .create_time_us = now_us,
                  .update_time_us = now_us,
                  .version = 1};
  const IssuedKey issued =
      MakeKey(user.id, NewKey{.display_name = kFirstKeyName, .read_only = false, .expire_time_us = {}}, now_us);
  STOCKALERT_ASSIGN_OR_RETURN(
      CreatedUser created,
      store_.CreateUser(user, issued.key, RequestTag{request_id, Fingerprint({email.key, display_name})},
                        invitation_sha256));
  return Registered{std::move(created.user), std::move(created.key), created.repeated ? "" : issued.secret};
}

absl::StatusOr<IssuedInvitation> UserLogic::CreateInvitation(const std::string& note,
                                                             std::optional<int64_t> expire_time_us) {
  const int64_t now_us = clock_.NowUs();
  const int64_t expires_us = expire_time_us.value_or(now_us + absl::ToInt64Microseconds(kInvitationLife));
  if (expires_us <= now_us || expires_us > now_us + absl::ToInt64Microseconds(kInvitationLifeMax)) {
    return base::InvalidField("expire_time", "must be in the future, at most 90 days ahead");
  }
  IssuedInvitation issued{.code = ids_.NewToken(kInvitationRandomBytes), .expire_time_us = expires_us};
  STOCKALERT_RETURN_IF_ERROR(store_.CreateInvitation({.code_sha256 = base::Sha256(issued.code),
                                                      .note = note,
                                                      .create_time_us = now_us,
                                                      .expire_time_us = expires_us}));
  return issued;
}

absl::StatusOr<int64_t> UserLogic::SendEmailVerification(const std::string& id, const trace::Context& trace) {
  const int64_t now_us = clock_.NowUs();
  EmailCode code{.code = NewEmailCode(ids_),
                 .code_sha256 = {},
                 .traceparent = trace.Traceparent(),
                 .create_time_us = now_us,
                 .expire_time_us = now_us + absl::ToInt64Microseconds(rules_.email_code_life)};
  code.code_sha256 = base::Sha256(code.code);
  STOCKALERT_RETURN_IF_ERROR(store_.PutEmailCode(id, code, rules_.email_codes));
  return code.expire_time_us;
}

absl::StatusOr<User> UserLogic::VerifyEmail(const std::string& id, const std::optional<std::string>& code) {
  std::optional<std::string> hash;
  if (code) hash = base::Sha256(NormalEmailCode(*code));
  return store_.VerifyEmail(id, hash, clock_.NowUs(), rules_.email_code_tries_max);
}

absl::StatusOr<User> UserLogic::GetUser(const std::string& id) { return store_.GetUser(id); }

absl::StatusOr<User> UserLogic::UpdateUser(const std::string& id, const UserChange& change, const UserCheck& check) {
  const int64_t now_us = clock_.NowUs();
  return store_.ChangeUser(id, [&](User& user) -> absl::Status {
    STOCKALERT_RETURN_IF_ERROR(check(user));
    const User before = user;
    if (change.email) {
      // Another spelling of the same address stays verified.
      if (user.email_key != change.email->key) user.email_verify_time_us.reset();
      user.email = change.email->address;
      user.email_key = change.email->key;
    }
    if (change.display_name) user.display_name = *change.display_name;
    if (user == before) return absl::OkStatus();
    user.update_time_us = now_us;
    ++user.version;
    return absl::OkStatus();
  });
}

absl::Status UserLogic::DeleteUser(const std::string& id, const UserCheck& check, const trace::Context& trace) {
  return store_.DeleteUser(id, clock_.NowUs(), trace.Traceparent(), check);
}

absl::StatusOr<std::vector<User>> UserLogic::ListUsers(const std::optional<TimePlace>& after, int limit) {
  return store_.ListUsers(after, limit);
}

absl::StatusOr<IssuedKey> UserLogic::CreateApiKey(const std::string& user_id, const NewKey& key,
                                                  const std::string& request_id) {
  const int64_t now_us = clock_.NowUs();
  if (key.expire_time_us && *key.expire_time_us <= now_us) {
    return base::InvalidField("api_key.expire_time", "must be in the future");
  }
  IssuedKey issued = MakeKey(user_id, key, now_us);
  const RequestTag request{request_id,
                           Fingerprint({key.display_name, key.read_only ? "read-only" : "full",
                                        key.expire_time_us ? std::to_string(*key.expire_time_us) : "never"})};
  STOCKALERT_ASSIGN_OR_RETURN(CreatedKey created, store_.CreateApiKey(issued.key, request,
                                                                      KeyLimits{.now_us = now_us,
                                                                                .live_max = rules_.live_keys_max,
                                                                                .dead_max = rules_.dead_keys_max}));
  return IssuedKey{std::move(created.key), created.repeated ? "" : issued.secret};
}

absl::StatusOr<std::vector<ApiKey>> UserLogic::ListApiKeys(const std::string& user_id,
                                                           const std::optional<TimePlace>& after, int limit) {
  return store_.ListApiKeys(user_id, after, limit);
}

absl::StatusOr<ApiKey> UserLogic::RevokeApiKey(const std::string& user_id, const std::string& key_id) {
  return store_.RevokeApiKey(user_id, key_id, clock_.NowUs());
}

absl::StatusOr<Identity> UserLogic::Authenticate(std::string_view secret) {
  const std::string hash = base::Sha256(secret);
  if (!rules_.administrator_key_sha256.empty() && base::ConstantTimeEquals(hash, rules_.administrator_key_sha256)) {
    return Identity{.user_id = "",
                    .key_id = kAdministratorKeyId,
                    .is_administrator = true,
                    .read_only = false,
                    .expire_time_us = {}};
  }
  // What cannot be a key of ours costs no query.
  if (secret.size() != kSecretSize || !secret.starts_with(kSecretStart)) return InvalidKey();
  STOCKALERT_ASSIGN_OR_RETURN(const std::optional<ApiKey> key, store_.FindApiKey(hash));
  if (!key || key->revoke_time_us || (key->expire_time_us && *key->expire_time_us <= clock_.NowUs()))
    return InvalidKey();
  return Identity{.user_id = key->user_id,
                  .key_id = key->id,
                  .is_administrator = false,
                  .read_only = key->read_only,
                  .expire_time_us = key->expire_time_us};
}

absl::StatusOr<FollowedTicker> UserLogic::Follow(const std::string& user_id, const std::string& symbol,
                                                 const trace::Context& trace, absl::Time deadline) {
  const std::optional<std::string> normal = market::NormalizeSymbol(symbol);
  if (!normal) return base::InvalidField("symbol", market::kSymbolRule);
  // A user who may follow no more registers no more either; what is followed already stays so.
  STOCKALERT_ASSIGN_OR_RETURN(const int64_t followed, store_.CountFollowed(user_id));
  if (followed >= rules_.followed_max) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::optional<FollowedTicker> known, store_.FindFollowed(user_id, *normal));
    if (!known) return FollowQuota(rules_.followed_max);
    return *known;
  }
  STOCKALERT_ASSIGN_OR_RETURN(std::string registered, tickers_.Register(*normal, user_id, trace, deadline));
  return store_.Follow(user_id, FollowedTicker{std::move(registered), clock_.NowUs()}, rules_.followed_max);
}

absl::Status UserLogic::Unfollow(const std::string& user_id, const std::string& symbol) {
  const std::optional<std::string> normal = market::NormalizeSymbol(symbol);
  // What is no symbol cannot be followed either.
  return normal ? store_.Unfollow(user_id, *normal) : FollowedTickerNotFound(symbol);
}

absl::StatusOr<std::vector<FollowedTicker>> UserLogic::ListFollowed(const std::string& user_id,
                                                                    const std::string& after_symbol, int limit) {
  return store_.ListFollowed(user_id, after_symbol, limit);
}

absl::StatusOr<int64_t> UserLogic::CountFollowers(const std::string& symbol) { return store_.CountFollowers(symbol); }

}  // namespace stockalert::user
