// The rules of the alert service that need no network and no database: new alerts, changes, shown states, handling of
// triggers, and the records for the log.
//
// Pure and thread-safe. condition/lifecycle decides what may happen to an alert; this adds owners, notes and errors.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/alert_store.h"
#include "services/alert/alert_types.h"
#include "services/domain/condition/lifecycle.h"
#include "stockalert/internal/v1/events.pb.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::alert {

// How many different window lengths a user may have on one symbol: the evaluator keeps an index of prices for each.
inline constexpr size_t kWindowLengthsMax = 32;

// The moment of a call, for condition/lifecycle.
condition::Moment MomentOf(const StoredSymbolStatus& status, int64_t now_us);

// The state that an alert is shown in: as condition::ShownState, and PENDING in place of ACTIVE, WAITING and HELD while
// the evaluator has not confirmed any revision of it.
ShownState StateOf(const ShownAlert& view, int64_t now_us);

// What an alert's etag is of, beside its revision: a split raises none, and who changes an alert by prices of before it
// must hear of it.
std::string EtagIdOf(const StoredAlert& alert);

// The alert after a call of its user. Errors are condition/lifecycle's refusals, which AlertService turns into errors
// of the API.
absl::StatusOr<StoredAlert> ApplyUpdate(const ShownAlert& present, const WantedAlert& wanted, int64_t now_us);
absl::StatusOr<StoredAlert> ApplyPause(const ShownAlert& present, int64_t now_us);
absl::StatusOr<StoredAlert> ApplyResume(const ShownAlert& present, int64_t now_us);
absl::StatusOr<StoredAlert> ApplyRearm(const ShownAlert& present, int64_t now_us);
// The tombstone, without the user's note and destinations.
absl::StatusOr<StoredAlert> ApplyDelete(const StoredAlert& present, int64_t now_us);

// What a new trigger does to its alert.
struct TriggerVerdict {
  StoredAlert alert;  // Counted, its shown state moved where the rules say so.
  // A trigger of an alert that is paused or deleted by now is only recorded: its user was told that it is quiet.
  Withheld withheld = Withheld::kNo;
};
TriggerVerdict JudgeTrigger(const StoredAlert& alert, const RecordedTrigger& trigger);

int64_t MinuteOf(int64_t event_time_us);
// Marks the throttled ones among new triggers, which must be in the order of their recording. `counts`: how many of
// each user's triggers were recorded in each minute so far; increased here. Withheld triggers do not count. So the
// outcome depends only on what is recorded, not on when.
void Throttle(std::vector<RecordedTrigger>& triggers, int64_t triggers_per_minute,
              std::map<UserMinute, int64_t>& counts);

// The windows of these alerts; nothing of those without one.
WindowLengths WindowsOf(const std::vector<StoredAlert>& alerts);
// OK where the user may have the alerts' windows beside the others. RESOURCE_EXHAUSTED (WINDOW_QUOTA): they add a new
// length to a symbol, which would then have more than kWindowLengthsMax.
absl::Status AdmitWindows(const std::vector<StoredAlert>& alerts, const OtherWindows& others);
// `changed`, where it is not refused and its windows are those of the present alert or may stand beside the others.
absl::StatusOr<StoredAlert> AdmitChange(const StoredAlert& present, absl::StatusOr<StoredAlert> changed,
                                        const OtherWindows& others);

// What the notifier is told of it; serialized, it is the record of the topic `triggers`.
internal::v1::TriggerMessage MakeTriggerMessage(const StoredAlert& alert, const RecordedTrigger& trigger,
                                                int64_t log_time_us);

// Likewise of a split.
internal::v1::TriggerMessage MakeSplitMessage(const PassedSplit& notice);

// Its name in the API: "users/{user}/alerts/{alert}".
std::string AlertName(std::string_view user_id, std::string_view alert_id);

// Brings the definition to the prices of after these splits of its symbol, which are in the order of their numbers and
// begin anywhere: by each whose number follows the one that it is stated at. One that is missing, because it has not
// been told of yet, ends it: those behind it are taken in with it.
void BringForward(const std::vector<StoredSplit>& splits, StoredAlert& alert);

// One line for people: "AAPL at or above 150".
std::string Summarize(std::string_view symbol, const condition::Definition& definition);

// What the log is told of the alert's present state.
internal::v1::LogRecord MakeLogRecord(const StoredAlert& alert);

// Tells requests apart that come with the same request id.
std::string Fingerprint(const WantedAlert& asked);

// An event of the topic `alert-events` as data. INVALID_ARGUMENT where ids, numbers or the symbol cannot be so.
absl::Status AddEvent(const internal::v1::AlertEvent& event, std::string_view traceparent, EventBatch& batch);

}  // namespace stockalert::alert
