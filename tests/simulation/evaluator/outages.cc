#include "tests/simulation/evaluator/outages.h"

#include <algorithm>
#include <utility>

#include "tests/simulation/evaluator/comparison.h"
#include "tests/support/evaluator_store/in_memory_evaluator_store.h"

namespace stockalert::simulation {

using evaluator::AlertEventRelay;
using evaluator::CommitBatch;
using evaluator::EvaluatorLogic;
using evaluator::EvaluatorLoop;
using evaluator::LogPoll;
using evaluator::OutboxAcknowledgement;
using evaluator::OutboxRow;
using evaluator::PartitionRow;
using evaluator::Progress;
using evaluator::RecordedSplit;
using evaluator::StoredCheckpoint;
using evaluator::StoredTrigger;

namespace {

constexpr absl::Duration kSession = absl::Seconds(10);
constexpr absl::Duration kJoinTakes = absl::Seconds(1);
// An unanswered question costs time: of the database, and of the broker.
constexpr absl::Duration kDatabasePatience = absl::Milliseconds(400);
constexpr absl::Duration kBrokerPatience = absl::Seconds(3);
// A turn may ask both several times, but not each partition's part of each.
constexpr absl::Duration kTurnMax = absl::Seconds(9);
constexpr absl::Duration kWellFor = absl::Seconds(30);

}  // namespace

class OutageWorld::Store final : public evaluator::EvaluatorStore {
 public:
  explicit Store(OutageWorld& world) : world_(world) {}

  absl::StatusOr<PartitionRow> AcquirePartition(int32_t partition, const evaluator::PartitionOwner& owner) override {
    if (owner.name == "one" && !world_.IsAssigned(partition))
      world_.Fail("a partition is taken from whoever has it now");
    if (absl::Status status = Ask(true); !status.ok()) return status;
    return truth.AcquirePartition(partition, owner);
  }
  absl::StatusOr<std::optional<evaluator::PartitionHolder>> FindHolder(int32_t partition) override {
    if (absl::Status status = Ask(false); !status.ok()) return status;
    return truth.FindHolder(partition);
  }
  absl::StatusOr<std::vector<StoredCheckpoint>> LoadCheckpoints(int32_t partition, int64_t generation) override {
    if (absl::Status status = Ask(false); !status.ok()) return status;
    return truth.LoadCheckpoints(partition, generation);
  }
  absl::Status Commit(const CommitBatch& batch) override {
    if (std::exchange(world_.loses_answer_, false)) {
      if (!Refuses(batch)) truth.Commit(batch).IgnoreError();
      return absl::UnavailableError("simulated: the connection broke before the answer");
    }
    if (absl::Status status = Ask(true); !status.ok()) return status;
    if (Refuses(batch)) return absl::FailedPreconditionError("simulated: a check is violated");
    return truth.Commit(batch);
  }
  absl::Status WriteCheckpoint(const StoredCheckpoint& checkpoint, int64_t epoch) override {
    if (absl::Status status = Ask(true); !status.ok()) return status;
    return truth.WriteCheckpoint(checkpoint, epoch);
  }
  absl::Status AdoptLog(const PartitionRow& row, const StoredCheckpoint& checkpoint) override {
    world_.Fail("the log was taken for another one");
    return truth.AdoptLog(row, checkpoint);
  }
  absl::StatusOr<std::vector<StoredTrigger>> ReadTriggers(int32_t partition, int64_t generation, Progress from,
                                                          size_t rows_max) override {
    if (absl::Status status = Ask(false); !status.ok()) return status;
    return truth.ReadTriggers(partition, generation, from, rows_max);
  }
  absl::StatusOr<std::vector<RecordedSplit>> ReadSplits(int32_t partition, int64_t generation, Progress from,
                                                        size_t rows_max) override {
    if (absl::Status status = Ask(false); !status.ok()) return status;
    return truth.ReadSplits(partition, generation, from, rows_max);
  }
  absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int32_t partition, int64_t after, size_t rows_max) override {
    if (absl::Status status = Ask(false); !status.ok()) return status;
    return truth.ReadOutbox(partition, after, rows_max);
  }
  absl::Status DeleteOutbox(const std::vector<OutboxAcknowledgement>& acknowledged) override {
    if (absl::Status status = Ask(true); !status.ok()) return status;
    return truth.DeleteOutbox(acknowledged);
  }
  absl::Status Ready() override { return Ask(false); }

  testing::InMemoryEvaluatorStore truth;

 private:
  absl::Status Ask(bool writes) {
    if (world_.database_ == Database::kAway) {
      world_.now_ += kDatabasePatience;
      return absl::UnavailableError("simulated: the database does not answer");
    }
    if (world_.database_ == Database::kFull && writes) return absl::UnavailableError("simulated: the disk is full");
    return absl::OkStatus();
  }
  // As a check of the table of triggers and events would.
  bool Refuses(const CommitBatch& batch) const {
    return world_.unstorable_.has_value() &&
           std::any_of(batch.outbox.begin(), batch.outbox.end(),
                       [&](const OutboxRow& row) { return row.partition == *world_.unstorable_; });
  }

  OutageWorld& world_;
};

// A member of the group, as librdkafka is one: it joins, hears of its partitions in Poll, and reads what it is told to.
class OutageWorld::Consumer final : public evaluator::LogConsumer {
 public:
  explicit Consumer(OutageWorld& world) : world_(world), joins_at_(world.now_ + kJoinTakes) { world_.consumer_ = this; }
  ~Consumer() override {
    if (alive_.use_count() > 1) world_.Fail("a consumer ended before what it had brought");
    if (world_.consumer_ == this) world_.consumer_ = nullptr;
  }

  LogPoll Poll(absl::Duration patience, size_t records_max) override {
    LogPoll result;
    result.keeps = alive_;
    if (ends_) {
      result.fatal = absl::FailedPreconditionError("simulated: the consumer can go on no more");
      return result;
    }
    if (!world_.broker_ && has_partitions_ && world_.now_ - world_.broker_away_since_ > kSession) Lose();
    for (LogPoll::Rebalance& event : events_) result.rebalances.push_back(std::move(event));
    events_.clear();
    if (!result.rebalances.empty()) return result;
    if (world_.broker_ && world_.now_ >= joins_at_) {
      joins_at_ = absl::InfiniteFuture();
      Assign(result);
      return result;
    }
    if (world_.broker_) {
      for (const int32_t partition : std::exchange(misplaced_, {})) {
        if (reading_.erase(partition) > 0)
          result.errors.push_back({partition, absl::OutOfRangeError("simulated: no such place")});
      }
      if (world_.now_ < world_.forbidden_until_ && reading_.erase(0) > 0) {
        result.errors.push_back({0, absl::PermissionDeniedError("simulated: reading is forbidden")});
      }
      for (auto& [partition, next] : reading_) {
        const SimulatedLog& log = world_.logs_[static_cast<size_t>(partition)];
        for (int64_t room = world_.random_.Between(0, 4);
             room > 0 && next < world_.written_[static_cast<size_t>(partition)] && result.records.size() < records_max;
             --room) {
          const SimulatedLog::Record& record = log.records[static_cast<size_t>(next)];
          result.records.push_back({partition, {next, record.log_time_us, record.key, record.value, ""}});
          ++next;
        }
      }
    }
    world_.now_ += result.records.empty() ? patience : absl::Milliseconds(1);
    return result;
  }
  absl::Status StartAt(const std::map<int32_t, int64_t>& next_offsets) override {
    if (world_.now_ < world_.no_start_until_) return absl::InternalError("simulated: refused");
    for (const auto& [partition, next] : next_offsets) {
      if (!IsAssigned(partition)) {
        world_.Fail("a partition is read that is not assigned");
        return absl::FailedPreconditionError("not assigned");
      }
      reading_[partition] = next;
    }
    return absl::OkStatus();
  }
  absl::Status StopReading(const std::vector<int32_t>& partitions) override {
    if (world_.now_ < world_.no_start_until_) return absl::InternalError("simulated: refused");
    for (const int32_t partition : partitions) reading_.erase(partition);
    return absl::OkStatus();
  }
  absl::StatusOr<evaluator::LogFacts> QueryFacts(int32_t partition) override {
    if (!world_.broker_) {
      world_.now_ += kBrokerPatience;
      return absl::UnavailableError("simulated: the broker does not answer");
    }
    return evaluator::LogFacts{"simulated", 0, world_.written_[static_cast<size_t>(partition)]};
  }
  void ReportOffsets(const std::map<int32_t, int64_t>&) override {}

  // All is lost at once, and joined again.
  void Lose() {
    if (has_partitions_) events_.push_back({LogPoll::Change::kLost, {}});
    Forget();
    joins_at_ = world_.now_ + kJoinTakes;
  }
  void Revoke() {
    if (!has_partitions_) return;
    events_.push_back({LogPoll::Change::kRevoked, {}});
    Forget();
    joins_at_ = world_.now_ + absl::Milliseconds(world_.random_.Between(0, 300));
    in_part_ = true;
  }
  bool IsAssigned(int32_t partition) const {
    return std::find(assigned_.begin(), assigned_.end(), partition) != assigned_.end();
  }
  void End() { ends_ = true; }
  void Misplace(int32_t partition) { misplaced_.push_back(partition); }

 private:
  void Forget() {
    has_partitions_ = false;
    assigned_.clear();
    reading_.clear();
  }
  void Assign(LogPoll& result) {
    has_partitions_ = true;
    assigned_.clear();
    reading_.clear();
    const auto all = static_cast<int32_t>(world_.logs_.size());
    const bool part = std::exchange(in_part_, false);
    for (int32_t partition = 0; partition < all; ++partition) {
      if (!part || world_.random_.Chance(0.5)) assigned_.push_back(partition);
    }
    result.rebalances.push_back({LogPoll::Change::kAssigned, assigned_});
    if (static_cast<int32_t>(assigned_.size()) == all) return;
    // The other member leaves again soon.
    world_.OthersTake(3, assigned_);
    events_.push_back({LogPoll::Change::kRevoked, {}});
    later_ = world_.now_ + kJoinTakes;
  }

 public:
  // What comes with time and not with a poll.
  void Elapse() {
    if (world_.now_ < later_) return;
    later_ = absl::InfiniteFuture();
    if (!has_partitions_) return;
    events_.push_back({LogPoll::Change::kRevoked, {}});
    Forget();
    joins_at_ = world_.now_;
  }

 private:
  OutageWorld& world_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  absl::Time joins_at_;
  absl::Time later_ = absl::InfiniteFuture();
  bool has_partitions_ = false;
  bool in_part_ = false;
  bool ends_ = false;
  std::vector<int32_t> assigned_;
  std::vector<int32_t> misplaced_;
  std::map<int32_t, int64_t> reading_;
  std::deque<LogPoll::Rebalance> events_;
};

class OutageWorld::Publisher final : public evaluator::EventPublisher {
 public:
  explicit Publisher(OutageWorld& world) : world_(world) {}
  void Publish(const OutboxRow& row, std::function<void(bool)> done) override {
    under_way_.push_back({row.value, std::move(done)});
  }
  void Work() {
    if (!world_.broker_) return;
    for (int64_t count = world_.random_.Between(0, 20); count > 0 && !under_way_.empty(); --count) {
      const auto [value, done] = std::move(under_way_.front());
      under_way_.pop_front();
      world_.delivered_.push_back(value);
      done(true);
    }
  }
  bool idle() const { return under_way_.empty(); }

 private:
  struct Message {
    std::string value;
    std::function<void(bool)> done;
  };
  OutageWorld& world_;
  std::deque<Message> under_way_;
};

// Writes at once.
class OutageWorld::Checkpoints final : public evaluator::CheckpointSink {
 public:
  explicit Checkpoints(OutageWorld& world) : world_(world) {}
  bool is_free() const override { return true; }
  void Write(EvaluatorLogic::Draft draft) override {
    const StoredCheckpoint checkpoint = EvaluatorLogic::Encode(draft);
    results_.push_back({draft.partition, draft.epoch, draft.next_offset, checkpoint.state.size(),
                        world_.store_->WriteCheckpoint(checkpoint, draft.epoch)});
  }
  std::vector<Result> TakeResults() override { return std::exchange(results_, {}); }

 private:
  OutageWorld& world_;
  std::vector<Result> results_;
};

struct OutageWorld::Process {
  explicit Process(OutageWorld& world, const evaluator::EvaluatorLoopOptions& options)
      : publisher(world),
        relay(*world.store_, publisher, 50),
        logic(*world.store_, relay, {.owner = "one", .commit_rows_max = 7}),
        checkpoints(world),
        loop(*world.store_, logic, relay, checkpoints, options) {}
  Publisher publisher;
  AlertEventRelay relay;
  EvaluatorLogic logic;
  Checkpoints checkpoints;
  EvaluatorLoop loop;
};

OutageWorld::OutageWorld(const std::vector<SimulatedLog>& logs, uint64_t seed, absl::Duration checkpoint_interval)
    : logs_(logs),
      checkpoint_interval_(checkpoint_interval),
      random_(seed),
      written_(logs.size(), 0),
      store_(std::make_unique<Store>(*this)) {
  Begin();
}

OutageWorld::~OutageWorld() { process_.reset(); }

void OutageWorld::Fail(const std::string& what) {
  if (!report_.failure.has_value()) report_.failure = what;
}

bool OutageWorld::IsAssigned(int32_t partition) const {
  return consumer_ != nullptr && consumer_->IsAssigned(partition);
}

void OutageWorld::Begin() {
  evaluator::EvaluatorLoopOptions options;
  options.commit_interval = absl::Milliseconds(300);
  options.checkpoint_interval = checkpoint_interval_;
  options.join = [this]() -> absl::StatusOr<std::unique_ptr<evaluator::LogConsumer>> {
    if (consumer_ != nullptr) Fail("the group is joined by a second consumer while the first one is there");
    if (now_ < no_join_until_) return absl::InvalidArgumentError("simulated: the certificate and its key do not match");
    return std::make_unique<Consumer>(*this);
  };
  options.on_fatal = [this](const std::string&) { must_end_ = true; };
  options.now = [this] { return now_; };
  options.sleep = [this](absl::Duration time) { now_ += time; };
  options.random_fraction = [this] { return static_cast<double>(random_.Between(0, 99)) / 100.0; };
  must_end_ = false;
  process_ = std::make_unique<Process>(*this, options);
}

void OutageWorld::Kill() {
  report_.fenced += process_->logic.counters().fenced;
  report_.tried_again += process_->loop.counters().tried_again;
  process_.reset();
  Begin();
}

// Another member takes all partitions but these, folds and commits a little of each, and is gone.
void OutageWorld::OthersTake(int64_t records_max, const std::vector<int32_t>& except) {
  if (database_ != Database::kWell || !broker_) return;
  Publisher publisher(*this);
  AlertEventRelay relay(*store_, publisher);
  EvaluatorLogic logic(*store_, relay, {.owner = "other"});
  for (int32_t partition = 0; partition < static_cast<int32_t>(logs_.size()); ++partition) {
    if (std::find(except.begin(), except.end(), partition) != except.end()) continue;
    const int64_t end = written_[static_cast<size_t>(partition)];
    const auto start = logic.AcquirePartition(partition, {"simulated", 0, end});
    if (!start.ok()) continue;
    int64_t fresh = random_.Between(0, records_max);
    for (int64_t offset = *start; offset < end && fresh > 0; ++offset) {
      if (logic.is_live(partition)) --fresh;
      const SimulatedLog::Record& record = logs_[static_cast<size_t>(partition)].records[static_cast<size_t>(offset)];
      logic.Apply(partition, {offset, record.log_time_us, record.key, record.value, ""});
    }
    logic.Commit().IgnoreError();
  }
}

int32_t OutageWorld::AnyPartition() {
  return static_cast<int32_t>(random_.Between(0, static_cast<int64_t>(logs_.size()) - 1));
}

bool OutageWorld::StrikeStores(char outage) {
  switch (outage) {
    case 'D':
      loses_answer_ = database_ == Database::kWell && random_.Chance(0.5);
      database_ = Database::kAway;
      break;
    case 'F':
      database_ = Database::kFull;
      break;
    case 'd':
      database_ = Database::kWell;
      break;
    case 'B':
      if (broker_) broker_away_since_ = now_;
      broker_ = false;
      break;
    case 'b':
      broker_ = true;
      break;
    case 'U':
      unstorable_ = AnyPartition();
      break;
    case 'u':
      unstorable_.reset();
      break;
    case 'N':
      forbidden_until_ = now_ + absl::Seconds(5);
      break;
    case 'S':
      no_start_until_ = now_ + absl::Seconds(2);
      break;
    default:
      return false;
  }
  return true;
}

bool OutageWorld::StrikeMembership(char outage) {
  switch (outage) {
    case 'G':
      OthersTake(5);
      if (consumer_ != nullptr) consumer_->Lose();
      break;
    case 'R':
      if (consumer_ != nullptr && broker_) consumer_->Revoke();
      break;
    case 'Z':
      now_ += absl::Seconds(45);
      OthersTake(5);
      if (consumer_ != nullptr && broker_) consumer_->Lose();
      break;
    case 'X':
      OthersTake(5);
      break;
    case 'E':
      if (consumer_ != nullptr) consumer_->End();
      break;
    case 'J':
      no_join_until_ = now_ + absl::Seconds(5);
      if (consumer_ != nullptr) consumer_->End();
      break;
    case 'O':
      if (consumer_ != nullptr) consumer_->Misplace(AnyPartition());
      break;
    default:
      return false;
  }
  return true;
}

void OutageWorld::StopAndBegin() {
  const absl::Time begun = now_;
  process_->loop.ShutDown(now_ + absl::Seconds(4), [this](const EvaluatorLogic::Draft& draft) {
    return store_->WriteCheckpoint(EvaluatorLogic::Encode(draft), draft.epoch);
  });
  if (now_ - begun > absl::Seconds(4) + kTurnMax) Fail("stopping took " + absl::FormatDuration(now_ - begun));
  Kill();
}

void OutageWorld::Strike(char outage) {
  if (StrikeStores(outage) || StrikeMembership(outage)) return;
  switch (outage) {
    case 'K':
      return Kill();
    case 'Q':
      return StopAndBegin();
    default:
      Fail(std::string("no such outage: ") + outage);
  }
}

void OutageWorld::MendAll() {
  database_ = Database::kWell;
  broker_ = true;
  unstorable_.reset();
}

void OutageWorld::Turn() {
  ++report_.turns;
  if (broker_) {
    for (size_t i = 0; i < logs_.size(); ++i) {
      if (random_.Chance(0.1)) written_[i] = std::min(written_[i] + random_.Between(1, 2), logs_[i].size());
    }
  }
  if (consumer_ != nullptr) consumer_->Elapse();
  const absl::Time begun = now_;
  const bool was_blocked = process_->logic.blocked();
  const size_t waited = process_->logic.pending_effects();
  process_->loop.RunOnce();
  process_->publisher.Work();
  if (now_ - begun > kTurnMax) Fail("a turn took " + absl::FormatDuration(now_ - begun));
  const EvaluatorLoop::Health health = process_->loop.health();
  if (was_blocked && health.commits_blocked && process_->logic.pending_effects() > waited)
    Fail("what waits grows while a commit is blocked");
  report_.blocked += health.commits_blocked ? 1 : 0;
  report_.rested += health.stopped.empty() ? 0 : 1;
  report_.apart += health.membership == EvaluatorLoop::Membership::kMember ? 0 : 1;
  if (must_end_) Kill();  // And is started again, as whoever runs it does.
}

void OutageWorld::Work(absl::Duration time) {
  const absl::Time until = now_ + time;
  while (now_ < until && !report_.failure.has_value()) Turn();
}

void OutageWorld::CheckAtTheEnd() {
  const EvaluatorLoop::Health health = process_->loop.health();
  if (health.membership != EvaluatorLoop::Membership::kMember) return Fail("it is no member of the group");
  if (health.commits_blocked) return Fail("commits are blocked");
  if (!health.stopped.empty())
    return Fail("partition " + std::to_string(health.stopped.begin()->first) +
                " is stopped: " + health.stopped.begin()->second);
  if (health.assigned != static_cast<int>(logs_.size())) return Fail("not all partitions are assigned");
  if (health.loading > 0) return Fail(std::to_string(health.loading) + " partitions are not live");
  if (process_->logic.has_progress() || process_->logic.has_effects()) return Fail("something waits for its commit");
  for (int32_t partition = 0; partition < static_cast<int32_t>(logs_.size()); ++partition) {
    const SimulatedLog& log = logs_[static_cast<size_t>(partition)];
    if (process_->logic.next_offset(partition) != log.size())
      return Fail("partition " + std::to_string(partition) + " is not at its end");
    const auto rows = store_->truth.ReadTriggers(partition, 1, {0, 0}, 1'000'000);
    std::vector<record::Trigger> got;
    for (const StoredTrigger& row : *rows) got.push_back(row.trigger);
    if (const auto difference = Difference(got, log.expected)) {
      return Fail("partition " + std::to_string(partition) + ", stored triggers:\n" + *difference);
    }
    report_.triggers += static_cast<int64_t>(got.size());
  }
  if (const auto wrong = FindUndelivered(logs_, delivered_, true, store_->truth)) Fail(*wrong);
}

OutageReport OutageWorld::Run(std::string_view story) {
  Work(absl::Seconds(3));
  for (const char outage : story) {
    if (report_.failure.has_value()) break;
    Strike(outage);
    // Now and then something lasts for longer than a session.
    Work(random_.Chance(0.15) ? absl::Seconds(14) : absl::Milliseconds(random_.Between(50, 1'500)));
  }
  MendAll();
  for (size_t i = 0; i < logs_.size(); ++i) written_[i] = logs_[i].size();
  Work(kWellFor);
  if (!report_.failure.has_value()) CheckAtTheEnd();
  report_.checkpoints = process_->loop.counters().checkpoints;
  report_.fenced += process_->logic.counters().fenced;
  report_.tried_again += process_->loop.counters().tried_again;
  return report_;
}

}  // namespace stockalert::simulation
