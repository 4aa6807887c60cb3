#include "services/alert/trigger_relay.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {
namespace {

// Alerts whose rows are read at once.
constexpr size_t kLoadAlertsMax = 200;

void LogFailure(const char* what, const absl::Status& status) {
  static auto& failures = metrics::GetCounter("stockalert_alert_relay_failures_total", "Failed tries of the trigger relay");
  failures.Increment();
  static log::Limiter limiter(absl::Seconds(5));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning("triggers cannot be passed on now; they stay in the outbox and are tried again",
                 {{"what", what}, {"error", status}, {"suppressed", *suppressed}});
  }
}

}  // namespace

TriggerRelay::TriggerRelay(AlertStore& store, kafka::Producer& producer, const base::Clock& clock, const Options& options)
    : store_(store), producer_(producer), clock_(clock), options_(options) {}

TriggerRelay::~TriggerRelay() { Stop(absl::Now()); }

void TriggerRelay::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Loop(); });
}

void TriggerRelay::Stop(absl::Time deadline) {
  {
    std::lock_guard lock(shared_->mutex);
    if (!shared_->stopping) stop_by_ = deadline;
    shared_->stopping = true;
  }
  shared_->wake.notify_all();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

void TriggerRelay::Add(const AppliedEvents& applied) {
  if (applied.passed.empty()) return;
  const std::set<std::string> with_older(applied.alerts_with_older.begin(), applied.alerts_with_older.end());
  {
    std::lock_guard lock(shared_->mutex);
    for (const PassedTrigger& trigger : applied.passed) {
      // Once one of an alert's was left out, all later ones are: the outbox has them in order.
      if (shared_->added.size() >= options_.held_max || shared_->overflowed.count(trigger.alert_id) > 0) {
        shared_->overflowed.insert(trigger.alert_id);
        continue;
      }
      shared_->added.emplace_back(trigger, with_older.count(trigger.alert_id) > 0);
    }
  }
  shared_->wake.notify_all();
}

void TriggerRelay::Loop() {
  for (;;) {
    heartbeat_.Beat();
    std::vector<Answer> answers;
    std::vector<std::pair<PassedTrigger, bool>> added;
    std::set<std::string> overflowed;
    bool stopping = false;
    {
      std::unique_lock lock(shared_->mutex);
      const absl::Time now = absl::Now();
      absl::Time until = next_sweep_;
      if (!to_remove_.empty()) until = std::min(until, next_remove_);
      if (!runnable_.empty() || !to_load_.empty()) until = std::min(until, std::max(now, next_try_));
      if (shared_->stopping) until = std::min({until, stop_by_, now + absl::Milliseconds(10)});
      const absl::Duration wait = std::clamp(until - now, absl::ZeroDuration(), absl::Seconds(1));
      shared_->wake.wait_for(lock, absl::ToChronoMicroseconds(wait), [&] {
        return !shared_->answers.empty() || !shared_->added.empty() || !shared_->overflowed.empty() || shared_->stopping;
      });
      answers.swap(shared_->answers);
      added.swap(shared_->added);
      overflowed.swap(shared_->overflowed);
      stopping = shared_->stopping;
    }
    TakeAnswers(answers);
    if (stopping) {
      RemoveAcknowledged();
      if (in_flight_ == 0 || absl::Now() >= stop_by_) return;
      continue;
    }
    TakeAdded(std::move(added), overflowed);
    const absl::Time now = absl::Now();
    if (now >= next_sweep_) {
      next_sweep_ = now + options_.sweep_interval;
      Sweep();
    }
    if (now >= next_try_) {
      Reload();
      Dispatch();
    }
    if (!to_remove_.empty() && (now >= next_remove_ || to_remove_.size() >= static_cast<size_t>(options_.rows_max))) RemoveAcknowledged();
  }
}

void TriggerRelay::MakeRunnable(const std::string& alert_id, const Queue& queue) {
  if (!queue.in_flight && !queue.triggers.empty()) runnable_.push_back(alert_id);
}

void TriggerRelay::TakeAnswers(const std::vector<Answer>& answers) {
  static auto& passed = metrics::GetCounter("stockalert_alert_triggers_passed_total", "Triggers that the notifier's topic has");
  for (const Answer& answer : answers) {
    --in_flight_;
    Queue& queue = queues_.at(answer.alert_id);
    queue.in_flight = false;
    if (!answer.acknowledged) {
      next_try_ = absl::Now() + options_.retry_after;
      MakeRunnable(answer.alert_id, queue);
      continue;
    }
    passed.Increment();
    if (to_remove_.empty()) next_remove_ = absl::Now() + options_.remove_after;
    to_remove_.push_back({answer.alert_id, queue.triggers.front().number});
    queue.triggers.pop_front();
    --held_;
    if (!queue.triggers.empty()) {
      MakeRunnable(answer.alert_id, queue);
      continue;
    }
    if (queue.partial) to_load_.insert(answer.alert_id);
    queues_.erase(answer.alert_id);
  }
}

void TriggerRelay::TakeAdded(std::vector<std::pair<PassedTrigger, bool>> added, const std::set<std::string>& overflowed) {
  for (auto& [trigger, has_older] : added) {
    if (to_load_.count(trigger.alert_id) > 0) continue;  // Will be read with the rest.
    const auto found = queues_.find(trigger.alert_id);
    if (found == queues_.end() && has_older) {
      // Older rows that this instance does not hold, or has acknowledged and not removed yet, go first.
      to_load_.insert(trigger.alert_id);
      continue;
    }
    if (found != queues_.end() && found->second.partial) continue;  // Will be read once the queue is empty.
    if (held_ >= options_.held_max) {
      if (found != queues_.end()) found->second.partial = true;
      continue;  // The sweep finds it.
    }
    Queue& queue = found != queues_.end() ? found->second : queues_[trigger.alert_id];
    // Read from the outbox already, between its commit and this.
    if (!queue.triggers.empty() && trigger.number <= queue.triggers.back().number) continue;
    if (!queue.triggers.empty() && trigger.number != queue.triggers.back().number + 1) {
      // One between is missing: withheld, or put into the outbox by another instance. The outbox knows.
      queue.partial = true;
      continue;
    }
    const bool idle = queue.triggers.empty();
    const std::string alert_id = trigger.alert_id;
    queue.triggers.push_back(std::move(trigger));
    ++held_;
    if (idle) MakeRunnable(alert_id, queue);
  }
  for (const std::string& alert_id : overflowed) {
    if (const auto found = queues_.find(alert_id); found != queues_.end()) found->second.partial = true;
  }
}

void TriggerRelay::Sweep() {
  if (held_ >= options_.held_max) return;
  absl::StatusOr<std::vector<std::string>> claimed = store_.ClaimTriggers(clock_.NowUs(), options_.rows_max);
  if (!claimed.ok()) {
    LogFailure("claim triggers in the outbox", claimed.status());
    return;
  }
  for (std::string& alert_id : *claimed) {
    if (queues_.count(alert_id) == 0) to_load_.insert(std::move(alert_id));
  }
}

void TriggerRelay::Reload() {
  // What is acknowledged and still in the outbox would be read, and published, again.
  if (!to_load_.empty() && !to_remove_.empty()) RemoveAcknowledged();
  while (!to_load_.empty() && held_ < options_.held_max) {
    heartbeat_.Beat();
    std::vector<std::string> ids;
    for (auto it = to_load_.begin(); it != to_load_.end() && ids.size() < kLoadAlertsMax; ++it) ids.push_back(*it);
    absl::StatusOr<std::vector<PassedTrigger>> rows = store_.LoadTriggers(ids, options_.rows_max);
    if (!rows.ok()) {
      LogFailure("read triggers from the outbox", rows.status());
      next_try_ = absl::Now() + options_.retry_after;
      return;
    }
    // Rows come by alert; where the limit cut them off, the last alert has perhaps more, and those after it were not looked at.
    const bool cut = rows->size() >= static_cast<size_t>(options_.rows_max);
    const std::string last = cut ? rows->back().alert_id : std::string();
    for (const std::string& id : ids) {
      if (!cut || id <= last) to_load_.erase(id);
    }
    for (PassedTrigger& row : *rows) {
      Queue& queue = queues_[row.alert_id];
      if (row.alert_id == last) queue.partial = true;
      if (queue.triggers.empty()) runnable_.push_back(row.alert_id);
      queue.triggers.push_back(std::move(row));
      ++held_;
    }
  }
}

void TriggerRelay::Dispatch() {
  while (!runnable_.empty() && in_flight_ < options_.in_flight_max) {
    const std::string alert_id = std::move(runnable_.front());
    runnable_.pop_front();
    const auto found = queues_.find(alert_id);
    if (found == queues_.end() || found->second.in_flight || found->second.triggers.empty()) continue;
    found->second.in_flight = true;
    ++in_flight_;
    const PassedTrigger& trigger = found->second.triggers.front();
    producer_.ProduceAsync(kafka::kTriggersTopic, trigger.user_id, trigger.message, kafka::TraceHeaders(trigger.traceparent),
                           [shared = shared_, alert_id](const absl::StatusOr<kafka::Delivery>& result) {
                             if (!result.ok()) LogFailure("publish a trigger", result.status());
                             {
                               std::lock_guard lock(shared->mutex);
                               shared->answers.push_back({alert_id, result.ok()});
                             }
                             shared->wake.notify_all();
                           });
  }
}

void TriggerRelay::RemoveAcknowledged() {
  while (!to_remove_.empty()) {
    heartbeat_.Beat();
    const size_t count = std::min(to_remove_.size(), static_cast<size_t>(options_.rows_max));
    const std::vector<TriggerId> batch(to_remove_.begin(), to_remove_.begin() + static_cast<std::ptrdiff_t>(count));
    if (const absl::Status status = store_.RemoveTriggers(batch); !status.ok()) {
      LogFailure("remove acknowledged triggers from the outbox", status);
      next_remove_ = absl::Now() + options_.retry_after;
      return;
    }
    to_remove_.erase(to_remove_.begin(), to_remove_.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace stockalert::alert
