// The reasons of the evaluator's answers on its internal port; the alert service passes them on, so they are part of
// the contract.
#pragma once

namespace stockalert::evaluator {

inline constexpr char kReasonAlertNotApplied[] = "ALERT_NOT_APPLIED";
inline constexpr char kReasonPartitionNotOwned[] = "PARTITION_NOT_OWNED";
inline constexpr char kReasonPartitionRestoring[] = "PARTITION_RESTORING";
inline constexpr char kReasonPartitionStopped[] = "PARTITION_STOPPED";
inline constexpr char kReasonEvaluatorBusy[] = "EVALUATOR_BUSY";
inline constexpr char kReasonEvaluatorStopping[] = "EVALUATOR_STOPPING";

}  // namespace stockalert::evaluator
