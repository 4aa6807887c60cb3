// The evaluator without Kafka and Postgres: records of its partitions in, commits and events out, by the rules of
// docs/architecture.md: fence, replay, comparison, other logs, poison.
//
// Belongs to one thread. Deterministic but for what store and publisher answer: the service drives it with a consumer's
// polls, the simulation with crashes and zombies. The order of calls for a partition:
//
//   Take → (Apply… → Commit)… → Drop
//
// A partition that cannot go on (a gap, an undecodable change, a replay that differs from what is recorded, effects
// that the database refuses) is *stopped*: Apply answers kStop, its state stays as it is, stopped() says why; the other
// partitions go on. It goes on by being taken anew: where the cause can pass by itself (passes(), below) its owner does
// that with growing pauses, else a restart after mending the cause does.
//
// What waits for its commit is kept by partition, and a transaction spans partitions. One that failed for a while is
// kept as it was built and tried again (blocked()): it is the only thing that ever blocks, so that whatever takes its
// partitions away ends the blocking, too. One that fails for ever is taken apart, a partition each, and only those
// whose own part fails are stopped.
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

// What the broker says of a partition when it is taken.
struct LogFacts {
  std::string cluster_id;
  int64_t low_offset = 0;   // The oldest record it has.
  int64_t high_offset = 0;  // Where the next will be.
};

// Ties a record's place to its content, its time included: another log hardly ever has the same record there.
int64_t ChecksumOf(const LogEntry& entry);

enum class NextStep {
  kGoOn,
  kStop,      // Read no more of this partition.
  kOtherLog,  // The log is not the one that was read before: call AdoptOtherLog.
  kAgain,     // The store does not answer, and nothing was done: give the same record again later.
};

struct LogicCounters {
  int64_t records = 0;
  int64_t records_replayed = 0;  // Of these, below the progress at taking.
  int64_t quotes_malformed = 0;
  int64_t records_given_up = 0;  // By Options::skipped_records.
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
    size_t commit_rows_max = 10'000;   // A transaction's; a record with more effects spans several.
    size_t compare_rows_max = 10'000;  // Read back at once while a replay is compared.
    // Partition and offset of records that cannot be understood and that an operator has given up.
    std::set<std::pair<int32_t, int64_t>> skipped_records = {};
  };
  EvaluatorLogic(EvaluatorStore& store, AlertEventRelay& relay, const Options& options);
  ~EvaluatorLogic();

  // Takes the partition with a new epoch, loads its newest sound checkpoint, and answers the offset to read from. Where
  // the facts show another log, it is adopted. UNAVAILABLE: try again. FAILED_PRECONDITION: stopped; or fenced
  // (IsFenced), where another took it meanwhile.
  absl::StatusOr<int64_t> Take(int32_t partition, const LogFacts& facts);

  // Keeps state and trigger numbers, and goes on with the log's oldest record. After kOtherLog; otherwise as Take.
  absl::StatusOr<int64_t> AdoptOtherLog(int32_t partition, const LogFacts& facts);

  // Forgets the partition, and what of it is not committed: whoever has it next folds that again.
  void Drop(int32_t partition);
  void DropAll();

  // Folds the next record of a partition that was taken. What it makes happen waits for Commit.
  NextStep Apply(int32_t partition, const LogEntry& entry);

  // The broker does not let us read it: the partition is stopped, until it may be taken anew.
  void StopForNow(int32_t partition, const std::string& why);

  // Something waits for Commit: progress, of any partition or of this one; effects that somebody waits for.
  bool has_progress() const { return has_progress_; }
  bool has_progress(int32_t partition) const;
  bool has_effects() const { return pending_effects_ > 0; }
  size_t pending_effects() const { return pending_effects_; }
  // A transaction has failed and waits to be tried again as it was: until then nothing more should be read. Ends by a
  // Commit that is answered, and by dropping one of its partitions.
  bool blocked() const { return in_flight_.has_value(); }

  // Commits all that waits, in one transaction or, where it is much, in several, and hands the events to the relay. OK:
  // nothing waits any more; a partition whose effects cannot be stored is stopped by now, and forgotten is only what
  // will be computed again when it is taken anew. Fenced (IsFenced): everything was dropped, all partitions; leave the
  // group and join again. Otherwise nothing is lost, and blocked() is true: call it again later.
  absl::Status Commit();

  // A checkpoint's content, taken between batches, to be encoded and written elsewhere.
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
  // The draft was written. Says nothing of a partition that was taken anew meanwhile.
  void MarkCheckpointed(int32_t partition, int64_t epoch, int64_t next_offset);
  static StoredCheckpoint Encode(const Draft& draft);

  std::vector<int32_t> partitions() const;
  // The replay is over: what is folded now is new.
  bool is_live(int32_t partition) const;
  // Where the next record will be read.
  std::optional<int64_t> next_offset(int32_t partition) const;
  // What is committed of it.
  std::optional<Progress> progress(int32_t partition) const;
  // Partition → why it stands.
  std::map<int32_t, std::string> stopped() const;
  // Of a stopped one: the cause may pass by itself, so that taking it anew after a while is worth it.
  bool passes(int32_t partition) const;
  const fold::Fold* fold(int32_t partition) const;
  const LogicCounters& counters() const { return counters_; }
  // What the folds counted since their partitions were taken, those that are dropped by now included. Never falls.
  fold::Counters fold_counters() const;

 private:
  struct Partition;
  // What one record made happen.
  struct PendingRecord {
    int64_t offset = 0;
    size_t committed = 0;                    // Effects that an earlier transaction has.
    std::optional<int64_t> checksum_before;  // Of the record before it.
    int64_t checksum = 0;
    int64_t log_time_us = 0;
    std::string traceparent;
    fold::Outcome outcome;
    size_t effects() const { return outcome.triggers.size() + outcome.confirmations.size() + outcome.statuses.size(); }
  };
  // A transaction that was built; kept until its outcome is known, so that it is tried again as it was.
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

  absl::StatusOr<int64_t> Load(Partition& partition, const LogFacts& facts);
  absl::StatusOr<int64_t> Adopt(Partition& partition, const LogFacts& facts);
  // The newest checkpoint of the row's generation that can be used, with its fold; none where there is none.
  struct Base;
  absl::StatusOr<std::optional<Base>> FindBase(const PartitionRow& row);
  NextStep Halt(Partition& partition, const std::string& why, Stop stop = Stop::kUntilMended);
  absl::Status FillRecorded(Partition& partition, int64_t offset);
  std::optional<PendingRecord> FoldRecord(int32_t number, Partition& partition, const LogEntry& entry);
  std::optional<std::string> FindDifference(Partition& partition, const fold::Outcome& outcome, int64_t offset,
                                            size_t compared);
  InFlight BuildBatch() const;
  void AddPart(int32_t number, const Partition& partition, InFlight& built) const;
  // The store refuses the transaction for ever: what follows.
  void TakeApart(const absl::Status& refusal);
  void TakeCommitted();
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
  std::set<int32_t> apart_;  // Partitions whose parts are committed each by itself, for together they were refused.
  LogicCounters counters_;
  fold::Counters folded_before_;  // By folds that are gone.
};

}  // namespace stockalert::evaluator
