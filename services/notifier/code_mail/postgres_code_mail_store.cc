#include "services/notifier/code_mail/postgres_code_mail_store.h"

#include <soci/soci.h>

#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::notifier {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

// The most expired ones that one call forgets.
constexpr int kForgottenMax = 1000;

}  // namespace

absl::StatusOr<std::vector<QueuedCodeMail>> PostgresCodeMailStore::ClaimDue(int limit, int64_t until_us,
                                                                            int64_t now_us) {
  const long long until = until_us, now = now_us;
  return StoreFailure(Transact(
      pool_, "code_mail.claim", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<QueuedCodeMail>> {
        soci::session& sql = connection.sql();
        sql << "DELETE FROM stockalert_notifier.code_mails WHERE user_id IN (SELECT user_id FROM "
               "stockalert_notifier.code_mails WHERE expire_time_us <= CAST(:now AS bigint) LIMIT :most "
               "FOR UPDATE SKIP LOCKED)",
            use(now, "now"), use(kForgottenMax, "most");
        QueuedCodeMail row;
        long long expire = 0;
        soci::statement statement =
            (sql.prepare << "UPDATE stockalert_notifier.code_mails AS m SET next_attempt_time_us = CAST(:until AS "
                            "bigint), attempt_count = m.attempt_count + 1 FROM (SELECT user_id FROM "
                            "stockalert_notifier.code_mails WHERE next_attempt_time_us <= CAST(:now AS bigint) "
                            "ORDER BY next_attempt_time_us LIMIT :most FOR UPDATE SKIP LOCKED) x "
                            "WHERE m.user_id = x.user_id RETURNING CAST(m.user_id AS text), m.sealed_content, "
                            "m.expire_time_us, m.attempt_count",
             use(until, "until"), use(now, "now"), use(limit, "most"), into(row.user_id), into(row.sealed_content),
             into(expire), into(row.attempt_count));
        statement.execute(false);
        std::vector<QueuedCodeMail> rows;
        while (statement.fetch()) {
          row.expire_time_us = expire;
          rows.push_back(row);
        }
        return rows;
      }));
}

absl::Status PostgresCodeMailStore::PutBack(const QueuedCodeMail& mail, int64_t next_attempt_us) {
  const long long next = next_attempt_us, expire = mail.expire_time_us;
  return StoreFailure(
      Transact(pool_, "code_mail.put_back", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        connection.sql() << "UPDATE stockalert_notifier.code_mails SET next_attempt_time_us = CAST(:next AS bigint) "
                            "WHERE user_id = CAST(:user AS uuid) AND expire_time_us = CAST(:expire AS bigint) "
                            "AND next_attempt_time_us IS NOT NULL",
            use(next, "next"), use(mail.user_id, "user"), use(expire, "expire");
        return absl::OkStatus();
      }));
}

absl::Status PostgresCodeMailStore::Finish(const QueuedCodeMail& mail) {
  const long long expire = mail.expire_time_us;
  return StoreFailure(
      Transact(pool_, "code_mail.finish", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        connection.sql()
            << "UPDATE stockalert_notifier.code_mails SET next_attempt_time_us = NULL, sealed_content = '' "
               "WHERE user_id = CAST(:user AS uuid) AND expire_time_us = CAST(:expire AS bigint)",
            use(mail.user_id, "user"), use(expire, "expire");
        return absl::OkStatus();
      }));
}

}  // namespace stockalert::notifier
