// A store between the evaluators and an in-memory one that fails as databases do: it refuses, or does what it was asked
// and loses the answer. It can also tell its world of each call, so that a crash can be put just before or just after
// any of them.
//
// Not thread-safe: a simulation has one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "services/evaluator/evaluator_store.h"

namespace stockalert::simulation {

enum class StoreFault { kNone, kRefuse, kLoseAnswer };

class SimulatedStore : public evaluator::EvaluatorStore {
 public:
  // `fault` is asked once a call, in the order of calls.
  SimulatedStore(evaluator::EvaluatorStore& store, std::function<StoreFault()> fault)
      : store_(store), fault_(std::move(fault)) {}

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
  absl::Status Ready() override;

 private:
  evaluator::EvaluatorStore& store_;
  std::function<StoreFault()> fault_;
};

}  // namespace stockalert::simulation
