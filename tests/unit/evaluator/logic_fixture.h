// A log of one partition in memory, and an evaluator over it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/domain/record/log_record.h"
#include "services/evaluator/evaluator_logic.h"
#include "tests/support/evaluator_store/in_memory_evaluator_store.h"

namespace stockalert::evaluator {

inline constexpr char kAlertA[] = "0b8f8e0e-7c1f-4c39-9d3a-6f4f5f3f2a11";
inline constexpr char kAlertB[] = "1b8f8e0e-7c1f-4c39-9d3a-6f4f5f3f2a11";

// Takes everything at once, and remembers it.
class RecordingPublisher final : public EventPublisher {
 public:
  void Publish(const OutboxRow& row, std::function<void(bool)> done) override {
    if (hold) {
      held.push_back(std::move(done));
    } else {
      done(deliver);
    }
    rows.push_back(row);
  }
  std::vector<OutboxRow> rows;
  std::deque<std::function<void(bool)>> held;
  bool hold = false;
  bool deliver = true;
};

struct LogRecordBytes {
  std::string key;
  std::string value;
  int64_t log_time_us = 0;
};

class Log {
 public:
  void Add(const record::Event& event) {
    AddRaw(record::SymbolOf(event), record::EncodeRecord(event).SerializeAsString());
  }
  void AddRaw(std::string key, std::string value) {
    records_.push_back(
        {std::move(key), std::move(value), 1'700'000'000'000'000 + static_cast<int64_t>(records_.size())});
  }
  void Quote(int64_t price_micros) {
    record::Quote quote;
    quote.symbol = symbol;
    quote.price_micros = price_micros;
    quote.event_time_us = 1'767'366'000'000'000 + static_cast<int64_t>(records_.size());
    quote.publisher_epoch = 1;
    quote.sequence = static_cast<int64_t>(records_.size()) + 1;
    Add(quote);
  }
  // REPEAT, at or above `target_micros`.
  void Alert(const std::string& id, int64_t target_micros, int64_t revision = 1) {
    record::AlertChange change;
    change.alert_id = id;
    change.symbol = symbol;
    change.revision = revision;
    change.armed_revision = revision;
    change.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, target_micros};
    change.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
    Add(change);
  }
  // `edges` times below and at the target.
  void Edges(int edges, int64_t target_micros) {
    for (int i = 0; i < edges; ++i) {
      Quote(target_micros - 1);
      Quote(target_micros);
    }
  }
  std::string symbol = "AAPL";  // Of what is added from now on.
  LogEntry at(int64_t offset) const {
    const LogRecordBytes& record = records_.at(static_cast<size_t>(offset));
    return {.offset = offset,
            .log_time_us = record.log_time_us,
            .key = record.key,
            .value = record.value,
            .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
  }
  int64_t size() const { return static_cast<int64_t>(records_.size()); }
  LogFacts facts() const { return {.cluster_id = cluster_id, .low_offset = low, .high_offset = size()}; }
  std::string cluster_id = "cluster-1";
  int64_t low = 0;

 private:
  std::vector<LogRecordBytes> records_;
};

// Between the evaluator and its store: fails as told.
class FailingStore final : public EvaluatorStore {
 public:
  explicit FailingStore(EvaluatorStore& inner) : inner_(inner) {}

  absl::StatusOr<PartitionRow> AcquirePartition(int32_t p, const PartitionOwner& o) override {
    return inner_.AcquirePartition(p, o);
  }
  absl::StatusOr<std::optional<PartitionHolder>> FindHolder(int32_t p) override { return inner_.FindHolder(p); }
  absl::StatusOr<std::vector<StoredCheckpoint>> LoadCheckpoints(int32_t p, int64_t g) override {
    return inner_.LoadCheckpoints(p, g);
  }
  absl::Status Commit(const CommitBatch& batch) override {
    commits.push_back(batch);
    if (const absl::Status status = fail ? fail(batch) : absl::OkStatus(); !status.ok()) return status;
    return inner_.Commit(batch);
  }
  absl::Status WriteCheckpoint(const StoredCheckpoint& c, int64_t e) override { return inner_.WriteCheckpoint(c, e); }
  absl::Status AdoptLog(const PartitionRow& r, const StoredCheckpoint& c) override { return inner_.AdoptLog(r, c); }
  absl::StatusOr<std::vector<StoredTrigger>> ReadTriggers(int32_t p, int64_t g, Progress f, size_t n) override {
    return inner_.ReadTriggers(p, g, f, n);
  }
  absl::StatusOr<std::vector<RecordedSplit>> ReadSplits(int32_t p, int64_t g, Progress f, size_t n) override {
    return inner_.ReadSplits(p, g, f, n);
  }
  absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int32_t p, int64_t a, size_t n) override {
    ++outbox_reads;
    if (outbox_away) return absl::UnavailableError("away");
    return inner_.ReadOutbox(p, a, n);
  }
  absl::Status DeleteOutbox(const std::vector<OutboxAcknowledgement>& a) override { return inner_.DeleteOutbox(a); }
  absl::Status Ready() override { return inner_.Ready(); }

  std::function<absl::Status(const CommitBatch&)> fail;
  std::vector<CommitBatch> commits;
  int outbox_reads = 0;
  bool outbox_away = false;

 private:
  EvaluatorStore& inner_;
};

// One process: dies when it is destroyed, with what it has not committed.
struct TestEvaluator {
  explicit TestEvaluator(EvaluatorStore& store, size_t commit_rows_max = 10'000)
      : relay(store, publisher),
        logic(store, relay, {.owner = "test", .commit_rows_max = commit_rows_max, .compare_rows_max = 3}) {}

  absl::StatusOr<int64_t> AcquirePartition(const Log& log, int32_t partition = 0) {
    return logic.AcquirePartition(partition, log.facts());
  }

  // From `from` to the log's end; the last answer.
  NextStep Read(const Log& log, int64_t from, int32_t partition = 0) {
    NextStep next_step = NextStep::kGoOn;
    for (int64_t offset = from; offset < log.size() && next_step == NextStep::kGoOn; ++offset) {
      next_step = logic.Apply(partition, log.at(offset));
    }
    return next_step;
  }
  // Takes, reads to the end, commits, relays.
  NextStep Run(const Log& log, int32_t partition = 0) {
    const auto start = AcquirePartition(log, partition);
    if (!start.ok()) return NextStep::kStop;
    const NextStep next_step = Read(log, *start, partition);
    logic.Commit().IgnoreError();
    relay.Pump().IgnoreError();
    return next_step;
  }

  RecordingPublisher publisher;
  AlertEventRelay relay;
  EvaluatorLogic logic;
};

}  // namespace stockalert::evaluator
