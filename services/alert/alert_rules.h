// The rules of the alert service that need no network and no database: new alerts, changes, shown states, what becomes
// of a trigger, what the log is told.
//
// Pure and thread-safe. What may happen to an alert is condition/lifecycle's to say; here it meets owners, notes and
// errors.
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

// Windows of so many different lengths a user may have on one symbol: each length has its own index of prices in the
// evaluator.
inline constexpr size_t kWindowLengthsMax = 32;

// The moment of a call, for condition/lifecycle.
condition::Moment MomentOf(const StoredSymbolStatus& status, int64_t now_us);

// The state that an alert is shown in: as condition::ShownState, and PENDING in place of ACTIVE and WAITING while the
// evaluator has not confirmed any revision of it.
ShownState StateOf(const ShownAlert& view, int64_t now_us);

// What an alert becomes by a call of its user. Errors are condition/lifecycle's refusals: the edge says them in the
// API's words.
absl::StatusOr<StoredAlert> ApplyUpdate(const ShownAlert& present, const condition::Definition& wanted,
                                        std::string_view note, int64_t now_us);
absl::StatusOr<StoredAlert> ApplyPause(const ShownAlert& present, int64_t now_us);
absl::StatusOr<StoredAlert> ApplyResume(const ShownAlert& present, int64_t now_us);
absl::StatusOr<StoredAlert> ApplyRearm(const ShownAlert& present, int64_t now_us);
// The tombstone: the user's words are gone with it.
absl::StatusOr<StoredAlert> ApplyDelete(const StoredAlert& present, int64_t now_us);

// What a trigger that is not known yet does to its alert.
struct TriggerVerdict {
  StoredAlert alert;  // Counted, its shown state moved where the rules say so.
  // A trigger of an alert that is paused or deleted by now is recorded only: its user has been told that it is quiet.
  Withheld withheld = Withheld::kNo;
};
TriggerVerdict JudgeTrigger(const StoredAlert& alert, const RecordedTrigger& trigger);

int64_t MinuteOf(int64_t event_time_us);
// Marks those of the triggers, new ones in the order of their recording, that are throttled. `counts`: how many of a
// user's were recorded in a minute before; counted on here. What is withheld does not count. So the outcome depends on
// what is recorded alone, not on when.
void Throttle(std::vector<RecordedTrigger>& triggers, int64_t triggers_per_minute,
              std::map<UserMinute, int64_t>& counts);

// The windows of these alerts; nothing of those without one.
WindowLengths WindowsOf(const std::vector<StoredAlert>& alerts);
// OK where the alerts' windows may stand beside those of the user's others. RESOURCE_EXHAUSTED (WINDOW_QUOTA): they
// bring a symbol a length that the others have not, and it would have more than kWindowLengthsMax then.
absl::Status AdmitWindows(const std::vector<StoredAlert>& alerts, const OtherWindows& others);
// `changed`, where it is not refused and its windows are those of the present alert or may stand beside the others.
absl::StatusOr<StoredAlert> AdmitChange(const StoredAlert& present, absl::StatusOr<StoredAlert> changed,
                                        const OtherWindows& others);

// What the notifier is told of it; serialized, it is the record of the topic `triggers`.
internal::v1::TriggerMessage MakeTriggerMessage(const StoredAlert& alert, const RecordedTrigger& trigger,
                                                int64_t log_time_us);

// Its name in the API: "users/{user}/alerts/{alert}".
std::string AlertName(std::string_view user_id, std::string_view alert_id);

// One line for people: "AAPL at or above 150".
std::string Summarize(std::string_view symbol, const condition::Definition& definition);

// What the log is told of the alert's present state.
internal::v1::LogRecord MakeLogRecord(const StoredAlert& alert);

// Tells requests apart that come with the same request id.
std::string Fingerprint(std::string_view symbol, const condition::Definition& definition, std::string_view note);

// An event of the topic `alert-events` as data. INVALID_ARGUMENT where ids, numbers or the symbol cannot be so.
absl::Status AddEvent(const internal::v1::AlertEvent& event, std::string_view traceparent, EventBatch& batch);

}  // namespace stockalert::alert
