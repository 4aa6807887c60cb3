// Notification settings as the API shows and takes them. Pure and thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/notifier/settings/settings_logic.h"
#include "stockalert/notification/v1/notification.pb.h"

namespace stockalert::notifier {

inline constexpr char kSettingsName[] = "users/{user}/notificationSettings";

notification::v1::NotificationSettings ToSettings(const std::string& user_id, const NotificationSettings& stored);
// The fields to change. INVALID_ARGUMENT on `update_mask`.
absl::StatusOr<SettingsUpdate> ReadSettingsUpdate(const notification::v1::UpdateNotificationSettingsRequest& asked);
// Refuses settings that have another etag.
SettingsCheck SettingsEtagCheck(const std::string& user_id, const std::string& etag);

}  // namespace stockalert::notifier
