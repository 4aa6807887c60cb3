#include "services/notifier/delivery/postgres_delivery_intake.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/postgres/arrays.h"
#include "services/notifier/delivery/postgres_delivery_rows.h"
#include "services/notifier/delivery/route_rules.h"
#include "services/notifier/postgres_notification_rows.h"
#include "services/notifier/settings/notification_settings.h"

namespace stockalert::notifier {
namespace {

using soci::into;
using soci::use;

// What the destinations and settings of users say of what is stored for them.
struct Existing {
  std::map<std::string, std::vector<ExistingDestination>> of_user;  // In the order of their ids.
  std::map<std::string, LaneHold> lanes;                            // By destination.
  std::map<std::string, std::optional<int64_t>> quiet_until;        // By user, of those who have quiet hours.
};

// Of the destinations of these lanes that are not deleted.
Existing ReadExisting(soci::session& sql, const std::vector<std::string>& lanes, int64_t now_us) {
  const std::string ids = postgres::UuidArray(lanes);
  std::string id, user, zone, quiet_hours;
  int is_active = 0, is_default = 0;
  LaneHold lane;
  long long minute = 0, digest_due = 0;
  soci::statement statement(sql);
  statement.exchange(use(ids, "ids"));
  for (std::string* text : {&id, &user}) statement.exchange(into(*text));
  for (int* flag : {&is_active, &is_default}) statement.exchange(into(*flag));
  statement.exchange(into(lane.per_minute_max));
  statement.exchange(into(minute));
  statement.exchange(into(lane.minute.count));
  statement.exchange(into(digest_due));
  for (std::string* text : {&zone, &quiet_hours}) statement.exchange(into(*text));
  PrepareOnce(statement,
              "SELECT CAST(d.id AS text), CAST(d.user_id AS text), CAST(d.state = 2 AS int), "
              "  CAST(d.is_default AS int), d.per_minute_max, l.minute_time_us, l.minute_count, "
              "  COALESCE(l.digest_due_us, -1), COALESCE(s.time_zone, ''), COALESCE(s.quiet_hours, '') "
              "FROM stockalert_notifier.destinations d "
              "JOIN stockalert_notifier.delivery_lanes l ON l.destination_id = d.id "
              "LEFT JOIN stockalert_notifier.notification_settings s "
              "  ON s.user_id = d.user_id AND s.quiet_hours <> '[]' "
              "WHERE d.id = ANY(CAST(:ids AS uuid[])) AND d.delete_time_us IS NULL ORDER BY d.id");
  statement.execute(false);
  Existing existing;
  while (statement.fetch()) {
    existing.of_user[user].push_back({id, is_active != 0, is_default != 0});
    lane.minute.since_us = minute;
    lane.digest_due_us = digest_due < 0 ? std::nullopt : std::optional<int64_t>(digest_due);
    existing.lanes[id] = lane;
    if (!quiet_hours.empty() && !existing.quiet_until.contains(user))
      existing.quiet_until[user] = QuietUntil({.time_zone = zone, .quiet_hours = ReadQuietHours(quiet_hours)}, now_us);
  }
  return existing;
}

void WriteLanes(soci::session& sql, const DeliveryPlan& plan, int64_t now_us) {
  std::set<std::string> queues;
  for (const PlannedDelivery& one : plan.deliveries) {
    if (one.hold == HoldReason::kNone) queues.insert(one.destination_id);
  }
  std::vector<std::string> ids;
  std::vector<bool> queued;
  std::vector<int64_t> minutes, counts;
  std::vector<std::optional<int64_t>> digests;
  for (const auto& [id, lane] : plan.lanes) {
    ids.push_back(id);
    queued.push_back(queues.contains(id));
    minutes.push_back(lane.minute.since_us);
    counts.push_back(lane.minute.count);
    digests.push_back(lane.digest_due_us);
  }
  const std::string id_array = postgres::UuidArray(ids), queued_array = postgres::BooleanArray(queued),
                    minute_array = postgres::BigintArray(minutes), count_array = postgres::BigintArray(counts),
                    digest_array = postgres::BigintArray(digests);
  const long long now = now_us;
  sql << "UPDATE stockalert_notifier.delivery_lanes AS l SET due_us = CASE WHEN x.queued "
         "    THEN LEAST(l.due_us, GREATEST(CAST(:now AS bigint), l.hold_until_us)) ELSE l.due_us END, "
         "  minute_time_us = x.minute_us, minute_count = x.count, digest_due_us = x.digest_us "
         "FROM unnest(CAST(:ids AS uuid[]), CAST(:queued AS boolean[]), CAST(:minutes AS bigint[]), "
         "  CAST(:counts AS integer[]), CAST(:digests AS bigint[])) AS x(id, queued, minute_us, count, digest_us) "
         "WHERE l.destination_id = x.id",
      use(now, "now"), use(id_array, "ids"), use(queued_array, "queued"), use(minute_array, "minutes"),
      use(count_array, "counts"), use(digest_array, "digests");
}

}  // namespace

std::vector<std::string> FindLanesOf(soci::session& sql, const std::vector<std::string>& user_ids, bool lock) {
  const std::string users = postgres::UuidArray(user_ids);
  std::string id;
  soci::statement statement(sql);
  statement.exchange(use(users, "users"));
  statement.exchange(into(id));
  PrepareOnce(statement, absl::StrCat("SELECT CAST(destination_id AS text) FROM stockalert_notifier.delivery_lanes "
                                      "WHERE user_id = ANY(CAST(:users AS uuid[])) ORDER BY destination_id",
                                      lock ? " FOR UPDATE" : ""));
  statement.execute(false);
  std::vector<std::string> lanes;
  while (statement.fetch()) lanes.push_back(id);
  return lanes;
}

DeliveryPlan PlanDeliveries(soci::session& sql, std::vector<StoredNotification>& stored, int64_t now_us) {
  std::set<std::string> users;
  for (const StoredNotification& notification : stored) {
    if (!notification.throttled) users.insert(notification.user_id);
  }
  DeliveryPlan plan;
  if (users.empty()) return plan;
  // A separate statement before the one that reads the destinations, which therefore sees the changes of those who held
  // the locks.
  const std::vector<std::string> lanes = FindLanesOf(sql, {users.begin(), users.end()}, /*lock=*/true);
  Existing existing;
  if (!lanes.empty()) existing = ReadExisting(sql, lanes, now_us);
  for (StoredNotification& notification : stored) {
    const auto quiet = existing.quiet_until.find(notification.user_id);
    const std::optional<int64_t> quiet_until = quiet == existing.quiet_until.end() ? std::nullopt : quiet->second;
    for (std::string& id : ChooseDestinations(existing.of_user[notification.user_id], notification)) {
      LaneHold& lane = plan.lanes.try_emplace(id, existing.lanes.at(id)).first->second;
      const HoldReason hold = HoldOrCount(notification, quiet_until, now_us, lane);
      plan.deliveries.push_back({notification.id, notification.user_id, std::move(id), hold});
    }
  }
  return plan;
}

void QueueDeliveries(soci::session& sql, const DeliveryPlan& plan, int64_t now_us) {
  if (plan.deliveries.empty()) return;
  std::vector<std::string> notifications, users, destinations;
  std::vector<int64_t> holds;
  for (const PlannedDelivery& one : plan.deliveries) {
    notifications.push_back(one.notification_id);
    users.push_back(one.user_id);
    destinations.push_back(one.destination_id);
    holds.push_back(static_cast<int64_t>(one.hold));
  }
  const std::string id_array = postgres::UuidArray(notifications), owner_array = postgres::UuidArray(users),
                    destination_array = postgres::UuidArray(destinations), hold_array = postgres::BigintArray(holds);
  const long long now = now_us;
  sql << "INSERT INTO stockalert_notifier.deliveries (id, user_id, destination_id, notification_id, kind, "
         "  state, hold_reason, next_attempt_time_us, create_time_us) "
         "SELECT gen_random_uuid(), x.owner, x.destination, x.id, 1, CASE WHEN x.hold = 0 THEN 1 ELSE 5 END, x.hold, "
         "  CASE WHEN x.hold = 0 THEN CAST(:now AS bigint) END, CAST(:now AS bigint) "
         "FROM unnest(CAST(:ids AS uuid[]), CAST(:owners AS uuid[]), CAST(:destinations AS uuid[]), "
         "  CAST(:holds AS smallint[])) WITH ORDINALITY AS x(id, owner, destination, hold, place) ORDER BY x.place",
      use(now, "now"), use(id_array, "ids"), use(owner_array, "owners"), use(destination_array, "destinations"),
      use(hold_array, "holds");
  WriteLanes(sql, plan, now_us);
}

void DeleteDeliveriesOf(soci::session& sql, const std::vector<std::string>& user_ids) {
  FindLanesOf(sql, user_ids, /*lock=*/true);
  const std::string users = postgres::UuidArray(user_ids);
  sql << "DELETE FROM stockalert_notifier.delivery_attempts a USING stockalert_notifier.deliveries v "
         "WHERE v.id = a.delivery_id AND v.user_id = ANY(CAST(:users AS uuid[]))",
      use(users, "users");
  for (const char* table : {"deliveries", "delivery_lanes", "destinations", "notification_settings"}) {
    sql << "DELETE FROM stockalert_notifier." << table << " WHERE user_id = ANY(CAST(:users AS uuid[]))",
        use(users, "users");
  }
  sql << "DELETE FROM stockalert_notifier.verification_counts WHERE counted IN "
         "(SELECT 'user/' || CAST(id AS text) FROM unnest(CAST(:users AS uuid[])) AS x(id))",
      use(users, "users");
}

}  // namespace stockalert::notifier
