#include "services/notifier/delivery/postgres_turn_notices.h"

#include <algorithm>
#include <set>
#include <utility>

#include "services/notifier/delivery/postgres_delivery_intake.h"
#include "services/notifier/delivery/postgres_delivery_rows.h"

namespace stockalert::notifier {
namespace {

std::string NewId(soci::session& sql) {
  std::string id;
  sql << "SELECT CAST(gen_random_uuid() AS text)", soci::into(id);
  return id;
}

}  // namespace

std::map<std::string, int64_t> LockLanesWith(soci::session& sql, const std::vector<std::string>& destination_ids,
                                             const std::map<std::string, Recipient>& recipients) {
  std::set<std::string> lanes(destination_ids.begin(), destination_ids.end());
  std::vector<std::string> users;
  for (const auto& [id, recipient] : recipients) users.push_back(id);
  if (!users.empty()) {
    for (std::string& id : FindLanesOf(sql, users, /*lock=*/false)) lanes.insert(std::move(id));
  }
  return LockLanes(sql, {lanes.begin(), lanes.end()});
}

int64_t StoreTurnNotices(soci::session& sql, const std::vector<DestinationTurn>& turns,
                         std::map<std::string, Recipient>& recipients) {
  std::vector<StoredNotification> stored;
  int64_t time_us = 0;
  for (const DestinationTurn& turn : turns) {
    Recipient& recipient = recipients.at(turn.destination.user_id);
    if (recipient.deleted) continue;
    StoredNotification& row = stored.emplace_back();
    static_cast<NewNotification&>(row) = NoticeOfTurn(turn);
    row.id = NewId(sql);
    row.sequence = ++recipient.last_sequence;
    row.create_time_us = turn.time_us;
    recipient.changed = true;
    time_us = std::max(time_us, turn.time_us);
  }
  if (stored.empty()) return 0;
  const DeliveryPlan plan = PlanDeliveries(sql, stored, time_us);
  InsertNotifications(sql, stored);
  WriteSequences(sql, recipients);
  QueueDeliveries(sql, plan, time_us);
  return static_cast<int64_t>(stored.size());
}

}  // namespace stockalert::notifier
