#include "services/common/kafka/record_queue.h"

#include <algorithm>
#include <utility>

namespace stockalert::kafka {

QueuedRecord CopyRecord(const Message& message) {
  QueuedRecord record{{std::string(message.topic()), message.partition()},
                      message.offset(),
                      message.log_time_us(),
                      std::string(message.key()),
                      std::string(message.value()),
                      std::string(message.traceparent()),
                      message.headers()};
  // What nearly all have is kept once.
  const Headers& headers = record.headers;
  if (headers.size() == 1 && headers[0].name == kTraceparentHeader && headers[0].value == record.traceparent)
    record.headers.clear();
  return record;
}

void RecordQueue::Push(const std::string& lane, QueuedRecord record) {
  Partition& partition = partitions_[record.partition];
  partition.open.insert(partition.open.end(), record.offset);
  partition.next_offset = record.offset + 1;
  waiting_.Push(lane, std::move(record));
}

std::vector<QueuedRecord> RecordQueue::PopBatch(size_t max) {
  std::vector<QueuedRecord> taken;
  taken.reserve(std::min(max, waiting_.size()));
  while (taken.size() < max && !waiting_.empty()) taken.push_back(waiting_.Pop().second);
  return taken;
}

void RecordQueue::MarkDone(const std::vector<QueuedRecord>& records) {
  for (const QueuedRecord& record : records) {
    if (const auto partition = partitions_.find(record.partition); partition != partitions_.end())
      partition->second.open.erase(record.offset);
  }
}

std::map<TopicPartition, int64_t> RecordQueue::TakeNextOffsets() {
  std::map<TopicPartition, int64_t> offsets;
  for (auto& [place, partition] : partitions_) {
    const int64_t next = partition.open.empty() ? partition.next_offset : *partition.open.begin();
    if (next == partition.told_offset) continue;
    partition.told_offset = next;
    offsets[place] = next;
  }
  return offsets;
}

void RecordQueue::HoldAt(const TopicPartition& partition, int64_t offset) {
  const auto found = partitions_.find(partition);
  if (found == partitions_.end()) return;
  waiting_.RemoveIf(
      [&](const QueuedRecord& record) { return record.partition == partition && record.offset >= offset; });
  found->second.open.erase(found->second.open.lower_bound(offset), found->second.open.end());
  found->second.next_offset = std::min(found->second.next_offset, offset);
}

void RecordQueue::Clear() {
  waiting_ = {};
  partitions_.clear();
}

}  // namespace stockalert::kafka
