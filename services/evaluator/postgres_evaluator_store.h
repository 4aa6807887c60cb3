// EvaluatorStore on PostgreSQL, schema stockalert_evaluator. Thread-safe (each call leases a connection of the pool).
#pragma once

#include "services/common/postgres/pool.h"
#include "services/evaluator/evaluator_store.h"

namespace stockalert::evaluator {

class PostgresEvaluatorStore final : public EvaluatorStore {
 public:
  explicit PostgresEvaluatorStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<PartitionRow> AcquirePartition(int32_t partition, const PartitionOwner& owner) override;
  absl::StatusOr<std::optional<PartitionHolder>> FindHolder(int32_t partition) override;
  absl::StatusOr<std::vector<StoredCheckpoint>> LoadCheckpoints(int32_t partition, int64_t log_generation) override;
  absl::Status Commit(const CommitBatch& batch) override;
  absl::Status WriteCheckpoint(const StoredCheckpoint& checkpoint, int64_t epoch) override;
  absl::Status AdoptLog(const PartitionRow& row, const StoredCheckpoint& checkpoint) override;
  absl::StatusOr<std::vector<StoredTrigger>> ReadTriggers(int32_t partition, int64_t log_generation, Progress from,
                                                          size_t rows_max) override;
  absl::StatusOr<std::vector<RecordedSplit>> ReadSplits(int32_t partition, int64_t log_generation, Progress from,
                                                        size_t rows_max) override;
  absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int32_t partition, int64_t after, size_t rows_max) override;
  absl::Status DeleteOutbox(const std::vector<OutboxAcknowledgement>& acknowledged) override;
  absl::Status Ready() override { return pool_.Ready(); }

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::evaluator
