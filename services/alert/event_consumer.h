// Reads the topics `alert-events` and `user-events` as a member of the alert service's group and applies them. Users
// take turns, so that a user whose alerts trigger all the time delays nobody else.
//
// See kafka::GroupWorker and dead_letter::SettlingHandler for outages, rebalances, and records that cannot be stored.
#pragma once

#include <functional>
#include <string>

#include "services/alert/event_applier.h"
#include "services/common/dead_letter/settling_handler.h"
#include "services/common/kafka/group_worker.h"

namespace stockalert::alert {

// Sizes and metrics of this service's worker.
kafka::GroupWorkerOptions EventWorkerOptions();

class EventConsumer {
 public:
  // `applier`, `dead_letters` and `clock` must outlive it.
  EventConsumer(kafka::GroupWorker::MakeConsumer make, EventApplier& applier,
                dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock,
                const kafka::GroupWorkerOptions& options, const dead_letter::HeldOptions& held = {});

  void Start() { worker_.Start(); }
  void Stop() { worker_.Stop(); }

 private:
  dead_letter::SettlingHandler handler_;
  kafka::GroupWorker worker_;
};

}  // namespace stockalert::alert
