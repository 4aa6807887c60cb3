// Sends committed events to the broker: each at least once, those of one alert in order.
//
// Fairness: partitions take turns, and within each its alerts (by event key: the log knows no users), in a bounded
// window. So an alert that triggers once does not wait behind thousands of triggers that were committed with it.
//
// A row is sent only after its commit, and deleted only after the broker acknowledged it and all rows before it. Rows
// just committed are sent from memory; rows that an earlier owner left, or that did not fit into the window, are read
// back from the store. Belongs to the evaluator's one thread; only the publisher's answers come from other threads.
// Does no I/O but through the store and the publisher, so the simulation runs it unchanged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/common/base/fair_queue.h"
#include "services/common/base/mutex.h"
#include "services/evaluator/evaluator_store.h"

namespace stockalert::evaluator {

// Where events go: the topic alert-events, or a simulated one.
class EventPublisher {
 public:
  virtual ~EventPublisher() = default;
  // Calls `done` exactly once, from any thread, at once or later; true: the broker has it. As long as none fails, rows
  // must arrive in the order of the calls.
  virtual void Publish(const OutboxRow& row, std::function<void(bool delivered)> done) = 0;
};

class AlertEventRelay {
 public:
  // At most `window_max` rows are under way at once (a few of each partition, where that is more), and at most 2,000 of
  // these at the broker.
  AlertEventRelay(EvaluatorStore& store, EventPublisher& publisher, size_t window_max = 20'000);

  // The partition belongs to this process now. Rows below `next_sequence` that an earlier owner left are sent first.
  void BeginPartition(int32_t partition, int64_t next_sequence);
  // Forgets the partition: the next owner relays what is left.
  void EndPartition(int32_t partition);
  void EndAllPartitions();

  // Rows that were committed just now, in order.
  void Add(std::vector<OutboxRow> committed);

  // Handles the publisher's answers and sends the next rows, reading them back from the store where necessary. Returns
  // an error of the store; the next call tries again. After a row that was not delivered, its partition starts again
  // behind the last row that was.
  absl::Status Pump();

  // Rows that the broker has and the store still keeps. The next commit deletes them; MarkDeleted confirms it.
  std::vector<OutboxAcknowledgement> FindAcknowledged() const;
  void MarkDeleted(const std::vector<OutboxAcknowledgement>& acknowledged);

  // Rows committed but not acknowledged, and publishing failures so far.
  int64_t backlog() const;
  int64_t failures() const { return failures_; }

 private:
  struct Answer {
    int32_t partition;
    int64_t token;
    int64_t sequence;
    bool delivered;
  };
  // Outlives the relay in the hands of late answers.
  struct Inbox {
    base::Mutex mutex;
    std::vector<Answer> answers ABSL_GUARDED_BY(mutex);
  };
  enum class State : uint8_t { kStaged, kPublished, kAnswered };
  struct Lane {
    int64_t token = 0;                               // Tells answers of this ownership from those of an earlier one.
    int64_t next_to_send = 1;                        // Everything below has been staged.
    int64_t end = 1;                                 // Above the last committed row.
    int64_t acknowledged = 0;                        // All up to here are the broker's.
    int64_t deleted = 0;                             // All up to here are gone from the store.
    std::map<int64_t, State> under_way;              // By sequence.
    base::FairQueue<std::string, OutboxRow> staged;  // By key: to be handed to the publisher.
    std::deque<OutboxRow> ready;                     // In memory, beginning at next_to_send where not empty.
    bool failed = false;  // Begins again at failed_from once everything under way is answered.
    int64_t failed_from = 0;
  };
  void HandleAnswers();
  // Without `may_read` only what is in memory.
  absl::Status Stage(int32_t partition, Lane& lane, bool may_read);
  void Publish();
  void Unstage(Lane& lane);

  EvaluatorStore& store_;
  EventPublisher& publisher_;
  const size_t window_max_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::map<int32_t, Lane> lanes_;
  size_t under_way_ = 0;        // Staged or published, not answered.
  size_t published_ = 0;        // Of these, published.
  int32_t next_partition_ = 0;  // Whose turn it is.
  int64_t next_token_ = 1;
  int64_t failures_ = 0;
};

}  // namespace stockalert::evaluator
