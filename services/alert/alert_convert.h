// Converts alerts and triggers between the public API's messages and the service's own types.
//
// Pure and thread-safe. Reading collects every violation and names it by its field
// ("alert.condition.price_target.price").
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"
#include "services/common/base/error.h"
#include "stockalert/alert/v1/alert.pb.h"

namespace stockalert::alert {

inline constexpr size_t kNoteCharactersMax = 500;
inline constexpr char kAlertPattern[] = "users/{user}/alerts/{alert}";
inline constexpr char kTriggerPattern[] = "users/{user}/alerts/{alert}/triggers/{n}";
inline constexpr char kDestinationPattern[] = "users/{user}/destinations/{destination}";
inline constexpr char kUserPattern[] = "users/{user}";

// A new alert of this user with the defaults filled in; none: there were violations. Their fields start with `prefix`
// ("alert", "requests[3].alert").
std::optional<WantedAlert> ReadNewAlert(const v1::Alert& message, const std::string& user_id, std::string_view prefix,
                                        base::FieldViolations& violations);

// The fields that UpdateAlert may change; and those of them that the message sets.
const std::set<std::string>& UpdatableFields();
std::set<std::string> FieldsSetIn(const v1::Alert& message);

// The present alert with the named fields of the message. INVALID_ARGUMENT with every violation, a symbol other than
// the present one included.
absl::StatusOr<WantedAlert> ReadPatch(const v1::Alert& message, const std::set<std::string>& fields,
                                      const StoredAlert& present);

// The ids of the destinations that the message names, for an alert of this user. INVALID_ARGUMENT.
absl::StatusOr<std::vector<std::string>> ReadDestinations(const v1::Alert& message, const std::string& user_id);

void WriteCondition(const condition::Condition& condition, v1::Condition& message);

v1::Alert ToMessage(const ShownAlert& view, int64_t now_us);
v1::Trigger ToMessage(const RecordedTrigger& trigger);

// A refusal of condition/lifecycle as an error of the API. `field_prefix` is put before its field ("alert.").
enum class Call { kCreate, kUpdate, kStateChange };
absl::Status ToApiError(const absl::Status& refusal, Call call, std::string_view field_prefix);

// The states of a ListAlerts filter; UNSPECIFIED and unknown ones are violations.
std::vector<ShownState> ReadStates(const v1::ListAlertsRequest& request, base::FieldViolations& violations);

}  // namespace stockalert::alert
