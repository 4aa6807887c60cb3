// The life of an alert as its user drives it: what create, update, pause, resume, rearm and delete do to a record,
// which of them are refused and why, and what state a record is shown in.
//
// Pure functions over plain values: no clock, no I/O; thread-safe. The alert service and the replayer of streams share
// them. A refusal is an absl::Status with the code that the API answers with; RefusalReason and RefusalField say more
// about it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/domain/condition/arming.h"
#include "services/domain/condition/definition.h"

namespace stockalert::condition {

// What an alert's service keeps of it, apart from its owner, note and channels. The log carries the same, whole, each
// time.
struct AlertRecord {
  Definition definition;
  int64_t revision = 1;        // Rises by one with each change by the user, the deletion included.
  int64_t armed_revision = 1;  // The revision whose change armed the alert last.
  bool paused = false;
  bool triggered = false;  // A ONCE alert that has triggered; set by RecordTrigger, cleared by what arms it anew.
  bool deleted = false;
  bool operator==(const AlertRecord&) const = default;
};

enum class AlertState : uint8_t { kActive, kWaiting, kHeld, kPaused, kTriggered, kExpired, kDeleted };

// What is known when a call comes in.
struct Moment {
  int64_t wall_time_us = 0;
  // The event time of the symbol's last accepted quote; none before the first one, and after a restart record.
  std::optional<int64_t> last_event_time_us;
  // An expiry that is not after the wall clock is refused where a call sets it. A replay of old events has no wall
  // clock to hold against it and switches this off.
  bool refuse_past_expiry = true;
};

// Reasons of refusals, for the `reason` of a google.rpc.ErrorInfo.
inline constexpr char kReasonInvalidDefinition[] = "INVALID_CONDITION";
inline constexpr char kReasonExpiryNotInFuture[] = "EXPIRE_TIME_NOT_IN_FUTURE";
inline constexpr char kReasonConditionAlreadyMet[] = "CONDITION_ALREADY_MET";
inline constexpr char kReasonAlertExpired[] = "ALERT_EXPIRED";
inline constexpr char kReasonAlertTriggered[] = "ALERT_TRIGGERED";
inline constexpr char kReasonAlertDeleted[] = "ALERT_DELETED";

// A new alert with revision 1, which arms it. InvalidArgument: the definition breaks a rule, or its expiry is not in
// the future. FailedPrecondition: REJECT_IF_MET, and the level is true at the last price.
absl::StatusOr<AlertRecord> CreateAlert(const Definition& definition, const Moment& moment, const ArmingMarket& market);

// The record with `wanted` as its definition; `other_fields_change` says that the caller's note or the like changes
// too, which raises the revision and does not arm. A call that changes nothing gives the record back as it is.
// Arms (armed_revision == revision): a change of the condition, policies, cooldown, hysteresis or sessions, and the one
// update that an EXPIRED alert takes, which moves its expiry past the wall clock and the symbol's last quote. An armed
// alert that was PAUSED stays so, a TRIGGERED or EXPIRED one becomes ACTIVE. InvalidArgument as for Create;
// FailedPrecondition: EXPIRED.
absl::StatusOr<AlertRecord> UpdateAlert(const AlertRecord& record, const Definition& wanted, bool other_fields_change,
                                        const Moment& moment);

// Pausing a paused alert or resuming an active one returns the record unchanged. FailedPrecondition: TRIGGERED or
// EXPIRED.
absl::StatusOr<AlertRecord> PauseAlert(const AlertRecord& record, const Moment& moment);
absl::StatusOr<AlertRecord> ResumeAlert(const AlertRecord& record, const Moment& moment);

// From ACTIVE, PAUSED or TRIGGERED to ACTIVE, armed anew. FailedPrecondition: EXPIRED.
absl::StatusOr<AlertRecord> RearmAlert(const AlertRecord& record, const Moment& moment);

// The deletion as the log carries it: revision raised, deleted set. NotFound where it is deleted already.
absl::StatusOr<AlertRecord> DeleteAlert(const AlertRecord& record);

// The record after a trigger by `trigger_revision` that ends a ONCE alert: TRIGGERED, also over a pause of the same
// arming. A trigger of an arming before the record's present one, or of a deleted alert, gives the record back as it
// is.
AlertRecord RecordTrigger(const AlertRecord& record, int64_t trigger_revision, bool ends_alert);

// True once the wall clock or an accepted quote of the symbol is at or after the expiry.
bool IsPastExpiry(const Definition& definition, const Moment& moment);

// The state the alert is shown in; `previous_close_known` and `day_open_known` are of the symbol's present date, `held`
// says that a split of it is suspected.
AlertState ShownState(const AlertRecord& record, const Moment& moment, bool previous_close_known, bool day_open_known,
                      bool held = false);

// The definition as the log carries it: by then REJECT_IF_MET is decided, so an alert that passed it has
// WAIT_FOR_CROSS.
Definition DefinitionForLog(const Definition& definition);

// Of a refusal by this file: its reason (one of kReason…, empty for another status) and the field it is about (may be
// empty).
std::string RefusalReason(const absl::Status& status);
std::string RefusalField(const absl::Status& status);

}  // namespace stockalert::condition
