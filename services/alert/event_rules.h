// Applies the evaluator's events in one transaction, each event at most once, however often it arrives.
//
// Does no I/O but through the transaction's steps; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"
#include "services/alert/event_store.h"

namespace stockalert::alert {

struct AppliedEvents {
  // The triggers just added to the outbox; those of one alert in order.
  std::vector<PassedTrigger> passed;
  // The alerts among them with older triggers in the outbox, which must be sent first.
  std::vector<std::string> alerts_with_older;
  int64_t triggers_recorded = 0;  // New ones, withheld ones included.
  int64_t triggers_repeated = 0;  // Known already.
  int64_t triggers_withheld = 0;
  int64_t triggers_throttled = 0;  // New ones that are passed on after the others.
  int64_t splits_recorded = 0;     // New ones.
  int64_t triggers_unknown = 0;    // Of alerts that this store has never heard of, or has forgotten.
};

// Splits are remembered, before triggers are judged: what is said of these is said in prices of after them.
// Confirmations close changes. Triggers are recorded, change the shown state, and go to the outbox unless they are
// withheld. Of a symbol's statuses the one with the highest place in the log wins. A trigger is throttled if
// batch.triggers_per_minute triggers of its user with an event time in the same minute were recorded before it,
// withheld ones not counted. After an error of the store nothing was done, or the outcome is unknown: apply the batch
// again.
absl::StatusOr<AppliedEvents> ApplyEvents(EventStore& store, const EventBatch& batch, int64_t now_us);

}  // namespace stockalert::alert
