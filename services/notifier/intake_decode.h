// What the records of the topics `triggers` and `user-events` are to the notifier. Pure and thread-safe.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// Without an id. INVALID_ARGUMENT, without values, where nobody could be notified by it: bytes that are no TriggerMessage, ids that
// are none, no number or price. Text that Postgres cannot hold is mended.
absl::StatusOr<NewNotification> DecodeTrigger(std::string_view value, std::string_view traceparent);

// INVALID_ARGUMENT: bytes that are no UserEvent, an unknown kind, or an id that is none.
// None: a code to be mailed, for which there is no channel here.
absl::StatusOr<std::optional<UserDeletion>> DecodeUserEvent(std::string_view value);

}  // namespace stockalert::notifier
