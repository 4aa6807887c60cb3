#include "tests/support/evaluator_store/in_memory_evaluator_store.h"

#include <algorithm>
#include <iterator>

namespace stockalert::testing {

using namespace evaluator;  // NOLINT(google-build-using-namespace): its twin's types.

absl::StatusOr<PartitionRow> InMemoryEvaluatorStore::AcquirePartition(int32_t partition, const PartitionOwner& owner) {
  const std::lock_guard lock(mutex_);
  PartitionRow& row = partitions_[partition];
  row.partition = partition;
  ++row.epoch;
  owners_[partition] = owner;
  return row;
}

absl::StatusOr<std::optional<PartitionHolder>> InMemoryEvaluatorStore::FindHolder(int32_t partition) {
  const std::lock_guard lock(mutex_);
  const auto row = partitions_.find(partition);
  if (row == partitions_.end()) return std::optional<PartitionHolder>();
  return std::optional<PartitionHolder>({row->second.epoch, owners_[partition]});
}

absl::StatusOr<std::vector<StoredCheckpoint>> InMemoryEvaluatorStore::LoadCheckpoints(int32_t partition,
                                                                                      int64_t log_generation) {
  const std::lock_guard lock(mutex_);
  std::vector<StoredCheckpoint> found;
  const auto& kept = checkpoints_[partition];
  for (auto checkpoint = kept.rbegin(); checkpoint != kept.rend(); ++checkpoint) {
    if (checkpoint->first.first == log_generation) found.push_back(checkpoint->second);
  }
  return found;
}

absl::Status InMemoryEvaluatorStore::Commit(const CommitBatch& batch) {
  const std::lock_guard lock(mutex_);
  const bool may_move = std::all_of(batch.moves.begin(), batch.moves.end(), [&](const PartitionMove& move) {
    auto row = partitions_.find(move.partition);
    return row != partitions_.end() && row->second.epoch == move.epoch && row->second.progress == move.from;
  });
  if (!may_move) {
    const bool was_moved = std::all_of(batch.moves.begin(), batch.moves.end(), [&](const PartitionMove& move) {
      auto row = partitions_.find(move.partition);
      return row != partitions_.end() && row->second.epoch == move.epoch && row->second.progress == move.to &&
             row->second.next_outbox_sequence == move.next_outbox_sequence;
    });
    return was_moved ? absl::OkStatus() : FencedError();
  }
  // All or nothing: first everything is looked at.
  std::map<std::pair<std::string, int64_t>, int> added;
  for (const StoredTrigger& row : batch.triggers) {
    const auto identity = std::pair(row.trigger.alert_id, row.trigger.trigger_number);
    const TriggerPlace place{row.partition, row.log_generation, row.trigger.offset, row.ordinal};
    if (identities_.contains(identity) || triggers_.contains(place) || added[identity]++ > 0) {
      return absl::AlreadyExistsError("the trigger's identity is taken");
    }
  }
  for (const OutboxRow& row : batch.outbox) {
    if (outbox_.contains({row.partition, row.sequence}))
      return absl::AlreadyExistsError("the outbox's sequence is taken");
  }
  for (const PartitionMove& move : batch.moves) {
    PartitionRow& row = partitions_[move.partition];
    row.progress = move.to;
    row.log.cluster_id = move.cluster_id;
    row.last_record_checksum = move.last_record_checksum;
    row.next_outbox_sequence = move.next_outbox_sequence;
  }
  for (const StoredTrigger& row : batch.triggers) {
    const TriggerPlace place{row.partition, row.log_generation, row.trigger.offset, row.ordinal};
    identities_.emplace(std::pair(row.trigger.alert_id, row.trigger.trigger_number), place);
    triggers_.emplace(place, row);
  }
  for (const RecordedSplit& row : batch.splits)
    splits_.emplace(TriggerPlace{row.partition, row.log_generation, row.offset, row.ordinal}, row);
  for (const OutboxRow& row : batch.outbox) outbox_[{row.partition, row.sequence}] = row;
  Acknowledge(batch.acknowledged);
  return absl::OkStatus();
}

void InMemoryEvaluatorStore::Acknowledge(const std::vector<OutboxAcknowledgement>& acknowledged) {
  for (const OutboxAcknowledgement& row : acknowledged) {
    outbox_.erase(outbox_.lower_bound({row.partition, INT64_MIN}), outbox_.upper_bound({row.partition, row.sequence}));
  }
}

void InMemoryEvaluatorStore::Keep(const StoredCheckpoint& checkpoint) {
  auto& kept = checkpoints_[checkpoint.partition];
  kept.insert_or_assign({checkpoint.log_generation, checkpoint.next_offset}, checkpoint);
  while (kept.size() > 2) kept.erase(kept.begin());
}

absl::Status InMemoryEvaluatorStore::WriteCheckpoint(const StoredCheckpoint& checkpoint, int64_t epoch) {
  const std::lock_guard lock(mutex_);
  auto row = partitions_.find(checkpoint.partition);
  if (row == partitions_.end() || row->second.epoch != epoch) return FencedError();
  Keep(checkpoint);
  return absl::OkStatus();
}

absl::Status InMemoryEvaluatorStore::AdoptLog(const PartitionRow& row, const StoredCheckpoint& checkpoint) {
  const std::lock_guard lock(mutex_);
  auto present = partitions_.find(row.partition);
  if (present == partitions_.end() || present->second.epoch != row.epoch ||
      (present->second.log.log_generation != row.log.log_generation - 1 &&
       present->second.log.log_generation != row.log.log_generation)) {
    return FencedError();
  }
  present->second = row;
  Keep(checkpoint);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredTrigger>> InMemoryEvaluatorStore::ReadTriggers(int32_t partition,
                                                                                int64_t log_generation, Progress from,
                                                                                size_t rows_max) {
  const std::lock_guard lock(mutex_);
  std::vector<StoredTrigger> rows;
  for (auto row = triggers_.lower_bound({partition, log_generation, from.next_offset, from.next_ordinal});
       row != triggers_.end() && row->first.partition == partition && row->first.generation == log_generation &&
       rows.size() < rows_max;
       ++row) {
    rows.push_back(row->second);
  }
  return rows;
}

absl::StatusOr<std::vector<RecordedSplit>> InMemoryEvaluatorStore::ReadSplits(int32_t partition, int64_t log_generation,
                                                                              Progress from, size_t rows_max) {
  const std::lock_guard lock(mutex_);
  std::vector<RecordedSplit> rows;
  for (auto row = splits_.lower_bound({partition, log_generation, from.next_offset, from.next_ordinal});
       row != splits_.end() && row->first.partition == partition && row->first.generation == log_generation &&
       rows.size() < rows_max;
       ++row) {
    rows.push_back(row->second);
  }
  return rows;
}

absl::StatusOr<std::vector<OutboxRow>> InMemoryEvaluatorStore::ReadOutbox(int32_t partition, int64_t after,
                                                                          size_t rows_max) {
  const std::lock_guard lock(mutex_);
  std::vector<OutboxRow> rows;
  for (auto row = outbox_.upper_bound({partition, after});
       row != outbox_.end() && row->first.first == partition && rows.size() < rows_max; ++row) {
    rows.push_back(row->second);
  }
  return rows;
}

absl::Status InMemoryEvaluatorStore::DeleteOutbox(const std::vector<OutboxAcknowledgement>& acknowledged) {
  const std::lock_guard lock(mutex_);
  Acknowledge(acknowledged);
  return absl::OkStatus();
}

std::vector<StoredTrigger> InMemoryEvaluatorStore::AllTriggers() const {
  const std::lock_guard lock(mutex_);
  std::vector<StoredTrigger> rows;
  rows.reserve(triggers_.size());
  for (const auto& [place, row] : triggers_) rows.push_back(row);
  return rows;
}

std::vector<OutboxRow> InMemoryEvaluatorStore::AllOutbox() const {
  const std::lock_guard lock(mutex_);
  std::vector<OutboxRow> rows;
  rows.reserve(outbox_.size());
  for (const auto& [place, row] : outbox_) rows.push_back(row);
  return rows;
}

void InMemoryEvaluatorStore::CorruptNewestCheckpoint(int32_t partition) {
  const std::lock_guard lock(mutex_);
  auto& kept = checkpoints_[partition];
  if (kept.empty()) return;
  std::string& state = kept.rbegin()->second.state;
  state[state.size() / 2] = static_cast<char>(~state[state.size() / 2]);
}

void InMemoryEvaluatorStore::EraseTrigger(const std::string& alert_id, int64_t trigger_number) {
  const std::lock_guard lock(mutex_);
  auto identity = identities_.find({alert_id, trigger_number});
  if (identity == identities_.end()) return;
  triggers_.erase(identity->second);
  identities_.erase(identity);
}

}  // namespace stockalert::testing
