// What the records of the topics `triggers` and `user-events` are to the notifier. Pure and thread-safe.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// Without an id. INVALID_ARGUMENT, without values, where nobody could be notified by it: bytes that are no
// TriggerMessage, ids that are none, no number or price. Text that Postgres cannot hold is mended.
absl::StatusOr<NewNotification> DecodeTrigger(std::string_view value, std::string_view traceparent);

// None: an event that is no concern of the notifier. INVALID_ARGUMENT: bytes that are no UserEvent, an empty one, or an
// id that is none. UNIMPLEMENTED: a kind that this version does not know.
absl::StatusOr<std::optional<UserDeletion>> DecodeUserEvent(std::string_view value);

}  // namespace stockalert::notifier
