#include "services/alert/split_notice_relay.h"

#include <memory>
#include <string>

#include "services/alert/alert_rules.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::alert {
namespace {

// Shared with the producer's callbacks, which may outlive the call.
struct OpenBatch {
  base::Mutex mutex;
  base::ConditionVariable answered;
  std::vector<bool> acknowledged ABSL_GUARDED_BY(mutex);
  size_t open ABSL_GUARDED_BY(mutex) = 0;
};

void LogFailure(const char* what, const absl::Status& status) {
  static auto& failures = metrics::GetCounter("stockalert_alert_split_notice_failures_total",
                                              "Failed tries to find or tell the users of a split");
  failures.Increment();
  static log::Limiter limiter(absl::Seconds(5));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning(
        "users cannot be told of a split now; where it stands is kept, and it is tried again: look at the database "
        "and the broker",
        {{"what", what}, {"error", status}, {"suppressed", *suppressed}});
  }
}

prometheus::Counter& Passed() {
  static auto& passed = metrics::GetCounter("stockalert_alert_split_notices_passed_total",
                                            "Notices of splits that the notifier's topic has");
  return passed;
}

}  // namespace

SplitNoticeRelay::SplitNoticeRelay(SplitNoticeStore& store, kafka::Producer& producer, const base::Clock& clock,
                                   const Options& options)
    : store_(store), producer_(producer), clock_(clock), options_(options) {}

SplitNoticeRelay::~SplitNoticeRelay() { Stop(); }

void SplitNoticeRelay::Start() {
  heartbeat_.Beat();
  Passed();  // The first one is a rise.
  thread_ = std::thread([this] { Loop(); });
}

void SplitNoticeRelay::RequestStop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
}

void SplitNoticeRelay::Stop() {
  RequestStop();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

void SplitNoticeRelay::Loop() {
  for (;;) {
    heartbeat_.Beat();
    const bool more = RunOnce();
    Measure();
    base::MutexLock lock(mutex_);
    if (stopping_) return;
    if (!more) {
      wake_.WaitFor(lock, options_.interval, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    }
  }
}

bool SplitNoticeRelay::RunOnce() {
  const absl::StatusOr<bool> counted =
      store_.CountAlerts(clock_.NowUs() - absl::ToInt64Microseconds(options_.settle), options_.alerts_max);
  if (!counted.ok()) {
    LogFailure("count the alerts of a split", counted.status());
    return false;
  }
  // All of a split's alerts before its first notice: a notice says how many of its user's there are.
  return *counted || PublishBatch();
}

bool SplitNoticeRelay::PublishBatch() {
  const absl::StatusOr<std::vector<PassedSplit>> notices = store_.ClaimNotices(clock_.NowUs(), options_.notices_max);
  if (!notices.ok()) {
    LogFailure("claim notices", notices.status());
    return false;
  }
  const std::vector<PassedSplit> acknowledged = Publish(*notices);
  Passed().Increment(static_cast<double>(acknowledged.size()));
  // What is not removed is published again once this instance's claim is over.
  if (const absl::Status status = store_.RemoveNotices(acknowledged); !status.ok()) {
    LogFailure("remove acknowledged notices", status);
    return false;
  }
  EndTold();
  return acknowledged.size() == notices->size() && static_cast<int>(notices->size()) == options_.notices_max;
}

std::vector<PassedSplit> SplitNoticeRelay::Publish(const std::vector<PassedSplit>& notices) {
  if (notices.empty()) return {};
  auto batch = std::make_shared<OpenBatch>();
  {
    base::MutexLock lock(batch->mutex);
    batch->acknowledged.resize(notices.size());
    batch->open = notices.size();
  }
  for (size_t i = 0; i < notices.size(); ++i) {
    producer_.ProduceAsync(kafka::kTriggersTopic, notices[i].user_id, MakeSplitMessage(notices[i]).SerializeAsString(),
                           {}, [batch, i](const absl::StatusOr<kafka::DeliveryReport>& result) {
                             if (!result.ok()) LogFailure("publish a notice", result.status());
                             {
                               base::MutexLock lock(batch->mutex);
                               batch->acknowledged[i] = result.ok();
                               --batch->open;
                             }
                             batch->answered.NotifyOne();
                           });
  }
  base::MutexLock lock(batch->mutex);
  batch->answered.WaitFor(lock, options_.publish_timeout,
                          [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(batch->mutex) { return batch->open == 0; });
  std::vector<PassedSplit> acknowledged;
  for (size_t i = 0; i < notices.size(); ++i) {
    if (batch->acknowledged[i]) acknowledged.push_back(notices[i]);
  }
  return acknowledged;
}

void SplitNoticeRelay::EndTold() {
  const absl::StatusOr<std::vector<ToldSplit>> told = store_.EndTold();
  if (!told.ok()) {
    LogFailure("end the telling of splits", told.status());
    return;
  }
  for (const ToldSplit& split : *told) {
    log::Info("the users of a split are told", {{"symbol", split.symbol},
                                                {"number", split.number},
                                                {"users", split.user_count},
                                                {"alerts", split.alert_count}});
  }
}

void SplitNoticeRelay::Measure() {
  const absl::Duration now = base::MonotonicNow();
  if (now < next_measure_) return;
  next_measure_ = now + options_.measure_interval;
  static auto& open =
      metrics::GetGauge("stockalert_alert_splits_untold", "Splits whose users have not all been told of them");
  const absl::StatusOr<int64_t> count = store_.CountOpen();
  if (!count.ok()) {
    LogFailure("measure", count.status());
    return;
  }
  open.Set(static_cast<double>(*count));
}

}  // namespace stockalert::alert
