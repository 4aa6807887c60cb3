#include "services/alert/change_publisher.h"

#include <algorithm>
#include <memory>

#include "absl/time/clock.h"
#include "services/alert/alert_rules.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {
namespace {

// Shared with the producer's callbacks, which may outlive the call.
struct Pending {
  base::Mutex mutex;
  base::ConditionVariable answered;
  std::vector<bool> acknowledged ABSL_GUARDED_BY(mutex);
  size_t open ABSL_GUARDED_BY(mutex) = 0;
};

prometheus::Counter& Published(const char* result) {
  return metrics::GetCounter("stockalert_alert_changes_published_total",
                             "Changes of alerts handed to the log, by what came of it", {{"result", result}});
}

}  // namespace

ChangePublisher::ChangePublisher(kafka::Producer& producer, const base::MonotonicClock& clock, const Options& options)
    : producer_(producer), clock_(clock), options_(options) {}

bool ChangePublisher::degraded() const { return clock_.NowUs() < degraded_until_us_.load(std::memory_order_relaxed); }

std::vector<std::string> ChangePublisher::Publish(const std::vector<StoredAlert>& alerts, std::string_view traceparent,
                                                  absl::Time deadline) {
  static prometheus::Counter& acknowledged = Published("acknowledged");
  static prometheus::Counter& unanswered = Published("unanswered");
  if (alerts.empty()) return {};
  auto pending = std::make_shared<Pending>();
  {
    base::MutexLock lock(pending->mutex);
    pending->acknowledged.resize(alerts.size());
    pending->open = alerts.size();
  }
  const kafka::Headers headers = kafka::TraceHeaders(traceparent);
  for (size_t i = 0; i < alerts.size(); ++i) {
    const std::string value = MakeLogRecord(alerts[i]).SerializeAsString();
    producer_.ProduceAsync(kafka::kPricesTopic, alerts[i].symbol, value, headers,
                           [pending, i](const absl::StatusOr<kafka::DeliveryReport>& result) {
                             {
                               base::MutexLock lock(pending->mutex);
                               pending->acknowledged[i] = result.ok();
                               --pending->open;
                             }
                             pending->answered.NotifyOne();
                           });
  }
  const absl::Duration longest = degraded() ? options_.wait_max_degraded : options_.wait_max;
  const absl::Duration wait = std::max(absl::ZeroDuration(), std::min(longest, deadline - absl::Now()));
  std::vector<std::string> failed;
  {
    base::MutexLock lock(pending->mutex);
    pending->answered.WaitFor(lock, wait,
                              [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(pending->mutex) { return pending->open == 0; });
    for (size_t i = 0; i < alerts.size(); ++i) {
      if (!pending->acknowledged[i]) failed.push_back(alerts[i].id);
    }
  }
  acknowledged.Increment(static_cast<double>(alerts.size() - failed.size()));
  unanswered.Increment(static_cast<double>(failed.size()));
  if (failed.empty()) {
    degraded_until_us_.store(0, std::memory_order_relaxed);
  } else {
    // A deadline shorter than the usual wait says nothing about the broker.
    if (wait >= longest) {
      degraded_until_us_.store(clock_.NowUs() + absl::ToInt64Microseconds(options_.degraded_for),
                               std::memory_order_relaxed);
    }
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning(
          "the log did not acknowledge changes of alerts in time: they stay open and are published again; look at the "
          "broker",
          {{"changes", failed.size()}, {"suppressed", *suppressed}});
    }
  }
  return failed;
}

}  // namespace stockalert::alert
