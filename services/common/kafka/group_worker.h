// One member of a consumer group on a thread of its own: reads records, lets users take turns, passes batches to a
// handler, and commits what is done.
//
// An offset is committed only after the handler says that its record, and all before it, are durable: whatever crashes,
// nothing is lost and some records are read again. Records that were read wait in a bounded queue in which lanes take
// turns (RecordQueue); each batch has a share of every lane.
//
// What happens when:
//   the handler answers an error        the batch is tried again with growing pauses; after give_up_after the group is
//                                       left, so that another member may have better luck, and joined anew
//   partitions change hands             what waits is forgotten: whoever has it reads from the committed offsets
//   the place is not in the log         an error in the log; reading goes on at the oldest record
//   a partition cannot be read          the others go on; after a growing pause the group is joined anew, by which the
//   (gone, forbidden)                   partition is tried again
//   the consumer can go on no more      the group is joined anew at once; if that happens again within seconds, another
//   (fenced)                            process has this one's name: the worker ends, and on_fenced is told (ADR 10)
//
// The handler is called by the worker's thread alone.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/backoff.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/record_queue.h"
#include "services/common/process/liveness.h"

namespace stockalert::kafka {

class GroupHandler {
 public:
  virtual ~GroupHandler() = default;

  // The lane of each message (a user): lanes take turns, messages of one lane stay in order. After an error it is asked
  // again.
  virtual absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<Message>& messages) = 0;

  // Reads the next batch. Called once, before the batch is settled.
  virtual void Read(const std::vector<QueuedRecord>& records) = 0;
  // Makes the batch durable; repeating it changes nothing. Returns the partitions that must not go past one of its
  // records, with that record's offset. After an error it is called again. Calls `beat` while it makes progress.
  virtual absl::StatusOr<std::map<TopicPartition, int64_t>> Settle(GroupConsumer& consumer,
                                                                   const std::vector<QueuedRecord>& records,
                                                                   const std::function<void()>& beat) = 0;
  // A call of FindLanes or Settle failed,
  virtual void OnFailed() = 0;
  // or a batch is done.
  virtual void OnSettled() = 0;

  virtual void BeforePoll(GroupConsumer& consumer) = 0;
  // May leave messages out.
  virtual void AfterPoll(PollResult& polled) = 0;
  // Reading goes on at another place of the partition.
  virtual void OnMoved(const TopicPartition& partition) = 0;
  // The next consumer is another one.
  virtual void OnJoining() = 0;
};

// What is counted; each may be missing.
struct GroupWorkerMetrics {
  prometheus::Gauge* waiting = nullptr;    // Records that wait for their lanes' turns.
  prometheus::Counter* records = nullptr;  // That are done.
  prometheus::Counter* failures = nullptr;
  prometheus::Counter* rejoins = nullptr;
  prometheus::Histogram* delay_seconds = nullptr;  // From the broker's append to being done, of each batch's oldest.
};

struct GroupWorkerOptions {
  std::string name;              // Of the thread's heartbeat, and in the log: "alert_events".
  size_t poll_max = 5'000;       // Records read at once.
  size_t waiting_max = 100'000;  // Records that wait in memory; beyond it reading waits.
  size_t batch_max = 300;        // Records handled at once: what comes meanwhile waits for them.
  absl::Duration poll_timeout = absl::Milliseconds(200);
  // How long a batch is tried before the group is left. Below the consumer's poll_interval_max.
  absl::Duration give_up_after = absl::Minutes(2);
  // The first pause before a partition that cannot be read is tried again; each is twice as long as the one before.
  absl::Duration partition_pause = absl::Seconds(1);
  GroupWorkerMetrics metrics;
  // Another process has this one's name in the group. Called once, by the worker's thread, which ends then.
  std::function<void(const std::string& why)> on_fenced;
};

class GroupWorker {
 public:
  // Makes a consumer that has not joined its group yet.
  using MakeConsumer = std::function<absl::StatusOr<std::unique_ptr<GroupConsumer>>()>;

  // `handler` must outlive it.
  GroupWorker(MakeConsumer make, GroupHandler& handler, const GroupWorkerOptions& options);
  // Stop.
  ~GroupWorker();
  GroupWorker(const GroupWorker&) = delete;
  GroupWorker& operator=(const GroupWorker&) = delete;

  void Start();
  // Ends after the present batch, or the present try, leaves the group and joins the thread. What was not settled is
  // read again by whoever comes next.
  void Stop();

 private:
  void Run();
  // Joins the group and reads until Stop or an error. `is_fatal`: the error is the consumer's own end.
  absl::Status ReadAsMember(bool& is_fatal);
  absl::Status ReadUntilError(GroupConsumer& consumer, bool& is_fatal);
  absl::Status ReadSome(GroupConsumer& consumer, bool& is_fatal);
  absl::Status SettleSome(GroupConsumer& consumer);
  absl::Status HandleErrors(GroupConsumer& consumer, const std::vector<PartitionError>& errors);
  absl::Status GoOnAtOldest(GroupConsumer& consumer, const TopicPartition& partition);
  // Until it is OK, or give_up_after; the last error.
  absl::Status WithRetry(size_t records, const std::function<absl::Status()>& work);
  // Whether to join anew after the consumer's own end.
  bool GoesOnAfter(const absl::Status& fatal);
  void ShowWaiting();
  // False: Stop was called.
  bool Wait(absl::Duration duration);
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  const MakeConsumer make_;
  GroupHandler& handler_;
  const GroupWorkerOptions options_;
  std::atomic<bool> stopping_{false};  // Set under mutex_.
  base::Mutex mutex_;
  base::ConditionVariable stopped_;
  GroupConsumer* consumer_ ABSL_GUARDED_BY(mutex_) = nullptr;  // The present one, for Stop to wake.

  // The thread's own. Times by the monotonic clock.
  RecordQueue queue_;
  absl::Duration last_fatal_ = -absl::InfiniteDuration();
  absl::Duration rejoin_at_ = absl::InfiniteDuration();  // For a partition that cannot be read,
  absl::Status partition_error_;                         // and why.
  absl::Duration last_partition_error_ = -absl::InfiniteDuration();
  base::Backoff join_pauses_;
  base::Backoff partition_pauses_;
  process::Heartbeat heartbeat_;
  std::thread thread_;
};

}  // namespace stockalert::kafka
