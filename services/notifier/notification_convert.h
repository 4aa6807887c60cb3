// Notifications and their cursors as the API shows them. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/notifier/notification_store.h"
#include "stockalert/notification/v1/notification.pb.h"

namespace stockalert::notifier {

notification::v1::Notification ToNotification(const StoredNotification& stored);

// A cursor after which a user's stream continues: this sequence. Valid for that user only.
std::string EncodeCursor(std::string_view user_id, int64_t sequence);
// INVALID_ARGUMENT (CURSOR_INVALID) on `cursor` for what EncodeCursor did not make for this user.
absl::StatusOr<int64_t> DecodeCursor(std::string_view user_id, std::string_view cursor);
// The error for a cursor of this user that is beyond the newest notification.
absl::Status CursorInvalid();

}  // namespace stockalert::notifier
