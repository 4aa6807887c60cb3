// Where notifications are kept.
//
// Thread-safe; calls block, bounded by the store's own timeouts. Every error is one of base/error.h: UNAVAILABLE
// (DATABASE_UNAVAILABLE) where the database does not answer, and what each call says.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::notifier {

inline constexpr char kReasonNotificationNotFound[] = "NOTIFICATION_NOT_FOUND";
inline constexpr char kReasonDatabaseUnavailable[] = "DATABASE_UNAVAILABLE";

// What a trigger tells its user. Identity: (alert_id, trigger_number). Ids are UUIDs in lower case, prices micros.
struct NewNotification {
  std::string id;  // Its own, should it be stored.
  std::string user_id;
  std::string alert_id;
  int64_t trigger_number = 0;
  std::string symbol;
  int64_t price_micros = 0;
  int64_t event_time_us = 0;
  std::optional<int64_t> price_before_micros;
  std::optional<int64_t> reference_micros;
  bool late = false;
  std::string summary;
  std::string note;
  std::string traceparent;
  int64_t log_time_us = 0;  // When the quote came into the log; 0: not told. Not stored, only measured by.
  bool operator==(const NewNotification&) const = default;
};

struct StoredNotification : NewNotification {
  int64_t sequence = 0;  // Of its user: from 1, without gaps, in the order of storing.
  int64_t create_time_us = 0;
  std::optional<int64_t> acknowledge_time_us;
  bool operator==(const StoredNotification&) const = default;
};

struct UserDeletion {
  std::string user_id;
  int64_t delete_time_us = 0;
};

// What one read of the topics brought.
struct IntakeBatch {
  std::vector<NewNotification> notifications;  // In their order.
  std::vector<UserDeletion> deletions;
  bool empty() const { return notifications.empty() && deletions.empty(); }
};

struct IntakeResult {
  std::vector<StoredNotification> stored;
  int64_t repeated = 0;          // Stored before.
  int64_t of_deleted_users = 0;  // Dropped.
  int64_t deleted = 0;           // Notifications that went with their users.
};

struct NotificationFilter {
  bool unacknowledged_only = false;
  std::string alert_id = {};  // Empty: of any.
  std::string symbol = {};    // Empty: on any.
};

class NotificationStore {
 public:
  virtual ~NotificationStore() = default;

  // In one transaction: deletes the notifications of users who are gone, for ever, and stores the others that are new. Taking the same
  // batch in again changes nothing.
  virtual absl::StatusOr<IntakeResult> TakeIn(const IntakeBatch& batch, int64_t now_us) = 0;

  // The newest sequence of each user; 0 where there is none.
  virtual absl::StatusOr<std::map<std::string, int64_t>> LastSequences(const std::vector<std::string>& user_ids) = 0;
  // At most `limit` above `sequence`, in order. Later calls never find another one between them.
  virtual absl::StatusOr<std::vector<StoredNotification>> ListAfter(const std::string& user_id, int64_t sequence, int limit) = 0;
  // At most `limit` below `before_sequence`, newest first.
  virtual absl::StatusOr<std::vector<StoredNotification>> ListNewest(const std::string& user_id, const NotificationFilter& filter,
                                                                     int64_t before_sequence, int limit) = 0;
  // Keeps the time of the first acknowledgement. NOT_FOUND (NOTIFICATION_NOT_FOUND): the user has no such notification.
  virtual absl::StatusOr<StoredNotification> Acknowledge(const std::string& user_id, const std::string& id, int64_t now_us) = 0;
};

inline constexpr int64_t kBeforeAny = std::numeric_limits<int64_t>::max();

}  // namespace stockalert::notifier
