#include "services/common/process/liveness.h"

#include <pthread.h>

#include <algorithm>
#include <set>
#include <utility>

#include "services/common/log/log.h"

namespace stockalert::process {

Liveness::Liveness(const base::MonotonicClock& clock) : clock_(clock), sampled_us_(clock.NowUs()) {}

Liveness& Liveness::OfProcess() {
  static const auto* const clock = new base::SystemMonotonicClock;
  static auto* const liveness = new Liveness(*clock);
  return *liveness;
}

void Liveness::Sample() {
  base::MutexLock lock(mutex_);
  SampleLocked();
}

void Liveness::SampleLocked() {
  const int64_t now_us = clock_.NowUs();
  const int64_t passed_us = std::clamp<int64_t>(now_us - sampled_us_, 0, absl::ToInt64Microseconds(kGapMax));
  sampled_us_ = now_us;
  const int64_t running_us = running_us_.load(std::memory_order_relaxed) + passed_us;
  running_us_.store(running_us, std::memory_order_relaxed);
  for (Movement* movement : movements_) {
    const Movement::State state = movement->read_();
    if (state.waiting > 0 && state.done == movement->done_) continue;
    movement->done_ = state.done;
    movement->moved_us_ = running_us;
  }
}

std::map<std::string, Liveness::Age> Liveness::Ages() {
  std::map<std::string, Age> ages;
  base::MutexLock lock(mutex_);
  SampleLocked();
  const int64_t running_us = running_us_.load(std::memory_order_relaxed);
  const auto add = [&](const std::string& name, int64_t last_us, absl::Duration bound) {
    const Age age{absl::Microseconds(running_us - last_us), bound};
    const auto [found, is_new] = ages.try_emplace(name, age);
    if (!is_new && age.age - age.bound > found->second.age - found->second.bound) found->second = age;
  };
  for (const Heartbeat* heartbeat : heartbeats_) {
    const int64_t beaten_us = heartbeat->beaten_us_.load(std::memory_order_relaxed);
    if (beaten_us != Heartbeat::kNotWatched) add(heartbeat->name_, beaten_us, heartbeat->bound_);
  }
  for (const Movement* movement : movements_) add(movement->name_, movement->moved_us_, movement->bound_);
  return ages;
}

std::map<std::string, Liveness::Age> Liveness::FindStuck() {
  std::map<std::string, Age> stuck = Ages();
  std::erase_if(stuck, [](const auto& one) { return !one.second.stuck(); });
  return stuck;
}

Heartbeat::Heartbeat(std::string name, absl::Duration bound, Liveness& liveness)
    : name_(std::move(name)), bound_(bound), liveness_(liveness) {
  base::MutexLock lock(liveness_.mutex_);
  liveness_.heartbeats_.insert(this);
}

Heartbeat::~Heartbeat() {
  base::MutexLock lock(liveness_.mutex_);
  liveness_.heartbeats_.erase(this);
}

Movement::Movement(std::string name, std::function<State()> read, absl::Duration bound, Liveness& liveness)
    : name_(std::move(name)), read_(std::move(read)), bound_(bound), liveness_(liveness) {
  base::MutexLock lock(liveness_.mutex_);
  moved_us_ = liveness_.running_us_.load(std::memory_order_relaxed);
  liveness_.movements_.insert(this);
}

Movement::~Movement() {
  base::MutexLock lock(liveness_.mutex_);
  liveness_.movements_.erase(this);
}

LivenessWatch::LivenessWatch(Liveness& liveness, absl::Duration interval)
    : liveness_(liveness), thread_([this, interval] { Run(interval); }) {
  pthread_setname_np(thread_.native_handle(), "liveness");
}

LivenessWatch::~LivenessWatch() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stopped_.NotifyAll();
  thread_.join();
}

void LivenessWatch::Run(absl::Duration interval) {
  std::set<std::string> told;
  base::MutexLock lock(mutex_);
  while (!stopped_.WaitFor(lock, interval, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; })) {
    lock.Unlock();
    std::set<std::string> stuck;
    for (const auto& [name, age] : liveness_.FindStuck()) {
      stuck.insert(name);
      if (told.contains(name)) continue;
      log::Error("a loop or a queue is stuck: /healthz fails until it goes on, so that the process is started anew",
                 {{"loop", name}, {"last_turn_ago", age.age}, {"bound", age.bound}});
    }
    for (const std::string& name : told) {
      if (!stuck.contains(name)) log::Warning("a loop or a queue that was stuck goes on", {{"loop", name}});
    }
    told = std::move(stuck);
    lock.Lock();
  }
}

}  // namespace stockalert::process
