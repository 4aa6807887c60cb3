#include "services/alert/trigger_relay.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {
namespace {

// Alerts whose rows are read at once.
constexpr size_t kLoadAlertsMax = 200;

prometheus::Counter& RefusedTriggers() {
  static auto& refused = metrics::GetCounter("stockalert_alert_triggers_refused_total",
                                             "Tries of triggers that Kafka cannot take as they are");
  return refused;
}

void LogFailure(const char* what, const absl::Status& status) {
  static auto& failures =
      metrics::GetCounter("stockalert_alert_relay_failures_total", "Failed tries of the trigger relay");
  failures.Increment();
  static log::Limiter limiter(absl::Seconds(5));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning("triggers cannot be passed on now; they stay in the outbox and are tried again",
                 {{"what", what}, {"error", status}, {"suppressed", *suppressed}});
  }
}

}  // namespace

TriggerRelay::TriggerRelay(OutboxStore& store, kafka::Producer& producer, const base::Clock& clock,
                           const Options& options)
    : store_(store), producer_(producer), clock_(clock), options_(options) {}

TriggerRelay::~TriggerRelay() { Stop(absl::Now()); }

void TriggerRelay::Start() {
  heartbeat_.Beat();
  RefusedTriggers();  // The first one is a rise.
  thread_ = std::thread([this] { Loop(); });
}

void TriggerRelay::Stop(absl::Time deadline) {
  {
    base::MutexLock lock(shared_->mutex);
    if (!shared_->stopping) stop_by_ = base::ToMonotonic(deadline);
    shared_->stopping = true;
  }
  shared_->wake.NotifyAll();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

void TriggerRelay::Add(const AppliedEvents& applied) {
  if (applied.passed.empty()) return;
  const std::set<std::string> with_older(applied.alerts_with_older.begin(), applied.alerts_with_older.end());
  {
    base::MutexLock lock(shared_->mutex);
    for (const PassedTrigger& trigger : applied.passed) {
      size_t& of_user = shared_->added_of[trigger.user_id];
      // Once one of an alert's was left out, all later ones are: the outbox has them in order.
      if (shared_->added.size() >= options_.held_max || of_user >= options_.held_of_user_max ||
          shared_->overflowed.count(trigger.alert_id) > 0) {
        shared_->overflowed.emplace(trigger.alert_id, trigger.user_id);
        continue;
      }
      ++of_user;
      shared_->added.push_back({trigger, with_older.count(trigger.alert_id) > 0});
    }
  }
  shared_->wake.NotifyAll();
}

void TriggerRelay::Loop() {
  for (;;) {
    heartbeat_.Beat();
    std::vector<Answer> answers;
    std::vector<Added> added;
    std::map<std::string, std::string> overflowed;
    bool stopping = false;
    {
      base::MutexLock lock(shared_->mutex);
      const absl::Duration now = base::MonotonicNow();
      absl::Duration until = next_sweep_;
      if (!to_remove_.empty()) until = std::min(until, next_remove_);
      if (HasWork()) until = std::min(until, std::max(now, next_try_));
      if (shared_->stopping) until = std::min({until, stop_by_, now + absl::Milliseconds(10)});
      const absl::Duration wait = std::clamp(until - now, absl::ZeroDuration(), absl::Seconds(1));
      shared_->wake.WaitFor(lock, wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared_->mutex) {
        return !shared_->answers.empty() || !shared_->added.empty() || !shared_->overflowed.empty() ||
               shared_->stopping;
      });
      answers.swap(shared_->answers);
      added.swap(shared_->added);
      overflowed.swap(shared_->overflowed);
      shared_->added_of.clear();
      stopping = shared_->stopping;
    }
    HandleAnswers(answers);
    if (stopping) {
      RemoveAcknowledged();
      if (in_flight_ == 0 || base::MonotonicNow() >= stop_by_) return;
      continue;
    }
    HandleAdded(std::move(added), overflowed);
    const absl::Duration now = base::MonotonicNow();
    if (now >= next_try_) Dispatch();
    if (now >= next_sweep_) {
      next_sweep_ = now + options_.sweep_interval;
      ClaimFromOutbox();
    }
    if (now >= next_try_) {
      LoadFromOutbox();
      Dispatch();
    }
    if (!to_remove_.empty() && (now >= next_remove_ || to_remove_.size() >= static_cast<size_t>(options_.rows_max)))
      RemoveAcknowledged();
  }
}

bool TriggerRelay::HasRoom(const std::string& user_id) const {
  const auto held = held_of_.find(user_id);
  return held_ < options_.held_max && (held == held_of_.end() || held->second < options_.held_of_user_max);
}

bool TriggerRelay::HasWork() const {
  if (in_flight_ < options_.in_flight_max &&
      (!runnable_.empty() ||
       (!runnable_throttled_.empty() && throttled_in_flight_ < options_.throttled_in_flight_max))) {
    return true;
  }
  return std::any_of(to_load_.begin(), to_load_.end(), [this](const auto& entry) { return HasRoom(entry.first); });
}

void TriggerRelay::CountHeld(const std::string& user_id) {
  ++held_;
  ++held_of_[user_id];
}

void TriggerRelay::CountReleased(const std::string& user_id) {
  --held_;
  const auto held = held_of_.find(user_id);
  if (--held->second == 0) held_of_.erase(held);
}

void TriggerRelay::LoadLater(const std::string& alert_id, const std::string& user_id) {
  if (to_load_ids_.insert(alert_id).second) to_load_[user_id].insert(alert_id);
}

void TriggerRelay::MakeRunnable(const std::string& alert_id, const Queue& queue) {
  if (queue.in_flight || queue.triggers.empty()) return;
  const PassedTrigger& next = queue.triggers.front();
  (next.throttled ? runnable_throttled_ : runnable_).Push(next.user_id, alert_id);
}

void TriggerRelay::HandleAnswers(const std::vector<Answer>& answers) {
  static auto& passed =
      metrics::GetCounter("stockalert_alert_triggers_passed_total", "Triggers that the notifier's topic has");
  for (const Answer& answer : answers) {
    Queue& queue = queues_.at(answer.alert_id);
    --in_flight_;
    if (queue.triggers.front().throttled) --throttled_in_flight_;
    queue.in_flight = false;
    if (answer.refused) {
      RefusedTriggers().Increment();
      // Forgotten here; the outbox has them, and the sweep finds them once this instance's claim is over.
      for (const PassedTrigger& trigger : queue.triggers) CountReleased(trigger.user_id);
      queues_.erase(answer.alert_id);
      continue;
    }
    if (!answer.acknowledged) {
      next_try_ = base::MonotonicNow() + options_.retry_after;
      MakeRunnable(answer.alert_id, queue);
      continue;
    }
    passed.Increment();
    if (to_remove_.empty()) next_remove_ = base::MonotonicNow() + options_.remove_after;
    to_remove_.push_back({answer.alert_id, queue.triggers.front().number});
    const std::string user_id = std::move(queue.triggers.front().user_id);
    queue.triggers.pop_front();
    CountReleased(user_id);
    if (!queue.triggers.empty()) {
      MakeRunnable(answer.alert_id, queue);
      continue;
    }
    if (queue.partial) LoadLater(answer.alert_id, user_id);
    queues_.erase(answer.alert_id);
  }
}

void TriggerRelay::HandleAdded(std::vector<Added> added, const std::map<std::string, std::string>& overflowed) {
  for (auto& [trigger, has_older] : added) {
    if (to_load_ids_.count(trigger.alert_id) > 0) continue;  // Will be read with the rest.
    const auto found = queues_.find(trigger.alert_id);
    if (found == queues_.end() && has_older) {
      // Older rows that this instance does not hold, or has acknowledged and not removed yet, go first.
      LoadLater(trigger.alert_id, trigger.user_id);
      continue;
    }
    if (found != queues_.end() && found->second.partial) continue;  // Will be read once the queue is empty.
    if (!HasRoom(trigger.user_id)) {
      if (found != queues_.end()) {
        found->second.partial = true;
      } else {
        LoadLater(trigger.alert_id, trigger.user_id);
      }
      continue;
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
    CountHeld(trigger.user_id);
    queue.triggers.push_back(std::move(trigger));
    if (idle) MakeRunnable(alert_id, queue);
  }
  for (const auto& [alert_id, user_id] : overflowed) {
    if (const auto found = queues_.find(alert_id); found != queues_.end()) {
      found->second.partial = true;
    } else {
      LoadLater(alert_id, user_id);
    }
  }
}

void TriggerRelay::ClaimFromOutbox() {
  absl::StatusOr<std::vector<AlertOwner>> claimed = store_.ClaimTriggers(clock_.NowUs(), options_.rows_max);
  if (!claimed.ok()) {
    LogFailure("claim triggers in the outbox", claimed.status());
    return;
  }
  for (const AlertOwner& owner : *claimed) {
    if (queues_.count(owner.alert_id) == 0) LoadLater(owner.alert_id, owner.user_id);
  }
}

// One query a turn, of alerts of all users that have room: what is in memory goes out in between.
void TriggerRelay::LoadFromOutbox() {
  std::vector<std::string> ids;
  std::set<std::string> served;
  // In the order of users after the last one read; within a user's alerts as many as there is room for.
  auto user = to_load_.upper_bound(last_loaded_user_);
  for (size_t looked = 0; looked < to_load_.size() && ids.size() < kLoadAlertsMax; ++looked, ++user) {
    if (user == to_load_.end()) user = to_load_.begin();
    if (!HasRoom(user->first)) continue;
    const size_t share = std::max<size_t>(kLoadAlertsMax / to_load_.size(), 1);
    size_t taken = 0;
    for (auto id = user->second.begin(); id != user->second.end() && taken < share && ids.size() < kLoadAlertsMax;
         ++id, ++taken)
      ids.push_back(*id);
    served.insert(user->first);
    last_loaded_user_ = user->first;
  }
  if (ids.empty()) return;
  // What is acknowledged and still in the outbox would be read, and published, again.
  if (!to_remove_.empty()) RemoveAcknowledged();
  const int rows_max = std::max(options_.rows_of_alert_max, 1);
  absl::StatusOr<std::vector<PassedTrigger>> rows = store_.LoadTriggers(ids, rows_max);
  if (!rows.ok()) {
    LogFailure("read triggers from the outbox", rows.status());
    next_try_ = base::MonotonicNow() + options_.retry_after;
    return;
  }
  for (const std::string& id : ids) to_load_ids_.erase(id);
  for (const std::string& user_id : served) {
    std::set<std::string>& waiting = to_load_.at(user_id);
    for (const std::string& id : ids) waiting.erase(id);
    if (waiting.empty()) to_load_.erase(user_id);
  }
  std::map<std::string, int> counts;
  for (PassedTrigger& row : *rows) {
    Queue& queue = queues_[row.alert_id];
    // There may be more of it than was read.
    if (++counts[row.alert_id] == rows_max) queue.partial = true;
    CountHeld(row.user_id);
    const bool idle = queue.triggers.empty();
    const std::string alert_id = row.alert_id;
    queue.triggers.push_back(std::move(row));
    if (idle) MakeRunnable(alert_id, queue);
  }
}

void TriggerRelay::Dispatch() {
  while (in_flight_ < options_.in_flight_max) {
    const bool throttled = runnable_.empty();
    if (throttled && (runnable_throttled_.empty() || throttled_in_flight_ >= options_.throttled_in_flight_max)) return;
    const std::string alert_id = (throttled ? runnable_throttled_ : runnable_).Pop().second;
    // MakeRunnable's, once: neither under way nor empty.
    Queue& queue = queues_.at(alert_id);
    queue.in_flight = true;
    ++in_flight_;
    const PassedTrigger& trigger = queue.triggers.front();
    if (trigger.throttled) ++throttled_in_flight_;
    producer_.ProduceAsync(
        kafka::kTriggersTopic, trigger.user_id, trigger.message, kafka::TraceHeaders(trigger.traceparent),
        [shared = shared_, alert_id](const absl::StatusOr<kafka::DeliveryReport>& result) {
          const bool refused = absl::IsInvalidArgument(result.status());
          if (refused) {
            log::Error(
                "Kafka cannot take a trigger as it is: it stays in the outbox with its alert's later ones, and is "
                "tried again; others pass (is max.message.bytes of the topic triggers below 64 KiB?)",
                {{"alert", alert_id}, {"error", result.status()}});
          } else if (!result.ok()) {
            LogFailure("publish a trigger", result.status());
          }
          {
            base::MutexLock lock(shared->mutex);
            shared->answers.push_back({alert_id, result.ok(), refused});
          }
          shared->wake.NotifyAll();
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
      next_remove_ = base::MonotonicNow() + options_.retry_after;
      return;
    }
    to_remove_.erase(to_remove_.begin(), to_remove_.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace stockalert::alert
