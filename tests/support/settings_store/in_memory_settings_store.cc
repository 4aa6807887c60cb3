#include "tests/support/settings_store/in_memory_settings_store.h"

#include <utility>

#include "services/notifier/delivery/destination_store.h"

namespace stockalert::testing {

using notifier::NotificationSettings;

absl::StatusOr<NotificationSettings> InMemorySettingsStore::Get(const std::string& user_id) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto found = settings_.find(user_id);
  return found == settings_.end() ? NotificationSettings() : found->second;
}

absl::StatusOr<NotificationSettings> InMemorySettingsStore::Change(const std::string& user_id,
                                                                   const notifier::SettingsChange& change, int64_t) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (deleted_.contains(user_id)) return notifier::RecipientNotFound();
  const auto found = settings_.find(user_id);
  const NotificationSettings present = found == settings_.end() ? NotificationSettings() : found->second;
  NotificationSettings changed = present;
  if (const absl::Status status = change(changed); !status.ok()) return status;
  if (changed == present) return changed;
  ++changed.version;
  settings_[user_id] = changed;
  return changed;
}

void InMemorySettingsStore::DeleteUser(const std::string& user_id) {
  std::lock_guard lock(mutex_);
  settings_.erase(user_id);
  deleted_.insert(user_id);
}

void InMemorySettingsStore::Fail(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

}  // namespace stockalert::testing
