// Stores the notification settings of users.
//
// Thread-safe; calls block, bounded by the store's own timeouts. UNAVAILABLE (DATABASE_UNAVAILABLE) if the database
// does not answer.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/notifier/settings/notification_settings.h"

namespace stockalert::notifier {

// Changes the present settings or refuses. May be called more than once.
using SettingsChange = std::function<absl::Status(NotificationSettings&)>;

class SettingsStore {
 public:
  virtual ~SettingsStore() = default;
  // As at first for a user who has never changed them.
  virtual absl::StatusOr<NotificationSettings> Get(const std::string& user_id) = 0;
  // Reads, changes and writes under the lock of the user's row, and raises the version if anything has changed. Where
  // the quiet hours or the time zone have, what is held for the user's destinations is looked at again at `now_us`.
  // NOT_FOUND (USER_NOT_FOUND): the user is being deleted.
  virtual absl::StatusOr<NotificationSettings> Change(const std::string& user_id, const SettingsChange& change,
                                                      int64_t now_us) = 0;
};

}  // namespace stockalert::notifier
