#include "services/common/base/bounded_executor.h"

#include <pthread.h>

#include <utility>

#include "absl/time/clock.h"

namespace stockalert::base {

BoundedExecutor::BoundedExecutor(std::string name, size_t threads, size_t queue_max)
    : name_(std::move(name)), queue_max_(queue_max) {
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

bool BoundedExecutor::TrySubmit(std::function<void()> run, std::function<void()> drop) {
  {
    std::lock_guard lock(mutex_);
    if (closed_ || queue_.size() >= queue_max_) return false;
    queue_.push_back(Task{std::move(run), std::move(drop)});
    ++unfinished_;
  }
  work_.notify_one();
  return true;
}

bool BoundedExecutor::Stop(absl::Time deadline) {
  std::deque<Task> dropped;
  bool all_ran = false;
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    work_.notify_all();
    const auto ended = [this] { return queue_.empty() && in_flight_ == 0; };
    if (deadline > absl::Now()) {
      idle_.wait_until(lock, absl::ToChronoTime(deadline), ended);
    }
    all_ran = ended();
    dropped.swap(queue_);
    unfinished_ -= dropped.size();
  }
  work_.notify_all();
  for (Task& task : dropped) {
    if (task.drop) task.drop();
  }
  return all_ran;
}

size_t BoundedExecutor::queued() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

size_t BoundedExecutor::in_flight() const {
  std::lock_guard lock(mutex_);
  return in_flight_;
}

void BoundedExecutor::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Task task = std::move(queue_.front());
    queue_.pop_front();
    ++in_flight_;
    lock.unlock();
    task.run();
    task = Task{};  // What the task holds goes before it counts as ended.
    lock.lock();
    --in_flight_;
    ++finished_;
    --unfinished_;
    if (closed_) idle_.notify_all();
  }
}

}  // namespace stockalert::base
