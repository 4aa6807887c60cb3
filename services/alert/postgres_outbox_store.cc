#include "services/alert/postgres_outbox_store.h"

#include "absl/strings/substitute.h"
#include "services/alert/postgres_alert_rows.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::alert {
namespace {

using postgres::BigintArray;
using postgres::Connection;
using postgres::Idempotency;
using postgres::Transact;
using postgres::UuidArray;
using soci::into;
using soci::use;

// Rows of the trigger outbox that one claim looks at.
constexpr int kRankedMax = 200'000;
// Counts of minutes that one call forgets.
constexpr int kForgottenMax = 100'000;
constexpr char kNoUuid[] = "00000000-0000-0000-0000-000000000000";

constexpr char kClaimChanges[] = R"sql(
WITH due AS (
  SELECT alert_id
  FROM stockalert_alert.alert_outbox
  WHERE next_attempt_us <= CAST(:now AS bigint)
  ORDER BY next_attempt_us
  LIMIT $0
  FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE stockalert_alert.alert_outbox o
  SET attempts = o.attempts + 1,
    next_attempt_us = CAST(:now AS bigint)
      + LEAST(CAST(:last AS bigint), CAST(:first AS bigint) * (1 << LEAST(o.attempts, 10)))
  FROM due
  WHERE o.alert_id = due.alert_id
  RETURNING o.alert_id
)
$1
)sql";
constexpr char kClaimed[] = "stockalert_alert.alerts a JOIN claimed ON claimed.alert_id = a.id";

constexpr char kPostponeChanges[] = R"sql(
UPDATE stockalert_alert.alert_outbox
SET next_attempt_us = CAST(:when AS bigint)
WHERE alert_id = ANY(CAST(:ids AS uuid[]))
)sql";

// $0: the alerts' symbol, $1: how many.
constexpr char kReopenChanges[] = R"sql(
WITH picked AS (
  SELECT a.id, a.revision
  FROM stockalert_alert.alerts a
  WHERE a.id > CAST(:after AS uuid) $0
  ORDER BY a.id
  LIMIT $1
  FOR UPDATE
), opened AS (
  INSERT INTO stockalert_alert.alert_outbox AS o (alert_id, revision, open_time_us, next_attempt_us, attempts)
  SELECT id, revision, CAST(:now AS bigint), CAST(:now AS bigint), 0 FROM picked
  ON CONFLICT (alert_id) DO UPDATE
  SET next_attempt_us = EXCLUDED.next_attempt_us,
    attempts = 0
  RETURNING o.alert_id
)
SELECT CAST(alert_id AS text) FROM opened ORDER BY alert_id
)sql";

constexpr char kForgetPlaces[] = R"sql(
UPDATE stockalert_alert.symbol_status
SET log_partition = 0,
  log_offset = -1
WHERE symbol = :symbol OR :symbol = ''
)sql";

// A user's first, then all users' second…: nobody's backlog is in front of another's. Those that are not throttled
// first.
constexpr char kClaimTriggers[] = R"sql(
WITH oldest AS (
  SELECT *
  FROM stockalert_alert.trigger_outbox
  WHERE claimed_until_us <= CAST(:now AS bigint)
  ORDER BY claimed_until_us
  LIMIT $0
), ranked AS (
  SELECT alert_id, number,
    row_number() OVER (PARTITION BY user_id ORDER BY throttled, claimed_until_us, alert_id, number) AS place
  FROM oldest
), picked AS (
  SELECT alert_id, number
  FROM ranked
  ORDER BY place
  LIMIT $1
), due AS (
  SELECT o.alert_id, o.number
  FROM stockalert_alert.trigger_outbox o
  JOIN picked p ON p.alert_id = o.alert_id AND p.number = o.number
  WHERE o.claimed_until_us <= CAST(:now AS bigint)
  FOR UPDATE OF o SKIP LOCKED
), claimed AS (
  UPDATE stockalert_alert.trigger_outbox o
  SET claimed_until_us = CAST(:until AS bigint)
  FROM due
  WHERE o.alert_id = due.alert_id AND o.number = due.number
  RETURNING o.alert_id, o.user_id
)
SELECT DISTINCT CAST(alert_id AS text), CAST(user_id AS text) FROM claimed
)sql";

constexpr char kLoadTriggers[] = R"sql(
SELECT CAST(o.alert_id AS text), o.number, CAST(o.user_id AS text), encode(o.message, 'hex'), o.traceparent,
  CAST(o.throttled AS int)
FROM unnest(CAST(:ids AS uuid[])) AS x(id)
CROSS JOIN LATERAL (
  SELECT *
  FROM stockalert_alert.trigger_outbox t
  WHERE t.alert_id = x.id
  ORDER BY t.number
  LIMIT $0
) AS o
ORDER BY o.alert_id, o.number
)sql";

constexpr char kRemoveTriggers[] = R"sql(
DELETE FROM stockalert_alert.trigger_outbox o
USING unnest(CAST(:ids AS uuid[]), CAST(:numbers AS bigint[])) AS x(id, number)
WHERE o.alert_id = x.id AND o.number = x.number
)sql";

constexpr char kMeasureBacklog[] = R"sql(
SELECT
  (SELECT count(*) FROM stockalert_alert.alert_outbox),
  (SELECT COALESCE(min(open_time_us), 0) FROM stockalert_alert.alert_outbox),
  (SELECT count(*) FROM stockalert_alert.trigger_outbox)
)sql";

constexpr char kPurge[] = R"sql(
WITH gone AS (
  SELECT a.id
  FROM stockalert_alert.alerts a
  WHERE a.deleted
    AND a.update_time_us < CAST(:before AS bigint)
    AND NOT EXISTS (SELECT 1 FROM stockalert_alert.alert_outbox o WHERE o.alert_id = a.id)
  ORDER BY a.update_time_us
  LIMIT $0
  FOR UPDATE SKIP LOCKED
), history AS (
  DELETE FROM stockalert_alert.triggers t
  USING gone
  WHERE t.alert_id = gone.id
)
DELETE FROM stockalert_alert.alerts a
USING gone
WHERE a.id = gone.id
RETURNING CAST(a.id AS text)
)sql";

constexpr char kForgetMinutes[] = R"sql(
DELETE FROM stockalert_alert.trigger_minutes
WHERE (user_id, minute) IN (
    SELECT user_id, minute
    FROM stockalert_alert.trigger_minutes
    WHERE update_time_us < CAST(:before AS bigint)
    LIMIT $0
  )
  AND update_time_us < CAST(:before AS bigint)
)sql";

}  // namespace

absl::StatusOr<std::vector<StoredAlert>> PostgresOutboxStore::ClaimOpenChanges(int64_t now_us, int limit) {
  const long long now = now_us;
  const long long first = kFirstSweepUs;
  const long long last = kSweepPauseMaxUs;
  const std::string text = absl::Substitute(kClaimChanges, limit, AlertQuery(kClaimed));
  return ToError(Transact(
      pool_, "alert.claim_changes", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<StoredAlert>> {
        return Query(connection.sql(), text).Bind("now", now).Bind("first", first).Bind("last", last).FetchAlerts();
      }));
}

absl::Status PostgresOutboxStore::PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) {
  if (alert_ids.empty()) return absl::OkStatus();
  const std::string ids = UuidArray(alert_ids);
  const long long when = when_us;
  return ToError(
      Transact(pool_, "alert.postpone_changes", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(), kPostponeChanges).Bind("when", when).Bind("ids", ids).Execute();
        return absl::OkStatus();
      }));
}

absl::StatusOr<ReopenedChanges> PostgresOutboxStore::ReopenChanges(const std::string& symbol,
                                                                   const std::string& after_alert_id, int limit,
                                                                   int64_t now_us) {
  const long long now = now_us;
  const std::string after = after_alert_id.empty() ? kNoUuid : after_alert_id;
  const std::string text = absl::Substitute(kReopenChanges, symbol.empty() ? "" : "AND a.symbol = :symbol", limit);
  return ToError(Transact(pool_, "alert.reopen_changes", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<ReopenedChanges> {
                            Query query(connection.sql(), text);
                            query.Bind("after", after).Bind("now", now);
                            if (!symbol.empty()) query.Bind("symbol", symbol);
                            const std::vector<std::string> ids = query.FetchTexts();
                            ReopenedChanges reopened;
                            reopened.count = static_cast<int64_t>(ids.size());
                            if (static_cast<int>(ids.size()) == limit) reopened.last_alert_id = ids.back();
                            return reopened;
                          }));
}

absl::Status PostgresOutboxStore::ForgetSymbolPlaces(const std::string& symbol) {
  return ToError(
      Transact(pool_, "alert.forget_places", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(), kForgetPlaces).Bind("symbol", symbol).Execute();
        return absl::OkStatus();
      }));
}

absl::StatusOr<std::vector<AlertOwner>> PostgresOutboxStore::ClaimTriggers(int64_t now_us, int limit) {
  const long long now = now_us;
  const long long until = now_us + kTriggerClaimUs;
  const std::string text = absl::Substitute(kClaimTriggers, kRankedMax, limit);
  return ToError(Transact(pool_, "alert.claim_triggers", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<AlertOwner>> {
                            return Query(connection.sql(), text).Bind("now", now).Bind("until", until).FetchOwners();
                          }));
}

absl::StatusOr<std::vector<PassedTrigger>> PostgresOutboxStore::LoadTriggers(const std::vector<std::string>& alert_ids,
                                                                             int limit) {
  const std::string ids = UuidArray(alert_ids);
  const std::string text = absl::Substitute(kLoadTriggers, limit);
  return ToError(Transact(
      pool_, "alert.load_triggers", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<PassedTrigger>> {
        std::vector<PassedTrigger> loaded;
        std::string alert_id, user_id, hex, traceparent;
        long long number = 0;
        int throttled = 0;
        soci::statement statement = (connection.sql().prepare << text, use(ids, "ids"), into(alert_id), into(number),
                                     into(user_id), into(hex), into(traceparent), into(throttled));
        statement.execute(false);
        while (statement.fetch()) {
          STOCKALERT_ASSIGN_OR_RETURN(std::string message, postgres::BytesFromHex(hex));
          loaded.push_back({alert_id, number, user_id, std::move(message), traceparent, throttled != 0});
        }
        return loaded;
      }));
}

absl::Status PostgresOutboxStore::RemoveTriggers(const std::vector<TriggerId>& triggers) {
  if (triggers.empty()) return absl::OkStatus();
  std::vector<std::string> alert_ids;
  std::vector<int64_t> trigger_numbers;
  for (const TriggerId& id : triggers) {
    alert_ids.push_back(id.alert_id);
    trigger_numbers.push_back(id.number);
  }
  const std::string ids = UuidArray(alert_ids), numbers = BigintArray(trigger_numbers);
  return ToError(
      Transact(pool_, "alert.remove_triggers", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(), kRemoveTriggers).Bind("ids", ids).Bind("numbers", numbers).Execute();
        return absl::OkStatus();
      }));
}

absl::StatusOr<Backlog> PostgresOutboxStore::MeasureBacklog() {
  return ToError(Transact(pool_, "alert.measure_backlog", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<Backlog> {
                            long long changes = 0, oldest = 0, triggers = 0;
                            connection.sql() << kMeasureBacklog, into(changes), into(oldest), into(triggers);
                            return Backlog{changes, oldest, triggers};
                          }));
}

absl::StatusOr<int64_t> PostgresOutboxStore::Purge(int64_t before_us, int limit) {
  const long long before = before_us;
  const std::string text = absl::Substitute(kPurge, limit);
  return ToError(
      Transact(pool_, "alert.purge", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        return static_cast<int64_t>(Query(connection.sql(), text).Bind("before", before).FetchTexts().size());
      }));
}

absl::Status PostgresOutboxStore::ForgetMinutes(int64_t now_us) {
  const long long before = now_us - kMinutesKeptUs;
  const std::string text = absl::Substitute(kForgetMinutes, kForgottenMax);
  return ToError(
      Transact(pool_, "alert.forget_minutes", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(), text).Bind("before", before).Execute();
        return absl::OkStatus();
      }));
}

}  // namespace stockalert::alert
