// The partitions of a group member that are held at a record which must not be skipped, and how long the present batch
// could not be stored.
//
// A held partition is paused, read again from its record with growing pauses (a table may have been mended), and goes
// on by itself as soon as the record is settled; the others are read meanwhile. A restart, or the partition's next
// owner, starts at that record again because its offset is what was committed. Shown by the gauges
// stockalert_consumer_partitions_held, _held_seconds and _blocked_seconds.
//
// Belongs to the consumer's thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/common/dead_letter/settle.h"
#include "services/common/kafka/consumer.h"

namespace stockalert::dead_letter {

struct HeldOptions {
  absl::Duration first_retry = absl::Seconds(1);
  absl::Duration retry_max = absl::Seconds(30);  // Each time twice as long, up to this.
};

class HeldPartitions {
 public:
  explicit HeldPartitions(const std::vector<std::string>& topics, const HeldOptions& options = HeldOptions());

  // Before each poll: partitions that are due are read again from their records. Also sets the gauges.
  void ResumeDue(kafka::GroupConsumer& consumer);
  // After each poll: forgets partitions that a rebalance took away (their next owner starts at the record), and removes
  // messages of held partitions until the record itself was read again.
  void FilterPolled(kafka::PollResult& polled);
  // After a batch of these items: holds and releases partitions as `settled` says.
  void OnBatchSettled(kafka::GroupConsumer& consumer, const std::vector<Item>& items, const Settled& settled);
  // The record is no longer in the log, and reading goes on at another place.
  void Forget(const kafka::TopicPartition& place);
  // The consumer was replaced.
  void Clear();

  // The store failed to take the present batch, or took it.
  void MarkBlocked();
  void MarkUnblocked();

  size_t size() const { return held_.size(); }

 private:
  struct Place {
    int64_t offset = 0;
    absl::Time since;
    absl::Duration pause;
    absl::Time next_try;
    bool reached = false;  // Its record was read since it was resumed.
  };
  void SetGauges(absl::Time now);

  const std::vector<std::string> topics_;
  const HeldOptions options_;
  std::map<kafka::TopicPartition, Place> held_;
  absl::Time blocked_since_ = absl::InfiniteFuture();
};

}  // namespace stockalert::dead_letter
