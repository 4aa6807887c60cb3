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
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/domain/message/routing.h"
#include "services/domain/message/split_news.h"

namespace stockalert::notifier {

inline constexpr char kReasonNotificationNotFound[] = "NOTIFICATION_NOT_FOUND";

// Numbered as stockalert.notification.v1.Notification.Kind.
enum class Kind : uint8_t { kTrigger = 1, kThrottled = 2, kDestination = 3, kDigest = 4, kSplit = 5 };

// A notification of a user. Identified by (user_id, kind, key). A trigger's key consists of alert_id and
// trigger_number, which identify it by themselves, too. Ids are UUIDs in lower case, prices micros.
struct NewNotification {
  Kind kind = Kind::kTrigger;
  std::string key;  // Of a trigger it may be empty: TriggerKey makes it. Of a SPLIT one SplitKey.
  std::string id;   // Its own, should it be stored.
  std::string user_id;
  std::string alert_id;  // Empty where it is of none.
  int64_t trigger_number = 0;
  std::string symbol;
  int64_t price_micros = 0;
  int64_t event_time_us = 0;
  std::optional<int64_t> price_before_micros;
  std::optional<int64_t> reference_micros;
  bool late = false;
  bool throttled = false;    // A trigger that streams leave to the THROTTLED one after it.
  int64_t folded_count = 0;  // How many throttled triggers, or held notifications, a THROTTLED or DIGEST one is for.
  std::string summary;
  std::string note;
  std::string traceparent;
  message::Routing routing = {};      // Stored of it is only `critical`.
  bool rerouted = false;              // None of the named destinations existed any more: the defaults got it.
  std::string destination_id = {};    // Of a DESTINATION or DIGEST one.
  bool destination_disabled = false;  // Of a DESTINATION one; else it was verified.
  std::optional<message::SplitNews> split = {};  // Of a SPLIT one, and no other.
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

// A mail with a code that verifies a user's address. A later one replaces it.
struct NewCodeMail {
  std::string user_id;
  std::string sealed_content;
  int64_t expire_time_us = 0;
};

// The content of one batch of records.
struct IntakeBatch {
  std::vector<NewNotification> notifications;  // Triggers, in their order, and SPLIT ones.
  std::vector<UserDeletion> deletions;
  // An id for each user with a throttled trigger, for a notification of the kind THROTTLED.
  std::map<std::string, std::string> fold_ids = {};
  std::vector<NewCodeMail> code_mails = {};
  bool empty() const { return notifications.empty() && deletions.empty() && code_mails.empty(); }
};

struct IntakeResult {
  std::vector<StoredNotification> stored;  // Those of the kind THROTTLED, too.
  int64_t repeated = 0;                    // Stored before.
  int64_t of_deleted_users = 0;            // Dropped.
  int64_t deleted = 0;                     // Notifications that went with their users.
  int64_t deliveries = 0;                  // Queued for what was stored.
  int64_t held = 0;                        // Deliveries that wait for a digest instead.
  int64_t code_mails = 0;                  // Queued; not those that were queued before.
};

struct NotificationFilter {
  bool unacknowledged_only = false;
  std::string alert_id = {};  // Empty: of any.
  std::string symbol = {};    // Empty: on any.
};

class NotificationStore {
 public:
  virtual ~NotificationStore() = default;

  // In one transaction: deletes the notifications of deleted users for good, and stores those of other users that are
  // new, each with its deliveries to the user's destinations (delivery/route_rules.h). After a user's
  // throttled ones it adds a notification of the kind THROTTLED with their number, so that each is counted in exactly
  // one. Queues the mails of codes of users who are there (code_mail/code_mail_store.h). Storing the same batch again
  // changes nothing.
  virtual absl::StatusOr<IntakeResult> StoreBatch(const IntakeBatch& batch, int64_t now_us) = 0;

  // The newest sequence of each user; 0 where there is none.
  virtual absl::StatusOr<std::map<std::string, int64_t>> LastSequences(const std::vector<std::string>& user_ids) = 0;
  // At most `limit` above `sequence`, in order, without throttled ones and those of the kind DIGEST. No later call
  // finds another one between them. A user's newest notification may be a DIGEST one, never a throttled one.
  virtual absl::StatusOr<std::vector<StoredNotification>> ListAfter(const std::string& user_id, int64_t sequence,
                                                                    int limit) = 0;
  // At most `limit` below `before_sequence`, newest first.
  virtual absl::StatusOr<std::vector<StoredNotification>> ListNewest(const std::string& user_id,
                                                                     const NotificationFilter& filter,
                                                                     int64_t before_sequence, int limit) = 0;
  // The time of the first acknowledgement stays. NOT_FOUND (NOTIFICATION_NOT_FOUND): the user has no such notification.
  virtual absl::StatusOr<StoredNotification> Acknowledge(const std::string& user_id, const std::string& id,
                                                         int64_t now_us) = 0;
};

// The notification for throttled triggers of one user (at least one, in the order in which they are stored).
NewNotification Fold(const std::vector<StoredNotification>& throttled, std::string id);
// "<alert>/<number>": of its trigger, of a THROTTLED one of the last that it stands for.
std::string TriggerKey(const NewNotification& trigger);
// "<symbol>/<number>": of each split a user is told once.
std::string SplitKey(std::string_view symbol, int64_t number);

inline constexpr int64_t kBeforeAny = std::numeric_limits<int64_t>::max();

}  // namespace stockalert::notifier
