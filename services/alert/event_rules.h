// What becomes of what the evaluator tells, each part at most once for ever: the steps of one transaction.
//
// Pure but for the steps that it takes; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"
#include "services/alert/event_store.h"

namespace stockalert::alert {

struct AppliedEvents {
  // The triggers that the outbox got now, an alert's in order.
  std::vector<PassedTrigger> passed;
  // The alerts among them that have older triggers in the outbox, which must go first.
  std::vector<std::string> alerts_with_older;
  int64_t triggers_recorded = 0;  // New ones, withheld ones included.
  int64_t triggers_repeated = 0;  // Known already.
  int64_t triggers_withheld = 0;
  int64_t triggers_throttled = 0;  // New ones that are passed on after the others.
  int64_t triggers_unknown = 0;    // Of alerts that this store has never heard of, or has forgotten.
};

// Confirmations close changes, triggers are recorded and move the shown state and are put into the outbox unless they
// are withheld, statuses win by their place. A trigger is throttled if batch.triggers_per_minute of its user's with an
// event time in the same minute were recorded, and not withheld, before it. An error of the store: nothing was done, or
// it is not known; to be tried again.
absl::StatusOr<AppliedEvents> ApplyEvents(EventStore& store, const EventBatch& batch, int64_t now_us);

}  // namespace stockalert::alert
