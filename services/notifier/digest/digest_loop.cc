#include "services/notifier/digest/digest_loop.h"

#include <algorithm>
#include <utility>

#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::notifier {
namespace {

prometheus::Counter& Ended(const char* how) {
  return metrics::GetCounter("stockalert_notifier_held_ended_total",
                             "Deliveries that are held no longer, by what became of them", {{"outcome", how}});
}

prometheus::Counter& Digests() {
  return metrics::GetCounter("stockalert_notifier_digests_total", "Notifications of the kind DIGEST that were made");
}

prometheus::Counter& Failures() {
  // The delivery worker's, too.
  return metrics::GetCounter("stockalert_delivery_store_failures_total",
                             "Failed accesses to the deliveries in the database");
}

prometheus::Gauge& Lateness() {
  return metrics::GetGauge("stockalert_notifier_digest_lateness_seconds",
                           "How long after it was due the oldest of the last digests was made");
}

}  // namespace

DigestLoop::DigestLoop(const DigestLoopOptions& options, DigestStore& store, const base::Clock& clock,
                       OnQueued on_queued)
    : options_(options), store_(store), clock_(clock), on_queued_(std::move(on_queued)) {
  for (const char* how : {"digested", "released", "cancelled"}) Ended(how);
  Digests();
  Failures();
  Lateness();
}

DigestLoop::~DigestLoop() { Stop(); }

void DigestLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void DigestLoop::Wake() {
  base::MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyOne();
}

void DigestLoop::Stop() {
  if (!thread_.joinable()) return;
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  thread_.join();
}

void DigestLoop::Run() {
  bool more = false;
  do {
    heartbeat_.Beat();
    more = RunOnce();
  } while (!Wait(more ? absl::ZeroDuration() : options_.poll_interval));
  heartbeat_.End();
}

bool DigestLoop::Wait(absl::Duration patience) {
  base::MutexLock lock(mutex_);
  if (patience > absl::ZeroDuration()) {
    changed_.WaitFor(lock, patience, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return woken_ || stopping_; });
  }
  woken_ = false;
  return stopping_;
}

bool DigestLoop::RunOnce() {
  const int64_t now_us = clock_.NowUs();
  const absl::StatusOr<DigestResult> made = store_.MakeDigests(options_.bounds, now_us);
  if (!made.ok()) {
    Failures().Increment();
    static log::Limiter limiter(absl::Seconds(30));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("digests cannot be made; what is held waits: see whether the database answers",
                   {{"error", made.status()}, {"suppressed", *suppressed}});
    }
    return false;
  }
  Digests().Increment(made->digests);
  Ended("digested").Increment(static_cast<double>(made->digested));
  Ended("released").Increment(static_cast<double>(made->released));
  Ended("cancelled").Increment(static_cast<double>(made->cancelled));
  if (made->oldest_due_us)
    Lateness().Set(static_cast<double>(std::max<int64_t>(now_us - *made->oldest_due_us, 0)) / 1e6);
  if (!made->users.empty()) on_queued_(made->users);
  return made->more;
}

}  // namespace stockalert::notifier
