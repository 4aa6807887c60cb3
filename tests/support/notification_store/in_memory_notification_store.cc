#include "tests/support/notification_store/in_memory_notification_store.h"

#include <algorithm>

#include "services/common/base/error.h"

namespace stockalert::testing {

using notifier::IntakeBatch;
using notifier::IntakeResult;
using notifier::NewNotification;
using notifier::NotificationFilter;
using notifier::StoredNotification;

absl::StatusOr<IntakeResult> InMemoryNotificationStore::StoreBatch(const IntakeBatch& batch, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  IntakeResult result;
  for (const notifier::UserDeletion& deletion : batch.deletions) {
    recipients_[deletion.user_id].deleted = true;
    code_mails_.erase(deletion.user_id);
    result.deleted += static_cast<int64_t>(std::erase_if(
        notifications_, [&](const StoredNotification& stored) { return stored.user_id == deletion.user_id; }));
  }
  std::map<std::string, std::vector<StoredNotification>> throttled;
  const auto store = [&](const NewNotification& notification) {
    StoredNotification stored;
    static_cast<NewNotification&>(stored) = notification;
    stored.sequence = ++recipients_[notification.user_id].last_sequence;
    stored.create_time_us = now_us;
    notifications_.push_back(stored);
    result.stored.push_back(stored);
    return stored;
  };
  for (const NewNotification& notification : batch.notifications) {
    Recipient& recipient = recipients_[notification.user_id];
    if (recipient.deleted) {
      ++result.of_deleted_users;
      continue;
    }
    const bool known = std::any_of(notifications_.begin(), notifications_.end(), [&](const StoredNotification& stored) {
      if (notification.kind == notifier::Kind::kSplit) {
        return stored.kind == notification.kind && stored.user_id == notification.user_id &&
               stored.key == notification.key;
      }
      return stored.kind == notifier::Kind::kTrigger && stored.alert_id == notification.alert_id &&
             stored.trigger_number == notification.trigger_number;
    });
    if (known) {
      ++result.repeated;
      continue;
    }
    NewNotification keyed = notification;
    if (keyed.kind == notifier::Kind::kTrigger) keyed.key = notifier::TriggerKey(notification);
    if (StoredNotification stored = store(keyed); stored.throttled)
      throttled[stored.user_id].push_back(std::move(stored));
  }
  for (const auto& [user_id, rows] : throttled) store(notifier::Fold(rows, batch.fold_ids.at(user_id)));
  for (const notifier::NewCodeMail& mail : batch.code_mails) {
    if (recipients_[mail.user_id].deleted) continue;
    notifier::NewCodeMail& known = code_mails_[mail.user_id];
    if (known.expire_time_us >= mail.expire_time_us) continue;
    known = mail;
    ++result.code_mails;
  }
  return result;
}

absl::StatusOr<std::map<std::string, int64_t>> InMemoryNotificationStore::LastSequences(
    const std::vector<std::string>& user_ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::map<std::string, int64_t> last;
  for (const std::string& id : user_ids) {
    const auto found = recipients_.find(id);
    last[id] = found == recipients_.end() ? 0 : found->second.last_sequence;
  }
  return last;
}

absl::StatusOr<std::vector<StoredNotification>> InMemoryNotificationStore::ListAfter(const std::string& user_id,
                                                                                     int64_t sequence, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<StoredNotification> rows;
  for (const StoredNotification& stored : notifications_) {
    if (stored.user_id == user_id && !stored.throttled && stored.kind != notifier::Kind::kDigest &&
        stored.sequence > sequence && static_cast<int>(rows.size()) < limit)
      rows.push_back(stored);
  }
  return rows;
}

absl::StatusOr<std::vector<StoredNotification>> InMemoryNotificationStore::ListNewest(const std::string& user_id,
                                                                                      const NotificationFilter& filter,
                                                                                      int64_t before_sequence,
                                                                                      int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<StoredNotification> rows;
  for (auto stored = notifications_.rbegin(); stored != notifications_.rend(); ++stored) {
    if (stored->user_id != user_id || stored->sequence >= before_sequence) continue;
    if (filter.unacknowledged_only && stored->acknowledge_time_us) continue;
    if (!filter.alert_id.empty() && stored->alert_id != filter.alert_id) continue;
    if (!filter.symbol.empty() && stored->symbol != filter.symbol) continue;
    if (static_cast<int>(rows.size()) < limit) rows.push_back(*stored);
  }
  return rows;
}

absl::StatusOr<StoredNotification> InMemoryNotificationStore::Acknowledge(const std::string& user_id,
                                                                          const std::string& id, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (StoredNotification& stored : notifications_) {
    if (stored.id != id || stored.user_id != user_id) continue;
    if (!stored.acknowledge_time_us) stored.acknowledge_time_us = now_us;
    return stored;
  }
  return base::NotFound(notifier::kReasonNotificationNotFound, "there is no such notification");
}

std::map<std::string, notifier::NewCodeMail> InMemoryNotificationStore::code_mails() {
  std::lock_guard lock(mutex_);
  return code_mails_;
}

void InMemoryNotificationStore::Fail(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

}  // namespace stockalert::testing
