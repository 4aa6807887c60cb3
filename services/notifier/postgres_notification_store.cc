#include "services/notifier/postgres_notification_store.h"

#include <soci/soci.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
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

// Stands for NULL on the way out: no price and no time of ours is negative.
constexpr long long kNull = -1;

std::optional<int64_t> FromColumn(long long value) {
  return value == kNull ? std::nullopt : std::optional<int64_t>(value);
}

constexpr char kColumns[] =
    "CAST(id AS text), CAST(user_id AS text), sequence, CAST(alert_id AS text), trigger_number, symbol, price_micros, "
    "event_time_us, "
    "COALESCE(price_before_micros, -1), COALESCE(reference_micros, -1), CAST(late AS int), summary, note, traceparent, "
    "create_time_us, "
    "COALESCE(acknowledge_time_us, -1), CAST(kind AS int), COALESCE(key, ''), CAST(throttled AS int), folded_count";

// One row of kColumns.
class Row {
 public:
  explicit Row(soci::statement& statement) {
    statement.exchange(into(row_.id));
    statement.exchange(into(row_.user_id));
    statement.exchange(into(sequence_));
    statement.exchange(into(row_.alert_id));
    for (long long* number : {&number_}) statement.exchange(into(*number));
    statement.exchange(into(row_.symbol));
    for (long long* number : {&price_, &event_time_us_, &before_, &reference_}) statement.exchange(into(*number));
    statement.exchange(into(late_));
    for (std::string* text : {&row_.summary, &row_.note, &row_.traceparent}) statement.exchange(into(*text));
    for (long long* number : {&create_time_us_, &acknowledge_time_us_}) statement.exchange(into(*number));
    statement.exchange(into(kind_));
    statement.exchange(into(row_.key));
    statement.exchange(into(throttled_));
    statement.exchange(into(folded_count_));
  }

  StoredNotification Get() const {
    StoredNotification stored = row_;
    stored.sequence = sequence_;
    stored.trigger_number = number_;
    stored.price_micros = price_;
    stored.event_time_us = event_time_us_;
    stored.price_before_micros = FromColumn(before_);
    stored.reference_micros = FromColumn(reference_);
    stored.late = late_ != 0;
    stored.create_time_us = create_time_us_;
    stored.acknowledge_time_us = FromColumn(acknowledge_time_us_);
    stored.kind = static_cast<Kind>(kind_);
    stored.throttled = throttled_ != 0;
    stored.folded_count = folded_count_;
    if (stored.kind != Kind::kTrigger) {
      // What stands there is for the version before.
      stored.alert_id.clear();
      stored.trigger_number = 0;
    } else if (stored.key.empty()) {
      stored.key = TriggerKey(stored);
    }
    return stored;
  }

 private:
  StoredNotification row_;
  long long sequence_ = 0, number_ = 0, price_ = 0, event_time_us_ = 0, before_ = 0, reference_ = 0,
            create_time_us_ = 0, acknowledge_time_us_ = 0, folded_count_ = 0;
  int late_ = 0, kind_ = 0, throttled_ = 0;
};

std::vector<StoredNotification> Fetch(soci::statement& statement, const std::string& query) {
  Row row(statement);
  statement.alloc();
  statement.prepare(query);
  statement.define_and_bind();
  statement.execute(false);
  std::vector<StoredNotification> rows;
  while (statement.fetch()) rows.push_back(row.Get());
  return rows;
}

struct Recipient {
  int64_t last_sequence = 0;
  bool deleted = false;
  bool changed = false;
};

// Locks the users' rows, in the order of their ids as everybody does, having made those that are not there.
std::map<std::string, Recipient> LockRecipients(soci::session& sql, const std::set<std::string>& user_ids) {
  const std::string users = postgres::UuidArray({user_ids.begin(), user_ids.end()});
  sql << "INSERT INTO stockalert_notifier.recipients (user_id) SELECT x.id FROM unnest(CAST(:users AS uuid[])) AS "
         "x(id) ORDER BY x.id "
         "ON CONFLICT (user_id) DO NOTHING",
      use(users, "users");
  std::string id;
  long long last_sequence = 0;
  int deleted = 0;
  soci::statement statement =
      (sql.prepare << "SELECT CAST(user_id AS text), last_sequence, CAST(delete_time_us IS NOT NULL AS int) "
                      "FROM stockalert_notifier.recipients WHERE user_id = ANY(CAST(:users AS uuid[])) "
                      "ORDER BY user_id FOR UPDATE",
       use(users, "users"), into(id), into(last_sequence), into(deleted));
  statement.execute(false);
  std::map<std::string, Recipient> recipients;
  while (statement.fetch()) recipients[id] = {last_sequence, deleted != 0, false};
  return recipients;
}

int64_t DeleteUsers(soci::session& sql, const std::vector<UserDeletion>& deletions,
                    std::map<std::string, Recipient>& recipients) {
  std::vector<std::string> ids;
  std::vector<int64_t> times;
  for (const UserDeletion& deletion : deletions) {
    ids.push_back(deletion.user_id);
    times.push_back(deletion.delete_time_us);
    recipients[deletion.user_id].deleted = true;
  }
  if (ids.empty()) return 0;
  const std::string users = postgres::UuidArray(ids);
  const std::string delete_times = postgres::BigintArray(times);
  sql << "UPDATE stockalert_notifier.recipients AS r SET delete_time_us = x.time_us "
         "FROM unnest(CAST(:users AS uuid[]), CAST(:times AS bigint[])) AS x(id, time_us) "
         "WHERE r.user_id = x.id AND r.delete_time_us IS NULL",
      use(users, "users"), use(delete_times, "times");
  soci::statement remove =
      (sql.prepare << "DELETE FROM stockalert_notifier.notifications WHERE user_id = ANY(CAST(:users AS uuid[]))",
       use(users, "users"));
  remove.execute(true);
  return remove.get_affected_rows();
}

using TriggerId = std::pair<std::string, int64_t>;

std::set<TriggerId> FindStored(soci::session& sql, const std::vector<NewNotification>& notifications) {
  std::vector<std::string> alerts;
  std::vector<int64_t> numbers;
  for (const NewNotification& notification : notifications) {
    alerts.push_back(notification.alert_id);
    numbers.push_back(notification.trigger_number);
  }
  const std::string alert_array = postgres::UuidArray(alerts);
  const std::string number_array = postgres::BigintArray(numbers);
  std::string alert;
  long long number = 0;
  soci::statement statement =
      (sql.prepare << "SELECT CAST(n.alert_id AS text), n.trigger_number FROM stockalert_notifier.notifications n "
                      "JOIN unnest(CAST(:alerts AS uuid[]), CAST(:numbers AS bigint[])) AS x(alert_id, number) "
                      "ON n.alert_id = x.alert_id AND n.trigger_number = x.number",
       use(alert_array, "alerts"), use(number_array, "numbers"), into(alert), into(number));
  statement.execute(false);
  std::set<TriggerId> stored;
  while (statement.fetch()) stored.insert({alert, number});
  return stored;
}

void Insert(soci::session& sql, const std::vector<StoredNotification>& rows, int64_t now_us) {
  std::vector<std::string> ids, users, alerts, symbols, summaries, notes, traceparents, keys;
  std::vector<int64_t> sequences, numbers, prices, times, kinds, folded_counts;
  std::vector<std::optional<int64_t>> befores, references;
  std::vector<bool> lates, throttled;
  for (const StoredNotification& row : rows) {
    ids.push_back(row.id);
    users.push_back(row.user_id);
    // The version before has no row without a trigger, and none with another's.
    alerts.push_back(row.kind == Kind::kTrigger ? row.alert_id : row.user_id);
    numbers.push_back(row.kind == Kind::kTrigger ? row.trigger_number : row.sequence);
    kinds.push_back(static_cast<int64_t>(row.kind));
    keys.push_back(row.key);
    throttled.push_back(row.throttled);
    folded_counts.push_back(row.folded_count);
    symbols.push_back(row.symbol);
    summaries.push_back(row.summary);
    notes.push_back(row.note);
    traceparents.push_back(row.traceparent);
    sequences.push_back(row.sequence);
    prices.push_back(row.price_micros);
    times.push_back(row.event_time_us);
    befores.push_back(row.price_before_micros);
    references.push_back(row.reference_micros);
    lates.push_back(row.late);
  }
  const std::map<std::string, std::string> arrays = {{"ids", postgres::UuidArray(ids)},
                                                     {"users", postgres::UuidArray(users)},
                                                     {"sequences", postgres::BigintArray(sequences)},
                                                     {"alerts", postgres::UuidArray(alerts)},
                                                     {"numbers", postgres::BigintArray(numbers)},
                                                     {"symbols", postgres::TextArray(symbols)},
                                                     {"prices", postgres::BigintArray(prices)},
                                                     {"times", postgres::BigintArray(times)},
                                                     {"befores", postgres::BigintArray(befores)},
                                                     {"refs", postgres::BigintArray(references)},
                                                     {"lates", postgres::BooleanArray(lates)},
                                                     {"summaries", postgres::TextArray(summaries)},
                                                     {"notes", postgres::TextArray(notes)},
                                                     {"traces", postgres::TextArray(traceparents)},
                                                     {"kinds", postgres::BigintArray(kinds)},
                                                     {"keys", postgres::TextArray(keys)},
                                                     {"throttled", postgres::BooleanArray(throttled)},
                                                     {"folded", postgres::BigintArray(folded_counts)}};
  const long long now = now_us;
  soci::statement statement(sql);
  for (const auto& [name, text] : arrays) statement.exchange(use(text, name));
  statement.exchange(use(now, "now"));
  statement.alloc();
  statement.prepare(
      "INSERT INTO stockalert_notifier.notifications (id, user_id, sequence, alert_id, trigger_number, symbol, "
      "price_micros, "
      "  event_time_us, price_before_micros, reference_micros, late, summary, note, traceparent, kind, key, throttled, "
      "folded_count, "
      "  create_time_us) "
      "SELECT x.*, CAST(:now AS bigint) FROM unnest(CAST(:ids AS uuid[]), CAST(:users AS uuid[]), CAST(:sequences AS "
      "bigint[]), "
      "  CAST(:alerts AS uuid[]), CAST(:numbers AS bigint[]), CAST(:symbols AS text[]), CAST(:prices AS bigint[]), "
      "  CAST(:times AS bigint[]), CAST(:befores AS bigint[]), CAST(:refs AS bigint[]), CAST(:lates AS boolean[]), "
      "  CAST(:summaries AS text[]), CAST(:notes AS text[]), CAST(:traces AS text[]), CAST(:kinds AS smallint[]), "
      "  CAST(:keys AS text[]), CAST(:throttled AS boolean[]), CAST(:folded AS bigint[])) AS x");
  statement.define_and_bind();
  statement.execute(true);
}

void WriteSequences(soci::session& sql, const std::map<std::string, Recipient>& recipients) {
  std::vector<std::string> ids;
  std::vector<int64_t> sequences;
  for (const auto& [id, recipient] : recipients) {
    if (!recipient.changed) continue;
    ids.push_back(id);
    sequences.push_back(recipient.last_sequence);
  }
  const std::string users = postgres::UuidArray(ids);
  const std::string sequence_array = postgres::BigintArray(sequences);
  sql << "UPDATE stockalert_notifier.recipients AS r SET last_sequence = x.sequence "
         "FROM unnest(CAST(:users AS uuid[]), CAST(:sequences AS bigint[])) AS x(id, sequence) WHERE r.user_id = x.id",
      use(users, "users"), use(sequence_array, "sequences");
}

}  // namespace

absl::StatusOr<IntakeResult> PostgresNotificationStore::StoreBatch(const IntakeBatch& batch, int64_t now_us) {
  if (batch.empty()) return IntakeResult();
  std::set<std::string> user_ids;
  for (const NewNotification& notification : batch.notifications) user_ids.insert(notification.user_id);
  for (const UserDeletion& deletion : batch.deletions) user_ids.insert(deletion.user_id);
  return StoreFailure(Transact(pool_, "notification.take_in", Idempotency::kIdempotent,
                               [&](Connection& connection) -> absl::StatusOr<IntakeResult> {
                                 soci::session& sql = connection.sql();
                                 IntakeResult result;
                                 std::map<std::string, Recipient> recipients = LockRecipients(sql, user_ids);
                                 result.deleted = DeleteUsers(sql, batch.deletions, recipients);
                                 // Under the users' locks: what another instance stores of theirs is committed and
                                 // seen, or comes after.
                                 std::set<TriggerId> known = batch.notifications.empty()
                                                                 ? std::set<TriggerId>()
                                                                 : FindStored(sql, batch.notifications);
                                 std::map<std::string, std::vector<StoredNotification>> throttled;
                                 for (const NewNotification& notification : batch.notifications) {
                                   Recipient& recipient = recipients[notification.user_id];
                                   if (recipient.deleted) {
                                     ++result.of_deleted_users;
                                     continue;
                                   }
                                   if (!known.insert({notification.alert_id, notification.trigger_number}).second) {
                                     ++result.repeated;
                                     continue;
                                   }
                                   StoredNotification& row = result.stored.emplace_back();
                                   static_cast<NewNotification&>(row) = notification;
                                   row.key = TriggerKey(notification);
                                   row.sequence = ++recipient.last_sequence;
                                   row.create_time_us = now_us;
                                   recipient.changed = true;
                                   if (row.throttled) throttled[row.user_id].push_back(row);
                                 }
                                 for (const auto& [user_id, rows] : throttled) {
                                   StoredNotification& row = result.stored.emplace_back();
                                   static_cast<NewNotification&>(row) = Fold(rows, batch.fold_ids.at(user_id));
                                   row.sequence = ++recipients[user_id].last_sequence;
                                   row.create_time_us = now_us;
                                 }
                                 if (!result.stored.empty()) {
                                   Insert(sql, result.stored, now_us);
                                   WriteSequences(sql, recipients);
                                 }
                                 return result;
                               }));
}

absl::StatusOr<std::map<std::string, int64_t>> PostgresNotificationStore::LastSequences(
    const std::vector<std::string>& user_ids) {
  const std::string users = postgres::UuidArray(user_ids);
  return StoreFailure(postgres::Read(pool_, "notification.last_sequences",
                                     [&](Connection& connection) -> absl::StatusOr<std::map<std::string, int64_t>> {
                                       std::map<std::string, int64_t> sequences;
                                       for (const std::string& id : user_ids) sequences[id] = 0;
                                       std::string id;
                                       long long sequence = 0;
                                       soci::statement statement =
                                           (connection.sql().prepare << "SELECT CAST(user_id AS text), last_sequence "
                                                                        "FROM stockalert_notifier.recipients "
                                                                        "WHERE user_id = ANY(CAST(:users AS uuid[]))",
                                            use(users, "users"), into(id), into(sequence));
                                       statement.execute(false);
                                       while (statement.fetch()) sequences[id] = sequence;
                                       return sequences;
                                     }));
}

absl::StatusOr<std::vector<StoredNotification>> PostgresNotificationStore::ListAfter(const std::string& user_id,
                                                                                     int64_t sequence, int limit) {
  const long long after = sequence;
  return StoreFailure(postgres::Read(
      pool_, "notification.list_after", [&](Connection& connection) -> absl::StatusOr<std::vector<StoredNotification>> {
        soci::statement statement(connection.sql());
        statement.exchange(use(user_id, "user"));
        statement.exchange(use(after, "after"));
        statement.exchange(use(limit, "count"));
        return Fetch(statement,
                     absl::StrCat("SELECT ", kColumns,
                                  " FROM stockalert_notifier.notifications WHERE user_id = CAST(:user AS uuid) "
                                  "AND sequence > :after AND NOT throttled ORDER BY sequence LIMIT :count"));
      }));
}

absl::StatusOr<std::vector<StoredNotification>> PostgresNotificationStore::ListNewest(const std::string& user_id,
                                                                                      const NotificationFilter& filter,
                                                                                      int64_t before_sequence,
                                                                                      int limit) {
  const long long before = before_sequence;
  return StoreFailure(postgres::Read(
      pool_, "notification.list", [&](Connection& connection) -> absl::StatusOr<std::vector<StoredNotification>> {
        soci::statement statement(connection.sql());
        statement.exchange(use(user_id, "user"));
        statement.exchange(use(before, "before"));
        std::string conditions;
        if (filter.unacknowledged_only) conditions += " AND acknowledge_time_us IS NULL";
        if (!filter.alert_id.empty()) {
          conditions += " AND alert_id = CAST(:alert AS uuid)";
          statement.exchange(use(filter.alert_id, "alert"));
        }
        if (!filter.symbol.empty()) {
          conditions += " AND symbol = :symbol";
          statement.exchange(use(filter.symbol, "symbol"));
        }
        statement.exchange(use(limit, "count"));
        return Fetch(statement,
                     absl::StrCat("SELECT ", kColumns,
                                  " FROM stockalert_notifier.notifications WHERE user_id = CAST(:user AS uuid) "
                                  "AND sequence < :before",
                                  conditions, " ORDER BY sequence DESC LIMIT :count"));
      }));
}

absl::StatusOr<StoredNotification> PostgresNotificationStore::Acknowledge(const std::string& user_id,
                                                                          const std::string& id, int64_t now_us) {
  const long long now = now_us;
  return StoreFailure(Transact(
      pool_, "notification.acknowledge", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<StoredNotification> {
        soci::statement statement(connection.sql());
        statement.exchange(use(now, "now"));
        statement.exchange(use(id, "id"));
        statement.exchange(use(user_id, "user"));
        std::vector<StoredNotification> rows =
            Fetch(statement, absl::StrCat("UPDATE stockalert_notifier.notifications SET acknowledge_time_us = "
                                          "COALESCE(acknowledge_time_us, CAST(:now AS bigint)) "
                                          "WHERE id = CAST(:id AS uuid) AND user_id = CAST(:user AS uuid) RETURNING ",
                                          kColumns));
        if (rows.empty()) {
          return base::NotFound(
              kReasonNotificationNotFound,
              "there is no such notification, or it is not yours: ListNotifications has those that are");
        }
        return rows.front();
      }));
}

}  // namespace stockalert::notifier
