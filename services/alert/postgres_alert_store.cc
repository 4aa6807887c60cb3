#include "services/alert/postgres_alert_store.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/alert/alert_errors.h"
#include "services/alert/outbox_store.h"
#include "services/alert/postgres_alert_rows.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::alert {
namespace {

using postgres::BigintArray;
using postgres::BooleanArray;
using postgres::Connection;
using postgres::Idempotency;
using postgres::TextArray;
using postgres::Transact;
using postgres::UuidArray;
using soci::into;
using soci::use;

absl::Status AlertNotFound() {
  return base::NotFound(kReasonAlertNotFound,
                        "there is no such alert, or it is not yours: ListAlerts names those that are");
}

absl::Status OverQuota(int64_t quota) {
  return base::ResourceExhausted(
      kReasonAlertQuota,
      absl::StrCat("a user has at most ", quota, " alerts: delete some that are not needed any more"), std::nullopt,
      {{"quota", absl::StrCat(quota)}});
}

// Writes owners, alerts and outbox in one statement, kept with its connection. `owners`: the SQL that counts the new
// alerts and answers, as CTEs up to one `owner`, the users that may have theirs; the others' are left out.
struct InsertStatement {
  InsertStatement(soci::session& sql, const char* owners) : statement(sql) {
    for (auto& [name, text] : texts) statement.exchange(use(text, name));
    statement.exchange(use(quota, "quota"));
    statement.exchange(use(now_us, "now"));
    statement.exchange(use(next_us, "next"));
    statement.exchange(into(admitted));
    statement.alloc();
    statement.prepare(absl::StrCat("WITH ", owners, R"sql(, created AS (
  INSERT INTO stockalert_alert.alerts (
    id, user_id, symbol, definition, expire_time_us, reference, note, revision, armed_revision,
    create_time_us, update_time_us, request_id, request_fingerprint, delivery, destination_ids, critical,
    splits_applied, create_splits)
  SELECT x.id, owner.user_id, x.symbol, CAST(x.definition AS jsonb), x.expire_time_us, CAST(x.reference AS smallint),
    x.note, 1, 1, CAST(:now AS bigint), CAST(:now AS bigint), NULLIF(x.request_id, ''), NULLIF(x.fingerprint, ''),
    CAST(x.delivery AS smallint), CAST(x.destinations AS uuid[]), x.critical, x.splits_applied,
    x.splits_applied
  FROM unnest(
    CAST(:users AS uuid[]), CAST(:ids AS uuid[]), CAST(:symbols AS text[]), CAST(:definitions AS text[]),
    CAST(:expiries AS bigint[]), CAST(:references AS bigint[]), CAST(:notes AS text[]), CAST(:request_ids AS text[]),
    CAST(:fingerprints AS text[]), CAST(:deliveries AS bigint[]), CAST(:destinations AS text[]),
    CAST(:critical AS boolean[]), CAST(:splits AS bigint[]))
    AS x(user_id, id, symbol, definition, expire_time_us, reference, note, request_id, fingerprint, delivery,
      destinations, critical, splits_applied)
  JOIN owner ON owner.user_id = x.user_id
  RETURNING id
), opened AS (
  INSERT INTO stockalert_alert.alert_outbox (alert_id, revision, open_time_us, next_attempt_us, attempts)
  SELECT id, 1, CAST(:now AS bigint), CAST(:next AS bigint), 0 FROM created
)
SELECT COALESCE(string_agg(CAST(user_id AS text), ','), '') FROM owner
)sql"));
    statement.define_and_bind();
  }

  // Answers the users whose alerts were added.
  std::set<std::string> Run(const std::map<std::string, std::string>& columns, int64_t quota_now, int64_t now) {
    // Into the strings that are bound.
    for (const auto& [name, text] : columns) texts.at(name) = text;
    quota = quota_now;
    now_us = now;
    next_us = now + kFirstSweepUs;
    statement.execute(true);
    return absl::StrSplit(admitted, ',', absl::SkipEmpty());
  }

  soci::statement statement;
  std::map<std::string, std::string> texts = {
      {"owners", ""},       {"counts", ""},     {"users", ""},        {"ids", ""},      {"symbols", ""},
      {"definitions", ""},  {"expiries", ""},   {"references", ""},   {"notes", ""},    {"request_ids", ""},
      {"fingerprints", ""}, {"deliveries", ""}, {"destinations", ""}, {"critical", ""}, {"splits", ""}};
  long long quota = 0, now_us = 0, next_us = 0;
  std::string admitted;
};

// Of one user, who may be new; waits for others that change the user.
struct CreateStatement : InsertStatement {
  explicit CreateStatement(soci::session& sql)
      : InsertStatement(sql, R"sql(owner AS (
  INSERT INTO stockalert_alert.owners AS o (user_id, alert_count)
  SELECT w.user_id, w.n FROM unnest(CAST(:owners AS uuid[]), CAST(:counts AS bigint[])) AS w(user_id, n)
  ON CONFLICT (user_id) DO UPDATE
  SET alert_count = o.alert_count + EXCLUDED.alert_count
  WHERE NOT o.deleted AND o.alert_count + EXCLUDED.alert_count <= CAST(:quota AS bigint)
  RETURNING o.user_id
))sql") {}
};

// Of many users; leaves out who is new, and who is being changed by others, so that it waits for nobody.
struct CreateGroupStatement : InsertStatement {
  explicit CreateGroupStatement(soci::session& sql)
      : InsertStatement(sql, R"sql(free AS MATERIALIZED (
  SELECT o.user_id, w.n
  FROM stockalert_alert.owners o
  JOIN unnest(CAST(:owners AS uuid[]), CAST(:counts AS bigint[])) AS w(user_id, n) ON w.user_id = o.user_id
  WHERE NOT o.deleted AND o.alert_count + w.n <= CAST(:quota AS bigint)
  FOR UPDATE OF o SKIP LOCKED
), owner AS (
  UPDATE stockalert_alert.owners o
  SET alert_count = o.alert_count + free.n
  FROM free
  WHERE o.user_id = free.user_id AND NOT o.deleted AND o.alert_count + free.n <= CAST(:quota AS bigint)
  RETURNING o.user_id
))sql") {}
};

// The creations as InsertStatement's arrays.
std::map<std::string, std::string> ColumnsOf(const std::vector<Creation>& creations) {
  std::map<std::string, int64_t> counts;
  std::vector<std::string> users, ids, symbols, definitions, notes, request_ids, fingerprints, destinations;
  std::vector<std::optional<int64_t>> expiries;
  std::vector<int64_t> references, deliveries, splits;
  std::vector<bool> critical;
  for (const Creation& creation : creations) {
    counts[creation.user_id] += static_cast<int64_t>(creation.alerts->size());
    for (const StoredAlert& alert : *creation.alerts) {
      users.push_back(creation.user_id);
      ids.push_back(alert.id);
      symbols.push_back(alert.symbol);
      definitions.push_back(EncodeDefinitionJson(alert.record.definition));
      expiries.push_back(alert.record.definition.expire_time_us);
      references.push_back(ReferenceOf(alert.record.definition));
      notes.push_back(alert.note);
      request_ids.push_back(alert.request_id);
      fingerprints.push_back(alert.request_fingerprint);
      deliveries.push_back(static_cast<int64_t>(alert.routing.route));
      destinations.push_back(UuidArray(alert.routing.destination_ids));
      critical.push_back(alert.routing.critical);
      splits.push_back(alert.splits_applied);
    }
  }
  std::vector<std::string> owners;
  std::vector<int64_t> more;
  for (const auto& [user_id, count] : counts) {
    owners.push_back(user_id);
    more.push_back(count);
  }
  return {{"owners", UuidArray(owners)},
          {"counts", BigintArray(more)},
          {"users", UuidArray(users)},
          {"ids", UuidArray(ids)},
          {"symbols", TextArray(symbols)},
          {"definitions", TextArray(definitions)},
          {"expiries", BigintArray(expiries)},
          {"references", BigintArray(references)},
          {"notes", TextArray(notes)},
          {"request_ids", TextArray(request_ids)},
          {"fingerprints", TextArray(fingerprints)},
          {"deliveries", BigintArray(deliveries)},
          {"destinations", TextArray(destinations)},
          {"critical", BooleanArray(critical)},
          {"splits", BigintArray(splits)}};
}

constexpr char kCountPresent[] = R"sql(
SELECT count(*)
FROM stockalert_alert.alerts
WHERE id = ANY(CAST(:ids AS uuid[]))
)sql";

constexpr char kIsDeletedUser[] = R"sql(
SELECT CAST(deleted AS int)
FROM stockalert_alert.owners
WHERE user_id = CAST(:user AS uuid)
)sql";

constexpr char kLockOwner[] = R"sql(
SELECT CAST(user_id AS text)
FROM stockalert_alert.owners
WHERE user_id = CAST(:user AS uuid)
FOR UPDATE
)sql";

constexpr char kOtherWindows[] = R"sql(
SELECT DISTINCT symbol, CAST(definition -> 'percentChange' ->> 'windowUs' AS bigint)
FROM stockalert_alert.alerts
WHERE user_id = CAST(:user AS uuid)
  AND NOT deleted
  AND symbol = ANY(CAST(:symbols AS text[]))
  AND id <> ALL(CAST(:ids AS uuid[]))
  AND definition -> 'percentChange' ->> 'windowUs' IS NOT NULL
)sql";

// The windows of the user's alerts on the symbols, but for those of `alert_ids`.
WindowLengths FindOtherWindows(soci::session& sql, const std::string& user_id,
                               const std::vector<std::string>& alert_ids, const std::vector<std::string>& on_symbols) {
  Query(sql, kLockOwner).Bind("user", user_id).FetchTexts();
  const std::string ids = UuidArray(alert_ids), symbols = TextArray(on_symbols);
  std::string symbol;
  long long length = 0;
  soci::statement statement = (sql.prepare << kOtherWindows, use(user_id, "user"), use(symbols, "symbols"),
                               use(ids, "ids"), into(symbol), into(length));
  statement.execute(false);
  WindowLengths lengths;
  while (statement.fetch()) lengths[symbol].insert(length);
  return lengths;
}

constexpr char kByRequestIds[] = R"sql(
  stockalert_alert.alerts a
WHERE a.user_id = CAST(:user AS uuid) AND a.request_id = ANY(CAST(:ids AS text[]))
)sql";

constexpr char kByIds[] = R"sql(
WHERE a.id = ANY(CAST(:ids AS uuid[])) AND a.user_id = CAST(:user AS uuid) AND NOT a.deleted
)sql";

constexpr char kToChange[] = R"sql(
WHERE a.id = CAST(:id AS uuid) AND a.user_id = CAST(:user AS uuid) AND NOT a.deleted
FOR UPDATE OF a
)sql";

constexpr char kCountOneLess[] = R"sql(
UPDATE stockalert_alert.owners
SET alert_count = alert_count - 1
WHERE user_id = CAST(:user AS uuid)
)sql";

// The rule of StateOf, in SQL.
constexpr char kStateSql[] = R"sql(
  CASE
    WHEN a.triggered THEN 5
    WHEN a.expire_time_us <= GREATEST(CAST(:now AS bigint), COALESCE(s.last_event_time_us, 0)) THEN 6
    WHEN a.paused THEN 4
    WHEN a.applied_revision = 0 THEN 1
    WHEN COALESCE(s.held, false) THEN 7
    WHEN a.reference = 1 AND NOT COALESCE(s.previous_close_known, false) THEN 3
    WHEN a.reference = 2 AND NOT COALESCE(s.day_open_known, false) THEN 3
    ELSE 2
  END)sql";

constexpr char kTriggersOfUser[] = R"sql(
  stockalert_alert.triggers t
JOIN stockalert_alert.alerts a ON a.id = t.alert_id
WHERE t.user_id = CAST(:user AS uuid) AND NOT a.deleted)sql";

constexpr char kSplitNumbers[] = R"sql(
SELECT symbol, number
FROM stockalert_alert.splits
WHERE symbol = ANY(CAST(:symbols AS text[]))
ORDER BY symbol, number
)sql";

constexpr char kCount[] = R"sql(
SELECT count(*)
FROM stockalert_alert.alerts
WHERE NOT deleted AND (symbol = :symbol OR :symbol = '')
)sql";

}  // namespace

absl::Status PostgresAlertStore::Create(const std::string& user_id, const std::vector<StoredAlert>& alerts,
                                        int64_t quota, int64_t now_us, const Admission& admission) {
  if (static_cast<int64_t>(alerts.size()) > quota) return OverQuota(quota);
  const std::map<std::string, std::string> columns = ColumnsOf({{user_id, &alerts}});
  std::vector<std::string> ids;
  for (const StoredAlert& alert : alerts) ids.push_back(alert.id);
  const absl::Status status =
      Transact(pool_, "alert.create", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        if (!connection.KeptStatement<CreateStatement>().Run(columns, quota, now_us).empty()) {
          return admission([&](const std::vector<std::string>& symbols) {
            return FindOtherWindows(connection.sql(), user_id, ids, symbols);
          });
        }
        long long present = 0;
        connection.sql() << kCountPresent, use(columns.at("ids")), into(present);
        // The last of the quota is what an attempt whose commit went unanswered has taken.
        if (present == static_cast<long long>(ids.size())) return absl::OkStatus();
        int deleted = 0;
        connection.sql() << kIsDeletedUser, use(user_id), into(deleted);
        if (deleted != 0) return base::NotFound(kReasonUserNotFound, "the user was deleted");
        return OverQuota(quota);
      });
  // The ids are the caller's own: that they are there means that an attempt whose commit went unanswered took place.
  if (absl::IsAlreadyExists(status) && postgres::ViolatedConstraint(status) == "alerts_pkey") return absl::OkStatus();
  if (absl::IsAlreadyExists(status) && postgres::ViolatedConstraint(status) == "alerts_request") {
    return base::AlreadyExists(kReasonRequestIdTaken, "the request id was used before");
  }
  return ToError(status);
}

absl::StatusOr<std::vector<bool>> PostgresAlertStore::CreateGroup(const std::vector<Creation>& group, int64_t quota,
                                                                  int64_t now_us) {
  if (group.empty()) return std::vector<bool>();
  const std::map<std::string, std::string> columns = ColumnsOf(group);
  const absl::StatusOr<std::set<std::string>> admitted =
      Transact(pool_, "alert.create_group", Idempotency::kIdempotent,
               [&](Connection& connection) -> absl::StatusOr<std::set<std::string>> {
                 return connection.KeptStatement<CreateGroupStatement>().Run(columns, quota, now_us);
               });
  // Also where an attempt whose commit went unanswered took place: each alone then finds its own.
  if (absl::IsAlreadyExists(admitted.status())) {
    return base::AlreadyExists(kReasonRequestIdTaken, "an id or a request id of the group was used before");
  }
  if (!admitted.ok()) return ToError(admitted.status());
  std::vector<bool> created;
  created.reserve(group.size());
  for (const Creation& creation : group) created.push_back(admitted->count(creation.user_id) > 0);
  return created;
}

absl::StatusOr<std::vector<StoredAlert>> PostgresAlertStore::FindByRequestIds(
    const std::string& user_id, const std::vector<std::string>& request_ids) {
  const std::string ids = TextArray(request_ids);
  return ToError(Transact(
      pool_, "alert.find_request", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<StoredAlert>> {
        return Query(connection.sql(), AlertQuery(kByRequestIds)).Bind("user", user_id).Bind("ids", ids).FetchAlerts();
      }));
}

absl::StatusOr<std::optional<ShownAlert>> PostgresAlertStore::Find(const std::string& user_id,
                                                                   const std::string& alert_id) {
  absl::StatusOr<std::vector<ShownAlert>> views = FindAll(user_id, {alert_id});
  if (!views.ok()) return views.status();
  if (views->empty()) return std::optional<ShownAlert>();
  return std::optional<ShownAlert>(std::move(views->front()));
}

absl::StatusOr<std::vector<ShownAlert>> PostgresAlertStore::FindAll(const std::string& user_id,
                                                                    const std::vector<std::string>& alert_ids) {
  const std::string ids = UuidArray(alert_ids);
  return ToError(
      Transact(pool_, "alert.find", Idempotency::kIdempotent,
               [&](Connection& connection) -> absl::StatusOr<std::vector<ShownAlert>> {
                 return Query(connection.sql(), ViewQuery(kByIds)).Bind("ids", ids).Bind("user", user_id).FetchViews();
               }));
}

absl::StatusOr<ShownAlert> PostgresAlertStore::Change(const std::string& user_id, const std::string& alert_id,
                                                      int64_t now_us, const Mutation& mutation) {
  // A second run after a commit of unknown outcome would see its own change as somebody else's.
  return ToError(Transact(
      pool_, "alert.change", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::StatusOr<ShownAlert> {
        STOCKALERT_ASSIGN_OR_RETURN(
            std::vector<ShownAlert> views,
            Query(connection.sql(), ViewQuery(kToChange)).Bind("id", alert_id).Bind("user", user_id).FetchViews());
        if (views.empty()) return AlertNotFound();
        ShownAlert view = std::move(views.front());
        const int64_t revision = view.alert.record.revision;
        STOCKALERT_ASSIGN_OR_RETURN(view.alert, mutation(view, [&](const std::vector<std::string>& symbols) {
                                      return FindOtherWindows(connection.sql(), user_id, {alert_id}, symbols);
                                    }));
        if (view.alert.record.revision == revision) return view;
        view.alert.update_time_us = now_us;
        connection.KeptStatement<ChangeStatement>().Run(view.alert, now_us);
        if (view.alert.record.deleted) connection.sql() << kCountOneLess, use(user_id);
        return view;
      }));
}

absl::StatusOr<std::vector<ShownAlert>> PostgresAlertStore::List(const ListFilter& filter,
                                                                 const std::optional<ListPlace>& after, int64_t now_us,
                                                                 int limit) {
  std::string rest = "WHERE NOT a.deleted";
  const std::string user_id = filter.user_id.value_or("");
  if (filter.user_id) rest += " AND a.user_id = CAST(:user AS uuid)";
  if (!filter.symbol.empty()) rest += " AND a.symbol = :symbol";
  std::vector<int64_t> numbers;
  numbers.reserve(filter.states.size());
  for (const ShownState state : filter.states) numbers.push_back(static_cast<int64_t>(state));
  const std::string states = BigintArray(numbers);
  if (!numbers.empty()) absl::StrAppend(&rest, " AND ", kStateSql, " = ANY(CAST(:states AS integer[]))");
  const ListPlace place = after.value_or(ListPlace{});
  if (after) rest += " AND (a.create_time_us, a.id) < (CAST(:time AS bigint), CAST(:id AS uuid))";
  absl::StrAppend(&rest, " ORDER BY a.create_time_us DESC, a.id DESC LIMIT ", limit);
  const std::string text = ViewQuery(rest);
  const long long now = now_us;
  const long long time = place.create_time_us;
  return ToError(Transact(pool_, "alert.list", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<ShownAlert>> {
                            Query query(connection.sql(), text);
                            if (filter.user_id) query.Bind("user", user_id);
                            if (!filter.symbol.empty()) query.Bind("symbol", filter.symbol);
                            if (!numbers.empty()) query.Bind("now", now).Bind("states", states);
                            if (after) query.Bind("time", time).Bind("id", place.alert_id);
                            return query.FetchViews();
                          }));
}

absl::StatusOr<std::vector<RecordedTrigger>> PostgresAlertStore::ListTriggers(const TriggerFilter& filter,
                                                                              const std::optional<TriggerPlace>& after,
                                                                              int limit) {
  // An alert's triggers are ordered by their numbers alone, which is by their time too.
  const bool of_alert = filter.alert_id.has_value();
  std::string from = kTriggersOfUser;
  if (of_alert) {
    from += " AND t.alert_id = CAST(:alert AS uuid)";
    if (after) from += " AND t.number < CAST(:number AS bigint)";
    from += " ORDER BY t.number DESC";
  } else {
    if (after) {
      from +=
          " AND (t.create_time_us, t.alert_id, t.number)"
          " < (CAST(:time AS bigint), CAST(:id AS uuid), CAST(:number AS bigint))";
    }
    from += " ORDER BY t.create_time_us DESC, t.alert_id DESC, t.number DESC";
  }
  const std::string text = TriggerQuery(absl::StrCat(from, " LIMIT ", limit));
  const std::string alert_id = filter.alert_id.value_or("");
  const TriggerPlace place = after.value_or(TriggerPlace{});
  const long long time = place.create_time_us;
  const long long number = place.number;
  return ToError(Transact(pool_, "alert.list_triggers", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<RecordedTrigger>> {
                            Query query(connection.sql(), text);
                            query.Bind("user", filter.user_id);
                            if (of_alert) query.Bind("alert", alert_id);
                            if (after && !of_alert) query.Bind("time", time).Bind("id", place.alert_id);
                            if (after) query.Bind("number", number);
                            return query.FetchTriggers();
                          }));
}

absl::StatusOr<std::map<std::string, int64_t>> PostgresAlertStore::FindSplitNumbers(
    const std::vector<std::string>& symbols) {
  const std::string array = TextArray(symbols);
  return ToError(Transact(pool_, "alert.find_split_numbers", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::map<std::string, int64_t>> {
                            std::string symbol;
                            long long number = 0;
                            soci::statement statement = (connection.sql().prepare << kSplitNumbers,
                                                         use(array, "symbols"), into(symbol), into(number));
                            statement.execute(false);
                            std::map<std::string, int64_t> numbers;
                            while (statement.fetch()) {
                              int64_t& last = numbers[symbol];
                              if (number == last + 1) last = number;
                            }
                            return numbers;
                          }));
}

absl::StatusOr<int64_t> PostgresAlertStore::Count(const std::string& symbol) {
  return ToError(
      Transact(pool_, "alert.count", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        long long count = 0;
        connection.sql() << kCount, use(symbol, "symbol"), into(count);
        return static_cast<int64_t>(count);
      }));
}

absl::Status PostgresAlertStore::Ready() { return pool_.Ready(); }

}  // namespace stockalert::alert
