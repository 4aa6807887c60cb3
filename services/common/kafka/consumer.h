// Reads records from Kafka: as a member of a group (GroupConsumer) or by a list of partitions and places
// (AssignedConsumer).
//
// Both belong to one thread; Wake() alone may be called from others. Nothing is committed or stored by itself, and a
// place that the log does not have is an error (auto.offset.reset=error), never a silent jump: the owner decides.
// Broker outages are waited out by librdkafka, counted (stockalert_kafka_consumer_errors_total) and logged; Poll
// reports only what needs a decision.
//
// Offsets: a next offset is the place of the record to read next. Every call is bounded by a timeout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/kafka/message.h"
#include "services/common/kafka/producer.h"

namespace stockalert::kafka {

// Logical places to begin at.
inline constexpr int64_t kBeginning = -2;
inline constexpr int64_t kEnd = -1;
// The last `count` records: kTail(100).
constexpr int64_t kTail(int64_t count) { return -2000 - count; }

struct Watermarks {
  int64_t low = 0;   // The oldest record that the log still has.
  int64_t high = 0;  // Where the next record will be.
};

// A partition that cannot go on by itself: its place is not in the log (OUT_OF_RANGE), the topic or partition is gone
// (NOT_FOUND), or reading is forbidden (PERMISSION_DENIED).
struct PartitionError {
  TopicPartition partition;
  absl::Status status;
};

struct RebalanceEvent {
  enum class Kind {
    kAssigned,  // These partitions are this member's now.
    kRevoked,   // All partitions are given back in good order: what was begun has been handed out before.
    kLost,      // All partitions are gone, and may be another member's already.
  };
  Kind kind = Kind::kAssigned;
  std::vector<TopicPartition> partitions;
};

// What a poll returned. Rebalances come before the messages: no message is of a partition that they took away.
struct PollResult {
  std::vector<RebalanceEvent> rebalances;
  std::vector<Message> messages;  // In order within a partition.
  std::vector<TopicPartition>
      ends;  // Partitions read to their present end (an assigned consumer tells, with report_ends).
  std::vector<PartitionError> errors;
  // Not OK: this consumer cannot go on (another member has its instance id, for example). Destroy it; make another or
  // end the process. ABORTED: nothing is wrong, but the TLS files were replaced, and a new consumer is needed to use
  // them. Then there are no messages.
  absl::Status fatal;
  bool empty() const { return rebalances.empty() && messages.empty() && ends.empty() && errors.empty() && fatal.ok(); }
};

struct GroupConsumerOptions {
  std::string bootstrap;
  Security security = {};
  std::string client_id;
  std::string group_id;
  // Static membership: a restart within the session timeout keeps its partitions. Unique among the members; empty:
  // none.
  std::string group_instance_id;
  std::vector<std::string> topics;

  enum class Start {
    kFromBeginning,  // A partition without a committed offset begins at its oldest record,
    kFromEnd,        // or at its newest,
    kByOwner,        // or every partition waits for StartAt(): the owner keeps the offsets elsewhere.
  };
  Start start = Start::kFromBeginning;

  absl::Duration session_timeout = absl::Seconds(10);
  // A longer pause between polls loses the partitions.
  absl::Duration poll_interval_max = absl::Minutes(5);
  int64_t fetch_bytes_max = int64_t{8} * 1024 * 1024;
  absl::Duration fetch_wait_max = absl::Milliseconds(100);
  ExtraSettings extra;
  std::shared_ptr<prometheus::Registry> registry;
};

class GroupConsumer {
 public:
  // INVALID_ARGUMENT for settings that librdkafka refuses. The broker need not be there yet.
  static absl::StatusOr<std::unique_ptr<GroupConsumer>> Create(const GroupConsumerOptions& options);
  // Leaves the group (a static member keeps its place until the session timeout), at most 10 s. Every Message must be
  // gone.
  virtual ~GroupConsumer() = default;

  // Waits at most `timeout` for the first message or event, then takes what is there, at most `messages_max`.
  virtual PollResult Poll(absl::Duration timeout, size_t messages_max) = 0;

  // Commits next offsets without waiting for the broker; leaving the group waits for it. A failure is counted and
  // logged, and a later commit makes up for it: the reader must tolerate reading uncommitted records again.
  virtual void CommitAsync(const std::map<TopicPartition, int64_t>& next_offsets) = 0;

  // With Start::kByOwner: begins to read assigned partitions at these places (again, where they are being read).
  virtual absl::Status StartAt(const std::map<TopicPartition, int64_t>& next_offsets) = 0;
  // With Start::kByOwner: stops reading these; they stay assigned to this member.
  virtual absl::Status StopReading(const std::vector<TopicPartition>& partitions) = 0;

  // Holds back messages of these partitions; what is fetched already may be fetched again.
  virtual absl::Status Pause(const std::vector<TopicPartition>& partitions) = 0;
  virtual absl::Status Resume(const std::vector<TopicPartition>& partitions) = 0;
  // The next message of the partition will be the one at `next_offset`.
  virtual absl::Status Seek(const TopicPartition& partition, int64_t next_offset, absl::Duration timeout) = 0;

  virtual absl::StatusOr<Watermarks> QueryWatermarks(const TopicPartition& partition, absl::Duration timeout) = 0;
  // The id of the broker's cluster. UNAVAILABLE where it does not tell in time.
  virtual absl::StatusOr<std::string> ClusterId(absl::Duration timeout) = 0;

  // Ends a running Poll, or the next one, early. Thread-safe.
  virtual void Wake() = 0;
};

struct AssignedConsumerOptions {
  std::string bootstrap;
  Security security = {};
  std::string client_id;
  int64_t fetch_bytes_max = int64_t{8} * 1024 * 1024;
  absl::Duration fetch_wait_max = absl::Milliseconds(100);
  // PollResult::ends tells when a partition has been read to its end.
  bool report_ends = true;
  ExtraSettings extra;
  std::shared_ptr<prometheus::Registry> registry;
};

class AssignedConsumer {
 public:
  static absl::StatusOr<std::unique_ptr<AssignedConsumer>> Create(const AssignedConsumerOptions& options);
  // Every Message must be gone.
  virtual ~AssignedConsumer() = default;

  // Reads exactly these partitions from these places from now on: offsets, kBeginning, kEnd or kTail(n). Replaces what
  // was read before; no group is joined and nothing is committed.
  virtual absl::Status Assign(const std::map<TopicPartition, int64_t>& next_offsets) = 0;
  // All partitions of `topic`, from the one place. UNAVAILABLE: the broker does not answer; NOT_FOUND: no such topic.
  absl::Status AssignAll(const std::string& topic, int64_t place, absl::Duration timeout);

  // As of GroupConsumer; without rebalances.
  virtual PollResult Poll(absl::Duration timeout, size_t messages_max) = 0;

  virtual absl::StatusOr<int> CountPartitions(const std::string& topic, absl::Duration timeout) = 0;
  virtual absl::StatusOr<Watermarks> QueryWatermarks(const TopicPartition& partition, absl::Duration timeout) = 0;
  // The record at exactly this place, read beside what is assigned (by a consumer of its own, for the call).
  // OUT_OF_RANGE where the log no longer has it, or not yet.
  virtual absl::StatusOr<std::string> ReadValueAt(const TopicPartition& partition, int64_t offset,
                                                  absl::Duration timeout) = 0;
  virtual void Wake() = 0;
};

}  // namespace stockalert::kafka
