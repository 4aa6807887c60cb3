// Records of Kafka that wait to be applied, with users taking turns, and the offsets that may be committed meanwhile.
//
// Only records of one lane (a user) are applied in the order in which they were read. So an offset may be committed
// once every earlier record of its partition is done. Bounded by whoever pushes. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "services/common/base/fair_queue.h"
#include "services/common/kafka/message.h"

namespace stockalert::kafka {

// A copy that may outlive the consumer; its Messages may not.
QueuedRecord CopyRecord(const Message& message);

class RecordQueue {
 public:
  // Records of one partition must be pushed in the order of their offsets.
  void Push(const std::string& lane, QueuedRecord record);

  // Removes and returns the next records, at most `max`, lane by lane in turns. The caller must MarkDone them or Clear.
  std::vector<QueuedRecord> PopBatch(size_t max);
  void MarkDone(const std::vector<QueuedRecord>& records);

  // The offsets to commit: where reading would go on after a crash now. Only partitions that moved since the last call.
  std::map<TopicPartition, int64_t> TakeNextOffsets();

  // The partition is held at this record: forgets its records from there on, which will be read again.
  void HoldAt(const TopicPartition& partition, int64_t offset);

  // Forgets everything, also records that are not done.
  void Clear();

  // Those that wait.
  size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }

 private:
  struct Partition {
    std::set<int64_t> open;    // Pushed and not done.
    int64_t next_offset = 0;   // After the last that was pushed.
    int64_t told_offset = -1;  // By TakeNextOffsets.
  };
  base::FairQueue<std::string, QueuedRecord> waiting_;
  std::map<TopicPartition, Partition> partitions_;
};

}  // namespace stockalert::kafka
