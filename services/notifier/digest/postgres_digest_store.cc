#include "services/notifier/digest/postgres_digest_store.h"

#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"
#include "services/notifier/delivery/postgres_delivery_intake.h"
#include "services/notifier/delivery/postgres_delivery_rows.h"
#include "services/notifier/digest/digest_rules.h"
#include "services/notifier/postgres_notification_rows.h"
#include "services/notifier/settings/notification_settings.h"

namespace stockalert::notifier {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

struct DueLane {
  std::string id;
  std::string user_id;
  bool inactive = false;  // Its destination is disabled or deleted.
  std::optional<int64_t> quiet_until_us;
  LaneHold hold;
  int64_t due_us = 0;
  int64_t held = 0;  // Counted up to DigestBounds::deliveries_max + 1.
  std::string digest_id;
};

using LaneIds = std::vector<std::string>;

// Locks the users of lanes that are due, but for those whose row is locked: another instance makes their digests, or an
// intake is at work for them. Returns their lanes.
std::map<std::string, std::string> LockUsersOfDue(soci::session& sql, int lanes_max, int64_t now_us) {
  const long long now = now_us;
  std::string id, user;
  soci::statement statement(sql);
  statement.exchange(use(now, "now"));
  statement.exchange(use(lanes_max, "most"));
  statement.exchange(into(id));
  statement.exchange(into(user));
  ExecuteOnce(statement,
              "SELECT CAST(l.destination_id AS text), CAST(l.user_id AS text) "
              "FROM stockalert_notifier.delivery_lanes l "
              "JOIN stockalert_notifier.recipients r ON r.user_id = l.user_id "
              "WHERE l.digest_due_us <= CAST(:now AS bigint) ORDER BY l.digest_due_us LIMIT :most "
              "FOR UPDATE OF r SKIP LOCKED");
  std::map<std::string, std::string> lanes;
  while (statement.fetch()) lanes[id] = user;
  return lanes;
}

// Those of the lanes, which are locked, that are still due.
std::vector<DueLane> ReadDueLanes(soci::session& sql, const LaneIds& lanes, const DigestBounds& bounds,
                                  int64_t now_us) {
  const std::string ids = postgres::UuidArray(lanes);
  const long long now = now_us;
  const int most = bounds.deliveries_max + 1;
  DueLane row;
  std::string zone, quiet_hours;
  int inactive = 0;
  long long minute = 0, digest_due = 0, held = 0;
  soci::statement statement(sql);
  statement.exchange(use(ids, "ids"));
  statement.exchange(use(now, "now"));
  statement.exchange(use(most, "most"));
  for (std::string* text : {&row.id, &row.user_id}) statement.exchange(into(*text));
  statement.exchange(into(inactive));
  statement.exchange(into(minute));
  statement.exchange(into(row.hold.minute.count));
  statement.exchange(into(digest_due));
  statement.exchange(into(held));
  for (std::string* text : {&zone, &quiet_hours, &row.digest_id}) statement.exchange(into(*text));
  ExecuteOnce(statement,
              "SELECT CAST(l.destination_id AS text), CAST(l.user_id AS text), "
              "  CAST(d.state = 3 OR d.delete_time_us IS NOT NULL AS int), l.minute_time_us, l.minute_count, "
              "  l.digest_due_us, "
              "  (SELECT count(*) FROM (SELECT 1 FROM stockalert_notifier.deliveries v "
              "    WHERE v.destination_id = l.destination_id AND v.state = 5 LIMIT :most) q), "
              "  COALESCE(s.time_zone, ''), COALESCE(s.quiet_hours, ''), CAST(gen_random_uuid() AS text) "
              "FROM stockalert_notifier.delivery_lanes l "
              "JOIN stockalert_notifier.destinations d ON d.id = l.destination_id "
              "LEFT JOIN stockalert_notifier.notification_settings s ON s.user_id = l.user_id "
              "WHERE l.destination_id = ANY(CAST(:ids AS uuid[])) AND l.digest_due_us <= CAST(:now AS bigint) "
              "ORDER BY l.digest_due_us, l.destination_id");
  std::vector<DueLane> due;
  while (statement.fetch()) {
    DueLane& lane = due.emplace_back(row);
    lane.inactive = inactive != 0;
    lane.hold.minute.since_us = minute;
    lane.due_us = digest_due;
    lane.held = held;
    lane.quiet_until_us = QuietUntil({.time_zone = zone, .quiet_hours = ReadQuietHours(quiet_hours)}, now_us);
  }
  return due;
}

// What becomes of the lanes that are due. Those that would be too many in one transaction stay due.
struct Sorted {
  std::vector<const DueLane*> postponed, single, digested;
  LaneIds inactive;
  bool more = false;
};

Sorted Sort(const std::vector<DueLane>& due, const DigestBounds& bounds) {
  Sorted sorted;
  int64_t total = 0;
  for (const DueLane& lane : due) {
    if (lane.inactive) {
      sorted.inactive.push_back(lane.id);
    } else if (lane.quiet_until_us) {
      sorted.postponed.push_back(&lane);
    } else if (lane.held <= 1) {
      sorted.single.push_back(&lane);
    } else if (total >= bounds.deliveries_total) {
      sorted.more = true;
    } else {
      sorted.digested.push_back(&lane);
      total += lane.held;
      if (lane.held > bounds.deliveries_max) sorted.more = true;
    }
  }
  return sorted;
}

LaneIds IdsOf(const std::vector<const DueLane*>& lanes) {
  LaneIds ids;
  for (const DueLane* lane : lanes) ids.push_back(lane->id);
  return ids;
}

void Postpone(soci::session& sql, const std::vector<const DueLane*>& lanes) {
  if (lanes.empty()) return;
  std::vector<int64_t> untils;
  for (const DueLane* lane : lanes) untils.push_back(*lane->quiet_until_us);
  const std::string id_array = postgres::UuidArray(IdsOf(lanes)), until_array = postgres::BigintArray(untils);
  sql << "UPDATE stockalert_notifier.delivery_lanes AS l SET digest_due_us = x.until_us "
         "FROM unnest(CAST(:ids AS uuid[]), CAST(:untils AS bigint[])) AS x(id, until_us) "
         "WHERE l.destination_id = x.id",
      use(id_array, "ids"), use(until_array, "untils");
}

int64_t Release(soci::session& sql, const std::vector<const DueLane*>& lanes, int64_t now_us) {
  if (lanes.empty()) return 0;
  const LaneIds lane_ids = IdsOf(lanes);
  const std::string ids = postgres::UuidArray(lane_ids);
  const long long now = now_us;
  soci::statement release = (sql.prepare << "UPDATE stockalert_notifier.deliveries SET state = 1, hold_reason = 0, "
                                            "next_attempt_time_us = CAST(:now AS bigint) "
                                            "WHERE destination_id = ANY(CAST(:ids AS uuid[])) AND state = 5",
                             use(now, "now"), use(ids, "ids"));
  release.execute(true);
  EndDigests(sql, lane_ids);
  UpdateDue(sql, lane_ids);
  return release.get_affected_rows();
}

// Marks what is held for these lanes as digested, the oldest `most` of each, and returns it by lane.
std::map<std::string, HeldNotifications> TakeHeld(soci::session& sql, const std::vector<const DueLane*>& lanes,
                                                  int most, int64_t now_us) {
  std::map<std::string, HeldNotifications> taken;
  LaneIds ids, digests;
  for (const DueLane* lane : lanes) {
    ids.push_back(lane->id);
    digests.push_back(lane->digest_id);
    taken[lane->id] = {.user_id = lane->user_id, .destination_id = lane->id, .groups = {}};
  }
  const std::string id_array = postgres::UuidArray(ids), digest_array = postgres::UuidArray(digests);
  const long long now = now_us;
  std::string id, summary;
  long long count = 0, quiet = 0;
  soci::statement statement(sql);
  statement.exchange(use(now, "now"));
  statement.exchange(use(id_array, "ids"));
  statement.exchange(use(digest_array, "digests"));
  statement.exchange(use(most, "most"));
  statement.exchange(into(id));
  statement.exchange(into(summary));
  statement.exchange(into(count));
  statement.exchange(into(quiet));
  ExecuteOnce(statement,
              "WITH taken AS (UPDATE stockalert_notifier.deliveries AS v SET state = 6, digest_id = x.digest, "
              "  end_time_us = CAST(:now AS bigint) "
              "  FROM (SELECT q.id, lane.digest FROM unnest(CAST(:ids AS uuid[]), CAST(:digests AS uuid[])) "
              "      AS lane(id, digest) "
              "    CROSS JOIN LATERAL (SELECT w.id FROM stockalert_notifier.deliveries w "
              "      WHERE w.destination_id = lane.id AND w.state = 5 ORDER BY w.number LIMIT :most) q) x "
              "  WHERE v.id = x.id RETURNING v.destination_id, v.notification_id, v.hold_reason, v.number) "
              "SELECT CAST(t.destination_id AS text), COALESCE(n.summary, ''), count(*), "
              "  count(*) FILTER (WHERE t.hold_reason = 1) "
              "FROM taken t LEFT JOIN stockalert_notifier.notifications n ON n.id = t.notification_id "
              "GROUP BY t.destination_id, n.summary ORDER BY t.destination_id, min(t.number)");
  while (statement.fetch()) taken[id].groups.push_back({summary, count, quiet});
  return taken;
}

void Digest(soci::session& sql, const std::vector<const DueLane*>& lanes, const DigestBounds& bounds, int64_t now_us,
            std::map<std::string, Recipient>& recipients, DigestResult& result) {
  if (lanes.empty()) return;
  const std::map<std::string, HeldNotifications> held = TakeHeld(sql, lanes, bounds.deliveries_max, now_us);
  std::vector<StoredNotification> stored;
  DeliveryPlan plan;
  for (const DueLane* lane : lanes) {
    Recipient& recipient = recipients.at(lane->user_id);
    StoredNotification& digest = stored.emplace_back();
    static_cast<NewNotification&>(digest) = DigestOf(held.at(lane->id), lane->digest_id, now_us);
    digest.sequence = ++recipient.last_sequence;
    digest.create_time_us = now_us;
    recipient.changed = true;
    plan.deliveries.push_back({digest.id, digest.user_id, lane->id});
    // Stays due, should there be more than one digest is for.
    plan.lanes[lane->id] = {.minute = lane->hold.minute, .digest_due_us = now_us};
    result.digested += digest.folded_count;
  }
  InsertNotifications(sql, stored);
  WriteSequences(sql, recipients);
  QueueDeliveries(sql, plan, now_us);
  EndDigests(sql, IdsOf(lanes));
  result.digests = static_cast<int>(stored.size());
}

// Who has something to be sent now, and since when it was due.
void TellOf(const Sorted& sorted, DigestResult& result) {
  std::set<std::string> users;
  for (const std::vector<const DueLane*>* lanes : {&sorted.single, &sorted.digested}) {
    for (const DueLane* lane : *lanes) {
      users.insert(lane->user_id);
      result.oldest_due_us = std::min(result.oldest_due_us.value_or(lane->due_us), lane->due_us);
    }
  }
  result.users.assign(users.begin(), users.end());
}

DigestResult MakeDue(soci::session& sql, const DigestBounds& bounds, int64_t now_us) {
  DigestResult result;
  std::map<std::string, std::string> lanes = LockUsersOfDue(sql, bounds.lanes_max, now_us);
  if (lanes.empty()) return result;
  std::set<std::string> users;
  LaneIds ids;
  for (const auto& [id, user] : lanes) {
    ids.push_back(id);
    users.insert(user);
  }
  std::map<std::string, Recipient> recipients = LockRecipients(sql, users);
  LockLanes(sql, ids);
  const std::vector<DueLane> due = ReadDueLanes(sql, ids, bounds, now_us);
  const Sorted sorted = Sort(due, bounds);
  result.more = sorted.more || static_cast<int>(lanes.size()) == bounds.lanes_max;
  Postpone(sql, sorted.postponed);
  result.postponed = static_cast<int64_t>(sorted.postponed.size());
  if (!sorted.inactive.empty()) {
    result.cancelled = CancelHeld(sql, sorted.inactive, kCancelledWithDestination, bounds.deliveries_total, now_us);
    result.more = result.more || result.cancelled == bounds.deliveries_total;
  }
  result.released = Release(sql, sorted.single, now_us);
  Digest(sql, sorted.digested, bounds, now_us, recipients, result);
  TellOf(sorted, result);
  return result;
}

}  // namespace

absl::StatusOr<DigestResult> PostgresDigestStore::MakeDigests(const DigestBounds& bounds, int64_t now_us) {
  // If the outcome was unknown and this runs twice, what the first run has made is not held any more.
  return StoreFailure(Transact(pool_, "digest.make", Idempotency::kIdempotent,
                               [&](Connection& connection) -> absl::StatusOr<DigestResult> {
                                 return MakeDue(connection.sql(), bounds, now_us);
                               }));
}

}  // namespace stockalert::notifier
