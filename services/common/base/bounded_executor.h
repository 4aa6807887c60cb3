// A fixed number of threads behind a bounded queue: where blocking work (databases, other services) goes, away from gRPC's threads.
//
// Thread-safe. Work beyond the queue is refused at once instead of waiting. Each accepted task ends in exactly one of two ways: `run`
// is called, or `drop` is (when Stop's deadline came first). Tasks must be bounded themselves, for threads are joined; an exception
// that leaves a task ends the process.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace stockalert::base {

class BoundedExecutor {
 public:
  // `name` names the threads (15 characters at most are shown).
  BoundedExecutor(std::string name, size_t threads, size_t queue_max);
  // Drops what still waits and joins the threads.
  ~BoundedExecutor();
  BoundedExecutor(const BoundedExecutor&) = delete;
  BoundedExecutor& operator=(const BoundedExecutor&) = delete;

  // False: the queue is full or the executor is stopped; neither function will be called.
  bool TrySubmit(std::function<void()> run, std::function<void()> drop = {});

  // Takes no more, and waits for what was accepted until `deadline`; then drops what has not begun. True: everything ran. Afterwards
  // the threads end as soon as their present task does; the destructor joins them.
  bool Stop(absl::Time deadline);

  size_t queued() const;
  // Tasks that are running now.
  size_t in_flight() const;
  // Tasks that wait or run, and those that ran to their end, since the beginning. Take no lock: for those who watch from outside.
  uint64_t unfinished() const { return unfinished_.load(std::memory_order_relaxed); }
  uint64_t finished() const { return finished_.load(std::memory_order_relaxed); }

 private:
  struct Task {
    std::function<void()> run;
    std::function<void()> drop;
  };
  void Work();

  const std::string name_;
  const size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  std::deque<Task> queue_;  // Guarded by mutex_.
  size_t in_flight_ = 0;    // Guarded by mutex_.
  bool closed_ = false;     // Guarded by mutex_: takes no more.
  std::atomic<uint64_t> unfinished_{0};
  std::atomic<uint64_t> finished_{0};
  std::vector<std::thread> threads_;
};

}  // namespace stockalert::base
