// EvaluatorStore in memory: the twin of PostgresEvaluatorStore, held to the same contract suite. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "services/evaluator/evaluator_store.h"

namespace stockalert::testing {

class InMemoryEvaluatorStore final : public evaluator::EvaluatorStore {
 public:
  absl::StatusOr<evaluator::PartitionRow> AcquirePartition(int32_t partition,
                                                           const evaluator::PartitionOwner& owner) override;
  absl::StatusOr<std::optional<evaluator::PartitionHolder>> FindHolder(int32_t partition) override;
  absl::StatusOr<std::vector<evaluator::StoredCheckpoint>> LoadCheckpoints(int32_t partition,
                                                                           int64_t log_generation) override;
  absl::Status Commit(const evaluator::CommitBatch& batch) override;
  absl::Status WriteCheckpoint(const evaluator::StoredCheckpoint& checkpoint, int64_t epoch) override;
  absl::Status AdoptLog(const evaluator::PartitionRow& row, const evaluator::StoredCheckpoint& checkpoint) override;
  absl::StatusOr<std::vector<evaluator::StoredTrigger>> ReadTriggers(int32_t partition, int64_t log_generation,
                                                                     evaluator::Progress from,
                                                                     size_t rows_max) override;
  absl::StatusOr<std::vector<evaluator::RecordedSplit>> ReadSplits(int32_t partition, int64_t log_generation,
                                                                   evaluator::Progress from, size_t rows_max) override;
  absl::StatusOr<std::vector<evaluator::OutboxRow>> ReadOutbox(int32_t partition, int64_t after,
                                                               size_t rows_max) override;
  absl::Status DeleteOutbox(const std::vector<evaluator::OutboxAcknowledgement>& acknowledged) override;
  absl::Status Ready() override { return absl::OkStatus(); }

  // For tests: every trigger ever committed, by identity, and the rows as they are.
  std::vector<evaluator::StoredTrigger> AllTriggers() const;
  std::vector<evaluator::OutboxRow> AllOutbox() const;
  // Damages what is kept, as a failing disk or a hand does.
  void CorruptNewestCheckpoint(int32_t partition);
  void EraseTrigger(const std::string& alert_id, int64_t trigger_number);

 private:
  using CheckpointKey = std::pair<int64_t, int64_t>;  // Generation and offset.
  struct TriggerPlace {
    int32_t partition;
    int64_t generation;
    int64_t offset;
    int64_t ordinal;
    auto operator<=>(const TriggerPlace&) const = default;
  };
  void Acknowledge(const std::vector<evaluator::OutboxAcknowledgement>& acknowledged);
  void Keep(const evaluator::StoredCheckpoint& checkpoint);

  mutable std::mutex mutex_;  // Guards all below.
  std::map<int32_t, evaluator::PartitionRow> partitions_;
  std::map<int32_t, evaluator::PartitionOwner> owners_;
  std::map<int32_t, std::map<CheckpointKey, evaluator::StoredCheckpoint>> checkpoints_;
  std::map<std::pair<std::string, int64_t>, TriggerPlace> identities_;
  std::map<TriggerPlace, evaluator::StoredTrigger> triggers_;
  std::map<TriggerPlace, evaluator::RecordedSplit> splits_;
  std::map<std::pair<int32_t, int64_t>, evaluator::OutboxRow> outbox_;
};

}  // namespace stockalert::testing
