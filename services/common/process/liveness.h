// Alive means progress: this tracks what a process must keep doing, and which of it has not happened for too long.
// /healthz answers by it.
//
//   class Relay {
//     void Run() {
//       for (;;) {
//         // Each round, and each try of a retry: a store that is away must not make the process look dead.
//         heartbeat_.Beat();
//         ...
//       }
//     }
//     process::Heartbeat heartbeat_{"relay"};
//   };
//
// Loops beat a Heartbeat, queues show a Movement. Neither ever asks a store or another service. Ages count only time
// during which the process ran: of a longer gap between two samples (the process or the machine was frozen) only
// kGapMax counts. So a process that continues after ten frozen minutes is not taken for dead, and has its full bound
// for the next round.
//
// Thread-safe; Beat costs two atomic operations.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <unordered_set>

#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"

namespace stockalert::process {

class Heartbeat;
class Movement;

// What one process has to keep doing.
class Liveness {
 public:
  // The default of how long a loop may take for one round, and a queue may stand still.
  static constexpr absl::Duration kBound = absl::Seconds(60);
  // The most that the time between two samples counts. Samples are a second apart.
  static constexpr absl::Duration kGapMax = absl::Seconds(5);

  struct Age {
    absl::Duration age;  // Since the loop's last beat, or since the queue moved.
    absl::Duration bound;
    bool stuck() const { return age > bound; }
  };

  // `clock` must outlive it.
  explicit Liveness(const base::MonotonicClock& clock);
  Liveness(const Liveness&) = delete;
  Liveness& operator=(const Liveness&) = delete;

  // The one of this process. Never destroyed.
  static Liveness& OfProcess();

  // Advances the running time and notes which queues have moved. LivenessWatch calls it every second.
  void Sample();
  // Samples, and returns how long ago each last beat or moved, by name; the oldest where several share a name.
  std::map<std::string, Age> Ages();
  // Samples, and returns those that are stuck.
  std::map<std::string, Age> FindStuck();

 private:
  friend class Heartbeat;
  friend class Movement;
  void SampleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::MonotonicClock& clock_;
  // How long the process has been seen running. Written under mutex_.
  std::atomic<int64_t> running_us_{0};
  base::Mutex mutex_;
  int64_t sampled_us_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<const Heartbeat*> heartbeats_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<Movement*> movements_ ABSL_GUARDED_BY(mutex_);
};

// The rounds of a loop. Watched from the first Beat to End (or its destruction), so that a loop that ends by mistake is
// noticed, too. Names are labels of a metric: from a small fixed set, the same for several loops of one kind.
class Heartbeat {
 public:
  explicit Heartbeat(std::string name, absl::Duration bound = Liveness::kBound,
                     Liveness& liveness = Liveness::OfProcess());
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  void Beat() { beaten_us_.store(liveness_.running_us_.load(std::memory_order_relaxed), std::memory_order_relaxed); }
  // The loop was told to stop and has: nothing is expected of it any more.
  void End() { beaten_us_.store(kNotWatched, std::memory_order_relaxed); }

 private:
  friend class Liveness;
  static constexpr int64_t kNotWatched = -1;

  const std::string name_;
  const absl::Duration bound_;
  Liveness& liveness_;
  std::atomic<int64_t> beaten_us_{kNotWatched};  // In running time.
};

// The movement of a queue. A queue that holds something, but finished nothing for `bound`, is stuck.
class Movement {
 public:
  struct State {
    uint64_t waiting = 0;  // Items queued or being worked on.
    uint64_t done = 0;     // Items finished since the beginning.
  };
  // `read` is called at each sample, on the sampling thread. It must not block, nor take a lock that is held during
  // work.
  Movement(std::string name, std::function<State()> read, absl::Duration bound = Liveness::kBound,
           Liveness& liveness = Liveness::OfProcess());
  ~Movement();
  Movement(const Movement&) = delete;
  Movement& operator=(const Movement&) = delete;

 private:
  friend class Liveness;

  const std::string name_;
  const std::function<State()> read_;
  const absl::Duration bound_;
  Liveness& liveness_;
  uint64_t done_ = 0;     // Guarded by the Liveness's mutex, as what follows.
  int64_t moved_us_ = 0;  // In running time.
};

// Samples every second on a thread of its own. Logs what is stuck, once, and once more when it goes on.
class LivenessWatch {
 public:
  explicit LivenessWatch(Liveness& liveness, absl::Duration interval = absl::Seconds(1));
  ~LivenessWatch();
  LivenessWatch(const LivenessWatch&) = delete;
  LivenessWatch& operator=(const LivenessWatch&) = delete;

 private:
  void Run(absl::Duration interval);

  Liveness& liveness_;
  base::Mutex mutex_;
  base::ConditionVariable stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace stockalert::process
