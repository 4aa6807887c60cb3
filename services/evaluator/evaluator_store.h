// What the evaluator stores for each partition, behind a fence: progress, triggers, outgoing events and checkpoints.
//
// PostgresEvaluatorStore is the real one; tests/support/evaluator_store has its in-memory twin, and one contract suite
// checks both. Thread-safe.
//
// The fence: acquiring a partition raises its epoch. Every write that moves a partition names the epoch and the
// progress that it starts from, and does nothing at all where either differs (IsFenced). A call that ends in
// UNAVAILABLE or DEADLINE_EXCEEDED may have been carried out: repeating it with the same arguments is safe, and answers
// OK if it had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/domain/record/event.h"

namespace stockalert::evaluator {

// How far a partition is done: all records below next_offset, and the first next_ordinal effects of the record there.
struct Progress {
  int64_t next_offset = 0;
  int64_t next_ordinal = 0;
  auto operator<=>(const Progress&) const = default;
};

// Which log a partition's offsets are of.
struct LogIdentity {
  std::string cluster_id;      // Empty: no log has been read yet.
  int64_t log_generation = 1;  // Rises when another log takes the place of the one before.
  bool operator==(const LogIdentity&) const = default;
};

struct PartitionRow {
  int32_t partition = 0;
  int64_t epoch = 0;
  Progress progress;
  LogIdentity log;
  std::optional<int64_t> last_record_checksum;  // Of the record at next_offset - 1; none where none has been read.
  int64_t next_outbox_sequence = 1;
  bool operator==(const PartitionRow&) const = default;
};

// A process that evaluates.
struct PartitionOwner {
  PartitionOwner() = default;
  PartitionOwner(const char* of_name) : name(of_name) {}  // NOLINT: one that answers no questions is just its name.
  PartitionOwner(std::string of_name, std::string at_address)
      : name(std::move(of_name)), address(std::move(at_address)) {}

  std::string name;
  std::string address;  // Where it answers questions; empty: nowhere.
  bool operator==(const PartitionOwner&) const = default;
};

// Who acquired a partition last.
struct PartitionHolder {
  int64_t epoch = 0;
  PartitionOwner owner;
  bool operator==(const PartitionHolder&) const = default;
};

// A fold's state before the record at `next_offset`.
struct StoredCheckpoint {
  int32_t partition = 0;
  int64_t log_generation = 1;
  int64_t next_offset = 0;
  std::optional<int64_t> last_record_checksum;
  std::string state;  // Of EncodeCheckpoint, which guards it by a checksum.
  bool operator==(const StoredCheckpoint&) const = default;
};

// A trigger as it is kept, with its place among the effects of its record.
struct StoredTrigger {
  record::Trigger trigger;
  int32_t partition = 0;
  int64_t log_generation = 1;
  int64_t ordinal = 0;
};

// A split that was told of, with the place of its record. One that came again has a row a time.
struct RecordedSplit {
  record::Split split;
  int32_t partition = 0;
  int64_t log_generation = 1;
  int64_t offset = 0;
  int64_t ordinal = 0;
  bool operator==(const RecordedSplit&) const = default;
};

// An event on its way to the broker.
struct OutboxRow {
  int32_t partition = 0;
  int64_t sequence = 0;
  std::string key;
  std::string value;
  std::string traceparent;
  bool operator==(const OutboxRow&) const = default;
};

// One partition's part in a commit.
struct PartitionMove {
  int32_t partition = 0;
  int64_t epoch = 0;
  Progress from;
  Progress to;
  std::string cluster_id;
  std::optional<int64_t> last_record_checksum;
  int64_t next_outbox_sequence = 1;
};

// Outgoing events that the broker has: all up to and including `sequence`.
struct OutboxAcknowledgement {
  int32_t partition = 0;
  int64_t sequence = 0;
};

// One transaction.
struct CommitBatch {
  std::vector<PartitionMove> moves;  // At least one; each partition at most once.
  std::vector<StoredTrigger> triggers;
  std::vector<OutboxRow> outbox;
  std::vector<OutboxAcknowledgement> acknowledged;  // These rows are deleted.
  std::vector<RecordedSplit> splits = {};
};

absl::Status FencedError();
// True for a write that did nothing because another process owns the partition, or its progress is not the one named.
bool IsFenced(const absl::Status& status);

class EvaluatorStore {
 public:
  virtual ~EvaluatorStore() = default;

  // Makes `owner` the partition's owner: raises its epoch, so that every earlier owner is fenced. A partition that
  // nobody had starts at progress (0, 0), of no log.
  virtual absl::StatusOr<PartitionRow> AcquirePartition(int32_t partition, const PartitionOwner& owner) = 0;

  // None: nobody has acquired it yet.
  virtual absl::StatusOr<std::optional<PartitionHolder>> FindHolder(int32_t partition) = 0;

  // The kept checkpoints of this generation, newest first; at most two.
  virtual absl::StatusOr<std::vector<StoredCheckpoint>> LoadCheckpoints(int32_t partition, int64_t log_generation) = 0;

  // All or nothing. Fenced: at least one move is not allowed, so none is made. ALREADY_EXISTS: a trigger's identity
  // exists already, which a correct program never causes.
  virtual absl::Status Commit(const CommitBatch& batch) = 0;

  // Writes the checkpoint if `epoch` is still the partition's, and drops all but the newest two of the partition.
  // Fenced otherwise.
  virtual absl::Status WriteCheckpoint(const StoredCheckpoint& checkpoint, int64_t epoch) = 0;

  // Begins another log: `row` replaces the partition's (its epoch must be the present one; its log_generation above),
  // together with the checkpoint that the fold goes on from. Fenced otherwise.
  virtual absl::Status AdoptLog(const PartitionRow& row, const StoredCheckpoint& checkpoint) = 0;

  // Triggers of a generation from `from` (offset and ordinal, included) on, in their order.
  virtual absl::StatusOr<std::vector<StoredTrigger>> ReadTriggers(int32_t partition, int64_t log_generation,
                                                                  Progress from, size_t rows_max) = 0;

  // The same of splits.
  virtual absl::StatusOr<std::vector<RecordedSplit>> ReadSplits(int32_t partition, int64_t log_generation,
                                                                Progress from, size_t rows_max) = 0;

  // Outgoing events with a sequence above `after`, in their order.
  virtual absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int32_t partition, int64_t after, size_t rows_max) = 0;
  // Deletes rows as CommitBatch::acknowledged does, for when no commit comes soon. Not fenced: the broker has these
  // rows whoever owns the partition.
  virtual absl::Status DeleteOutbox(const std::vector<OutboxAcknowledgement>& acknowledged) = 0;

  // OK where it answers now.
  virtual absl::Status Ready() = 0;
};

}  // namespace stockalert::evaluator
