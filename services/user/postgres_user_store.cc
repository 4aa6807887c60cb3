#include "services/user/postgres_user_store.h"

#include <soci/soci.h>

#include <utility>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::user {
namespace {

using postgres::ByteaLiteral;
using postgres::Connection;
using postgres::Idempotency;
using postgres::Transact;

constexpr char kUserColumns[] =
    "CAST(id AS text), email, email_key, display_name, create_time_us, update_time_us, version, email_verify_time_us";
constexpr int64_t kDayUs = 86'400'000'000;
constexpr char kKeyColumns[] =
    "CAST(id AS text), CAST(user_id AS text), display_name, CAST(read_only AS int), secret_prefix, "
    "encode(secret_sha256, 'hex'), "
    "create_time_us, expire_time_us, revoke_time_us";

// The variables that a row of users is read into.
struct UserRow {
  std::string id, email, email_key, display_name;
  long long create_time_us = 0, update_time_us = 0, version = 0, verify_time_us = 0;
  soci::indicator verify_is = soci::i_null;

  User ToUser() const {
    return User{
        .id = id,
        .email = email,
        .email_key = email_key,
        .display_name = display_name,
        .create_time_us = create_time_us,
        .update_time_us = update_time_us,
        .version = version,
        .email_verify_time_us = verify_is == soci::i_ok ? std::optional<int64_t>(verify_time_us) : std::nullopt};
  }
};

struct KeyRow {
  std::string id, user_id, display_name, secret_prefix, secret_hex;
  int read_only = 0;
  long long create_time_us = 0, expire_time_us = 0, revoke_time_us = 0;
  soci::indicator expire_is = soci::i_null, revoke_is = soci::i_null;

  absl::StatusOr<ApiKey> ToApiKey() const {
    STOCKALERT_ASSIGN_OR_RETURN(std::string hash, postgres::BytesFromHex(secret_hex));
    return ApiKey{.id = id,
                  .user_id = user_id,
                  .display_name = display_name,
                  .read_only = read_only != 0,
                  .secret_prefix = secret_prefix,
                  .secret_sha256 = std::move(hash),
                  .create_time_us = create_time_us,
                  .expire_time_us = expire_is == soci::i_ok ? std::optional<int64_t>(expire_time_us) : std::nullopt,
                  .revoke_time_us = revoke_is == soci::i_ok ? std::optional<int64_t>(revoke_time_us) : std::nullopt};
  }
};

// SOCI's statements hold the addresses of their variables: both row and arguments must outlive the statement.
#define STOCKALERT_INTO_USER(row)                                                                             \
  soci::into((row).id), soci::into((row).email), soci::into((row).email_key), soci::into((row).display_name), \
      soci::into((row).create_time_us), soci::into((row).update_time_us), soci::into((row).version),          \
      soci::into((row).verify_time_us, (row).verify_is)
#define STOCKALERT_INTO_KEY(row)                                                                                \
  soci::into((row).id), soci::into((row).user_id), soci::into((row).display_name), soci::into((row).read_only), \
      soci::into((row).secret_prefix), soci::into((row).secret_hex), soci::into((row).create_time_us),          \
      soci::into((row).expire_time_us, (row).expire_is), soci::into((row).revoke_time_us, (row).revoke_is)

absl::StatusOr<User> ReadUser(soci::session& sql, const std::string& id, bool lock) {
  UserRow row;
  sql << "SELECT " << kUserColumns << " FROM stockalert_user.users WHERE id = CAST(:id AS uuid)"
      << (lock ? " FOR UPDATE" : ""),
      STOCKALERT_INTO_USER(row), soci::use(id, "id");
  if (!sql.got_data()) return UserNotFound(id);
  return row.ToUser();
}

// Holds the user against deletion until the transaction ends, without standing in the way of other readers.
absl::Status RequireUser(soci::session& sql, const std::string& id, const char* lock) {
  std::string found;
  sql << "SELECT CAST(id AS text) FROM stockalert_user.users WHERE id = CAST(:id AS uuid)" << lock, soci::into(found),
      soci::use(id, "id");
  return sql.got_data() ? absl::OkStatus() : UserNotFound(id);
}

absl::StatusOr<std::optional<ApiKey>> ReadKey(soci::session& sql, const std::string& id) {
  KeyRow row;
  sql << "SELECT " << kKeyColumns << " FROM stockalert_user.api_keys WHERE id = CAST(:id AS uuid)",
      STOCKALERT_INTO_KEY(row), soci::use(id, "id");
  if (!sql.got_data()) return std::optional<ApiKey>();
  STOCKALERT_ASSIGN_OR_RETURN(ApiKey key, row.ToApiKey());
  return std::optional<ApiKey>(std::move(key));
}

struct KnownRequest {
  std::string user_id;
  std::string api_key_id;
};

// What the request made before; none where it is new. INVALID_ARGUMENT where it asked for something else then.
absl::StatusOr<std::optional<KnownRequest>> FindRequest(soci::session& sql, const std::string& scope,
                                                        const RequestTag& request) {
  if (request.request_id.empty()) return std::optional<KnownRequest>();
  KnownRequest known;
  std::string fingerprint_hex;
  sql << "SELECT encode(fingerprint, 'hex'), CAST(user_id AS text), CAST(api_key_id AS text) FROM "
         "stockalert_user.requests "
         "WHERE scope = :scope AND request_id = :request",
      soci::into(fingerprint_hex), soci::into(known.user_id), soci::into(known.api_key_id), soci::use(scope, "scope"),
      soci::use(request.request_id, "request");
  if (!sql.got_data()) return std::optional<KnownRequest>();
  STOCKALERT_ASSIGN_OR_RETURN(const std::string fingerprint, postgres::BytesFromHex(fingerprint_hex));
  if (fingerprint != request.fingerprint) return RequestIdReused();
  return std::optional<KnownRequest>(std::move(known));
}

void InsertKey(soci::session& sql, const ApiKey& key) {
  const std::string hash = ByteaLiteral(key.secret_sha256);
  const std::string read_only = key.read_only ? "true" : "false";
  const long long create_time_us = key.create_time_us;
  const long long expire_time_us = key.expire_time_us.value_or(0);
  soci::indicator expire_is = key.expire_time_us ? soci::i_ok : soci::i_null;
  sql << "INSERT INTO stockalert_user.api_keys (id, user_id, display_name, read_only, secret_prefix, secret_sha256, "
         "create_time_us, "
         "expire_time_us) VALUES (CAST(:id AS uuid), CAST(:user AS uuid), :name, CAST(:read_only AS boolean), :prefix, "
         "CAST(:hash AS bytea), :created, :expires)",
      soci::use(key.id, "id"), soci::use(key.user_id, "user"), soci::use(key.display_name, "name"),
      soci::use(read_only, "read_only"), soci::use(key.secret_prefix, "prefix"), soci::use(hash, "hash"),
      soci::use(create_time_us, "created"), soci::use(expire_time_us, expire_is, "expires");
}

void InsertRequest(soci::session& sql, const std::string& scope, const RequestTag& request, const ApiKey& key) {
  if (request.request_id.empty()) return;
  const std::string fingerprint = ByteaLiteral(request.fingerprint);
  sql << "INSERT INTO stockalert_user.requests (scope, request_id, fingerprint, user_id, api_key_id) VALUES "
         "(:scope, :request, CAST(:fingerprint AS bytea), CAST(:user AS uuid), CAST(:key AS uuid))",
      soci::use(scope, "scope"), soci::use(request.request_id, "request"), soci::use(fingerprint, "fingerprint"),
      soci::use(key.user_id, "user"), soci::use(key.id, "key");
}

// The user that it lets in must be there.
absl::Status UseInvitation(soci::session& sql, const std::string& code_sha256, const User& user) {
  const std::string hash = ByteaLiteral(code_sha256);
  const long long now_us = user.create_time_us;
  std::string used;
  sql << "UPDATE stockalert_user.invitations SET use_time_us = :now, user_id = CAST(:user AS uuid) WHERE code_sha256 = "
         "CAST(:hash AS bytea) AND "
         "use_time_us IS NULL AND expire_time_us > :now RETURNING note",
      soci::into(used), soci::use(now_us, "now"), soci::use(user.id, "user"), soci::use(hash, "hash");
  return sql.got_data() ? absl::OkStatus() : InvitationInvalid();
}

void UpdateUser(soci::session& sql, const User& user) {
  const long long update_time_us = user.update_time_us;
  const long long version = user.version;
  const long long verify_time_us = user.email_verify_time_us.value_or(0);
  soci::indicator verify_is = user.email_verify_time_us ? soci::i_ok : soci::i_null;
  sql << "UPDATE stockalert_user.users SET email = :email, email_key = :email_key, display_name = :name, "
         "update_time_us = :updated, "
         "version = :version, email_verify_time_us = :verified WHERE id = CAST(:id AS uuid)",
      soci::use(user.email, "email"), soci::use(user.email_key, "email_key"), soci::use(user.display_name, "name"),
      soci::use(update_time_us, "updated"), soci::use(version, "version"),
      soci::use(verify_time_us, verify_is, "verified"), soci::use(user.id, "id");
}

// Takes one try of the user's code; answers whether it is the right one, and good.
bool TryEmailCode(soci::session& sql, const User& user, const std::string& code_sha256, int64_t now_us, int tries_max) {
  std::string email_key;
  std::string hash_hex;
  long long expire_time_us = 0;
  int tries = 0;
  sql << "UPDATE stockalert_user.email_verifications SET tries = tries + 1 WHERE user_id = CAST(:user AS uuid) AND "
         "tries < :max RETURNING "
         "email_key, encode(code_sha256, 'hex'), expire_time_us, tries",
      soci::into(email_key), soci::into(hash_hex), soci::into(expire_time_us), soci::into(tries),
      soci::use(user.id, "user"), soci::use(tries_max, "max");
  return sql.got_data() && email_key == user.email_key && expire_time_us > now_us &&
         base::ConstantTimeEquals(hash_hex, base::HexEncode(code_sha256));
}

// A constraint of which the API has a word of its own, and else what every store says.
absl::Status ToStoreError(const absl::Status& status) {
  if (postgres::ViolatedConstraint(status) == "users_verified_email_key") return EmailTaken();
  return postgres::StoreFailure(status);
}

template <typename T>
absl::StatusOr<T> ToStoreError(absl::StatusOr<T> result) {
  if (result.ok()) return result;
  return ToStoreError(result.status());
}

// Two equal requests at once: the later one fails on a constraint, and finds what the other made when it looks again.
template <typename Result, typename Body>
Result TransactTwice(postgres::Pool& pool, const char* operation, const RequestTag& request, Body body) {
  const Idempotency idempotency = request.request_id.empty() ? Idempotency::kNotIdempotent : Idempotency::kIdempotent;
  Result result = Transact(pool, operation, idempotency, body);
  if (!request.request_id.empty() && result.status().code() == absl::StatusCode::kAlreadyExists &&
      base::ReasonOf(result.status()).empty()) {
    result = Transact(pool, operation, idempotency, body);
  }
  return ToStoreError(std::move(result));
}

}  // namespace

absl::StatusOr<CreatedUser> PostgresUserStore::CreateUser(const User& user, const ApiKey& key,
                                                          const RequestTag& request,
                                                          const std::optional<std::string>& invitation_sha256) {
  const std::string scope = "register/" + base::HexEncode(request.fingerprint);
  return TransactTwice<absl::StatusOr<CreatedUser>>(
      pool_, "user.create", request, [&](Connection& connection) -> absl::StatusOr<CreatedUser> {
        soci::session& sql = connection.sql();
        STOCKALERT_ASSIGN_OR_RETURN(const std::optional<KnownRequest> known, FindRequest(sql, scope, request));
        if (known) {
          STOCKALERT_ASSIGN_OR_RETURN(User found, ReadUser(sql, known->user_id, false));
          STOCKALERT_ASSIGN_OR_RETURN(std::optional<ApiKey> found_key, ReadKey(sql, known->api_key_id));
          if (!found_key) return ApiKeyNotFound(known->api_key_id);
          return CreatedUser{std::move(found), *std::move(found_key), true};
        }
        const long long create_time_us = user.create_time_us;
        const long long update_time_us = user.update_time_us;
        const long long version = user.version;
        sql << "INSERT INTO stockalert_user.users (id, email, email_key, display_name, create_time_us, update_time_us, "
               "version) VALUES "
               "(CAST(:id AS uuid), :email, :email_key, :name, :created, :updated, :version)",
            soci::use(user.id, "id"), soci::use(user.email, "email"), soci::use(user.email_key, "email_key"),
            soci::use(user.display_name, "name"), soci::use(create_time_us, "created"),
            soci::use(update_time_us, "updated"), soci::use(version, "version");
        if (invitation_sha256) STOCKALERT_RETURN_IF_ERROR(UseInvitation(sql, *invitation_sha256, user));
        InsertKey(sql, key);
        InsertRequest(sql, scope, request, key);
        return CreatedUser{user, key, false};
      });
}

absl::Status PostgresUserStore::CreateInvitation(const Invitation& invitation) {
  return ToStoreError(Transact(
      pool_, "user.create_invitation", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        const long long create_time_us = invitation.create_time_us;
        const long long expire_time_us = invitation.expire_time_us;
        // What has expired lets nobody in any more.
        sql << "DELETE FROM stockalert_user.invitations WHERE expire_time_us <= :now AND use_time_us IS NULL",
            soci::use(create_time_us, "now");
        const std::string hash = ByteaLiteral(invitation.code_sha256);
        sql << "INSERT INTO stockalert_user.invitations (code_sha256, note, create_time_us, expire_time_us) VALUES "
               "(CAST(:hash AS bytea), :note, :created, :expires)",
            soci::use(hash, "hash"), soci::use(invitation.note, "note"), soci::use(create_time_us, "created"),
            soci::use(expire_time_us, "expires");
        return absl::OkStatus();
      }));
}

absl::StatusOr<User> PostgresUserStore::GetUser(const std::string& id) {
  return ToStoreError(
      postgres::Read(pool_, "user.get", [&](Connection& connection) { return ReadUser(connection.sql(), id, false); }));
}

absl::StatusOr<User> PostgresUserStore::ChangeUser(const std::string& id,
                                                   const std::function<absl::Status(User&)>& change) {
  return ToStoreError(
      Transact(pool_, "user.change", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::StatusOr<User> {
        soci::session& sql = connection.sql();
        STOCKALERT_ASSIGN_OR_RETURN(const User before, ReadUser(sql, id, true));
        User user = before;
        STOCKALERT_RETURN_IF_ERROR(change(user));
        if (user != before) UpdateUser(sql, user);
        return user;
      }));
}

absl::Status PostgresUserStore::PutEmailCode(const std::string& user_id, const EmailCode& code,
                                             const EmailCodeLimits& limits) {
  return ToStoreError(
      Transact(pool_, "user.put_email_code", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        STOCKALERT_ASSIGN_OR_RETURN(const User user, ReadUser(sql, user_id, true));
        if (user.email_verify_time_us) return EmailVerified();
        const long long now_us = code.create_time_us;
        const long long expire_time_us = code.expire_time_us;
        long long made_us = 0;
        long long day_begin_us = 0;
        int made_in_day = 0;
        sql << "SELECT create_time_us, day_begin_us, made_in_day FROM stockalert_user.email_verifications WHERE "
               "user_id = CAST(:user AS uuid)",
            soci::into(made_us), soci::into(day_begin_us), soci::into(made_in_day), soci::use(user_id, "user");
        const bool same_day = sql.got_data() && now_us < day_begin_us + kDayUs;
        if (sql.got_data() && now_us < made_us + limits.pause_us)
          return EmailCodeRate(made_us + limits.pause_us - now_us);
        if (same_day && made_in_day >= limits.day_max) return EmailCodeRate(day_begin_us + kDayUs - now_us);
        day_begin_us = same_day ? day_begin_us : now_us;
        made_in_day = same_day ? made_in_day + 1 : 1;
        const std::string hash = ByteaLiteral(code.code_sha256);
        sql << "INSERT INTO stockalert_user.email_verifications (user_id, email, email_key, code_sha256, untold_code, "
               "traceparent, create_time_us, "
               "expire_time_us, tries, day_begin_us, made_in_day) VALUES (CAST(:user AS uuid), :email, :email_key, "
               "CAST(:hash AS bytea), :code, "
               ":trace, :created, :expires, 0, :day, :made) ON CONFLICT (user_id) DO UPDATE SET email = "
               "EXCLUDED.email, "
               "email_key = EXCLUDED.email_key, code_sha256 = EXCLUDED.code_sha256, untold_code = "
               "EXCLUDED.untold_code, "
               "traceparent = EXCLUDED.traceparent, create_time_us = EXCLUDED.create_time_us, expire_time_us = "
               "EXCLUDED.expire_time_us, "
               "tries = 0, day_begin_us = EXCLUDED.day_begin_us, made_in_day = EXCLUDED.made_in_day",
            soci::use(user_id, "user"), soci::use(user.email, "email"), soci::use(user.email_key, "email_key"),
            soci::use(hash, "hash"), soci::use(code.code, "code"), soci::use(code.traceparent, "trace"),
            soci::use(now_us, "created"), soci::use(expire_time_us, "expires"), soci::use(day_begin_us, "day"),
            soci::use(made_in_day, "made");
        return absl::OkStatus();
      }));
}

absl::StatusOr<User> PostgresUserStore::VerifyEmail(const std::string& user_id,
                                                    const std::optional<std::string>& code_sha256, int64_t now_us,
                                                    int tries_max) {
  // None: the code is no good, and the try counts, so it is no error of the transaction's.
  absl::StatusOr<std::optional<User>> verified = ToStoreError(
      Transact(pool_, "user.verify_email", Idempotency::kNotIdempotent,
               [&](Connection& connection) -> absl::StatusOr<std::optional<User>> {
                 soci::session& sql = connection.sql();
                 STOCKALERT_ASSIGN_OR_RETURN(User user, ReadUser(sql, user_id, true));
                 if (user.email_verify_time_us) return std::optional<User>(std::move(user));
                 if (code_sha256 && !TryEmailCode(sql, user, *code_sha256, now_us, tries_max))
                   return std::optional<User>();
                 user.email_verify_time_us = now_us;
                 user.update_time_us = now_us;
                 ++user.version;
                 UpdateUser(sql, user);
                 sql << "DELETE FROM stockalert_user.email_verifications WHERE user_id = CAST(:user AS uuid)",
                     soci::use(user_id, "user");
                 return std::optional<User>(std::move(user));
               }));
  STOCKALERT_RETURN_IF_ERROR(verified.status());
  if (!*verified) return EmailCodeInvalid();
  return **std::move(verified);
}

absl::StatusOr<std::vector<UntoldEmailCode>> PostgresUserStore::ReadUntoldEmailCodes(int limit) {
  return ToStoreError(postgres::Read(
      pool_, "user.read_codes", [&](Connection& connection) -> absl::StatusOr<std::vector<UntoldEmailCode>> {
        soci::session& sql = connection.sql();
        UntoldEmailCode row;
        std::string hash_hex;
        long long create_time_us = 0;
        long long expire_time_us = 0;
        soci::statement statement = (sql.prepare << "SELECT CAST(user_id AS text), email, untold_code, "
                                                    "encode(code_sha256, 'hex'), traceparent, create_time_us, "
                                                    "expire_time_us FROM stockalert_user.email_verifications WHERE "
                                                    "untold_code IS NOT NULL ORDER BY create_time_us LIMIT :n",
                                     soci::into(row.user_id), soci::into(row.email), soci::into(row.code.code),
                                     soci::into(hash_hex), soci::into(row.code.traceparent), soci::into(create_time_us),
                                     soci::into(expire_time_us), soci::use(limit, "n"));
        statement.execute();
        std::vector<UntoldEmailCode> codes;
        while (statement.fetch()) {
          STOCKALERT_ASSIGN_OR_RETURN(row.code.code_sha256, postgres::BytesFromHex(hash_hex));
          row.code.create_time_us = create_time_us;
          row.code.expire_time_us = expire_time_us;
          codes.push_back(row);
        }
        return codes;
      }));
}

absl::Status PostgresUserStore::MarkEmailCodesTold(const std::vector<UntoldEmailCode>& codes) {
  return ToStoreError(
      Transact(pool_, "user.codes_told", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        for (const UntoldEmailCode& told : codes) {
          const std::string hash = ByteaLiteral(told.code.code_sha256);
          connection.sql() << "UPDATE stockalert_user.email_verifications SET untold_code = NULL WHERE user_id = "
                              "CAST(:user AS uuid) AND "
                              "code_sha256 = CAST(:hash AS bytea)",
              soci::use(told.user_id, "user"), soci::use(hash, "hash");
        }
        return absl::OkStatus();
      }));
}

absl::Status PostgresUserStore::DeleteUser(const std::string& id, int64_t now_us, const std::string& traceparent,
                                           const std::function<absl::Status(const User&)>& check) {
  return ToStoreError(
      Transact(pool_, "user.delete", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        STOCKALERT_ASSIGN_OR_RETURN(const User user, ReadUser(sql, id, true));
        STOCKALERT_RETURN_IF_ERROR(check(user));
        const long long delete_time_us = now_us;
        sql << "INSERT INTO stockalert_user.outbox (user_id, delete_time_us, traceparent) VALUES (CAST(:id AS uuid), "
               ":deleted, :trace)",
            soci::use(id, "id"), soci::use(delete_time_us, "deleted"), soci::use(traceparent, "trace");
        sql << "DELETE FROM stockalert_user.users WHERE id = CAST(:id AS uuid)", soci::use(id, "id");
        return absl::OkStatus();
      }));
}

absl::StatusOr<std::vector<User>> PostgresUserStore::ListUsers(const std::optional<TimePlace>& after, int limit) {
  return ToStoreError(
      postgres::Read(pool_, "user.list", [&](Connection& connection) -> absl::StatusOr<std::vector<User>> {
        soci::session& sql = connection.sql();
        // Before the first of all: no UUID is below zero.
        const long long after_us = after ? after->create_time_us : -1;
        const std::string after_id = after ? after->id : "00000000-0000-0000-0000-000000000000";
        UserRow row;
        soci::statement statement =
            (sql.prepare
                 << "SELECT " << kUserColumns
                 << " FROM stockalert_user.users WHERE (create_time_us, id) > (:after_us, CAST(:after_id AS uuid)) "
                    "ORDER BY create_time_us, id LIMIT :n",
             STOCKALERT_INTO_USER(row), soci::use(after_us, "after_us"), soci::use(after_id, "after_id"),
             soci::use(limit, "n"));
        statement.execute();
        std::vector<User> users;
        while (statement.fetch()) users.push_back(row.ToUser());
        return users;
      }));
}

absl::StatusOr<CreatedKey> PostgresUserStore::CreateApiKey(const ApiKey& key, const RequestTag& request,
                                                           const KeyLimits& limits) {
  const std::string scope = "key/" + key.user_id;
  return TransactTwice<absl::StatusOr<
      CreatedKey>>(pool_, "user.create_key", request, [&](Connection& connection) -> absl::StatusOr<CreatedKey> {
    soci::session& sql = connection.sql();
    // The lock makes the user's own creations wait for each other, so that the quota holds.
    STOCKALERT_RETURN_IF_ERROR(RequireUser(sql, key.user_id, " FOR NO KEY UPDATE"));
    STOCKALERT_ASSIGN_OR_RETURN(const std::optional<KnownRequest> known, FindRequest(sql, scope, request));
    if (known) {
      STOCKALERT_ASSIGN_OR_RETURN(std::optional<ApiKey> found, ReadKey(sql, known->api_key_id));
      if (!found) return ApiKeyNotFound(known->api_key_id);
      return CreatedKey{*std::move(found), true};
    }
    const long long now_us = limits.now_us;
    const long long dead_max = limits.dead_max;
    long long live = 0;
    sql << "SELECT count(*) FROM stockalert_user.api_keys WHERE user_id = CAST(:user AS uuid) AND revoke_time_us IS "
           "NULL AND "
           "(expire_time_us IS NULL OR expire_time_us > :now)",
        soci::into(live), soci::use(key.user_id, "user"), soci::use(now_us, "now");
    if (live >= limits.live_max) return ApiKeyQuota(limits.live_max);
    sql << "DELETE FROM stockalert_user.api_keys WHERE id IN (SELECT id FROM stockalert_user.api_keys WHERE user_id = "
           "CAST(:user AS uuid) AND (revoke_time_us IS NOT NULL OR expire_time_us <= :now) ORDER BY create_time_us "
           "DESC, id DESC "
           "OFFSET :kept)",
        soci::use(key.user_id, "user"), soci::use(now_us, "now"), soci::use(dead_max, "kept");
    InsertKey(sql, key);
    InsertRequest(sql, scope, request, key);
    return CreatedKey{key, false};
  });
}

absl::StatusOr<std::vector<ApiKey>> PostgresUserStore::ListApiKeys(const std::string& user_id,
                                                                   const std::optional<TimePlace>& after, int limit) {
  return ToStoreError(
      postgres::Read(pool_, "user.list_keys", [&](Connection& connection) -> absl::StatusOr<std::vector<ApiKey>> {
        soci::session& sql = connection.sql();
        STOCKALERT_RETURN_IF_ERROR(RequireUser(sql, user_id, ""));
        const long long after_us = after ? after->create_time_us : -1;
        const std::string after_id = after ? after->id : "00000000-0000-0000-0000-000000000000";
        KeyRow row;
        soci::statement statement =
            (sql.prepare << "SELECT " << kKeyColumns
                         << " FROM stockalert_user.api_keys WHERE user_id = CAST(:user AS uuid) AND (create_time_us, "
                            "id) > (:after_us, "
                            "CAST(:after_id AS uuid)) ORDER BY create_time_us, id LIMIT :n",
             STOCKALERT_INTO_KEY(row), soci::use(user_id, "user"), soci::use(after_us, "after_us"),
             soci::use(after_id, "after_id"), soci::use(limit, "n"));
        statement.execute();
        std::vector<ApiKey> keys;
        while (statement.fetch()) {
          STOCKALERT_ASSIGN_OR_RETURN(ApiKey key, row.ToApiKey());
          keys.push_back(std::move(key));
        }
        return keys;
      }));
}

absl::StatusOr<ApiKey> PostgresUserStore::RevokeApiKey(const std::string& user_id, const std::string& key_id,
                                                       int64_t now_us) {
  return ToStoreError(Transact(
      pool_, "user.revoke_key", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<ApiKey> {
        soci::session& sql = connection.sql();
        const long long revoke_time_us = now_us;
        sql << "UPDATE stockalert_user.api_keys SET revoke_time_us = :now WHERE id = CAST(:id AS "
               "uuid) AND user_id = CAST(:user AS uuid) AND "
               "revoke_time_us IS NULL",
            soci::use(revoke_time_us, "now"), soci::use(key_id, "id"), soci::use(user_id, "user");
        STOCKALERT_ASSIGN_OR_RETURN(std::optional<ApiKey> key, ReadKey(sql, key_id));
        if (!key || key->user_id != user_id) return ApiKeyNotFound(key_id);
        return *std::move(key);
      }));
}

absl::StatusOr<std::optional<ApiKey>> PostgresUserStore::FindApiKey(const std::string& secret_sha256) {
  return ToStoreError(
      postgres::Read(pool_, "user.find_key", [&](Connection& connection) -> absl::StatusOr<std::optional<ApiKey>> {
        soci::session& sql = connection.sql();
        const std::string hash = ByteaLiteral(secret_sha256);
        KeyRow row;
        sql << "SELECT " << kKeyColumns << " FROM stockalert_user.api_keys WHERE secret_sha256 = CAST(:hash AS bytea)",
            STOCKALERT_INTO_KEY(row), soci::use(hash, "hash");
        if (!sql.got_data()) return std::optional<ApiKey>();
        STOCKALERT_ASSIGN_OR_RETURN(ApiKey key, row.ToApiKey());
        return std::optional<ApiKey>(std::move(key));
      }));
}

absl::StatusOr<FollowedTicker> PostgresUserStore::Follow(const std::string& user_id, const FollowedTicker& ticker,
                                                         int64_t followed_max) {
  return ToStoreError(Transact(
      pool_, "user.follow", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<FollowedTicker> {
        soci::session& sql = connection.sql();
        STOCKALERT_RETURN_IF_ERROR(RequireUser(sql, user_id, " FOR NO KEY UPDATE"));
        long long create_time_us = ticker.create_time_us;
        long long known_us = 0;
        sql << "SELECT create_time_us FROM stockalert_user.followed_tickers WHERE user_id = CAST(:user AS uuid) AND "
               "symbol = :symbol",
            soci::into(known_us), soci::use(user_id, "user"), soci::use(ticker.symbol, "symbol");
        if (sql.got_data()) return FollowedTicker{ticker.symbol, known_us};
        long long count = 0;
        sql << "SELECT count(*) FROM stockalert_user.followed_tickers WHERE user_id = CAST(:user AS uuid)",
            soci::into(count), soci::use(user_id, "user");
        if (count >= followed_max) return FollowQuota(followed_max);
        sql << "INSERT INTO stockalert_user.followed_tickers (user_id, symbol, create_time_us) VALUES (CAST(:user AS "
               "uuid), :symbol, :created)",
            soci::use(user_id, "user"), soci::use(ticker.symbol, "symbol"), soci::use(create_time_us, "created");
        return ticker;
      }));
}

absl::Status PostgresUserStore::Unfollow(const std::string& user_id, const std::string& symbol) {
  return ToStoreError(
      Transact(pool_, "user.unfollow", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::Status {
        std::string gone;
        connection.sql() << "DELETE FROM stockalert_user.followed_tickers WHERE user_id = CAST(:user AS uuid) AND "
                            "symbol = :symbol RETURNING symbol",
            soci::into(gone), soci::use(user_id, "user"), soci::use(symbol, "symbol");
        return connection.sql().got_data() ? absl::OkStatus() : FollowedTickerNotFound(symbol);
      }));
}

absl::StatusOr<std::vector<FollowedTicker>> PostgresUserStore::ListFollowed(const std::string& user_id,
                                                                            const std::string& after_symbol,
                                                                            int limit) {
  return ToStoreError(postgres::Read(
      pool_, "user.list_followed", [&](Connection& connection) -> absl::StatusOr<std::vector<FollowedTicker>> {
        soci::session& sql = connection.sql();
        STOCKALERT_RETURN_IF_ERROR(RequireUser(sql, user_id, ""));
        std::string symbol;
        long long create_time_us = 0;
        soci::statement statement =
            (sql.prepare << "SELECT symbol, create_time_us FROM stockalert_user.followed_tickers WHERE user_id = "
                            "CAST(:user AS uuid) AND "
                            "symbol COLLATE \"C\" > :after COLLATE \"C\" ORDER BY symbol COLLATE \"C\" LIMIT :n",
             soci::into(symbol), soci::into(create_time_us), soci::use(user_id, "user"),
             soci::use(after_symbol, "after"), soci::use(limit, "n"));
        statement.execute();
        std::vector<FollowedTicker> tickers;
        while (statement.fetch()) tickers.push_back(FollowedTicker{symbol, create_time_us});
        return tickers;
      }));
}

absl::StatusOr<std::optional<FollowedTicker>> PostgresUserStore::FindFollowed(const std::string& user_id,
                                                                              const std::string& symbol) {
  return ToStoreError(postgres::Read(
      pool_, "user.find_followed", [&](Connection& connection) -> absl::StatusOr<std::optional<FollowedTicker>> {
        soci::session& sql = connection.sql();
        long long create_time_us = 0;
        sql << "SELECT create_time_us FROM stockalert_user.followed_tickers WHERE user_id = "
               "CAST(:user AS uuid) AND symbol = :symbol",
            soci::into(create_time_us), soci::use(user_id, "user"), soci::use(symbol, "symbol");
        if (!sql.got_data()) return std::optional<FollowedTicker>();
        return std::optional<FollowedTicker>(FollowedTicker{symbol, create_time_us});
      }));
}

absl::StatusOr<int64_t> PostgresUserStore::CountFollowed(const std::string& user_id) {
  return ToStoreError(
      postgres::Read(pool_, "user.count_followed", [&](Connection& connection) -> absl::StatusOr<int64_t> {
        soci::session& sql = connection.sql();
        STOCKALERT_RETURN_IF_ERROR(RequireUser(sql, user_id, ""));
        long long count = 0;
        sql << "SELECT count(*) FROM stockalert_user.followed_tickers WHERE user_id = CAST(:user AS uuid)",
            soci::into(count), soci::use(user_id, "user");
        return count;
      }));
}

absl::StatusOr<int64_t> PostgresUserStore::CountFollowers(const std::string& symbol) {
  return ToStoreError(
      postgres::Read(pool_, "user.count_followers", [&](Connection& connection) -> absl::StatusOr<int64_t> {
        long long count = 0;
        connection.sql() << "SELECT count(*) FROM stockalert_user.followed_tickers WHERE symbol = :symbol",
            soci::into(count), soci::use(symbol, "symbol");
        return count;
      }));
}

absl::StatusOr<std::vector<Deletion>> PostgresUserStore::ReadDeletions(int limit) {
  return ToStoreError(postgres::Read(
      pool_, "user.read_deletions", [&](Connection& connection) -> absl::StatusOr<std::vector<Deletion>> {
        soci::session& sql = connection.sql();
        long long sequence = 0;
        long long delete_time_us = 0;
        std::string user_id;
        std::string traceparent;
        soci::statement statement =
            (sql.prepare
                 << "SELECT sequence, CAST(user_id AS text), delete_time_us, traceparent FROM stockalert_user.outbox "
                    "ORDER BY sequence LIMIT :n",
             soci::into(sequence), soci::into(user_id), soci::into(delete_time_us), soci::into(traceparent),
             soci::use(limit, "n"));
        statement.execute();
        std::vector<Deletion> deletions;
        while (statement.fetch()) deletions.push_back(Deletion{sequence, user_id, delete_time_us, traceparent});
        return deletions;
      }));
}

absl::Status PostgresUserStore::ForgetDeletions(const std::vector<int64_t>& sequences) {
  return ToStoreError(
      Transact(pool_, "user.forget_deletions", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        const std::string list = postgres::BigintArray(sequences);
        connection.sql() << "DELETE FROM stockalert_user.outbox WHERE sequence = ANY (CAST(:list AS bigint[]))",
            soci::use(list, "list");
        return absl::OkStatus();
      }));
}

}  // namespace stockalert::user
