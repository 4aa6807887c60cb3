#include "services/notifier/watch_hub.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::notifier {
namespace {

// Users in one query of the poll.
constexpr size_t kPolledUsersMax = 5000;
constexpr int kRoundsMax = 8;

void ObserveDelivery(const std::vector<StoredNotification>& sent, int64_t opened_us) {
  static auto& seconds =
      metrics::GetHistogram("stockalert_notifier_stream_delivery_seconds",
                            "From a notification being stored to its being handed to a stream that was open then");
  const int64_t now_us = absl::ToUnixMicros(absl::Now());
  for (const StoredNotification& notification : sent) {
    if (notification.create_time_us < opened_us) continue;
    seconds.Observe(static_cast<double>(std::max<int64_t>(now_us - notification.create_time_us, 0)) / 1e6);
  }
}

}  // namespace

UserWatch::UserWatch(std::string user_id, int64_t after_sequence, std::shared_ptr<WatchClient> client,
                     NotificationStore& store, Submit submit)
    : user_id_(std::move(user_id)),
      opened_us_(absl::ToUnixMicros(absl::Now())),
      client_(std::move(client)),
      store_(store),
      submit_(std::move(submit)),
      position_(after_sequence) {}

std::pair<int64_t, int64_t> UserWatch::Place() {
  base::MutexLock lock(mutex_);
  return {position_, known_sequence_};
}

int64_t UserWatch::position() {
  base::MutexLock lock(mutex_);
  return position_;
}

void UserWatch::Wake(int64_t known_sequence) {
  {
    base::MutexLock lock(mutex_);
    known_sequence_ = std::max(known_sequence_, known_sequence);
    if (running_) {
      again_ = true;
      return;
    }
    running_ = true;
  }
  const auto not_run = [self = shared_from_this()] {
    base::MutexLock lock(self->mutex_);
    self->running_ = false;
  };
  // Where there is no thread for it now, the poll wakes it again.
  if (!submit_([self = shared_from_this()] { self->Run(); }, not_run)) not_run();
}

void UserWatch::Run() {
  static auto& failures =
      metrics::GetCounter("stockalert_notifier_watch_read_failures_total", "Pages of streams that could not be read");
  // A stream that always has more lets others run in between.
  for (int round = 0; round < kRoundsMax; ++round) {
    bool more = false;
    if (client_->HasRoom()) {
      const auto [after, known] = Place();
      const absl::StatusOr<std::vector<StoredNotification>> page = store_.ListAfter(user_id_, after, kWatchPageMax);
      if (!page.ok()) {
        // The poll wakes the stream again, once the database answers.
        failures.Increment();
      } else if (page->empty()) {
        // What there is up to `known` is nothing for streams, and nothing comes between any more.
        base::MutexLock lock(mutex_);
        position_ = std::max(position_, known);
      } else if (client_->Send(*page)) {
        ObserveDelivery(*page, opened_us_);
        base::MutexLock lock(mutex_);
        position_ = page->back().sequence;
        more = page->size() == kWatchPageMax;
      }
    }
    base::MutexLock lock(mutex_);
    more = more || again_;
    again_ = false;
    if (more) continue;
    running_ = false;
    return;
  }
  {
    base::MutexLock lock(mutex_);
    running_ = false;
  }
  Wake();
}

WatchHub::WatchHub(NotificationStore& store, absl::Duration poll_interval)
    : store_(store),
      poll_interval_(poll_interval),
      heartbeat_("notifier_watch_poll", process::Liveness::kBound + poll_interval),
      poller_([this] { Poll(); }) {}

WatchHub::~WatchHub() { Stop(); }

void WatchHub::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (poller_.joinable()) poller_.join();
  heartbeat_.End();
}

void WatchHub::Add(const std::shared_ptr<UserWatch>& watch) {
  {
    base::MutexLock lock(mutex_);
    watches_[watch->user_id()].insert(watch);
  }
  watch->Wake();
}

void WatchHub::Remove(const std::shared_ptr<UserWatch>& watch) {
  base::MutexLock lock(mutex_);
  const auto found = watches_.find(watch->user_id());
  if (found == watches_.end()) return;
  found->second.erase(watch);
  if (found->second.empty()) watches_.erase(found);
}

void WatchHub::Wake(const std::vector<std::string>& user_ids) {
  std::vector<std::shared_ptr<UserWatch>> woken;
  {
    base::MutexLock lock(mutex_);
    for (const std::string& id : user_ids) {
      const auto found = watches_.find(id);
      if (found != watches_.end()) woken.insert(woken.end(), found->second.begin(), found->second.end());
    }
  }
  for (const std::shared_ptr<UserWatch>& watch : woken) watch->Wake();
}

void WatchHub::Poll() {
  heartbeat_.Beat();
  base::MutexLock lock(mutex_);
  while (
      !changed_.WaitFor(lock, poll_interval_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; })) {
    lock.Unlock();
    heartbeat_.Beat();
    PollOnce();
    lock.Lock();
  }
}

void WatchHub::PollOnce() {
  static auto& failures =
      metrics::GetCounter("stockalert_notifier_watch_poll_failures_total", "Polls for new notifications that failed");
  std::vector<std::vector<std::string>> portions;
  {
    base::MutexLock lock(mutex_);
    for (const auto& [id, watches] : watches_) {
      if (portions.empty() || portions.back().size() >= kPolledUsersMax) portions.emplace_back();
      portions.back().push_back(id);
    }
  }
  for (const std::vector<std::string>& ids : portions) {
    heartbeat_.Beat();
    const absl::StatusOr<std::map<std::string, int64_t>> last = store_.LastSequences(ids);
    if (!last.ok()) {
      failures.Increment();
      static log::Limiter limiter(absl::Seconds(10));
      if (const auto suppressed = limiter.Allow()) {
        log::Warning("new notifications cannot be looked for now; streams wait",
                     {{"status", last.status()}, {"suppressed", *suppressed}});
      }
      return;
    }
    std::vector<std::pair<std::shared_ptr<UserWatch>, int64_t>> behind;
    {
      base::MutexLock lock(mutex_);
      for (const auto& [id, sequence] : *last) {
        const auto found = watches_.find(id);
        if (found == watches_.end()) continue;
        for (const std::shared_ptr<UserWatch>& watch : found->second) {
          if (watch->position() < sequence) behind.emplace_back(watch, sequence);
        }
      }
    }
    for (const auto& [watch, sequence] : behind) watch->Wake(sequence);
  }
}

}  // namespace stockalert::notifier
