// The reasons of the alert service's errors; part of the contract.
#pragma once

namespace stockalert::alert {

inline constexpr char kReasonAlertNotFound[] = "ALERT_NOT_FOUND";
inline constexpr char kReasonUserNotFound[] = "USER_NOT_FOUND";
inline constexpr char kReasonAlertQuota[] = "ALERT_QUOTA";
inline constexpr char kReasonWindowQuota[] = "WINDOW_QUOTA";
inline constexpr char kReasonRequestIdTaken[] = "REQUEST_ID_TAKEN";
inline constexpr char kReasonRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kReasonConditionMet[] = "CONDITION_MET";
inline constexpr char kReasonAlertEnded[] = "ALERT_ENDED";
inline constexpr char kReasonAlertExpired[] = "ALERT_EXPIRED";
inline constexpr char kReasonUnknownDestination[] = "UNKNOWN_DESTINATION";
inline constexpr char kReasonUserServiceUnavailable[] = "USER_SERVICE_UNAVAILABLE";
inline constexpr char kReasonTickerServiceUnavailable[] = "TICKER_SERVICE_UNAVAILABLE";
inline constexpr char kReasonNotifierUnavailable[] = "NOTIFIER_UNAVAILABLE";
inline constexpr char kReasonEvaluatorUnavailable[] = "EVALUATOR_UNAVAILABLE";
// As of the evaluator itself.
inline constexpr char kReasonPartitionNotOwned[] = "PARTITION_NOT_OWNED";

}  // namespace stockalert::alert
