// The evaluator's loop without Kafka: what is read, committed, held back and retried, and when. EvaluatorService runs
// it on its thread against librdkafka; the simulation drives it through outages in every order, on a clock of its own.
//
// Belongs to one thread. RunOnce() is called again and again. It waits about a tenth of a second at most, and besides
// that only for answers of the store and the broker, which bound their own waits. Time is monotonic: setting back the
// wall clock delays nothing.
//
// No flag waits for somebody else to clear it: each state says what it waits for, and has a way out whatever happens.
// All three tables hold at once.
//
// clang-format off: tables.
//   Membership     waits for                     next state
//   kApart         its time to join              kJoining: a consumer was made. Cannot make one: retries, ever later
//   kJoining       the group's assignment        kMember: assigned. kApart: fatal error, or nothing for join_patience
//   kMember        -                             kJoining: revoked or lost. kApart: fenced or fatal error
//   kGivenUp       the end of the process        none: another process had this one's name twice in a row; on_fatal
//                                                was called
//
//   Partition      waits for                     next state
//   kToAcquire     its time; no blocked commit;  kReading: acquired. kHalted, kResting: cannot be read on.
//                  broker and database           No answer: retries after a moment. Fenced: all leave, kApart
//   kReading       records                       kHalted, kResting: stopped. kSettling: its place is no longer in the
//                                                log. kToAcquire: another log, or a replay that cannot be compared now
//   kSettling      the commit of its work        kToAcquire: committed. kResting: refused for good
//   kResting       its time, and the commit of   kToAcquire. The pause grows up to Options::rest_max, and starts anew
//                  its work                      once the partition has passed the place where it stopped
//   kHalted        an operator                   acquired by its next owner: another member, or this one restarted
//   (any)                                        forgotten: no longer assigned, lost, or fenced
//
//   Commits        waits for                     next state
//   nothing due    -                             due: a record was folded
//   due            its time                      nothing due: committed. blocked: fails for a while.
//                                                Refused for good: its partition becomes kResting
//   blocked        the next try                  nothing due: committed, refused or fenced, or its partitions were taken
//                                                away: the block is kept with them, so EvaluatorLogic drops it too
// clang-format on
//
// While a commit is blocked nothing is read. Records that the consumer returns all the same are read again later, so
// that memory stays bounded.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/backoff.h"
#include "services/evaluator/alert_event_relay.h"
#include "services/evaluator/evaluator_logic.h"

namespace stockalert::evaluator {

// What one poll of the log returned. Rebalances come before the records: no record is of a partition that they took
// away.
struct LogPoll {
  enum class Change {
    kAssigned,  // These partitions, and no others, are this member's now.
    kRevoked,   // All are given back in good order.
    kLost,      // All are gone, and may be another member's already.
  };
  struct Rebalance {
    Change change = Change::kAssigned;
    std::vector<int32_t> partitions;  // Of kAssigned.
  };
  struct Record {
    int32_t partition = 0;
    LogEntry entry;
  };
  // The partition is read no further. PERMISSION_DENIED: reading is forbidden; else its place is not in the log, or the
  // log is gone.
  struct Error {
    int32_t partition = 0;
    absl::Status status;
  };
  std::vector<Rebalance> rebalances;
  std::vector<Record> records;
  std::vector<Error> errors;
  // Not OK: this consumer cannot go on. ABORTED: nothing is wrong, but a new one has to be made.
  absl::Status fatal;
  std::shared_ptr<void> keeps;  // What the records' views point into; must go before the consumer does.
};

// A member of the evaluators' group; leaves it when it is destroyed. Every call is bounded.
class LogConsumer {
 public:
  virtual ~LogConsumer() = default;
  // Waits at most `patience` for the first that comes.
  virtual LogPoll Poll(absl::Duration patience, size_t records_max) = 0;
  // Starts to read these partitions at these offsets, also those that are being read already. After an error it is
  // unknown what is being read.
  virtual absl::Status StartAt(const std::map<int32_t, int64_t>& next_offsets) = 0;
  virtual absl::Status StopReading(const std::vector<int32_t>& partitions) = 0;
  // What the broker says of the partition; UNAVAILABLE where it does not answer in time.
  virtual absl::StatusOr<LogFacts> QueryFacts(int32_t partition) = 0;
  // For tools that show lag; the truth is in the store.
  virtual void ReportOffsets(const std::map<int32_t, int64_t>& next_offsets) = 0;
};

// Writes checkpoints, one at a time, elsewhere or at once.
class CheckpointSink {
 public:
  virtual ~CheckpointSink() = default;
  virtual bool is_free() const = 0;
  // is_free() must be true.
  virtual void Write(EvaluatorLogic::Draft draft) = 0;
  struct Result {
    int32_t partition = 0;
    int64_t epoch = 0;
    int64_t next_offset = 0;
    size_t bytes = 0;
    absl::Status status;
  };
  // Removes and returns the outcomes since the last call, failures included.
  virtual std::vector<Result> TakeResults() = 0;
};

struct EvaluatorLoopOptions {
  size_t poll_records = 2'000;
  absl::Duration commit_interval = absl::Seconds(1);
  absl::Duration checkpoint_interval = absl::Seconds(120);
  // The longest pause before a partition is retried that stopped for a cause that may pass by itself.
  absl::Duration rest_max = absl::Seconds(20);
  // Longer than the group waits for a member that does not poll: after that, this member's own consumer is stuck.
  absl::Duration join_patience = absl::Minutes(6);
  // Makes the next consumer. The broker need not be there.
  std::function<absl::StatusOr<std::unique_ptr<LogConsumer>>()> join;
  // The consumer could not go on twice in a row (another process has this member's name): the process should end.
  // Called once.
  std::function<void(const std::string& why)> on_fatal;
  // Monotonic; only differences count.
  std::function<absl::Time()> now;
  std::function<void(absl::Duration)> sleep;
  std::function<double()> random_fraction = base::RandomFraction;
  // Called several times a round, because each question to a store or broker that is away may take long: the loop is
  // alive. No longer called once the process should end.
  std::function<void()> beat;
  // How long it took to evaluate the records of one poll; and when the oldest record just committed was appended to the
  // log (µs).
  std::function<void(absl::Duration)> on_evaluated;
  std::function<void(int64_t oldest_log_time_us)> on_committed;
};

// What a fold says of an alert, and as of when.
struct ExplainedAlert {
  fold::Explanation explanation;
  int64_t epoch = 0;        // By which the partition is this process's.
  int64_t next_offset = 0;  // All records below are in it.
};

class EvaluatorLoop {
 public:
  // All must outlive the loop.
  EvaluatorLoop(EvaluatorStore& store, EvaluatorLogic& logic, AlertEventRelay& relay, CheckpointSink& checkpoints,
                const EvaluatorLoopOptions& options);
  // Leaves the group.
  ~EvaluatorLoop();

  // Makes the first consumer; where this is not called, the first RunOnce does. An error says what is wrong with the
  // settings.
  absl::Status MakeFirstConsumer();

  void RunOnce();

  // Stops reading, commits, waits until the broker has the events, writes checkpoints by `write_checkpoint` and leaves
  // the group; ends at `deadline` (of `now`) or a little later. No RunOnce afterwards.
  void ShutDown(absl::Time deadline, const std::function<absl::Status(const EvaluatorLogic::Draft&)>& write_checkpoint);

  enum class Membership { kApart, kJoining, kMember, kGivenUp };
  enum class State { kToAcquire, kReading, kSettling, kResting, kHalted };

  struct Health {
    Membership membership = Membership::kApart;
    int assigned = 0;
    int loading = 0;  // Of these: not acquired yet, or replaying what was done before.
    std::map<int32_t, std::string>
        stopped;  // And why; those that are being tried again included, until they are past it.
    bool commits_blocked = false;
    int64_t outbox_backlog = 0;
    int64_t alerts = 0;
    int64_t symbols = 0;
    int64_t held_symbols = 0;
    int64_t held_records = 0;
  };
  Health health() const;

  // Between two rounds. UNAVAILABLE: PARTITION_NOT_OWNED, PARTITION_RESTORING, PARTITION_STOPPED, ALERT_NOT_APPLIED.
  absl::StatusOr<ExplainedAlert> Explain(int32_t partition, const std::string& alert_id) const;
  struct LoopCounters {
    int64_t joins = 0;        // Consumers made.
    int64_t tried_again = 0;  // Partitions acquired anew after a stop.
    int64_t checkpoints = 0;
    int64_t checkpoint_failures = 0;
    size_t checkpoint_bytes = 0;  // Of the last one.
  };
  const LoopCounters& counters() const { return counters_; }

 private:
  struct Assigned {
    State state = State::kToAcquire;
    absl::Time not_before = absl::InfinitePast();  // kToAcquire, kResting.
    int64_t place = 0;                             // kReading: of the next record.
    int tries = 0;                                 // kToAcquire: since it was taken last.
    absl::Time reading_since = absl::InfiniteFuture();
    absl::Time checkpoint_due = absl::InfiniteFuture();
    bool read = false;    // The consumer reads it, as far as we know.
    bool astray = false;  // The consumer may be elsewhere than at `place`.
  };
  // A partition that stopped for a cause that may pass by itself; kept until it has got past that place.
  struct Rest {
    base::Backoff pauses;
    absl::Duration pause;
    std::string why;
    Progress stopped_at;
  };

  absl::Status JoinGroup();
  void BeginJoining();
  void Beat() const;
  void LeaveGroup();
  void HandleRebalance(const LogPoll::Rebalance& event);
  void HandleFatal(const absl::Status& why);
  void Apply(const std::vector<LogPoll::Record>& records);
  void HandleErrors(const std::vector<LogPoll::Error>& errors);
  void CommitIfDue();
  void RetryStopped();
  void HandleStopped();
  void AcquireDue();
  void StartReadingDue();
  void DeleteAcknowledgedIfIdle();
  void CheckpointIfDue();
  void BeginDraftIfDue();
  void ReportOffsetsIfDue();
  void AcquireLater(int32_t partition, Assigned& assigned);
  absl::Duration PollTimeout() const;
  bool AnyPartitionIn(State state) const;

  EvaluatorStore& store_;
  EvaluatorLogic& logic_;
  AlertEventRelay& relay_;
  CheckpointSink& checkpoints_;
  const EvaluatorLoopOptions options_;

  std::unique_ptr<LogConsumer> consumer_;  // None: kApart, kGivenUp.
  std::unique_ptr<LogConsumer>
      retired_;  // The one before: what it brought must be gone before it is, and it before the next.
  Membership membership_ = Membership::kApart;
  absl::Time next_join_ = absl::InfinitePast();  // kApart.
  base::Backoff join_pauses_;
  absl::Time joining_since_ = absl::InfinitePast();
  absl::Time last_fatal_ = absl::InfinitePast();
  std::map<int32_t, Assigned>
      partitions_;  // kMember: the group's. kJoining: of before, where they were revoked in good order.
  std::map<int32_t, Rest> rests_;
  absl::Time next_try_ = absl::InfinitePast();  // Of a commit that is blocked.
  base::Backoff commit_pauses_;
  bool told_blocked_ = false;  // Only for the log.
  absl::Time last_commit_ = absl::InfinitePast();
  absl::Time last_delete_ = absl::InfinitePast();
  absl::Time last_hint_ = absl::InfinitePast();
  std::optional<int32_t> drafting_;  // The partition whose checkpoint is being copied.
  int64_t oldest_effect_us_ = 0;     // Append time of the first record whose effects wait.
  LoopCounters counters_;
};

}  // namespace stockalert::evaluator
