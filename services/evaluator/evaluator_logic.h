// The evaluator without Kafka and Postgres: records of its partitions in, commits and events out, by the rules of
// docs/architecture.md (fence, replay, comparison, other logs, poison).
//
// Belongs to one thread. Deterministic apart from the answers of the store and the publisher: the service drives it
// with a consumer's polls, the simulation with crashes and zombies. The order of calls for a partition:
//
//   AcquirePartition → (Apply… → Commit)… → DropPartition
//
// A partition that cannot go on (a gap, an undecodable change, a replay that differs from what is recorded, effects
// that the database refuses, more records of a symbol whose split is suspected than may be kept) is *stopped*: Apply
// answers kStop, its state stays as it is, and stopped() says why; the other partitions go on. It goes on once it is
// acquired anew: where the cause can pass by itself (may_pass() below) its owner does that with growing pauses,
// otherwise an operator mends the cause and restarts the process.
//
// Effects that wait for their commit are kept by partition, and a transaction spans partitions. A transaction that
// failed for a while is kept as it was built and retried (blocked()). Nothing else ever blocks, so losing its
// partitions ends the blocking, too. A transaction that is refused for good is split by partition, and only partitions
// whose own part is refused are stopped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/domain/fold/fold.h"
#include "services/domain/record/event.h"
#include "services/evaluator/alert_event_relay.h"
#include "services/evaluator/evaluator_store.h"

namespace stockalert::evaluator {

// A record of the log as the broker gave it. The views need to live only for the call.
struct LogEntry {
  int64_t offset = 0;
  int64_t log_time_us = 0;
  std::string_view key;
  std::string_view value;
  std::string_view traceparent;
};

// What the broker says of a partition when it is acquired.
struct LogFacts {
  std::string cluster_id;
  int64_t low_offset = 0;   // The oldest record it has.
  int64_t high_offset = 0;  // Where the next will be.
};

// A checksum of the record's offset, content and time. A different log practically never has the same one at this
// place.
int64_t ChecksumOf(const LogEntry& entry);

enum class NextStep {
  kGoOn,
  kStop,      // Read no more of this partition.
  kOtherLog,  // The log is not the one that was read before: call AdoptOtherLog.
  kAgain,     // The store does not answer and nothing was done: pass the same record again later.
};

struct LogicCounters {
  int64_t records = 0;
  int64_t records_replayed = 0;  // Of these: below the progress that the partition was acquired with.
  int64_t quotes_malformed = 0;
  int64_t records_given_up = 0;  // By Options::skipped_records.
  int64_t splits_skipped = 0;    // Another split has the number or the id.
  int64_t partitions_stopped = 0;
  int64_t commits = 0;
  int64_t commit_failures = 0;
  int64_t fenced = 0;
  int64_t triggers_committed = 0;
  int64_t events_committed = 0;
  int64_t checkpoints_unusable = 0;
  int64_t logs_adopted = 0;
};

class EvaluatorLogic {
 public:
  struct Options {
    std::string owner;                 // Names this process in the partitions' rows.
    std::string owner_address = {};    // Where it answers questions; empty: nowhere.
    size_t commit_rows_max = 10'000;   // A transaction's; a record with more effects spans several.
    size_t compare_rows_max = 10'000;  // Read back at once while a replay is compared.
    // Of a symbol whose split is suspected, so many records are kept; at one more its partition stops.
    int64_t held_records_max = 100'000;
    // Partition and offset of records that cannot be understood and that an operator has given up.
    std::set<std::pair<int32_t, int64_t>> skipped_records = {};
  };
  EvaluatorLogic(EvaluatorStore& store, AlertEventRelay& relay, const Options& options);
  ~EvaluatorLogic();

  // Acquires the partition with a new epoch, loads its newest sound checkpoint, and returns the offset to read from.
  // Adopts another log where the facts show one. UNAVAILABLE: try again. FAILED_PRECONDITION: the partition is stopped,
  // or fenced (IsFenced) because another process acquired it meanwhile.
  absl::StatusOr<int64_t> AcquirePartition(int32_t partition, const LogFacts& facts);

  // To be called after kOtherLog: keeps the state and the trigger numbers, and goes on with the log's oldest record.
  // Otherwise as AcquirePartition.
  absl::StatusOr<int64_t> AdoptOtherLog(int32_t partition, const LogFacts& facts);

  // Forgets the partition and its uncommitted effects: its next owner folds those records again.
  void DropPartition(int32_t partition);
  void DropAllPartitions();

  // Folds the next record of an acquired partition. Its effects wait for Commit.
  NextStep Apply(int32_t partition, const LogEntry& entry);

  // Stops the partition until it is acquired anew, for a cause that may pass by itself: the broker forbids reading it.
  void StopForNow(int32_t partition, const std::string& why);

  // Whether something waits for Commit: progress of any partition, or of this one; effects, which are urgent.
  bool has_progress() const { return has_progress_; }
  bool has_progress(int32_t partition) const;
  bool has_effects() const { return pending_effects_ > 0; }
  size_t pending_effects() const { return pending_effects_; }
  // A transaction failed and will be retried as it was; until then nothing more should be read. Ends when a Commit is
  // answered, or when one of its partitions is dropped.
  bool blocked() const { return in_flight_.has_value(); }

  // Commits everything that waits, in as many transactions as its size needs, and hands the events to the relay. OK:
  // nothing waits any more. A partition whose effects cannot be stored is stopped then; what it forgets is computed
  // again when it is acquired anew. Fenced (IsFenced): all partitions were dropped; leave the group and join again. Any
  // other error: nothing is lost and blocked() is true; call it again later.
  absl::Status Commit();

  // The content of a checkpoint, copied between batches, to be encoded and written elsewhere.
  struct Draft {
    int32_t partition = 0;
    int64_t epoch = 0;
    int64_t log_generation = 1;
    int64_t next_offset = 0;
    std::optional<int64_t> last_record_checksum;
    fold::FoldState state;
  };
  // None: nothing has changed since the last checkpoint, something waits for Commit, or the partition is being replayed
  // or stopped.
  std::optional<Draft> TakeDraft(int32_t partition);
  // The same in small parts, with records folded in between; a draft as of now. False: none, as above.
  bool BeginDraft(int32_t partition);
  // Copies about so many alerts more. None: it is not whole yet, or none is under way any more (is_drafting).
  std::optional<Draft> ContinueDraft(int32_t partition, int64_t alerts_max);
  bool is_drafting(int32_t partition) const;
  // Whether a split was committed since the last draft was begun: a checkpoint is due at once. A version that does not
  // know the rows of splits may be the one that another log is met by.
  bool wants_checkpoint(int32_t partition) const;
  // The draft was written. Does nothing where the partition was acquired anew meanwhile.
  void MarkCheckpointed(int32_t partition, int64_t epoch, int64_t next_offset);
  static StoredCheckpoint Encode(const Draft& draft);

  std::vector<int32_t> partitions() const;
  // Whether the replay is over: records folded now are new.
  bool is_live(int32_t partition) const;
  // The fence's.
  std::optional<int64_t> epoch(int32_t partition) const;
  // Where the next record will be read.
  std::optional<int64_t> next_offset(int32_t partition) const;
  // How far it is committed.
  std::optional<Progress> progress(int32_t partition) const;
  // Stopped partitions, and why.
  std::map<int32_t, std::string> stopped() const;
  // Whether the cause of a stopped partition may pass by itself, so that acquiring it again later makes sense.
  bool may_pass(int32_t partition) const;
  const fold::Fold* fold(int32_t partition) const;
  const LogicCounters& counters() const { return counters_; }
  // What the folds counted since their partitions were acquired, dropped partitions included. Never falls.
  fold::Counters fold_counters() const;

 private:
  class LastRecord;
  struct Partition;
  // Triggers, confirmations, statuses, splits: numbered in this order.
  static size_t EffectsOf(const fold::Outcome& outcome);

  // The effects of one record.
  struct PendingRecord {
    int64_t offset = 0;
    size_t committed = 0;                    // Effects that an earlier transaction committed.
    std::optional<int64_t> checksum_before;  // Of the record before it.
    std::optional<int64_t> checksum;
    int64_t log_time_us = 0;
    std::string traceparent;
    fold::Outcome outcome;
    size_t effects() const { return EffectsOf(outcome); }
  };
  // A transaction as it was built; kept until its outcome is known, so that a retry is identical.
  struct InFlight {
    struct Part {
      size_t records_done = 0;     // From the front of the partition's.
      size_t effects_of_next = 0;  // Committed effects of the record after these.
      size_t effects = 0;
    };
    CommitBatch batch;
    std::vector<Part> parts;  // One a move, in the same order.
    size_t effects = 0;
  };
  enum class Stop { kUntilMended, kForNow };

  absl::StatusOr<int64_t> LoadPartition(Partition& partition, const LogFacts& facts);
  absl::StatusOr<std::vector<RecordedSplit>> ReadSplitsSince(const PartitionRow& row, Progress from);
  absl::StatusOr<int64_t> AdoptLog(Partition& partition, const LogFacts& facts);
  // The newest checkpoint of the row's generation that can be used, with its fold; none where there is none.
  struct Base;
  absl::StatusOr<std::optional<Base>> FindBaseCheckpoint(const PartitionRow& row);
  NextStep StopPartition(Partition& partition, const std::string& why, Stop stop = Stop::kUntilMended);
  absl::Status ReadRecordedTriggers(Partition& partition, int64_t offset);
  bool StopWhereHoldIsFull(Partition& partition, const record::Event& event);
  std::optional<PendingRecord> FoldRecord(int32_t number, Partition& partition, const LogEntry& entry);
  std::optional<std::string> FindDifference(Partition& partition, const fold::Outcome& outcome, int64_t offset,
                                            size_t compared);
  InFlight BuildBatch() const;
  void AddPart(int32_t number, const Partition& partition, InFlight& built) const;
  // The store refuses the transaction for good: commits each partition's part by itself.
  void CommitPartsSeparately(const absl::Status& refusal);
  void ApplyCommitted();
  void ForgetPending(int32_t number, Partition& partition);
  void UpdateHasProgress();

  EvaluatorStore& store_;
  AlertEventRelay& relay_;
  const Options options_;
  std::map<int32_t, std::unique_ptr<Partition>> partitions_;
  size_t rows_max_;             // Of the next transaction: fewer after one that took too long.
  size_t pending_effects_ = 0;  // Of all partitions.
  bool has_progress_ = false;
  std::optional<InFlight> in_flight_;
  std::set<int32_t> apart_;  // Partitions whose parts are committed separately because together they were refused.
  LogicCounters counters_;
  fold::Counters folded_before_;  // By folds that are gone.
};

}  // namespace stockalert::evaluator
