// A fixed number of threads behind a bounded queue: where blocking work (databases, other services) goes, away from
// gRPC's threads.
//
// Fair: each key (a user) waits in a line of its own, the lines take turns, and no key has all of the queue or all of
// the threads.
//
// Thread-safe. Work beyond the queue is refused at once instead of waiting. Each accepted task ends in exactly one of
// two ways: `run` is called, or `drop` is (when Stop's deadline came first). Tasks must be bounded themselves because
// the threads are joined; an exception that leaves a task ends the process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/common/base/mutex.h"

namespace stockalert::base {

class BoundedExecutor {
 public:
  struct Shares {
    // Tasks of one key that may wait or run at once.
    size_t tasks_max = std::numeric_limits<size_t>::max();
    // Threads that one key may keep busy.
    size_t running_max = std::numeric_limits<size_t>::max();
  };
  enum class Taken { kYes, kQueueFull, kShareFull, kStopped };

  // `name` names the threads (15 characters at most are shown).
  BoundedExecutor(std::string name, size_t threads, size_t queue_max);
  BoundedExecutor(std::string name, size_t threads, size_t queue_max, const Shares& shares);
  // Drops what still waits and joins the threads.
  ~BoundedExecutor();
  BoundedExecutor(const BoundedExecutor&) = delete;
  BoundedExecutor& operator=(const BoundedExecutor&) = delete;

  // False: the queue is full or the executor is stopped; neither function will be called.
  bool TrySubmit(std::function<void()> run, std::function<void()> drop = {}) {
    return TrySubmit(std::string(), std::move(run), std::move(drop)) == Taken::kYes;
  }
  // For a key. The empty key is the service's own work: it takes turns like the others, but has no share that limits
  // it.
  Taken TrySubmit(const std::string& key, std::function<void()> run, std::function<void()> drop = {});

  // Accepts no more tasks, waits until `deadline` for those accepted, then drops those that have not started. True:
  // all of them ran. Each thread ends with its present task; the destructor joins them.
  bool Stop(absl::Time deadline);

  size_t queued() const;
  // Tasks that are running now.
  size_t in_flight() const;
  // Tasks that wait or run; and tasks finished since the beginning. Neither takes a lock, so that a watchdog can call
  // them.
  uint64_t unfinished() const { return unfinished_.load(std::memory_order_relaxed); }
  uint64_t finished() const { return finished_.load(std::memory_order_relaxed); }

 private:
  struct Task {
    std::function<void()> run;
    std::function<void()> drop;
  };
  struct Line {
    std::deque<Task> queue;
    size_t running = 0;
    bool has_turn = false;  // Is in turns_: has tasks and may run one more.
  };
  using Lines = std::unordered_map<std::string, Line>;
  void Work();
  size_t RunningMax(const std::string& key) const {
    return key.empty() ? std::numeric_limits<size_t>::max() : shares_.running_max;
  }
  void GiveTurn(Lines::value_type& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string name_;
  const size_t queue_max_;
  const Shares shares_;
  mutable Mutex mutex_;
  ConditionVariable work_;
  ConditionVariable idle_;
  Lines lines_ ABSL_GUARDED_BY(mutex_);                           // Those with tasks.
  std::deque<Lines::value_type*> turns_ ABSL_GUARDED_BY(mutex_);  // Lines do not move while they are in their map.
  size_t queued_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;  // Takes no more.
  std::atomic<uint64_t> unfinished_{0};
  std::atomic<uint64_t> finished_{0};
  std::vector<std::thread> threads_;
};

}  // namespace stockalert::base
