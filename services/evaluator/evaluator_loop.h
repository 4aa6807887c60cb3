// The evaluator's loop without Kafka: what is read, committed, held back, taken anew, and when. EvaluatorService runs
// it on its thread against librdkafka; the simulation drives it through outages in every order, on a clock of its own.
//
// Belongs to one thread. Turn() is called again and again; it waits at most about a tenth of a second by itself, and
// besides only for answers of the store and the broker, which are bounded by those. Time is monotonic: a wall clock
// that is set back delays nothing.
//
// There is no flag that something waits for and that somebody else would have to lower: each state holds what it waits
// for, and each has a way on whatever happens. All three tables hold at once.
//
//   Membership       waits for                            ways on
//   kApart           its time to join                     joined: kJoining · the consumer cannot be made: again, later
//   and later kJoining         the group's assignment               assigned: kMember · fatal, or nothing for
//   join_patience: kApart kMember          –                                    revoked, lost: kJoining · fenced,
//   fatal: kApart kGivenUp         the end of the process               none: twice in a row another process bore this
//   one's name, and on_fatal was told
//
//   Partition        waits for                            ways on
//   kToTake          its time; no blocked commit; broker  taken: kReading · cannot be gone on with: kHalted or kResting
//   · no answer: again
//                    and database                         after a moment · fenced: all leave, kApart
//   kReading         records                              stopped: kHalted or kResting · the broker has its place no
//   more: kSettling ·
//                                                         another log, or a replay that cannot be compared now: kToTake
//   kSettling        the commit of what it has done       committed: kToTake · refused for ever: kResting
//   kResting         its time, and the commit of what it  kToTake; the pause grows up to Options::rest_max, and begins
//   anew once it has
//                    has done                             got past where it stopped
//   kHalted          an operator                          taken by whoever is given it next: another member, a restart
//   (any)                                                 not assigned any more, lost, fenced: forgotten
//
//   Commits          waits for                            ways on
//   nothing waits    –                                    a record is folded
//   due              its time                             committed · fails for a while: blocked · refused for ever:
//   its partition kResting blocked          the next try                         committed, refused, fenced · its
//   partitions are taken away: EvaluatorLogic drops
//                                                         it with them, for that is where the blocking is kept
//
// While a commit is blocked nothing is read; what the consumer brings all the same is read again later, so that what
// waits stays bounded.
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

// What one look at the log brought. Rebalances came before the records: no record is of a partition that they took
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
  // Not OK: this consumer can go on no more. ABORTED: nothing is wrong, but another has to be made.
  absl::Status fatal;
  std::shared_ptr<void> keeps;  // What the records' views point into; must go before the consumer does.
};

// A member of the evaluators' group; leaves it when it is destroyed. Every call is bounded.
class LogConsumer {
 public:
  virtual ~LogConsumer() = default;
  // Waits at most `patience` for the first that comes.
  virtual LogPoll Poll(absl::Duration patience, size_t records_max) = 0;
  // Begins to read these partitions at these places (again, where they are being read). An error: nothing can be said
  // of what is read now.
  virtual absl::Status StartAt(const std::map<int32_t, int64_t>& next_offsets) = 0;
  virtual absl::Status StopReading(const std::vector<int32_t>& partitions) = 0;
  // What the broker says of the partition; UNAVAILABLE where it does not in time.
  virtual absl::StatusOr<LogFacts> Facts(int32_t partition) = 0;
  // For tools that show lag; the truth is in the store.
  virtual void TellOffsets(const std::map<int32_t, int64_t>& next_offsets) = 0;
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
  // What was written, or not, since the last call.
  virtual std::vector<Result> TakeResults() = 0;
};

struct EvaluatorLoopOptions {
  size_t poll_records = 2'000;
  absl::Duration commit_interval = absl::Seconds(1);
  absl::Duration checkpoint_interval = absl::Seconds(120);
  // The longest pause before a partition that stopped for what may pass is tried again.
  absl::Duration rest_max = absl::Seconds(20);
  // Longer than the group may wait for a member that does not poll: beyond it, it is the consumer that is stuck.
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
  // The loop goes on: called several times a turn, for each question to a store or broker that is away may last; not
  // any more when the process should end.
  std::function<void()> beat;
  // How long the records of one poll took to evaluate; what was committed just now was appended to the log at this time
  // (µs).
  std::function<void(absl::Duration)> on_evaluated;
  std::function<void(int64_t oldest_log_time_us)> on_committed;
};

class EvaluatorLoop {
 public:
  // All must outlive the loop.
  EvaluatorLoop(EvaluatorStore& store, EvaluatorLogic& logic, AlertEventRelay& relay, CheckpointSink& checkpoints,
                const EvaluatorLoopOptions& options);
  // Leaves the group.
  ~EvaluatorLoop();

  // Makes the first consumer; where this is not called, the first turn does. An error: what the settings lack.
  absl::Status Begin();

  void Turn();

  // Reads no more, commits, waits for the broker to have the events, writes checkpoints by `write_checkpoint` and
  // leaves the group; at the latest at `deadline` (of `now`) or a little after. No Turn afterwards.
  void ShutDown(absl::Time deadline, const std::function<absl::Status(const EvaluatorLogic::Draft&)>& write_checkpoint);

  enum class Membership { kApart, kJoining, kMember, kGivenUp };
  enum class State { kToTake, kReading, kSettling, kResting, kHalted };

  struct Health {
    Membership membership = Membership::kApart;
    int assigned = 0;
    int loading = 0;  // Of these: not read up to what was done before, or not taken yet.
    std::map<int32_t, std::string>
        stopped;  // And why; those that are being tried again included, until they are past it.
    bool commits_blocked = false;
    int64_t outbox_backlog = 0;
    int64_t alerts = 0;
    int64_t symbols = 0;
  };
  Health health() const;
  struct LoopCounters {
    int64_t joins = 0;        // Consumers made.
    int64_t tried_again = 0;  // Partitions taken anew after a stop.
    int64_t checkpoints = 0;
    int64_t checkpoint_failures = 0;
    size_t checkpoint_bytes = 0;  // Of the last one.
  };
  const LoopCounters& counters() const { return counters_; }

 private:
  struct Assigned {
    State state = State::kToTake;
    absl::Time not_before = absl::InfinitePast();  // kToTake, kResting.
    int64_t place = 0;                             // kReading: of the next record.
    int tries = 0;                                 // kToTake: since it was taken last.
    absl::Time reading_since = absl::InfiniteFuture();
    absl::Time checkpoint_due = absl::InfiniteFuture();
    bool read = false;    // The consumer reads it, as far as we know.
    bool astray = false;  // It may be elsewhere than at `place`.
  };
  // A partition that stopped for what may pass, until it is past it.
  struct Rest {
    base::Backoff pauses;
    absl::Duration pause;
    std::string why;
    Progress stopped_at;
  };

  absl::Status Join();
  void BeginJoining();
  void Beat() const;
  void Leave();
  void TakeRebalance(const LogPoll::Rebalance& event);
  void TakeFatal(const absl::Status& why);
  void Apply(const std::vector<LogPoll::Record>& records);
  void TakeErrors(const std::vector<LogPoll::Error>& errors);
  void CommitIfDue();
  void MoveOn();
  void TakeStopped();
  void LoadSome();
  void ReadWhatIsDue();
  void DeleteAcknowledgedIfIdle();
  void CheckpointIfDue();
  void TellOffsetsIfDue();
  void TakeLater(int32_t partition, Assigned& assigned);
  absl::Duration Patience() const;
  bool AnyIn(State state) const;

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
  int64_t oldest_effect_us_ = 0;  // Append time of the first record whose effects wait.
  LoopCounters counters_;
};

}  // namespace stockalert::evaluator
