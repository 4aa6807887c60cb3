#include "services/alert/postgres_split_notice_store.h"

#include "absl/strings/substitute.h"
#include "services/alert/postgres_alert_rows.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::alert {
namespace {

using postgres::BigintArray;
using postgres::Connection;
using postgres::Idempotency;
using postgres::TextArray;
using postgres::Transact;
using postgres::UuidArray;
using soci::into;
using soci::use;

// Goes down the index alerts_by_symbol. An alert has one place there for ever, so that none is counted twice; what is
// created meanwhile comes before all places, in prices of after the split, because counting begins only when no call
// from before the split is under way any more. $0: how many alerts.
constexpr char kCountAlerts[] = R"sql(
WITH telling AS (
  SELECT *
  FROM stockalert_alert.split_tellings
  WHERE NOT counted AND create_time_us <= CAST(:before AS bigint)
  ORDER BY create_time_us, symbol, number
  LIMIT 1
  FOR UPDATE SKIP LOCKED
), page AS (
  SELECT a.id, a.create_time_us, a.user_id,
    COALESCE(a.create_splits, a.splits_applied) < t.number
      AND (a.expire_time_us IS NULL OR a.expire_time_us > t.create_time_us)
      -- One that has triggered since had not ended at the split.
      AND (NOT a.triggered OR EXISTS (
        SELECT 1
        FROM stockalert_alert.triggers g
        WHERE g.alert_id = a.id AND g.ends_alert AND g.create_time_us >= t.create_time_us)) AS scaled
  FROM telling t
  CROSS JOIN LATERAL (
    SELECT *
    FROM stockalert_alert.alerts b
    WHERE b.symbol = t.symbol
      AND NOT b.deleted
      AND (b.create_time_us, b.id) < (t.before_create_time_us, t.before_alert_id)
    ORDER BY b.create_time_us DESC, b.id DESC
    LIMIT $0
  ) AS a
), found AS (
  INSERT INTO stockalert_alert.split_notices AS n (symbol, number, user_id, alert_count)
  SELECT t.symbol, t.number, p.user_id, count(*)
  FROM telling t, page p
  WHERE p.scaled
  GROUP BY t.symbol, t.number, p.user_id
  ORDER BY p.user_id
  ON CONFLICT (symbol, number, user_id) DO UPDATE
  SET alert_count = n.alert_count + EXCLUDED.alert_count
), last AS (
  SELECT create_time_us, id
  FROM page
  ORDER BY create_time_us, id
  LIMIT 1
)
UPDATE stockalert_alert.split_tellings s
SET counted = (SELECT count(*) FROM page) < $0,
  before_create_time_us = COALESCE((SELECT create_time_us FROM last), s.before_create_time_us),
  before_alert_id = COALESCE((SELECT id FROM last), s.before_alert_id),
  alert_count = s.alert_count + (SELECT count(*) FROM page WHERE scaled)
FROM telling t
WHERE s.symbol = t.symbol AND s.number = t.number
RETURNING s.symbol
)sql";

constexpr char kClaimNotices[] = R"sql(
WITH due AS (
  SELECT n.symbol, n.number, n.user_id, t.split_id
  FROM stockalert_alert.split_tellings t
  JOIN stockalert_alert.split_notices n ON n.symbol = t.symbol AND n.number = t.number
  WHERE t.counted AND n.claimed_until_us <= CAST(:now AS bigint)
  ORDER BY n.symbol, n.number, n.user_id
  LIMIT $0
  FOR UPDATE OF n SKIP LOCKED
), claimed AS (
  UPDATE stockalert_alert.split_notices n
  SET claimed_until_us = CAST(:until AS bigint)
  FROM due
  WHERE n.symbol = due.symbol AND n.number = due.number AND n.user_id = due.user_id
  RETURNING n.symbol, n.number, n.user_id, n.alert_count, due.split_id
)
SELECT c.symbol, c.number, CAST(c.user_id AS text), c.alert_count, c.split_id, s.numerator, s.denominator,
  s.effective_time_us
FROM claimed c
JOIN stockalert_alert.splits s ON s.symbol = c.symbol AND s.number = c.number
ORDER BY c.symbol, c.number, c.user_id
)sql";

constexpr char kRemoveNotices[] = R"sql(
WITH gone AS (
  DELETE FROM stockalert_alert.split_notices n
  USING unnest(CAST(:symbols AS text[]), CAST(:numbers AS bigint[]), CAST(:users AS uuid[])) AS x(symbol, number, id)
  WHERE n.symbol = x.symbol AND n.number = x.number AND n.user_id = x.id
  RETURNING n.symbol, n.number
), sent AS (
  SELECT symbol, number, count(*) AS count FROM gone GROUP BY symbol, number
), locked AS MATERIALIZED (
  -- In one order, for other instances have notices of the same splits.
  SELECT t.symbol, t.number
  FROM stockalert_alert.split_tellings t
  JOIN sent USING (symbol, number)
  ORDER BY t.symbol, t.number
  FOR UPDATE OF t
)
UPDATE stockalert_alert.split_tellings t
SET sent_count = t.sent_count + sent.count
FROM sent
JOIN locked USING (symbol, number)
WHERE t.symbol = sent.symbol AND t.number = sent.number
)sql";

constexpr char kEndTold[] = R"sql(
DELETE FROM stockalert_alert.split_tellings t
WHERE t.counted
  AND NOT EXISTS (
    SELECT 1 FROM stockalert_alert.split_notices n WHERE n.symbol = t.symbol AND n.number = t.number)
RETURNING t.symbol, t.number, t.sent_count, t.alert_count
)sql";

}  // namespace

absl::StatusOr<bool> PostgresSplitNoticeStore::CountAlerts(int64_t before_us, int alerts_max) {
  const std::string text = absl::Substitute(kCountAlerts, alerts_max);
  // A second run after an unknown outcome goes on where the first one ended.
  return ToError(Transact(pool_, "alert.count_split_alerts", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<bool> {
                            return !Query(connection.sql(), text).Bind("before", before_us).FetchTexts().empty();
                          }));
}

absl::StatusOr<std::vector<PassedSplit>> PostgresSplitNoticeStore::ClaimNotices(int64_t now_us, int limit) {
  const long long now = now_us, until = now_us + kSplitNoticeClaimUs;
  const std::string text = absl::Substitute(kClaimNotices, limit);
  return ToError(Transact(pool_, "alert.claim_split_notices", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<PassedSplit>> {
                            PassedSplit row;
                            long long number = 0, alerts = 0, numerator = 0, denominator = 0, effective = 0;
                            soci::statement statement =
                                (connection.sql().prepare << text, use(now, "now"), use(until, "until"),
                                 into(row.split.symbol), into(number), into(row.user_id), into(alerts),
                                 into(row.split.split_id), into(numerator), into(denominator), into(effective));
                            statement.execute(false);
                            std::vector<PassedSplit> notices;
                            while (statement.fetch()) {
                              row.split.number = number;
                              row.split.ratio = {numerator, denominator};
                              row.split.effective_time_us = effective;
                              row.alert_count = alerts;
                              notices.push_back(row);
                            }
                            return notices;
                          }));
}

absl::Status PostgresSplitNoticeStore::RemoveNotices(const std::vector<PassedSplit>& notices) {
  if (notices.empty()) return absl::OkStatus();
  std::vector<std::string> of_symbols, user_ids;
  std::vector<int64_t> of_numbers;
  for (const PassedSplit& notice : notices) {
    of_symbols.push_back(notice.split.symbol);
    of_numbers.push_back(notice.split.number);
    user_ids.push_back(notice.user_id);
  }
  const std::string symbols = TextArray(of_symbols), numbers = BigintArray(of_numbers), users = UuidArray(user_ids);
  return ToError(Transact(pool_, "alert.remove_split_notices", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::Status {
                            Query(connection.sql(), kRemoveNotices)
                                .Bind("symbols", symbols)
                                .Bind("numbers", numbers)
                                .Bind("users", users)
                                .Execute();
                            return absl::OkStatus();
                          }));
}

absl::StatusOr<std::vector<ToldSplit>> PostgresSplitNoticeStore::EndTold() {
  return ToError(Transact(pool_, "alert.end_split_tellings", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<ToldSplit>> {
                            ToldSplit row;
                            long long number = 0, users = 0, alerts = 0;
                            soci::statement statement = (connection.sql().prepare << kEndTold, into(row.symbol),
                                                         into(number), into(users), into(alerts));
                            statement.execute(false);
                            std::vector<ToldSplit> told;
                            while (statement.fetch()) {
                              row.number = number;
                              row.user_count = users;
                              row.alert_count = alerts;
                              told.push_back(row);
                            }
                            return told;
                          }));
}

absl::StatusOr<int64_t> PostgresSplitNoticeStore::CountOpen() {
  return ToError(Transact(pool_, "alert.count_split_tellings", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<int64_t> {
                            long long count = 0;
                            connection.sql() << "SELECT count(*) FROM stockalert_alert.split_tellings", into(count);
                            return count;
                          }));
}

}  // namespace stockalert::alert
