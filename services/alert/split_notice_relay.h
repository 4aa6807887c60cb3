// Tells users of splits: finds whose alerts a split has scaled and publishes a notice for each of them to the topic
// `triggers`, apart from the consumer of alert-events, which only writes down that there is a split.
//
// A notice is removed from the outbox after the broker's acknowledgement, so that none is lost by a crash; one that is
// published twice is dropped by the notifier. Notices have no order among triggers. One thread of its own, bounded
// batches; any number of instances may run.
#pragma once

#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "services/alert/split_notice_store.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/producer.h"
#include "services/common/process/liveness.h"

namespace stockalert::alert {

class SplitNoticeRelay {
 public:
  struct Options {
    absl::Duration interval = absl::Seconds(1);
    // From a split to its counting. A CreateAlert that was under way at the split may store an alert in prices of
    // before it until its call and its transaction have ended.
    absl::Duration settle = absl::Seconds(20);
    int alerts_max = 2000;                              // Looked at in one transaction.
    int notices_max = 500;                              // Published at once.
    absl::Duration publish_timeout = absl::Seconds(5);  // For a batch's acknowledgements.
    absl::Duration measure_interval = absl::Seconds(10);
  };

  // All must outlive it.
  SplitNoticeRelay(SplitNoticeStore& store, kafka::Producer& producer, const base::Clock& clock,
                   const Options& options);
  ~SplitNoticeRelay();

  void Start();
  // Asks it to end after the present batch; Stop waits for that.
  void RequestStop();
  void Stop();

  // One round: counts some alerts, or where all are counted publishes some notices. True: there is more to do at once.
  // For the thread and for tests.
  bool RunOnce();

 private:
  void Loop();
  bool PublishBatch();
  // Those that the broker has acknowledged in time.
  std::vector<PassedSplit> Publish(const std::vector<PassedSplit>& notices);
  void EndTold();
  void Measure();

  SplitNoticeStore& store_;
  kafka::Producer& producer_;
  const base::Clock& clock_;
  const Options options_;
  absl::Duration next_measure_ = -absl::InfiniteDuration();  // By the monotonic clock. The thread's own.

  base::Mutex mutex_;
  base::ConditionVariable wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_{"alert_split_notice_relay"};
  std::thread thread_;
};

}  // namespace stockalert::alert
