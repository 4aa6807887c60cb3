// Keeps the log up to date with the store: publishes unconfirmed changes again, opens changes for ResyncAlerts, and
// forgets old tombstones.
//
// One thread of its own; any number of instances may run (rows are claimed, and publishing twice is harmless).
// RequestResync is thread-safe. While the log does not answer, it sends single changes, and returns to batches after
// the first acknowledgement.
#pragma once

#include <deque>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/alert/change_log.h"
#include "services/alert/outbox_store.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"

namespace stockalert::alert {

class OutboxSweeper {
 public:
  struct Options {
    absl::Duration interval = absl::Milliseconds(500);
    int batch_max = 500;
    // How long the sweeper waits for the acknowledgements of a batch, and how soon it tries again what got none.
    absl::Duration publish_timeout = absl::Seconds(5);
    absl::Duration retry_after = absl::Seconds(2);
    absl::Duration measure_interval = absl::Seconds(10);
    absl::Duration purge_interval = absl::Minutes(10);
    absl::Duration tombstones_kept = absl::Hours(7 * 24);
    size_t resyncs_max = 16;
  };

  // All must outlive it.
  OutboxSweeper(OutboxStore& store, ChangeLog& log, const base::Clock& clock, const Options& options);
  ~OutboxSweeper();

  void Start();
  // Ends after the present batch.
  void Stop();

  // Queues every alert (on `symbol`, where not empty) to be published again. RESOURCE_EXHAUSTED: too many such requests
  // wait.
  absl::Status RequestResync(const std::string& symbol);

  // One round: due changes, one batch of a resync, gauges. True: there is more to do at once. For the thread and for
  // tests.
  bool RunOnce();

 private:
  struct Resync {
    std::string symbol;
    std::string after_alert_id;
    int64_t count = 0;
    bool begun = false;
  };
  void Loop();
  bool SweepBatch();
  bool ResyncBatch();
  void MeasureAndPurge();

  OutboxStore& store_;
  ChangeLog& log_;
  const base::Clock& clock_;
  const Options options_;
  // The thread's own.
  bool log_answers_ = true;
  absl::Duration next_measure_ = -absl::InfiniteDuration();  // By the monotonic clock.
  absl::Duration next_purge_ = -absl::InfiniteDuration();

  base::Mutex mutex_;
  base::ConditionVariable wake_;
  std::deque<Resync> resyncs_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_{"alert_outbox_sweeper"};
  std::thread thread_;
};

}  // namespace stockalert::alert
