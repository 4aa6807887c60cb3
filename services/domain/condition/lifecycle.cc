#include "services/domain/condition/lifecycle.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace stockalert::condition {
namespace {

constexpr char kReasonPayload[] = "stockalert.refusal/reason";
constexpr char kFieldPayload[] = "stockalert.refusal/field";

absl::Status Refusal(absl::StatusCode code, const char* reason, const std::string& message, const char* field = "") {
  absl::Status status(code, message);
  status.SetPayload(kReasonPayload, absl::Cord(reason));
  if (field[0] != '\0') status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

absl::Status Deleted() {
  return Refusal(absl::StatusCode::kNotFound, kReasonAlertDeleted, "the alert does not exist (it was deleted)");
}

absl::Status Expired(const char* what) {
  return Refusal(absl::StatusCode::kFailedPrecondition, kReasonAlertExpired,
                 absl::StrCat("the alert has expired, so it cannot be ", what,
                              ": move expire_time into the future first, which arms it anew"));
}

absl::Status Triggered(const char* what) {
  return Refusal(
      absl::StatusCode::kFailedPrecondition, kReasonAlertTriggered,
      absl::StrCat("the alert has triggered and is at its end, so it cannot be ", what, ": rearm it instead"));
}

absl::Status ExpiryNotInFuture() {
  return Refusal(absl::StatusCode::kInvalidArgument, kReasonExpiryNotInFuture, "expire_time must be in the future",
                 "expire_time");
}

absl::Status CheckDefinition(const Definition& definition) {
  const std::optional<Violation> violation = FindViolation(definition);
  if (!violation.has_value()) return absl::OkStatus();
  return Refusal(absl::StatusCode::kInvalidArgument, kReasonInvalidDefinition,
                 absl::StrCat(violation->field, " ", violation->description), violation->field);
}

bool IsSetInThePast(const std::optional<int64_t>& expire_time_us, const Moment& moment) {
  return moment.refuse_past_expiry && expire_time_us.has_value() && *expire_time_us <= moment.wall_time_us;
}

// EXPIRED as the user sees it: an alert that has triggered once and for all is TRIGGERED, whatever its expiry.
bool IsExpired(const AlertRecord& record, const Moment& moment) {
  return !record.triggered && IsPastExpiry(record.definition, moment);
}

void Arm(AlertRecord& record) {
  record.armed_revision = record.revision;
  record.triggered = false;
}

std::string Payload(const absl::Status& status, const char* name) {
  const absl::optional<absl::Cord> payload = status.GetPayload(name);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::StatusOr<AlertRecord> CreateAlert(const Definition& definition, const Moment& moment,
                                        const ArmingMarket& market) {
  if (absl::Status status = CheckDefinition(definition); !status.ok()) return status;
  if (IsSetInThePast(definition.expire_time_us, moment)) return ExpiryNotInFuture();
  if (definition.creation_policy == CreationPolicy::kRejectIfMet && IsMetAtArming(definition, market)) {
    return Refusal(absl::StatusCode::kFailedPrecondition, kReasonConditionAlreadyMet,
                   "the condition is met by the last price already, and creation policy REJECT_IF_MET refuses that: "
                   "choose another level, or FIRE_IF_MET or WAIT_FOR_CROSS");
  }
  AlertRecord record;
  record.definition = definition;
  return record;
}

absl::StatusOr<AlertRecord> UpdateAlert(const AlertRecord& record, const Definition& wanted, bool other_fields_change,
                                        const Moment& moment) {
  if (record.deleted) return Deleted();
  // One that a split has brought where nobody could have set it goes on as it is.
  const bool definition_changes = record.definition.ArmsWhenChangedTo(wanted);
  if (absl::Status status = CheckDefinition(wanted); definition_changes && !status.ok()) return status;
  const bool expiry_moves = wanted.expire_time_us != record.definition.expire_time_us;
  if (expiry_moves && IsSetInThePast(wanted.expire_time_us, moment)) return ExpiryNotInFuture();
  const bool was_expired = IsExpired(record, moment);
  if (was_expired && (!expiry_moves || IsPastExpiry(wanted, moment))) {
    return Refusal(absl::StatusCode::kFailedPrecondition, kReasonAlertExpired,
                   "the alert has expired: it takes only an update that moves expire_time past now and past its "
                   "symbol's last quote, which arms it anew");
  }
  const bool arms = was_expired || definition_changes;
  if (!arms && !expiry_moves && !other_fields_change) return record;
  AlertRecord changed = record;
  changed.definition = wanted;
  ++changed.revision;
  if (arms) {
    if (was_expired || record.triggered) changed.paused = false;
    Arm(changed);
  }
  return changed;
}

absl::StatusOr<AlertRecord> PauseAlert(const AlertRecord& record, const Moment& moment) {
  if (record.deleted) return Deleted();
  if (record.triggered) return Triggered("paused");
  if (IsExpired(record, moment)) return Expired("paused");
  if (record.paused) return record;
  AlertRecord changed = record;
  ++changed.revision;
  changed.paused = true;
  return changed;
}

absl::StatusOr<AlertRecord> ResumeAlert(const AlertRecord& record, const Moment& moment) {
  if (record.deleted) return Deleted();
  if (record.triggered) return Triggered("resumed");
  if (IsExpired(record, moment)) return Expired("resumed");
  if (!record.paused) return record;
  AlertRecord changed = record;
  ++changed.revision;
  changed.paused = false;
  return changed;
}

absl::StatusOr<AlertRecord> RearmAlert(const AlertRecord& record, const Moment& moment) {
  if (record.deleted) return Deleted();
  if (IsExpired(record, moment)) return Expired("rearmed");
  AlertRecord changed = record;
  ++changed.revision;
  changed.paused = false;
  Arm(changed);
  return changed;
}

absl::StatusOr<AlertRecord> DeleteAlert(const AlertRecord& record) {
  if (record.deleted) return Deleted();
  AlertRecord changed = record;
  ++changed.revision;
  changed.deleted = true;
  return changed;
}

AlertRecord RecordTrigger(const AlertRecord& record, int64_t trigger_revision, bool ends_alert) {
  AlertRecord changed = record;
  if (ends_alert && !record.deleted && trigger_revision >= record.armed_revision) changed.triggered = true;
  return changed;
}

bool IsPastExpiry(const Definition& definition, const Moment& moment) {
  if (!definition.expire_time_us.has_value()) return false;
  const int64_t expire_time_us = *definition.expire_time_us;
  return moment.wall_time_us >= expire_time_us ||
         (moment.last_event_time_us.has_value() && *moment.last_event_time_us >= expire_time_us);
}

AlertState ShownState(const AlertRecord& record, const Moment& moment, bool previous_close_known, bool day_open_known,
                      bool held) {
  if (record.deleted) return AlertState::kDeleted;
  if (record.triggered) return AlertState::kTriggered;
  if (IsPastExpiry(record.definition, moment)) return AlertState::kExpired;
  if (record.paused) return AlertState::kPaused;
  if (held) return AlertState::kHeld;
  if (NeedsPreviousClose(record.definition) && !previous_close_known) return AlertState::kWaiting;
  if (NeedsDayOpen(record.definition) && !day_open_known) return AlertState::kWaiting;
  return AlertState::kActive;
}

Definition DefinitionForLog(const Definition& definition) {
  Definition logged = definition;
  if (logged.creation_policy == CreationPolicy::kRejectIfMet) logged.creation_policy = CreationPolicy::kWaitForCross;
  return logged;
}

std::string RefusalReason(const absl::Status& status) { return Payload(status, kReasonPayload); }
std::string RefusalField(const absl::Status& status) { return Payload(status, kFieldPayload); }

}  // namespace stockalert::condition
