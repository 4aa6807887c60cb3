// Decides which fetcher publishes: keeps this fetcher's epoch the highest, or stands by while another fetcher has it.
//
// Readers of the log accept quotes of the highest epoch only and drop all others as repeated, so a fetcher with a lower
// epoch would publish in vain. It learns that here, from the ticker service, within a second. It then stands by,
// publishes nothing and leaves the source alone, until the other fetcher releases the lease or has not renewed it for
// `takeover_after`; then it acquires a new epoch. Whether the other is alive shows in a count that it raises, not by
// anybody's clock. The same call also finds quotes in the log of epochs that the ticker service does not know (its
// database was restored from a backup); then a new epoch is acquired at once.
//
// One thread of its own, from Start to Stop. While the ticker service does not answer, nothing changes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"

namespace stockalert::fetcher {

// The calls to the ticker service about the lease. Thread-safe; blocks for seconds at most.
class LeaseKeeper {
 public:
  struct Lease {
    int64_t highest_epoch = 0;
    int64_t renewals = 0;
    bool released = false;
    int64_t log_epoch = 0;
  };
  virtual ~LeaseKeeper() = default;
  // UNIMPLEMENTED: a ticker service of version 0.1.
  virtual absl::StatusOr<Lease> Renew(int64_t epoch, bool release) = 0;
  // ABORTED: another epoch is the highest by now.
  virtual absl::StatusOr<int64_t> Acquire(int64_t if_highest_is) = 0;
};

struct PublisherLeaseOptions {
  absl::Duration interval = absl::Milliseconds(500);
  absl::Duration takeover_after = absl::Seconds(3);
};

// The rules alone; not thread-safe, no I/O of its own but the keeper's calls.
class LeaseTurns {
 public:
  // Whether publishing continues as before, starts with this epoch, or must stop.
  struct Change {
    enum class Kind { kNone, kLost, kGained } kind = Kind::kNone;
    int64_t epoch = 0;
  };
  // Starts with `epoch`, which was just acquired. The keeper and the clock must outlive it.
  LeaseTurns(LeaseKeeper& keeper, const base::MonotonicClock& monotonic_clock, absl::Duration takeover_after,
             int64_t epoch)
      : keeper_(keeper), clock_(monotonic_clock), takeover_after_(takeover_after), epoch_(epoch) {}
  Change RunOnce();
  void Release();
  bool holds() const { return holds_; }

 private:
  Change TakeOver(int64_t highest_epoch);

  LeaseKeeper& keeper_;
  const base::MonotonicClock& clock_;
  const absl::Duration takeover_after_;
  int64_t epoch_;
  bool holds_ = true;
  // While it stands by: the last answer, and since when it has been the same.
  int64_t seen_epoch_ = 0;
  int64_t seen_renewals_ = 0;
  int64_t seen_since_us_ = 0;
};

class PublisherLease {
 public:
  // Both callbacks are called on the lease's thread.
  PublisherLease(std::unique_ptr<LeaseKeeper> keeper, const PublisherLeaseOptions& options,
                 std::function<void()> on_lost, std::function<void(int64_t epoch)> on_gained);
  ~PublisherLease();

  void Start(int64_t epoch);
  // Releases the lease.
  void Stop();
  bool holds() const { return holds_; }

 private:
  void Run(int64_t epoch);

  const std::unique_ptr<LeaseKeeper> keeper_;
  const PublisherLeaseOptions options_;
  const std::function<void()> on_lost_;
  const std::function<void(int64_t)> on_gained_;
  process::Heartbeat heartbeat_{"fetcher_lease"};
  std::atomic<bool> holds_{true};
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace stockalert::fetcher
