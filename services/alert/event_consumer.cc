#include "services/alert/event_consumer.h"

#include <utility>

#include "services/common/kafka/topic_admin.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {

kafka::GroupWorkerOptions EventWorkerOptions() {
  kafka::GroupWorkerOptions options;
  options.name = "alert_events";
  options.metrics.waiting =
      &metrics::GetGauge("stockalert_alert_events_waiting", "Records that were read and wait for their users' turns");
  options.metrics.records =
      &metrics::GetCounter("stockalert_alert_records_total", "Records read from alert-events and user-events");
  options.metrics.failures = &metrics::GetCounter("stockalert_alert_apply_failures_total",
                                                  "Batches of events that the store did not take at once");
  options.metrics.delay_seconds =
      &metrics::GetHistogram("stockalert_alert_event_delay_seconds",
                             "From the broker's append of an event to its being applied, of the oldest of each batch");
  return options;
}

EventConsumer::EventConsumer(kafka::GroupWorker::MakeConsumer make, EventApplier& applier,
                             dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock,
                             const kafka::GroupWorkerOptions& options, const dead_letter::HeldOptions& held)
    : handler_({kafka::kAlertEventsTopic, kafka::kUserEventsTopic}, applier, dead_letters, clock, held),
      worker_(std::move(make), handler_, options) {}

}  // namespace stockalert::alert
