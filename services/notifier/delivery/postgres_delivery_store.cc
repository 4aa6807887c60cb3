#include "services/notifier/delivery/postgres_delivery_store.h"

#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"
#include "services/notifier/delivery/postgres_delivery_rows.h"
#include "services/notifier/delivery/postgres_turn_notices.h"
#include "services/notifier/delivery/settle_rules.h"
#include "services/notifier/postgres_notification_rows.h"

namespace stockalert::notifier {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

struct Lane {
  LaneLease lease;
  bool failing = false;
  int limit = 0;
};

// Leases the longest due lanes of one class, and skips those that are locked.
void Lease(soci::session& sql, const LeaseRequest& request, bool failing, int lanes_max, int64_t now_us,
           std::vector<Lane>& lanes) {
  if (lanes_max <= 0) return;
  const long long now = now_us;
  const long long until = request.lease_until_us;
  const long long start = request.owner.start_us;
  std::string id;
  long long number = 0;
  // As a literal, so that the planner can use its statistics of the column.
  const std::string which = failing ? "failing" : "NOT failing";
  const std::string query = absl::StrCat(
      "UPDATE stockalert_notifier.delivery_lanes AS l SET lease_owner = :owner, "
      "lease_owner_start_us = CAST(:start AS bigint), lease_until_us = CAST(:until AS bigint), "
      "lease_number = l.lease_number + 1 FROM (SELECT destination_id FROM stockalert_notifier.delivery_lanes WHERE ",
      which,
      " AND due_us <= CAST(:now AS bigint) AND lease_until_us <= CAST(:now AS bigint) ORDER BY due_us LIMIT :most "
      "FOR UPDATE SKIP LOCKED) x WHERE l.destination_id = x.destination_id "
      "RETURNING CAST(l.destination_id AS text), l.lease_number");
  soci::statement statement(sql);
  statement.exchange(use(request.owner.name, "owner"));
  statement.exchange(use(start, "start"));
  statement.exchange(use(until, "until"));
  statement.exchange(use(now, "now"));
  statement.exchange(use(lanes_max, "most"));
  statement.exchange(into(id));
  statement.exchange(into(number));
  ExecuteOnce(statement, query);
  while (statement.fetch()) lanes.push_back({{id, number}, failing, request.deliveries_max});
}

// Those of the lanes to read again whose lease is still the last one.
void FindAgain(soci::session& sql, const std::vector<LaneToRead>& again, int64_t now_us, std::vector<Lane>& lanes) {
  if (again.empty()) return;
  std::map<std::string, LaneToRead> asked;
  std::vector<std::string> ids;
  for (const LaneToRead& lane : again) {
    asked[lane.lease.destination_id] = lane;
    ids.push_back(lane.lease.destination_id);
  }
  const std::string id_array = postgres::UuidArray(ids);
  const long long now = now_us;
  std::string id;
  long long number = 0;
  int failing = 0;
  soci::statement statement(sql);
  statement.exchange(use(id_array, "ids"));
  statement.exchange(use(now, "now"));
  statement.exchange(into(id));
  statement.exchange(into(number));
  statement.exchange(into(failing));
  ExecuteOnce(statement,
              "SELECT CAST(destination_id AS text), lease_number, CAST(failing AS int) "
              "FROM stockalert_notifier.delivery_lanes WHERE destination_id = ANY(CAST(:ids AS uuid[])) "
              "AND hold_until_us <= CAST(:now AS bigint)");
  while (statement.fetch()) {
    const LaneToRead& lane = asked.at(id);
    if (lane.lease.number == number) lanes.push_back({lane.lease, failing != 0, lane.limit});
  }
}

// The due deliveries of the lanes, lane by lane.
std::vector<Delivery> ReadDue(soci::session& sql, const std::vector<Lane>& lanes, int64_t now_us) {
  std::vector<std::string> ids;
  std::vector<int64_t> limits;
  for (const Lane& lane : lanes) {
    ids.push_back(lane.lease.destination_id);
    limits.push_back(lane.limit);
  }
  const std::string id_array = postgres::UuidArray(ids);
  const std::string limit_array = postgres::BigintArray(limits);
  const long long now = now_us;
  soci::statement statement(sql);
  statement.exchange(use(id_array, "ids"));
  statement.exchange(use(limit_array, "limits"));
  statement.exchange(use(now, "now"));
  // One index lookup for each kind, so that deliveries that wait for a verification are not scanned.
  return FetchDeliveries(
      statement,
      absl::StrCat(
          "SELECT ", kDeliveryColumns,
          " FROM unnest(CAST(:ids AS uuid[]), CAST(:limits AS bigint[])) AS x(id, most) "
          "JOIN stockalert_notifier.destinations d ON d.id = x.id AND d.state <> 3 AND d.delete_time_us IS NULL "
          "CROSS JOIN LATERAL (SELECT q.* FROM unnest(CAST('{1,2,3}' AS smallint[])) AS kinds(kind) "
          "  CROSS JOIN LATERAL (SELECT w.* FROM stockalert_notifier.deliveries w "
          "    WHERE w.destination_id = x.id AND w.kind = kinds.kind AND w.state = 1 "
          "    AND w.next_attempt_time_us <= CAST(:now AS bigint) "
          "    ORDER BY w.next_attempt_time_us, w.number LIMIT x.most) q "
          "  WHERE d.state = 2 OR kinds.kind = 2 ORDER BY q.next_attempt_time_us, q.number LIMIT x.most) v "
          "ORDER BY v.destination_id, v.next_attempt_time_us, v.number"));
}

struct ReadNotification {
  int uses = 0;  // Deliveries of it.
  std::optional<StoredNotification> row;
};
using Notifications = std::unordered_map<std::string, ReadNotification>;  // By id.

Notifications ReadNotifications(soci::session& sql, const std::vector<Delivery>& due) {
  Notifications notifications;
  std::vector<std::string> ids;
  for (const Delivery& delivery : due) {
    if (delivery.notification_id.empty()) continue;
    if (++notifications[delivery.notification_id].uses == 1) ids.push_back(delivery.notification_id);
  }
  if (ids.empty()) return notifications;
  const std::string id_array = postgres::UuidArray(ids);
  soci::statement statement(sql);
  statement.exchange(use(id_array, "ids"));
  for (StoredNotification& row : FetchNotifications(
           statement, absl::StrCat("SELECT ", kNotificationColumns,
                                   " FROM stockalert_notifier.notifications WHERE id = ANY(CAST(:ids AS uuid[]))"))) {
    ReadNotification& read = notifications[row.id];
    read.row = std::move(row);
  }
  return notifications;
}

std::vector<LeasedLane> ReadLanes(soci::session& sql, const std::vector<Lane>& lanes, int64_t now_us) {
  std::vector<LeasedLane> leased;
  if (lanes.empty()) return leased;
  std::unordered_map<std::string, size_t> places;
  std::vector<std::string> ids;
  for (const Lane& lane : lanes) {
    places[lane.lease.destination_id] = leased.size();
    ids.push_back(lane.lease.destination_id);
    leased.push_back({.lease = lane.lease, .destination = {}, .failing = lane.failing, .due = {}});
  }
  for (Destination& destination : ReadDestinations(sql, ids, /*lock=*/false)) {
    const size_t place = places.at(destination.id);
    leased[place].destination = std::move(destination);
  }
  std::vector<Delivery> due = ReadDue(sql, lanes, now_us);
  Notifications notifications = ReadNotifications(sql, due);
  for (Delivery& delivery : due) {
    LeasedLane& lane = leased[places.at(delivery.destination_id)];
    lane.due.push_back({.delivery = std::move(delivery), .notification = std::nullopt});
    const auto found = notifications.find(lane.due.back().delivery.notification_id);
    if (found == notifications.end()) continue;
    // Most go to one destination.
    if (--found->second.uses > 0) {
      lane.due.back().notification = found->second.row;
    } else {
      lane.due.back().notification = std::move(found->second.row);
    }
  }
  return leased;
}

using Deliveries = std::unordered_map<std::string, Delivery>;  // By id.

// Their lanes are locked, and whoever changes a queued delivery or a destination holds its lane's lock: locking the
// rows, too, would write each of them twice.
Deliveries ReadDeliveries(soci::session& sql, const std::vector<SettledAttempt>& attempts) {
  std::vector<std::string> ids;
  for (const SettledAttempt& attempt : attempts) ids.push_back(attempt.delivery_id);
  const std::string id_array = postgres::UuidArray(ids);
  soci::statement statement(sql);
  statement.exchange(use(id_array, "ids"));
  Deliveries deliveries;
  for (Delivery& delivery : FetchDeliveries(statement, absl::StrCat("SELECT ", kDeliveryColumns,
                                                                    " FROM stockalert_notifier.deliveries v "
                                                                    "WHERE v.id = ANY(CAST(:ids AS uuid[]))"))) {
    std::string id = delivery.id;
    deliveries.emplace(std::move(id), std::move(delivery));
  }
  return deliveries;
}

int64_t EndOf(const DeliveryAttempt& attempt) { return attempt.start_time_us + attempt.duration_us; }

// The attempts that count, each with its delivery as it was before, in the order of their starts.
using Applied = std::vector<std::pair<const SettledAttempt*, Delivery>>;

Applied FindApplied(const std::vector<SettledAttempt>& attempts, const std::map<std::string, int64_t>& lanes,
                    const Deliveries& deliveries) {
  Applied applied;
  std::unordered_set<std::string> taken;
  for (const SettledAttempt& attempt : attempts) {
    const auto lane = lanes.find(attempt.lease.destination_id);
    const auto delivery = deliveries.find(attempt.delivery_id);
    if (lane == lanes.end() || delivery == deliveries.end()) continue;
    if (!AttemptCounts(attempt, delivery->second, lane->second) || !taken.insert(attempt.delivery_id).second) continue;
    applied.emplace_back(&attempt, delivery->second);
  }
  std::stable_sort(applied.begin(), applied.end(), [](const auto& a, const auto& b) {
    return a.first->attempt.start_time_us < b.first->attempt.start_time_us;
  });
  return applied;
}

void WriteDeliveries(soci::session& sql, const Applied& applied) {
  std::vector<std::string> ids, errors, answers;
  std::vector<int64_t> states, nexts, ends, starts, durations, statuses;
  for (const auto& [attempt, delivery] : applied) {
    if (attempt->outcome == AttemptOutcome::kPostponed) continue;
    const int64_t ended_us = EndOf(attempt->attempt);
    const bool again = attempt->outcome == AttemptOutcome::kRetry;
    ids.push_back(attempt->delivery_id);
    states.push_back(static_cast<int64_t>(again                                            ? DeliveryState::kQueued
                                          : attempt->outcome == AttemptOutcome::kSucceeded ? DeliveryState::kSucceeded
                                                                                           : DeliveryState::kFailed));
    nexts.push_back(again ? attempt->next_attempt_time_us : -1);
    ends.push_back(again ? -1 : ended_us);
    starts.push_back(attempt->attempt.start_time_us);
    durations.push_back(attempt->attempt.duration_us);
    statuses.push_back(attempt->attempt.http_status);
    errors.push_back(attempt->attempt.error);
    answers.push_back(attempt->attempt.answer);
  }
  if (ids.empty()) return;
  const std::map<std::string, std::string> arrays = {
      {"ids", postgres::UuidArray(ids)},         {"states", postgres::BigintArray(states)},
      {"nexts", postgres::BigintArray(nexts)},   {"ends", postgres::BigintArray(ends)},
      {"starts", postgres::BigintArray(starts)}, {"durations", postgres::BigintArray(durations)},
      {"errors", postgres::TextArray(errors)},   {"statuses", postgres::BigintArray(statuses)},
      {"answers", postgres::TextArray(answers)}};
  soci::statement statement(sql);
  for (const auto& [name, text] : arrays) statement.exchange(use(text, name));
  statement.exchange(use(kAttemptsKept, "kept"));
  ExecuteOnce(
      statement,
      "WITH x AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS smallint[]), CAST(:nexts AS bigint[]), "
      "  CAST(:ends AS bigint[]), CAST(:starts AS bigint[]), CAST(:durations AS bigint[]), "
      "  CAST(:statuses AS integer[]), CAST(:errors AS text[]), CAST(:answers AS text[])) "
      "  AS x(id, state, next_us, end_us, start_us, duration_us, http_status, error, answer)), "
      "written AS (UPDATE stockalert_notifier.deliveries AS v SET state = x.state, "
      "  attempt_count = v.attempt_count + 1, schedule_count = v.schedule_count + 1, "
      "  next_attempt_time_us = NULLIF(x.next_us, -1), end_time_us = NULLIF(x.end_us, -1), last_error = x.error "
      "  FROM x WHERE v.id = x.id RETURNING v.id, v.attempt_count), "
      "old AS (DELETE FROM stockalert_notifier.delivery_attempts a USING written w "
      "  WHERE w.attempt_count > :kept AND a.delivery_id = w.id AND a.number <= w.attempt_count - :kept) "
      "INSERT INTO stockalert_notifier.delivery_attempts (delivery_id, number, start_time_us, duration_us, "
      "  http_status, error, answer) "
      "SELECT x.id, w.attempt_count, x.start_us, x.duration_us, x.http_status, x.error, x.answer "
      "FROM x JOIN written w ON w.id = x.id");
}

// Of most destinations no more has changed than when they last succeeded, or since when they fail.
bool IsOutcomeAlone(const Destination& before, const Destination& after) {
  Destination outcome = before;
  outcome.last_success_time_us = after.last_success_time_us;
  outcome.failing_since_time_us = after.failing_since_time_us;
  return outcome == after;
}

void WriteOutcomes(soci::session& sql, const std::vector<const Destination*>& destinations) {
  if (destinations.empty()) return;
  std::vector<std::string> ids;
  std::vector<std::optional<int64_t>> successes, failings;
  for (const Destination* destination : destinations) {
    ids.push_back(destination->id);
    successes.push_back(destination->last_success_time_us);
    failings.push_back(destination->failing_since_time_us);
  }
  const std::string id_array = postgres::UuidArray(ids);
  const std::string success_array = postgres::BigintArray(successes);
  const std::string failing_array = postgres::BigintArray(failings);
  sql << "UPDATE stockalert_notifier.destinations AS d SET last_success_time_us = x.success_us, "
         "failing_since_time_us = x.failing_us "
         "FROM unnest(CAST(:ids AS uuid[]), CAST(:successes AS bigint[]), CAST(:failings AS bigint[])) "
         "AS x(id, success_us, failing_us) WHERE d.id = x.id",
      use(id_array, "ids"), use(success_array, "successes"), use(failing_array, "failings");
}

// The destinations of the attempts that were applied, as they were and as they are now.
struct AppliedDestinations {
  std::map<std::string, Destination> before, after;
  std::vector<DestinationTurn> turns;  // What their users are told.
};

// Puts the outcome into `result`; writes nothing.
AppliedDestinations ApplyAttempts(soci::session& sql, const Applied& applied, const SettleRequest& request,
                                  SettleResult& result) {
  std::set<std::string> ids;
  for (const auto& [attempt, delivery] : applied) ids.insert(delivery.destination_id);
  AppliedDestinations all;
  for (Destination& row : ReadDestinations(sql, {ids.begin(), ids.end()}, /*lock=*/false)) all.before[row.id] = row;
  all.after = all.before;
  for (const auto& [attempt, delivery] : applied) {
    const auto found = all.after.find(delivery.destination_id);
    if (found == all.after.end()) continue;
    Destination& destination = found->second;
    const DestinationState was = destination.state;
    const AttemptEffect effect = ApplyAttempt(*attempt, delivery, request.disable_after_failing_us, destination);
    if (effect == AttemptEffect::kDisabled)
      result.disabled.push_back({destination.id, destination.user_id, destination.disable_reason});
    if (effect == AttemptEffect::kVerified) result.verified.push_back(destination.id);
    if (IsTold(effect, was)) all.turns.push_back({destination, EndOf(attempt->attempt)});
  }
  return all;
}

void WriteDestinations(soci::session& sql, const AppliedDestinations& all) {
  std::vector<const Destination*> outcomes;
  for (const auto& [id, destination] : all.after) {
    const Destination& old = all.before.at(id);
    if (destination == old) continue;
    if (IsOutcomeAlone(old, destination)) {
      outcomes.push_back(&destination);
    } else {
      WriteDestination(sql, destination);
    }
  }
  WriteOutcomes(sql, outcomes);
}

void WriteHolds(soci::session& sql, const Applied& applied, const std::map<std::string, Destination>& destinations) {
  std::map<std::string, int64_t> holds;
  for (const auto& [attempt, delivery] : applied) {
    int64_t& hold = holds[delivery.destination_id];
    hold = std::max(hold, attempt->hold_until_us);
  }
  std::vector<std::string> ids;
  std::vector<int64_t> untils;
  std::vector<bool> failing;
  for (const auto& [id, until_us] : holds) {
    const auto found = destinations.find(id);
    ids.push_back(id);
    untils.push_back(until_us);
    failing.push_back(found != destinations.end() && found->second.failing_since_time_us.has_value());
  }
  const std::string id_array = postgres::UuidArray(ids);
  const std::string until_array = postgres::BigintArray(untils);
  const std::string failing_array = postgres::BooleanArray(failing);
  sql << "UPDATE stockalert_notifier.delivery_lanes AS l SET failing = x.failing, "
         "hold_until_us = GREATEST(l.hold_until_us, x.until_us) "
         "FROM unnest(CAST(:ids AS uuid[]), CAST(:untils AS bigint[]), CAST(:failing AS boolean[])) "
         "AS x(id, until_us, failing) WHERE l.destination_id = x.id "
         "AND (l.failing <> x.failing OR l.hold_until_us < x.until_us)",
      use(id_array, "ids"), use(until_array, "untils"), use(failing_array, "failing");
}

// The destinations of those leases that are still the last ones; the others are `lost`.
std::vector<std::string> FindHeld(const std::vector<LaneLease>& leases, const std::map<std::string, int64_t>& lanes,
                                  std::vector<LaneLease>& lost) {
  std::vector<std::string> ids;
  for (const LaneLease& lease : leases) {
    const auto lane = lanes.find(lease.destination_id);
    if (lane == lanes.end() || lane->second != lease.number) {
      lost.push_back(lease);
    } else {
      ids.push_back(lease.destination_id);
    }
  }
  return ids;
}

void RenewLeases(soci::session& sql, const std::vector<std::string>& ids, int64_t until_us) {
  if (ids.empty()) return;
  const std::string id_array = postgres::UuidArray(ids);
  const long long until = until_us;
  sql << "UPDATE stockalert_notifier.delivery_lanes SET lease_until_us = CAST(:until AS bigint) "
         "WHERE destination_id = ANY(CAST(:ids AS uuid[]))",
      use(until, "until"), use(id_array, "ids");
}

std::vector<std::string> LanesOf(const SettleRequest& request) {
  std::set<std::string> ids;
  for (const SettledAttempt& attempt : request.attempts) ids.insert(attempt.lease.destination_id);
  for (const LaneLease& lease : request.releases) ids.insert(lease.destination_id);
  for (const LaneLease& lease : request.renewals) ids.insert(lease.destination_id);
  return {ids.begin(), ids.end()};
}

}  // namespace

absl::StatusOr<std::vector<LeasedLane>> PostgresDeliveryStore::LeaseLanes(const LeaseRequest& request, int64_t now_us) {
  // If the outcome was unknown and this runs twice, the lanes of the first run wait until their leases expire.
  return StoreFailure(Transact(pool_, "delivery.take", Idempotency::kIdempotent,
                               [&](Connection& connection) -> absl::StatusOr<std::vector<LeasedLane>> {
                                 soci::session& sql = connection.sql();
                                 std::vector<Lane> lanes;
                                 Lease(sql, request, /*failing=*/false, request.lanes_max, now_us, lanes);
                                 Lease(sql, request, /*failing=*/true, request.failing_lanes_max, now_us, lanes);
                                 FindAgain(sql, request.again, now_us, lanes);
                                 return ReadLanes(sql, lanes, now_us);
                               }));
}

absl::StatusOr<int64_t> PostgresDeliveryStore::EndEarlierLeases(const LeaseOwner& owner, int64_t now_us) {
  const long long start = owner.start_us;
  const long long now = now_us;
  return StoreFailure(
      Transact(pool_, "delivery.end_leases", Idempotency::kIdempotent,
               [&](Connection& connection) -> absl::StatusOr<int64_t> {
                 // A higher number, so that the earlier process, should it still run, can neither renew the lease nor
                 // fail a delivery. Reads all lanes, once at the start of a process.
                 soci::statement end =
                     (connection.sql().prepare
                          << "UPDATE stockalert_notifier.delivery_lanes AS l SET lease_until_us = 0, "
                             "lease_number = l.lease_number + 1 FROM (SELECT destination_id "
                             "  FROM stockalert_notifier.delivery_lanes WHERE lease_until_us > CAST(:now AS bigint) "
                             "  AND lease_owner = :owner AND lease_owner_start_us < CAST(:start AS bigint) "
                             "  ORDER BY destination_id FOR UPDATE) x WHERE l.destination_id = x.destination_id",
                      use(now, "now"), use(owner.name, "owner"), use(start, "start"));
                 end.execute(true);
                 return end.get_affected_rows();
               }));
}

absl::StatusOr<SettleResult> PostgresDeliveryStore::Settle(const SettleRequest& request) {
  // To tell a user of a destination wants the lock of the user's row, before those of lanes. Hardly a request has
  // anything to tell: it begins without, and is begun anew where it has.
  std::set<std::string> users;
  STOCKALERT_ASSIGN_OR_RETURN(std::optional<SettleResult> result, SettleWith(request, users));
  if (!result) {
    STOCKALERT_ASSIGN_OR_RETURN(result, SettleWith(request, users));
  }
  if (!result) return base::Internal("the deliveries of a request have changed their users");
  return *std::move(result);
}

absl::StatusOr<std::optional<SettleResult>> PostgresDeliveryStore::SettleWith(const SettleRequest& request,
                                                                              std::set<std::string>& users) {
  using Settled = std::optional<SettleResult>;
  std::set<std::string> of_attempts;
  absl::StatusOr<Settled> settled = StoreFailure(Transact(
      pool_, "delivery.settle", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<Settled> {
        soci::session& sql = connection.sql();
        SettleResult result;
        std::map<std::string, Recipient> recipients;
        if (!users.empty()) recipients = LockRecipients(sql, users);
        const std::map<std::string, int64_t> lanes = LockLanesWith(sql, LanesOf(request), recipients);
        if (!request.attempts.empty()) {
          const Deliveries deliveries = ReadDeliveries(sql, request.attempts);
          const Applied applied = FindApplied(request.attempts, lanes, deliveries);
          result.applied = static_cast<int>(applied.size());
          if (!applied.empty()) {
            const AppliedDestinations destinations = ApplyAttempts(sql, applied, request, result);
            for (const DestinationTurn& turn : destinations.turns) {
              const std::string& user = turn.destination.user_id;
              if (recipients.count(user) == 0) {
                // Whoever else may have to be told now, too: there is no third try.
                for (const auto& [id, delivery] : deliveries) of_attempts.insert(delivery.user_id);
                return Settled();
              }
              if (std::find(result.told.begin(), result.told.end(), user) == result.told.end())
                result.told.push_back(user);
            }
            WriteDestinations(sql, destinations);
            WriteDeliveries(sql, applied);
            WriteHolds(sql, applied, destinations.after);
            StoreTurnNotices(sql, destinations.turns, recipients);
          }
        }
        RenewLeases(sql, FindHeld(request.renewals, lanes, result.lost), request.lease_until_us);
        UpdateDue(sql, FindHeld(request.releases, lanes, result.lost), /*release=*/true);
        return Settled(std::move(result));
      }));
  users = std::move(of_attempts);
  return settled;
}

absl::StatusOr<int64_t> PostgresDeliveryStore::CancelForInactive(const std::vector<std::string>& destination_ids,
                                                                 int64_t now_us) {
  const std::string ids = postgres::UuidArray(destination_ids);
  const std::string reason = kCancelledWithDestination;
  const long long now = now_us;
  return StoreFailure(Transact(
      pool_, "delivery.cancel_gone", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        soci::session& sql = connection.sql();
        LockLanes(sql, destination_ids);
        soci::statement cancel =
            (sql.prepare << "UPDATE stockalert_notifier.deliveries AS v SET state = 4, next_attempt_time_us = NULL, "
                            "end_time_us = CAST(:now AS bigint), last_error = :reason "
                            "FROM (SELECT w.id FROM stockalert_notifier.deliveries w "
                            "  JOIN stockalert_notifier.destinations d ON d.id = w.destination_id "
                            "  WHERE w.destination_id = ANY(CAST(:ids AS uuid[])) AND w.state = 1 "
                            "  AND (d.state = 3 OR d.delete_time_us IS NOT NULL) LIMIT :most) x WHERE v.id = x.id",
             use(now, "now"), use(reason, "reason"), use(ids, "ids"), use(kDeliveriesChangedMax, "most"));
        cancel.execute(true);
        UpdateDue(sql, destination_ids);
        return cancel.get_affected_rows();
      }));
}

absl::StatusOr<QueueState> PostgresDeliveryStore::QueryState(int64_t now_us) {
  const long long now = now_us;
  const long long most = kQueueCountMax;
  return StoreFailure(
      postgres::Read(pool_, "delivery.state", [&](Connection& connection) -> absl::StatusOr<QueueState> {
        long long queued = 0, oldest = 0, disabled = 0;
        connection.sql() << "SELECT (SELECT count(*) FROM (SELECT 1 FROM stockalert_notifier.deliveries "
                            "  WHERE state = 1 LIMIT :most) q), "
                            "(SELECT COALESCE(min(due_us), -1) FROM stockalert_notifier.delivery_lanes "
                            "  WHERE NOT failing AND due_us <= CAST(:now AS bigint)), "
                            "(SELECT count(*) FROM (SELECT 1 FROM stockalert_notifier.destinations "
                            "  WHERE state = 3 AND delete_time_us IS NULL LIMIT :most) q)",
            use(most, "most"), use(now, "now"), into(queued), into(oldest), into(disabled);
        QueueState state;
        state.queued = queued;
        if (oldest > 0) state.oldest_due_us = oldest;
        state.disabled_destinations = disabled;
        return state;
      }));
}

}  // namespace stockalert::notifier
