// Decodes the records of the topics `triggers` and `user-events`. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// The notification of a trigger or a split, still without an id. INVALID_ARGUMENT (its text carries no values) where
// nobody can be notified: bytes that are no TriggerMessage, malformed ids, no number or price, a split that cannot be.
// Text that Postgres cannot store is repaired.
absl::StatusOr<NewNotification> DecodeTrigger(std::string_view value, std::string_view traceparent);

// A code that is to be mailed.
struct CodeRequest {
  std::string user_id;
  std::string address;
  std::string code;
  int64_t expire_time_us = 0;
};
using UserNews = std::variant<UserDeletion, CodeRequest>;

// INVALID_ARGUMENT: bytes that are no UserEvent, an empty event, or a malformed id. UNIMPLEMENTED: a kind that this
// version does not know.
absl::StatusOr<UserNews> DecodeUserEvent(std::string_view value);

}  // namespace stockalert::notifier
