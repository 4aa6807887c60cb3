#include "services/notifier/delivery/postgres_destination_store.h"

#include <soci/soci.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"
#include "services/notifier/delivery/postgres_delivery_rows.h"
#include "services/notifier/delivery/postgres_turn_notices.h"
#include "services/notifier/delivery/verification_limits.h"
#include "services/notifier/postgres_notification_rows.h"

namespace stockalert::notifier {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

// The destination that the same request created before.
absl::StatusOr<std::optional<Destination>> FindRequest(soci::session& sql, const std::string& user_id,
                                                       const DestinationRequestTag& request) {
  if (request.request_id.empty()) return std::optional<Destination>();
  std::string id, fingerprint;
  sql << "SELECT CAST(id AS text), request_fingerprint FROM stockalert_notifier.destinations "
         "WHERE user_id = CAST(:user AS uuid) AND request_id = :request",
      use(user_id, "user"), use(request.request_id, "request"), into(id), into(fingerprint);
  if (!sql.got_data()) return std::optional<Destination>();
  std::vector<Destination> found = ReadDestinations(sql, {id}, /*lock=*/false);
  if (fingerprint != request.fingerprint || found.empty() || found.front().delete_time_us) return RequestIdReused();
  return std::optional<Destination>(std::move(found.front()));
}

int CountDestinations(soci::session& sql, const std::string& user_id) {
  int count = 0;
  sql << "SELECT CAST(count(*) AS int) FROM stockalert_notifier.destinations "
         "WHERE user_id = CAST(:user AS uuid) AND delete_time_us IS NULL",
      use(user_id, "user"), into(count);
  return count;
}

void InsertDestination(soci::session& sql, const Destination& destination, const DestinationRequestTag& request) {
  const int kind = static_cast<int>(destination.kind);
  const long long now = destination.create_time_us;
  // WriteDestination writes the rest.
  sql << "INSERT INTO stockalert_notifier.destinations (id, user_id, kind, display_name, is_default, state, host, "
         "  address_shown, shown_settings, public_key, sealed_settings, sealed_secrets, sealed_previous_secrets, "
         "create_time_us, "
         "update_time_us, "
         "  request_id, request_fingerprint) "
         "VALUES (CAST(:id AS uuid), CAST(:user AS uuid), :kind, '', true, 1, '', '', '', '', '', '', '', "
         "  CAST(:now AS bigint), CAST(:now AS bigint), NULLIF(:request, ''), NULLIF(:fingerprint, ''))",
      use(destination.id, "id"), use(destination.user_id, "user"), use(kind, "kind"), use(now, "now"),
      use(request.request_id, "request"), use(request.fingerprint, "fingerprint");
  WriteDestination(sql, destination);
  sql << "INSERT INTO stockalert_notifier.delivery_lanes (destination_id, user_id, due_us) "
         "VALUES (CAST(:id AS uuid), CAST(:user AS uuid), CAST(:now AS bigint))",
      use(destination.id, "id"), use(destination.user_id, "user"), use(now, "now");
}

// Of the rows that have expired, as many go with each request as two requests make.
constexpr int kExpiredCountsDeleted = 4;

void WriteCount(soci::session& sql, const std::string& counted, const VerificationCount& count, int64_t now_us) {
  const long long hour = count.hour.since_us, day = count.day.since_us;
  const long long expire = now_us + absl::ToInt64Microseconds(kVerificationCountLife);
  sql << "UPDATE stockalert_notifier.verification_counts SET hour_time_us = CAST(:hour AS bigint), "
         "hour_count = :hour_count, day_time_us = CAST(:day AS bigint), day_count = :day_count, "
         "expire_time_us = GREATEST(expire_time_us, CAST(:expire AS bigint)) WHERE counted = :counted",
      use(hour, "hour"), use(count.hour.count, "hour_count"), use(day, "day"), use(count.day.count, "day_count"),
      use(expire, "expire"), use(counted, "counted");
}

// Counts the request of a verification, or refuses it: then the transaction must not be committed.
absl::Status CountRequest(soci::session& sql, const Destination& destination, int64_t now_us) {
  const std::string user = "user/" + destination.user_id;
  const std::string target = "target/" + destination.target_hash;
  std::map<std::string, VerificationCount> counts;
  // The user's row first, whose lock nobody waits for that holds a target's.
  for (const std::string& counted : {user, target}) {
    const long long expire = now_us;
    long long hour = 0, day = 0;
    VerificationCount count;
    sql << "INSERT INTO stockalert_notifier.verification_counts AS c (counted, expire_time_us) "
           "VALUES (:counted, CAST(:expire AS bigint)) ON CONFLICT (counted) DO UPDATE SET counted = c.counted "
           "RETURNING hour_time_us, hour_count, day_time_us, day_count",
        use(counted, "counted"), use(expire, "expire"), into(hour), into(count.hour.count), into(day),
        into(count.day.count);
    count.hour.since_us = hour;
    count.day.since_us = day;
    counts[counted] = count;
  }
  STOCKALERT_RETURN_IF_ERROR(CountVerification(counts[user], counts[target], now_us));
  for (const auto& [counted, count] : counts) WriteCount(sql, counted, count, now_us);
  const long long now = now_us;
  sql << "DELETE FROM stockalert_notifier.verification_counts WHERE counted IN "
         "(SELECT counted FROM stockalert_notifier.verification_counts WHERE expire_time_us <= CAST(:now AS bigint) "
         "ORDER BY expire_time_us LIMIT :most FOR UPDATE SKIP LOCKED)",
      use(now, "now"), use(kExpiredCountsDeleted, "most");
  return absl::OkStatus();
}

// The user's destination under its lane's lock, deleted ones too.
absl::StatusOr<Destination> LockDestination(soci::session& sql, const std::string& user_id, const std::string& id,
                                            const std::map<std::string, Recipient>& recipients = {}) {
  if (LockLanesWith(sql, {id}, recipients).count(id) == 0) return DestinationNotFound();
  std::vector<Destination> found = ReadDestinations(sql, {id}, /*lock=*/true);
  if (found.empty() || found.front().user_id != user_id) return DestinationNotFound();
  return std::move(found.front());
}

int CancelQueued(soci::session& sql, const std::string& destination_id, const char* why, int64_t now_us,
                 bool verifications_only) {
  const long long now = now_us;
  const std::string reason = why;
  const std::string kinds = verifications_only ? "{2}" : "{1,2,3}";
  soci::statement cancel =
      (sql.prepare << "UPDATE stockalert_notifier.deliveries AS v SET state = 4, next_attempt_time_us = NULL, "
                      "end_time_us = CAST(:now AS bigint), last_error = :reason FROM (SELECT q.id "
                      "FROM unnest(CAST(:kinds AS smallint[])) AS kinds(kind) "
                      "CROSS JOIN LATERAL (SELECT w.id FROM stockalert_notifier.deliveries w "
                      "  WHERE w.destination_id = CAST(:destination AS uuid) AND w.kind = kinds.kind AND w.state = 1 "
                      "  ORDER BY w.next_attempt_time_us, w.number LIMIT :most) q LIMIT :most) x WHERE v.id = x.id",
       use(now, "now"), use(reason, "reason"), use(kinds, "kinds"), use(destination_id, "destination"),
       use(kDeliveriesChangedMax, "most"));
  cancel.execute(true);
  return static_cast<int>(cancel.get_affected_rows());
}

std::optional<Delivery> FindDelivery(soci::session& sql, const std::string& user_id, const std::string& id,
                                     const char* lock = "") {
  soci::statement statement(sql);
  statement.exchange(use(id, "id"));
  statement.exchange(use(user_id, "user"));
  std::vector<Delivery> found =
      FetchDeliveries(statement, absl::StrCat("SELECT ", kDeliveryColumns,
                                              " FROM stockalert_notifier.deliveries v WHERE v.id = CAST(:id AS uuid) "
                                              "AND v.user_id = CAST(:user AS uuid)",
                                              lock));
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

std::vector<DeliveryAttempt> ReadAttempts(soci::session& sql, const std::string& delivery_id) {
  DeliveryAttempt row;
  long long start_us = 0, duration_us = 0;
  soci::statement statement =
      (sql.prepare << "SELECT number, start_time_us, duration_us, http_status, error, answer "
                      "FROM stockalert_notifier.delivery_attempts WHERE delivery_id = CAST(:id AS uuid) "
                      "ORDER BY number DESC LIMIT :most",
       use(delivery_id, "id"), use(kAttemptsKept, "most"), into(row.number), into(start_us), into(duration_us),
       into(row.http_status), into(row.error), into(row.answer));
  statement.execute(false);
  std::vector<DeliveryAttempt> attempts;
  while (statement.fetch()) {
    row.start_time_us = start_us;
    row.duration_us = duration_us;
    attempts.push_back(row);
  }
  return attempts;
}

constexpr char kReplaySet[] =
    "SET state = 1, schedule_count = 0, replay_count = v.replay_count + 1, "
    "next_attempt_time_us = CAST(:now AS bigint), end_time_us = NULL ";

bool IsActive(const Destination& destination) {
  return destination.state == DestinationState::kActive && !destination.delete_time_us;
}

}  // namespace

absl::StatusOr<CreatedDestination> PostgresDestinationStore::Create(const Destination& destination,
                                                                    const std::optional<NewDelivery>& verification,
                                                                    const DestinationRequestTag& request, int quota,
                                                                    int64_t now_us) {
  const Idempotency idempotency = request.request_id.empty() ? Idempotency::kNotIdempotent : Idempotency::kIdempotent;
  return StoreFailure(Transact(
      pool_, "destination.create", idempotency, [&](Connection& connection) -> absl::StatusOr<CreatedDestination> {
        soci::session& sql = connection.sql();
        // The user's lock serializes concurrent creations, and a deletion of the user.
        std::map<std::string, Recipient> recipients = LockRecipients(sql, {destination.user_id});
        if (recipients.at(destination.user_id).deleted) return RecipientNotFound();
        STOCKALERT_ASSIGN_OR_RETURN(std::optional<Destination> known, FindRequest(sql, destination.user_id, request));
        if (known) return CreatedDestination{*std::move(known), true};
        if (CountDestinations(sql, destination.user_id) >= quota) return DestinationQuota(quota);
        InsertDestination(sql, destination, request);
        if (verification) {
          STOCKALERT_RETURN_IF_ERROR(CountRequest(sql, destination, now_us));
          InsertDelivery(sql, destination, *verification, now_us);
        } else {
          LockLanesWith(sql, {destination.id}, recipients);
          UpdateDue(sql, {destination.id});
          StoreTurnNotices(sql, {{destination, now_us}}, recipients);
        }
        return CreatedDestination{destination, false};
      }));
}

absl::StatusOr<Destination> PostgresDestinationStore::Get(const std::string& user_id, const std::string& id) {
  return StoreFailure(
      postgres::Read(pool_, "destination.get", [&](Connection& connection) -> absl::StatusOr<Destination> {
        std::vector<Destination> found = ReadDestinations(connection.sql(), {id}, /*lock=*/false);
        if (found.empty() || found.front().user_id != user_id || found.front().delete_time_us)
          return DestinationNotFound();
        return std::move(found.front());
      }));
}

absl::StatusOr<std::vector<Destination>> PostgresDestinationStore::List(const std::string& user_id,
                                                                        const std::optional<DestinationPlace>& after,
                                                                        int limit) {
  const long long after_us = after ? after->create_time_us : -1;
  const std::string after_id = after ? after->id : "00000000-0000-0000-0000-000000000000";
  return StoreFailure(postgres::Read(
      pool_, "destination.list", [&](Connection& connection) -> absl::StatusOr<std::vector<Destination>> {
        soci::statement statement(connection.sql());
        statement.exchange(use(user_id, "user"));
        statement.exchange(use(after_us, "after"));
        statement.exchange(use(after_id, "id"));
        statement.exchange(use(limit, "count"));
        return FetchDestinations(
            statement,
            absl::StrCat("SELECT ", kDestinationColumns,
                         " FROM stockalert_notifier.destinations d WHERE d.user_id = CAST(:user AS uuid) "
                         "AND d.delete_time_us IS NULL AND (d.create_time_us, d.id) > (CAST(:after AS bigint), "
                         "CAST(:id AS uuid)) ORDER BY d.create_time_us, d.id LIMIT :count"));
      }));
}

absl::StatusOr<std::vector<std::string>> PostgresDestinationStore::FindExisting(const std::string& user_id,
                                                                                const std::vector<std::string>& ids) {
  const std::string id_array = postgres::UuidArray(ids);
  return StoreFailure(postgres::Read(
      pool_, "destination.find", [&](Connection& connection) -> absl::StatusOr<std::vector<std::string>> {
        std::string id;
        soci::statement statement =
            (connection.sql().prepare << "SELECT CAST(id AS text) FROM stockalert_notifier.destinations "
                                         "WHERE user_id = CAST(:user AS uuid) AND id = ANY(CAST(:ids AS uuid[])) "
                                         "AND delete_time_us IS NULL",
             use(user_id, "user"), use(id_array, "ids"), into(id));
        statement.execute(false);
        std::vector<std::string> found;
        while (statement.fetch()) found.push_back(id);
        return found;
      }));
}

absl::StatusOr<ChangedDestination> PostgresDestinationStore::Change(const std::string& user_id, const std::string& id,
                                                                    const DestinationChange& change, int64_t now_us) {
  return StoreFailure(Transact(pool_, "destination.change", Idempotency::kNotIdempotent,
                               [&](Connection& connection) -> absl::StatusOr<ChangedDestination> {
                                 soci::session& sql = connection.sql();
                                 // All that is needed to tell the user, should it be verified now.
                                 std::map<std::string, Recipient> recipients = LockRecipients(sql, {user_id});
                                 STOCKALERT_ASSIGN_OR_RETURN(Destination destination,
                                                             LockDestination(sql, user_id, id, recipients));
                                 if (destination.delete_time_us) return DestinationNotFound();
                                 const bool was_active = IsActive(destination);
                                 const bool was_disabled = destination.state == DestinationState::kDisabled;
                                 STOCKALERT_ASSIGN_OR_RETURN(const DestinationEffects effects, change(destination));
                                 if (effects.queue && effects.queue->kind == DeliveryKind::kVerification) {
                                   STOCKALERT_RETURN_IF_ERROR(CountRequest(sql, destination, now_us));
                                 }
                                 if (effects.cancel_queued) {
                                   CancelQueued(sql, id, kCancelledWithDestination, now_us, false);
                                   CancelHeld(sql, {id}, kCancelledWithDestination, kDeliveriesChangedMax, now_us);
                                 }
                                 if (effects.cancel_verifications)
                                   CancelQueued(sql, id, kCancelledByNewVerification, now_us, true);
                                 ChangedDestination changed;
                                 if (effects.queue)
                                   changed.queued = InsertDelivery(sql, destination, *effects.queue, now_us);
                                 WriteDestination(sql, destination);
                                 UpdateDue(sql, {id});
                                 const bool is_disabled = destination.state == DestinationState::kDisabled;
                                 if ((!was_active && IsActive(destination)) || (!was_disabled && is_disabled))
                                   StoreTurnNotices(sql, {{destination, now_us}}, recipients);
                                 changed.destination = std::move(destination);
                                 return changed;
                               }));
}

absl::StatusOr<std::vector<Delivery>> PostgresDestinationStore::ListDeliveries(const std::string& user_id,
                                                                               const DeliveryFilter& filter,
                                                                               int64_t before_number, int limit) {
  const long long before = before_number;
  const int state = filter.state ? static_cast<int>(*filter.state) : 0;
  return StoreFailure(
      postgres::Read(pool_, "delivery.list", [&](Connection& connection) -> absl::StatusOr<std::vector<Delivery>> {
        soci::statement statement(connection.sql());
        statement.exchange(use(user_id, "user"));
        statement.exchange(use(before, "before"));
        std::string conditions;
        if (!filter.destination_id.empty()) {
          conditions += " AND v.destination_id = CAST(:destination AS uuid)";
          statement.exchange(use(filter.destination_id, "destination"));
        }
        if (!filter.notification_id.empty()) {
          conditions += " AND v.notification_id = CAST(:notification AS uuid)";
          statement.exchange(use(filter.notification_id, "notification"));
        }
        // As a literal, so that the planner can use the partial index.
        if (filter.state) absl::StrAppend(&conditions, " AND v.state = ", state);
        statement.exchange(use(limit, "count"));
        return FetchDeliveries(statement,
                               absl::StrCat("SELECT ", kDeliveryColumns,
                                            " FROM stockalert_notifier.deliveries v WHERE v.user_id = CAST(:user AS "
                                            "uuid) AND v.number < CAST(:before AS bigint)",
                                            conditions, " ORDER BY v.number DESC LIMIT :count"));
      }));
}

absl::StatusOr<DeliveryWithAttempts> PostgresDestinationStore::GetDelivery(const std::string& user_id,
                                                                           const std::string& id) {
  return StoreFailure(
      postgres::Read(pool_, "delivery.get", [&](Connection& connection) -> absl::StatusOr<DeliveryWithAttempts> {
        std::optional<Delivery> found = FindDelivery(connection.sql(), user_id, id);
        if (!found) return DeliveryNotFound();
        return DeliveryWithAttempts{*std::move(found), ReadAttempts(connection.sql(), id)};
      }));
}

absl::StatusOr<Delivery> PostgresDestinationStore::Replay(const std::string& user_id, const std::string& id,
                                                          int64_t now_us) {
  const long long now = now_us;
  return StoreFailure(Transact(
      pool_, "delivery.replay", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::StatusOr<Delivery> {
        soci::session& sql = connection.sql();
        const std::optional<Delivery> found = FindDelivery(sql, user_id, id);
        if (!found) return DeliveryNotFound();
        const absl::StatusOr<Destination> destination = LockDestination(sql, user_id, found->destination_id);
        if (!destination.ok() || !IsActive(*destination)) return DestinationNotActive();
        const std::optional<Delivery> present = FindDelivery(sql, user_id, id, " FOR UPDATE");
        if (!present) return DeliveryNotFound();
        if (present->state == DeliveryState::kQueued || present->state == DeliveryState::kHeld)
          return DeliveryQueuedAlready();
        soci::statement statement(sql);
        statement.exchange(use(now, "now"));
        statement.exchange(use(id, "id"));
        Delivery replayed =
            FetchDeliveries(statement, absl::StrCat("UPDATE stockalert_notifier.deliveries AS v ", kReplaySet,
                                                    "WHERE v.id = CAST(:id AS uuid) ", "RETURNING ", kDeliveryColumns))
                .front();
        UpdateDue(sql, {found->destination_id});
        return replayed;
      }));
}

absl::StatusOr<int> PostgresDestinationStore::ReplaySince(const std::string& user_id, const std::string& destination_id,
                                                          int64_t since_us, int64_t now_us) {
  const long long now = now_us;
  const long long since = since_us;
  return StoreFailure(Transact(
      pool_, "delivery.replay_since", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int> {
        soci::session& sql = connection.sql();
        STOCKALERT_ASSIGN_OR_RETURN(const Destination destination, LockDestination(sql, user_id, destination_id));
        if (destination.delete_time_us) return DestinationNotFound();
        if (!IsActive(destination)) return DestinationNotActive();
        const std::string update = absl::StrCat(
            "UPDATE stockalert_notifier.deliveries AS v ", kReplaySet,
            "FROM (SELECT w.id FROM stockalert_notifier.deliveries w "
            "  WHERE w.destination_id = CAST(:destination AS uuid) AND w.state = 3 AND w.kind = 1 "
            "  AND w.create_time_us >= CAST(:since AS bigint) ORDER BY w.create_time_us, w.number LIMIT :most) x "
            "WHERE v.id = x.id");
        soci::statement replay = (sql.prepare << update, use(now, "now"), use(destination_id, "destination"),
                                  use(since, "since"), use(kDeliveriesChangedMax, "most"));
        replay.execute(true);
        UpdateDue(sql, {destination_id});
        return static_cast<int>(replay.get_affected_rows());
      }));
}

absl::StatusOr<int> PostgresDestinationStore::Cancel(const std::string& user_id, const std::string& destination_id,
                                                     int64_t now_us) {
  return StoreFailure(
      Transact(pool_, "delivery.cancel", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int> {
        soci::session& sql = connection.sql();
        STOCKALERT_ASSIGN_OR_RETURN(const Destination destination, LockDestination(sql, user_id, destination_id));
        if (destination.delete_time_us) return DestinationNotFound();
        int cancelled = CancelQueued(sql, destination_id, kCancelledByUser, now_us, false);
        cancelled += CancelHeld(sql, {destination_id}, kCancelledByUser, kDeliveriesChangedMax - cancelled, now_us);
        UpdateDue(sql, {destination_id});
        return cancelled;
      }));
}

}  // namespace stockalert::notifier
