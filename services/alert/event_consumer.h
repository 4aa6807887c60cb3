// Reads the topics `alert-events` and `user-events` and has them applied: offsets are committed only after what they
// stand for is durable.
//
// Fairness: what was read waits in a bounded queue in which users take turns (kafka::RecordQueue); each batch that is
// applied has a share of every user who waits, so that one whose alerts trigger all the time delays nobody else. An
// offset is committed once it and all before it are done.
//
// One thread of its own. While the store does not answer, the batch is tried again with growing pauses; after a while
// the consumer leaves its group, so that another instance may have better luck, and joins again. A place that the log
// has no more is an error in the log, and reading goes on at the oldest record. A record that can never be applied goes
// to the dead letters; one that must not be passed holds its own partition (dead_letter::Settle).
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/alert/event_applier.h"
#include "services/common/dead_letter/dead_letter.h"
#include "services/common/dead_letter/held_partitions.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/record_queue.h"
#include "services/common/process/liveness.h"

namespace stockalert::alert {

class EventConsumer {
 public:
  struct Options {
    size_t poll_max = 5'000;    // Records read at once.
    size_t held_max = 100'000;  // Records that wait in memory; beyond it reading waits.
    size_t batch_max = 300;     // Records applied at once: what comes meanwhile waits for them.
    absl::Duration poll_timeout = absl::Milliseconds(200);
    // Below the group's poll interval.
    absl::Duration give_up_after = absl::Minutes(2);
    dead_letter::HeldOptions held = {};
  };

  // Makes a consumer that has not joined its group yet.
  using MakeConsumer = std::function<absl::StatusOr<std::unique_ptr<kafka::GroupConsumer>>()>;

  // Answers the error of `make`. `applier`, `dead_letters` and `clock` must outlive it.
  static absl::StatusOr<std::unique_ptr<EventConsumer>> Create(MakeConsumer make, EventApplier& applier,
                                                               dead_letter::DeadLetterStore& dead_letters,
                                                               const base::Clock& clock, const Options& options);
  ~EventConsumer();

  void Start();
  // Ends after the present batch; what was not applied is read again by whoever comes next.
  void Stop();

 private:
  EventConsumer(MakeConsumer make, std::unique_ptr<kafka::GroupConsumer> consumer, EventApplier& applier,
                dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock, const Options& options);
  void Loop();
  // Leaves the group and joins it again as a new member, which reads from the committed offsets.
  void Rejoin();
  // False: given up, or stopping.
  bool SettleWithRetry(const std::vector<kafka::QueuedRecord>& records);
  // Into the queue. False as above.
  bool Queue(const std::vector<kafka::Message>& messages);
  bool WithRetry(size_t records, const std::function<absl::Status()>& work);
  void HandleErrors(const std::vector<kafka::PartitionError>& errors);
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  const MakeConsumer make_;
  EventApplier& applier_;
  dead_letter::DeadLetterStore& dead_letters_;
  const base::Clock& clock_;
  const Options options_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  // The thread's own; replaced under mutex_, under which Stop wakes it.
  std::unique_ptr<kafka::GroupConsumer> consumer_;
  kafka::RecordQueue queue_;  // The thread's own, as what follows.
  dead_letter::HeldPartitions held_;
  dead_letter::DeadLetterGauge open_letters_;
  std::condition_variable wake_;
  process::Heartbeat heartbeat_{"alert_events"};
  std::thread thread_;
};

}  // namespace stockalert::alert
