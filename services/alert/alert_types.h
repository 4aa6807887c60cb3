// The data of the alert service: alerts, their triggers, and the state of symbols. No protobuf, no SQL.
//
// Times are microseconds since 1970 UTC, prices micros. Plain values; thread-safe as any const value is.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/condition/lifecycle.h"
#include "services/domain/message/routing.h"
#include "services/domain/price/split_ratio.h"

namespace stockalert::alert {

struct StoredAlert {
  std::string id;  // A UUID, as is user_id.
  std::string user_id;
  std::string symbol;
  condition::AlertRecord record;  // `deleted` only in tombstones, which no reading call shows.
  std::string note;
  message::Routing routing;
  int64_t applied_revision = 0;  // The latest that the evaluator has confirmed.
  int64_t splits_applied = 0;    // The number of the symbol's last split that the definition's prices allow for.
  int64_t trigger_count = 0;
  int64_t last_trigger_number = 0;
  int64_t throttled_count = 0;
  int64_t throttle_end_us = 0;  // The end of the last minute in which one of its triggers was throttled; 0: none was.
  int64_t create_time_us = 0;
  int64_t update_time_us = 0;
  std::string request_id;  // Empty: none.
  std::string request_fingerprint;
  bool operator==(const StoredAlert&) const = default;
};

// The fields of an alert that its user sets.
struct WantedAlert {
  std::string symbol;  // In its normal form as far as this service can tell.
  condition::Definition definition;
  std::string note;
  message::Routing routing = {};
};

// Why a trigger is recorded without telling the user.
enum class Withheld : uint8_t { kNo = 0, kPaused = 1, kDeleted = 2 };

struct RecordedTrigger {
  std::string alert_id;
  std::string user_id;
  std::string symbol;
  int64_t number = 0;
  int64_t revision = 0;
  int64_t price_micros = 0;
  int64_t event_time_us = 0;
  std::optional<int64_t> price_before_micros;
  std::optional<int64_t> reference_micros;
  bool late = false;
  std::optional<int64_t> late_from_us;
  bool ends_alert = false;
  int32_t partition = 0;
  int64_t offset = 0;
  Withheld withheld = Withheld::kNo;
  bool throttled = false;  // Beyond what its user is told of one by one in that minute.
  int64_t create_time_us = 0;
  bool operator==(const RecordedTrigger&) const = default;
};

struct StoredSymbolStatus {
  std::string symbol;
  bool previous_close_known = false;
  bool day_open_known = false;
  int64_t last_event_time_us = 0;  // 0: none.
  int32_t partition = 0;
  int64_t offset = -1;
  bool held = false;  // A split is suspected.
  bool operator==(const StoredSymbolStatus&) const = default;
};

// A split of a symbol that the evaluator has told of. Identity: (symbol, number).
struct StoredSplit {
  std::string symbol;
  int64_t number = 0;
  price::SplitRatio ratio;
  int64_t effective_time_us = 0;
  std::string split_id = {};  // The log's; only passed on, with the notices of the split.
  bool operator==(const StoredSplit&) const = default;
};

// An alert with everything that the API shows of it.
struct ShownAlert {
  StoredAlert alert;
  std::optional<RecordedTrigger> last_trigger;
  StoredSymbolStatus status;  // Of its symbol; as it is by default where nothing is known.
  bool operator==(const ShownAlert&) const = default;
};

// The public states, numbered as stockalert.alert.v1.Alert.State.
enum class ShownState : uint8_t {
  kPending = 1,
  kActive = 2,
  kWaiting = 3,
  kPaused = 4,
  kTriggered = 5,
  kExpired = 6,
  kHeld = 7
};

// What the evaluator tells through the topic alert-events.
struct ConfirmedRevision {
  std::string alert_id;
  int64_t revision = 0;
};

struct TriggerEvent {
  RecordedTrigger trigger;  // Without user_id, withheld, throttled and create_time_us, which the store finds.
  int64_t log_time_us = 0;  // When the quote came into the log; 0: not told. Not stored, only passed on.
  std::string traceparent;
};

struct EventBatch {
  std::vector<ConfirmedRevision> confirmations;
  std::vector<TriggerEvent> triggers;  // An alert's in the order of their numbers.
  std::vector<StoredSymbolStatus> statuses;
  std::vector<StoredSplit> splits = {};
  // How many triggers of a user in one minute of event time are passed on one by one; further ones are throttled.
  int64_t triggers_per_minute = std::numeric_limits<int64_t>::max();
  bool empty() const { return confirmations.empty() && triggers.empty() && statuses.empty() && splits.empty(); }
};

// A trigger on its way to the notifier: a row of the trigger outbox.
struct PassedTrigger {
  std::string alert_id;
  int64_t number = 0;
  std::string user_id;
  std::string message;  // A serialized TriggerMessage.
  std::string traceparent;
  bool throttled = false;  // Goes after those that are not.
  bool operator==(const PassedTrigger&) const = default;
};

// A notice of a split on its way to the notifier.
struct PassedSplit {
  std::string user_id;
  StoredSplit split;
  int64_t alert_count = 0;  // Of the user's: those that it has scaled and that had not ended.
  bool operator==(const PassedSplit&) const = default;
};

// A split whose users are all told.
struct ToldSplit {
  std::string symbol;
  int64_t number = 0;
  int64_t user_count = 0;
  int64_t alert_count = 0;
};

// An alert and its user.
struct AlertOwner {
  std::string alert_id;
  std::string user_id;
  auto operator<=>(const AlertOwner&) const = default;
};

// A user and a minute of event time.
using UserMinute = std::pair<std::string, int64_t>;

// The lengths of windows, in microseconds, by symbol.
using WindowLengths = std::map<std::string, std::set<int64_t>>;

struct TriggerId {
  std::string alert_id;
  int64_t number = 0;
  auto operator<=>(const TriggerId&) const = default;
};

}  // namespace stockalert::alert
