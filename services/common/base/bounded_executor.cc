#include "services/common/base/bounded_executor.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/time/clock.h"

namespace stockalert::base {

BoundedExecutor::BoundedExecutor(std::string name, size_t threads, size_t queue_max)
    : BoundedExecutor(std::move(name), threads, queue_max, Shares()) {}

BoundedExecutor::BoundedExecutor(std::string name, size_t threads, size_t queue_max, const Shares& shares)
    : name_(std::move(name)), queue_max_(queue_max), shares_(shares) {
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Work(); });
    pthread_setname_np(threads_.back().native_handle(), name_.substr(0, 15).c_str());
  }
}

BoundedExecutor::~BoundedExecutor() {
  Stop(absl::InfinitePast());
  for (std::thread& thread : threads_) thread.join();
}

void BoundedExecutor::GiveTurn(Lines::value_type& line) {
  if (line.second.has_turn || line.second.queue.empty() || line.second.running >= RunningMax(line.first)) return;
  line.second.has_turn = true;
  turns_.push_back(&line);
}

BoundedExecutor::Taken BoundedExecutor::TrySubmit(const std::string& key, std::function<void()> run,
                                                  std::function<void()> drop) {
  {
    MutexLock lock(mutex_);
    if (closed_) return Taken::kStopped;
    if (queued_ >= queue_max_) return Taken::kQueueFull;
    const auto line = lines_.try_emplace(key).first;
    // A line that is there has tasks: a refusal leaves none behind that has not.
    if (!key.empty() && line->second.queue.size() + line->second.running >= shares_.tasks_max) return Taken::kShareFull;
    line->second.queue.push_back(Task{std::move(run), std::move(drop)});
    ++queued_;
    ++unfinished_;
    GiveTurn(*line);
  }
  work_.NotifyOne();
  return Taken::kYes;
}

bool BoundedExecutor::Stop(absl::Time deadline) {
  std::deque<Task> dropped;
  bool all_ran = false;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    work_.NotifyAll();
    const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return queued_ == 0 && in_flight_ == 0; };
    // Not even for a moment, once the time is over.
    if (const absl::Duration left = deadline - absl::Now(); left > absl::ZeroDuration()) {
      idle_.WaitFor(lock, left, ended);
    }
    all_ran = ended();
    for (auto& [key, line] : lines_) {
      std::move(line.queue.begin(), line.queue.end(), std::back_inserter(dropped));
      line.queue.clear();
      line.has_turn = false;
    }
    std::erase_if(lines_, [](const auto& line) { return line.second.running == 0; });
    turns_.clear();
    queued_ = 0;
    unfinished_ -= dropped.size();
  }
  work_.NotifyAll();
  for (Task& task : dropped) {
    if (task.drop) task.drop();
  }
  return all_ran;
}

size_t BoundedExecutor::queued() const {
  MutexLock lock(mutex_);
  return queued_;
}

size_t BoundedExecutor::in_flight() const {
  MutexLock lock(mutex_);
  return in_flight_;
}

void BoundedExecutor::Work() {
  MutexLock lock(mutex_);
  for (;;) {
    work_.Wait(lock,
               [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !turns_.empty() || (closed_ && queued_ == 0); });
    if (turns_.empty()) return;
    Lines::value_type& line = *turns_.front();
    turns_.pop_front();
    line.second.has_turn = false;
    Task task = std::move(line.second.queue.front());
    line.second.queue.pop_front();
    --queued_;
    ++line.second.running;
    ++in_flight_;
    GiveTurn(line);
    // Another one's turn, or the end for all: whoever waits looks again.
    if (!turns_.empty()) work_.NotifyOne();
    if (closed_ && queued_ == 0) work_.NotifyAll();
    lock.Unlock();
    task.run();
    task = Task{};  // What the task holds goes before it counts as ended.
    lock.Lock();
    --line.second.running;
    --in_flight_;
    ++finished_;
    --unfinished_;
    GiveTurn(line);
    if (line.second.running == 0 && line.second.queue.empty()) lines_.erase(lines_.find(line.first));
    if (closed_) idle_.NotifyAll();
  }
}

}  // namespace stockalert::base
