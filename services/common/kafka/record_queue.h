// Records of Kafka that wait to be applied, users taking turns, and which offsets may be committed meanwhile.
//
// Records are applied in another order than they were read, but for those of one lane (a user's): so an offset may be
// committed once every record of its partition before it is done. Bounded by whoever pushes. Not thread-safe.
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

// What a consumer hands out must be gone before it closes.
QueuedRecord Copy(const Message& message);

class RecordQueue {
 public:
  // A partition's in the order of their offsets.
  void Push(const std::string& lane, QueuedRecord record);

  // The next ones, at most `max`, in turns; a lane's in their order. They are to be done, or all is cleared.
  std::vector<QueuedRecord> Take(size_t max);
  void Done(const std::vector<QueuedRecord>& records);

  // Where reading would have to go on if all was lost now, of the partitions where that has moved since the last call.
  std::map<TopicPartition, int64_t> TakeNextOffsets();

  // The partition stands still at this record: forgets what was pushed from it on, which will be read again from there.
  void HoldAt(const TopicPartition& partition, int64_t offset);

  // Forgets everything, what is not done included.
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
