// The partitions of a group's member that stand still at a record which must not be passed, and how long its batch has
// not been taken.
//
// A held partition is paused, read again from its record now and then (a table was mended, room was made), and goes on
// by itself as soon as the record is settled; the others are read meanwhile. Each restart, and whoever gets the
// partition, begins at the record again, for its offset is what was committed. The gauges
// stockalert_consumer_partitions_held, _held_seconds and _blocked_seconds tell of it.
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

  // Before each poll: what is due is read again from its record. Also sets the gauges.
  void ResumeDue(kafka::GroupConsumer& consumer);
  // After each poll: forgets what a rebalance has taken away (whoever has it begins at its record), and leaves out
  // messages of held partitions that are not read from their record.
  void Admit(kafka::PollResult& polled);
  // After a batch of these: holds, and lets go what goes past its record.
  void Take(kafka::GroupConsumer& consumer, const std::vector<Item>& items, const Settled& settled);
  // Reading goes on elsewhere: the record is in the log no more.
  void Forget(const kafka::TopicPartition& place);
  // The consumer is another one.
  void Clear();

  // The store did not take the present batch, or took it.
  void Blocked();
  void NotBlocked();

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
