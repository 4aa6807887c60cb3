// The rules of notification settings: what a user may ask for.
//
// Thread-safe; calls block as the store does. A user finds nothing of another user.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/base/clock.h"
#include "services/notifier/settings/settings_store.h"

namespace stockalert::notifier {

// A part of the week as a user wrote it.
struct AskedQuietHours {
  std::vector<int> days;
  std::string start_time;
  std::string end_time;
};

struct SettingsUpdate {
  std::optional<std::string> time_zone;              // Empty: as at first.
  std::optional<std::optional<int>> price_decimals;  // None in it: all that a price has.
  std::optional<std::vector<AskedQuietHours>> quiet_hours;
};

// Whether the settings as stored may be changed: checks the etag.
using SettingsCheck = std::function<absl::Status(const NotificationSettings&)>;

// Puts what is asked for into `settings`. INVALID_ARGUMENT: names each wrong field, "settings.quiet_hours[2].end_time".
absl::Status ApplyUpdate(const SettingsUpdate& update, NotificationSettings& settings);

class SettingsLogic {
 public:
  // `on_changed`: what is held for this user is to be looked at; must be quick. What is given by reference must outlive
  // it.
  SettingsLogic(SettingsStore& store, const base::Clock& clock, std::function<void()> on_changed);

  absl::StatusOr<NotificationSettings> Get(const std::string& user_id);
  absl::StatusOr<NotificationSettings> Update(const std::string& user_id, const SettingsUpdate& update,
                                              const SettingsCheck& check);

 private:
  SettingsStore& store_;
  const base::Clock& clock_;
  const std::function<void()> on_changed_;
};

}  // namespace stockalert::notifier
