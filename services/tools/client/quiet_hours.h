// Quiet hours as people write and read them: "22:00-07:00", "mon-fri 22:00-07:00", "sat,sun 00:00-00:00". Pure and
// thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "stockalert/notification/v1/notification.pb.h"

namespace stockalert::client {

// INVALID_ARGUMENT says what to write. The times are checked by the mesh.
absl::StatusOr<notification::v1::NotificationSettings::QuietHours> ParseQuietHours(const std::string& text);
std::string FormatQuietHours(const notification::v1::NotificationSettings::QuietHours& hours);

}  // namespace stockalert::client
