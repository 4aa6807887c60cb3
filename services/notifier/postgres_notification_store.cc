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
#include "services/notifier/delivery/postgres_delivery_intake.h"
#include "services/notifier/postgres_notification_rows.h"

namespace stockalert::notifier {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

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
  DeleteDeliveriesOf(sql, ids);
  sql << "DELETE FROM stockalert_notifier.code_mails WHERE user_id = ANY(CAST(:users AS uuid[]))", use(users, "users");
  return remove.get_affected_rows();
}

int64_t QueueCodeMails(soci::session& sql, const std::vector<NewCodeMail>& mails,
                       const std::map<std::string, Recipient>& recipients, int64_t now_us) {
  // One of each user, the last.
  std::map<std::string, const NewCodeMail*> newest;
  for (const NewCodeMail& mail : mails) {
    if (recipients.at(mail.user_id).deleted) continue;
    const NewCodeMail*& known = newest[mail.user_id];
    if (known == nullptr || known->expire_time_us <= mail.expire_time_us) known = &mail;
  }
  if (newest.empty()) return 0;
  std::vector<std::string> users, contents;
  std::vector<int64_t> expire_times;
  for (const auto& [user, mail] : newest) {
    users.push_back(user);
    contents.push_back(mail->sealed_content);
    expire_times.push_back(mail->expire_time_us);
  }
  const std::string user_array = postgres::UuidArray(users);
  const std::string content_array = postgres::TextArray(contents);
  const std::string expire_array = postgres::BigintArray(expire_times);
  const long long now = now_us;
  soci::statement insert =
      (sql.prepare
           << "INSERT INTO stockalert_notifier.code_mails AS m (user_id, sealed_content, expire_time_us, "
              "  next_attempt_time_us) "
              "SELECT x.id, x.content, x.expire_us, CAST(:now AS bigint) "
              "FROM unnest(CAST(:users AS uuid[]), CAST(:contents AS text[]), CAST(:expires AS bigint[])) "
              "  AS x(id, content, expire_us) "
              "ON CONFLICT (user_id) DO UPDATE SET sealed_content = EXCLUDED.sealed_content, "
              "  expire_time_us = EXCLUDED.expire_time_us, next_attempt_time_us = EXCLUDED.next_attempt_time_us, "
              "  attempt_count = 0 WHERE EXCLUDED.expire_time_us > m.expire_time_us",
       use(now, "now"), use(user_array, "users"), use(content_array, "contents"), use(expire_array, "expires"));
  insert.execute(true);
  return insert.get_affected_rows();
}

void CountPlanned(const DeliveryPlan& plan, IntakeResult& result) {
  for (const PlannedDelivery& one : plan.deliveries)
    ++(one.hold == HoldReason::kNone ? result.deliveries : result.held);
}

using TriggerId = std::pair<std::string, int64_t>;

// Of which every batch needs one: kept with its connection.
class FindStoredStatement {
 public:
  explicit FindStoredStatement(soci::session& sql)
      : statement_((
            sql.prepare << "SELECT CAST(n.alert_id AS text), n.trigger_number FROM stockalert_notifier.notifications n "
                           "JOIN unnest(CAST(:alerts AS uuid[]), CAST(:numbers AS bigint[])) AS x(alert_id, number) "
                           "ON n.alert_id = x.alert_id AND n.trigger_number = x.number",
            use(alerts_, "alerts"), use(numbers_, "numbers"), into(alert_), into(number_))) {}

  std::set<TriggerId> Find(const std::vector<NewNotification>& notifications) {
    std::vector<std::string> alerts;
    std::vector<int64_t> numbers;
    for (const NewNotification& notification : notifications) {
      if (notification.kind == Kind::kSplit) continue;
      alerts.push_back(notification.alert_id);
      numbers.push_back(notification.trigger_number);
    }
    alerts_ = postgres::UuidArray(alerts);
    numbers_ = postgres::BigintArray(numbers);
    statement_.execute(false);
    std::set<TriggerId> stored;
    while (statement_.fetch()) stored.insert({alert_, number_});
    return stored;
  }

 private:
  std::string alerts_, numbers_, alert_;
  long long number_ = 0;
  soci::statement statement_;
};

// A user and the key of a SPLIT notification.
using UserSplit = std::pair<std::string, std::string>;

// Of the batch's SPLIT notifications those that are stored.
std::set<UserSplit> FindStoredSplits(soci::session& sql, const std::vector<NewNotification>& notifications) {
  std::vector<std::string> user_ids, split_keys;
  for (const NewNotification& notification : notifications) {
    if (notification.kind != Kind::kSplit) continue;
    user_ids.push_back(notification.user_id);
    split_keys.push_back(notification.key);
  }
  std::set<UserSplit> stored;
  if (user_ids.empty()) return stored;
  const std::string users = postgres::UuidArray(user_ids), keys = postgres::TextArray(split_keys);
  std::string user, key;
  soci::statement statement =
      (sql.prepare << "SELECT CAST(n.user_id AS text), n.key FROM stockalert_notifier.notifications n "
                      "JOIN unnest(CAST(:users AS uuid[]), CAST(:keys AS text[])) AS x(user_id, key) "
                      "ON n.user_id = x.user_id AND n.kind = 5 AND n.key = x.key",
       use(users, "users"), use(keys, "keys"), into(user), into(key));
  statement.execute(false);
  while (statement.fetch()) stored.insert({user, key});
  return stored;
}

}  // namespace

absl::StatusOr<IntakeResult> PostgresNotificationStore::StoreBatch(const IntakeBatch& batch, int64_t now_us) {
  if (batch.empty()) return IntakeResult();
  std::set<std::string> user_ids;
  for (const NewNotification& notification : batch.notifications) user_ids.insert(notification.user_id);
  for (const UserDeletion& deletion : batch.deletions) user_ids.insert(deletion.user_id);
  for (const NewCodeMail& mail : batch.code_mails) user_ids.insert(mail.user_id);
  return StoreFailure(Transact(pool_, "notification.take_in", Idempotency::kIdempotent,
                               [&](Connection& connection) -> absl::StatusOr<IntakeResult> {
                                 soci::session& sql = connection.sql();
                                 IntakeResult result;
                                 std::map<std::string, Recipient> recipients = LockRecipients(sql, user_ids);
                                 result.deleted = DeleteUsers(sql, batch.deletions, recipients);
                                 // Under the users' locks: what another instance stores of theirs is committed and
                                 // seen, or comes after.
                                 std::set<TriggerId> known =
                                     batch.notifications.empty()
                                         ? std::set<TriggerId>()
                                         : connection.KeptStatement<FindStoredStatement>().Find(batch.notifications);
                                 std::set<UserSplit> known_splits = FindStoredSplits(sql, batch.notifications);
                                 std::map<std::string, std::vector<StoredNotification>> throttled;
                                 for (const NewNotification& notification : batch.notifications) {
                                   Recipient& recipient = recipients[notification.user_id];
                                   if (recipient.deleted) {
                                     ++result.of_deleted_users;
                                     continue;
                                   }
                                   const bool is_new =
                                       notification.kind == Kind::kSplit
                                           ? known_splits.insert({notification.user_id, notification.key}).second
                                           : known.insert({notification.alert_id, notification.trigger_number}).second;
                                   if (!is_new) {
                                     ++result.repeated;
                                     continue;
                                   }
                                   StoredNotification& row = result.stored.emplace_back();
                                   static_cast<NewNotification&>(row) = notification;
                                   if (row.kind == Kind::kTrigger) row.key = TriggerKey(notification);
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
                                   const DeliveryPlan plan = PlanDeliveries(sql, result.stored, now_us);
                                   InsertNotifications(sql, result.stored);
                                   WriteSequences(sql, recipients);
                                   QueueDeliveries(sql, plan, now_us);
                                   CountPlanned(plan, result);
                                 }
                                 result.code_mails = QueueCodeMails(sql, batch.code_mails, recipients, now_us);
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
        return FetchNotifications(
            statement,
            absl::StrCat("SELECT ", kNotificationColumns,
                         " FROM stockalert_notifier.notifications WHERE user_id = CAST(:user AS uuid) "
                         "AND sequence > :after AND NOT throttled AND kind <> 4 ORDER BY sequence LIMIT :count"));
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
        return FetchNotifications(
            statement, absl::StrCat("SELECT ", kNotificationColumns,
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
        std::vector<StoredNotification> rows = FetchNotifications(
            statement, absl::StrCat("UPDATE stockalert_notifier.notifications SET acknowledge_time_us = "
                                    "COALESCE(acknowledge_time_us, CAST(:now AS bigint)) "
                                    "WHERE id = CAST(:id AS uuid) AND user_id = CAST(:user AS uuid) RETURNING ",
                                    kNotificationColumns));
        if (rows.empty()) {
          return base::NotFound(
              kReasonNotificationNotFound,
              "there is no such notification, or it is not yours: ListNotifications has those that are");
        }
        return rows.front();
      }));
}

}  // namespace stockalert::notifier
