#include "tests/simulation/evaluator/simulated_store.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::simulation {

using evaluator::CommitBatch;
using evaluator::OutboxAcknowledgement;
using evaluator::OutboxRow;
using evaluator::PartitionHolder;
using evaluator::PartitionOwner;
using evaluator::PartitionRow;
using evaluator::Progress;
using evaluator::RecordedSplit;
using evaluator::StoredCheckpoint;
using evaluator::StoredTrigger;

namespace {

template <typename Call>
auto WithFault(StoreFault fault, const Call& call) -> decltype(call()) {
  if (fault == StoreFault::kRefuse) return absl::UnavailableError("simulated: the database does not answer");
  auto answer = call();
  if (fault == StoreFault::kLoseAnswer)
    return absl::UnavailableError("simulated: the connection broke before the answer");
  return answer;
}

}  // namespace

absl::StatusOr<PartitionRow> SimulatedStore::AcquirePartition(int32_t partition, const PartitionOwner& owner) {
  return WithFault(fault_(), [&] { return store_.AcquirePartition(partition, owner); });
}

absl::StatusOr<std::optional<PartitionHolder>> SimulatedStore::FindHolder(int32_t partition) {
  return WithFault(fault_(), [&] { return store_.FindHolder(partition); });
}

absl::StatusOr<std::vector<StoredCheckpoint>> SimulatedStore::LoadCheckpoints(int32_t partition,
                                                                              int64_t log_generation) {
  return WithFault(fault_(), [&] { return store_.LoadCheckpoints(partition, log_generation); });
}

absl::Status SimulatedStore::Commit(const CommitBatch& batch) {
  return WithFault(fault_(), [&] { return store_.Commit(batch); });
}

absl::Status SimulatedStore::WriteCheckpoint(const StoredCheckpoint& checkpoint, int64_t epoch) {
  return WithFault(fault_(), [&] { return store_.WriteCheckpoint(checkpoint, epoch); });
}

absl::Status SimulatedStore::AdoptLog(const PartitionRow& row, const StoredCheckpoint& checkpoint) {
  return WithFault(fault_(), [&] { return store_.AdoptLog(row, checkpoint); });
}

absl::StatusOr<std::vector<StoredTrigger>> SimulatedStore::ReadTriggers(int32_t partition, int64_t log_generation,
                                                                        Progress from, size_t rows_max) {
  return WithFault(fault_(), [&] { return store_.ReadTriggers(partition, log_generation, from, rows_max); });
}

absl::StatusOr<std::vector<RecordedSplit>> SimulatedStore::ReadSplits(int32_t partition, int64_t log_generation,
                                                                      Progress from, size_t rows_max) {
  return WithFault(fault_(), [&] { return store_.ReadSplits(partition, log_generation, from, rows_max); });
}

absl::StatusOr<std::vector<OutboxRow>> SimulatedStore::ReadOutbox(int32_t partition, int64_t after, size_t rows_max) {
  return WithFault(fault_(), [&] { return store_.ReadOutbox(partition, after, rows_max); });
}

absl::Status SimulatedStore::DeleteOutbox(const std::vector<OutboxAcknowledgement>& acknowledged) {
  return WithFault(fault_(), [&] { return store_.DeleteOutbox(acknowledged); });
}

absl::Status SimulatedStore::Ready() {
  return WithFault(fault_(), [&] { return store_.Ready(); });
}

}  // namespace stockalert::simulation
