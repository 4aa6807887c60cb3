#include "tests/simulation/evaluator/world.h"

#include <algorithm>

#include "tests/simulation/evaluator/comparison.h"

namespace stockalert::simulation {

using evaluator::AlertEventRelay;
using evaluator::EvaluatorLogic;
using evaluator::LogEntry;
using evaluator::LogFacts;
using evaluator::NextStep;
using evaluator::OutboxRow;
using evaluator::StoredTrigger;
using record::Trigger;

namespace {

constexpr char kCluster[] = "simulated";
constexpr int kStepsMax = 60'000;
constexpr int kSettlingRoundsMax = 20'000;

}  // namespace

// One process's producer: what it was given to publish is under way until the broker has, or has not, taken it.
class World::Publisher : public evaluator::EventPublisher {
 public:
  Publisher(World& world, bool ordered_failures) : world_(world), ordered_failures_(ordered_failures) {}

  void Publish(const OutboxRow& row, std::function<void(bool delivered)> done) override {
    under_way_.push_back({row.value, std::move(done)});
  }

  // The broker gets to the oldest messages that are under way.
  void Work(Random& random, bool calm) {
    for (int64_t count = random.Between(0, calm ? 1000 : 5); count > 0 && !under_way_.empty(); --count) {
      Message message = std::move(under_way_.front());
      under_way_.pop_front();
      const int64_t chance = calm ? 100 : random.Between(0, 99);
      // Delivered, and the answer lost: it will be sent again. Or not delivered.
      if (chance >= 4) world_.delivered_.push_back(message.value);
      message.done(chance >= 8);
      if (chance < 8 && ordered_failures_) FailAll();
    }
  }

  // The process dies: the broker may still get what is on the wire. Its answers reach nobody.
  void Die(Random& random) {
    for (int64_t count = random.Between(0, 6); count > 0 && !under_way_.empty(); --count) {
      Message message = std::move(under_way_.front());
      under_way_.pop_front();
      world_.delivered_.push_back(message.value);
      late_answers_.push_back(std::move(message.done));
    }
    under_way_.clear();
  }

  // Answers that come when nobody waits for them any more.
  void AnswerLate() {
    for (const auto& done : late_answers_) done(true);
    late_answers_.clear();
  }

  bool idle() const { return under_way_.empty(); }

 private:
  struct Message {
    std::string value;
    std::function<void(bool)> done;
  };
  void FailAll() {
    for (Message& message : under_way_) message.done(false);
    under_way_.clear();
  }

  World& world_;
  const bool ordered_failures_;
  std::deque<Message> under_way_;
  std::vector<std::function<void(bool)>> late_answers_;
};

struct World::Process {
  size_t number = 0;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<AlertEventRelay> relay;
  std::unique_ptr<EvaluatorLogic> logic;
  std::map<int32_t, int64_t> position;        // Where it reads next, by partition.
  std::vector<EvaluatorLogic::Draft> drafts;  // Being encoded and written elsewhere.
};

World::World(evaluator::EvaluatorStore& store, const WorldOptions& options)
    : options_(options), random_(options.seed), truth_(store), store_(store, [this] { return NextFault(); }) {
  MakeLogs();
  commit_rows_max_ = random_.Pick<size_t>({1, 3, 10'000});
  compare_rows_max_ = random_.Pick<size_t>({1, 2, 10'000});
  window_max_ = random_.Pick<size_t>({1, 4, 20'000});
  for (int i = 0; i < options_.processes; ++i) {
    processes_.push_back(std::make_unique<Process>());
    processes_.back()->number = static_cast<size_t>(i);
    Start(*processes_.back());
  }
  assigned_.assign(static_cast<size_t>(options_.partitions), 0);
}

World::~World() = default;

void World::MakeLogs() {
  for (int32_t partition = 0; partition < options_.partitions; ++partition) {
    logs_.push_back(MakeLog(options_.seed, partition, options_.records_a_partition));
    written_.push_back(0);
  }
}

StoreFault World::NextFault() {
  const int64_t call = report_.store_calls++;
  if (options_.crash_at_call == call && acting_ != nullptr) {
    dying_ = true;
    return options_.crash_after_call ? StoreFault::kLoseAnswer : StoreFault::kRefuse;
  }
  if (dying_) return StoreFault::kRefuse;  // The dead ask for nothing.
  if (calm_ || !options_.faults) return StoreFault::kNone;
  const int64_t chance = random_.Between(0, 99);
  if (chance < 4) return StoreFault::kRefuse;
  return chance < 8 ? StoreFault::kLoseAnswer : StoreFault::kNone;
}

void World::Fail(const std::string& what) {
  if (!report_.failure.has_value()) report_.failure = what;
}

LogFacts World::FactsOf(int32_t partition) const { return {kCluster, 0, written_[static_cast<size_t>(partition)]}; }

void World::Start(Process& process) {
  process.publisher = std::make_unique<Publisher>(*this, options_.ordered_failures);
  process.relay = std::make_unique<AlertEventRelay>(store_, *process.publisher, window_max_);
  EvaluatorLogic::Options options;
  options.owner = "process-" + std::to_string(process.number);
  options.commit_rows_max = commit_rows_max_;
  options.compare_rows_max = compare_rows_max_;
  process.logic = std::make_unique<EvaluatorLogic>(store_, *process.relay, options);
}

void World::Crash(Process& process) {
  ++report_.crashes;
  process.publisher->Die(random_);
  report_.fenced += process.logic->counters().fenced;
  report_.replayed += process.logic->counters().records_replayed;
  process.logic.reset();
  process.relay.reset();
  process.publisher->AnswerLate();
  process.position.clear();
  process.drafts.clear();
  Start(process);
}

void World::Forget(Process& process, int32_t partition) {
  process.logic->DropPartition(partition);
  process.position.erase(partition);
}

void World::HearOfTheGroup(Process& process) {
  for (int32_t partition = 0; partition < options_.partitions; ++partition) {
    const bool is_mine = assigned_[static_cast<size_t>(partition)] == process.number;
    if (!is_mine && process.position.count(partition) > 0) Forget(process, partition);
    if (!is_mine || process.position.count(partition) > 0) continue;
    const auto start = process.logic->AcquirePartition(partition, FactsOf(partition));
    if (start.ok()) {
      process.position[partition] = *start;
    } else if (absl::IsFailedPrecondition(start.status()) && !evaluator::IsFenced(start.status())) {
      Fail("a partition could not be taken: " + std::string(start.status().message()));
    }
  }
}

void World::Poll(Process& process) {
  if (process.position.empty()) return;
  auto chosen = process.position.begin();
  std::advance(chosen, random_.Between(0, static_cast<int64_t>(process.position.size()) - 1));
  const int32_t partition = chosen->first;
  const SimulatedLog& log = logs_[static_cast<size_t>(partition)];
  const int64_t written = written_[static_cast<size_t>(partition)];
  int64_t& position = chosen->second;
  // A consumer that seeks back reads some records twice.
  if (!calm_ && options_.faults && random_.Chance(0.02))
    position = std::max<int64_t>(0, position - random_.Between(1, 5));
  for (int64_t count = random_.Between(1, 12); count > 0 && position < written; --count) {
    const SimulatedLog::Record& record = log.records[static_cast<size_t>(position)];
    const LogEntry entry{position, record.log_time_us, record.key, record.value, ""};
    switch (process.logic->Apply(partition, entry)) {
      case NextStep::kGoOn:
        ++position;
        break;
      case NextStep::kAgain:
        return;
      case NextStep::kOtherLog:
        Fail("the log was taken for another one");
        return;
      case NextStep::kStop: {
        const auto stopped = process.logic->stopped();
        Fail("a partition was stopped: " + (stopped.count(partition) > 0 ? stopped.at(partition) : "without a word"));
        return;
      }
    }
    if (dying_) return;
  }
}

void World::Commit(Process& process) {
  const absl::Status status = process.logic->Commit();
  if (evaluator::IsFenced(status)) process.position.clear();  // It leaves the group, and joins again.
  CheckStored();
}

void World::Checkpoint(Process& process) {
  if (!process.drafts.empty() && random_.Chance(0.6)) {
    const EvaluatorLogic::Draft draft = std::move(process.drafts.front());
    process.drafts.erase(process.drafts.begin());
    evaluator::StoredCheckpoint checkpoint = EvaluatorLogic::Encode(draft);
    if (!calm_ && options_.faults && random_.Chance(0.1) && !checkpoint.state.empty()) {
      checkpoint.state[static_cast<size_t>(random_.Between(0, static_cast<int64_t>(checkpoint.state.size()) - 1))] ^= 1;
    }
    if (store_.WriteCheckpoint(checkpoint, draft.epoch).ok()) {
      ++report_.checkpoints;
      process.logic->MarkCheckpointed(draft.partition, draft.epoch, draft.next_offset);
    }
    return;
  }
  for (const auto& [partition, position] : process.position) {
    if (auto draft = process.logic->TakeDraft(partition)) process.drafts.push_back(*std::move(draft));
  }
}

void World::Step() {
  Process& process = *processes_[static_cast<size_t>(random_.Between(0, options_.processes - 1))];
  acting_ = &process;
  const int64_t what = random_.Between(0, 99);
  if (what < 40) {
    Poll(process);
  } else if (what < 60) {
    Commit(process);
  } else if (what < 72) {
    (void)process.relay->Pump();
  } else if (what < 82) {
    process.publisher->Work(random_, false);
  } else if (what < 88) {
    Checkpoint(process);
  } else if (what < 94) {
    HearOfTheGroup(process);
  } else if (what < 97) {
    for (size_t i = 0; i < logs_.size(); ++i)
      written_[i] = std::min(written_[i] + random_.Between(0, 12), logs_[i].size());
  } else if (what < 98) {
    // What the broker has is deleted without waiting for a commit.
    const auto acknowledged = process.relay->FindAcknowledged();
    if (!acknowledged.empty() && store_.DeleteOutbox(acknowledged).ok()) process.relay->MarkDeleted(acknowledged);
  } else if (what < 99) {
    // The group moves a partition; its owner hears of it later, or only by the fence.
    if (options_.faults) {
      assigned_[static_cast<size_t>(random_.Between(0, options_.partitions - 1))] =
          static_cast<size_t>(random_.Between(0, options_.processes - 1));
    }
  } else if (options_.faults) {
    dying_ = true;
  }
  if (dying_) {
    Crash(process);
    dying_ = false;
  }
  acting_ = nullptr;
}

// Nothing goes wrong any more: the first process has all partitions, and everybody gets to the end.
void World::Settle() {
  calm_ = true;
  for (size_t i = 0; i < logs_.size(); ++i) written_[i] = logs_[i].size();
  for (size_t& process : assigned_) process = 0;
  for (int round = 0; round < kSettlingRoundsMax && !report_.failure.has_value(); ++round) {
    bool done = true;
    for (const auto& process : processes_) {
      HearOfTheGroup(*process);
      Poll(*process);
      Commit(*process);
      (void)process->relay->Pump();
      process->publisher->Work(random_, true);
      (void)process->relay->Pump();
      const auto acknowledged = process->relay->FindAcknowledged();
      if (!acknowledged.empty() && store_.DeleteOutbox(acknowledged).ok()) process->relay->MarkDeleted(acknowledged);
      done = done && process->publisher->idle() && process->relay->backlog() == 0 && !process->logic->has_progress();
    }
    for (int32_t partition = 0; partition < options_.partitions; ++partition) {
      const auto next = processes_.front()->logic->next_offset(partition);
      done = done && next == static_cast<int64_t>(logs_[static_cast<size_t>(partition)].records.size());
    }
    if (done) return;
  }
  Fail("it did not come to an end");
}

// What is stored is what the auditor expects, as far as it goes: nothing missing, nothing twice, nothing else, in
// order.
void World::CheckStored() {
  for (int32_t partition = 0; partition < options_.partitions; ++partition) {
    const auto rows = truth_.ReadTriggers(partition, 1, {0, 0}, 1'000'000);
    if (!rows.ok()) return Fail("triggers could not be read");
    const std::vector<Trigger>& expected = logs_[static_cast<size_t>(partition)].expected;
    std::vector<Trigger> got;
    for (const StoredTrigger& row : *rows) got.push_back(row.trigger);
    std::vector<Trigger> want(expected.begin(),
                              expected.begin() + static_cast<std::ptrdiff_t>(std::min(got.size(), expected.size())));
    if (const auto difference = Difference(got, want)) {
      return Fail("partition " + std::to_string(partition) + ", stored triggers:\n" + *difference);
    }
    if (calm_ &&
        processes_.front()->logic->next_offset(partition) ==
            static_cast<int64_t>(logs_[static_cast<size_t>(partition)].records.size()) &&
        !processes_.front()->logic->has_progress() && got.size() != expected.size()) {
      return Fail("partition " + std::to_string(partition) + ": " + std::to_string(expected.size() - got.size()) +
                  " triggers are missing");
    }
  }
}

// Every stored trigger and every confirmation has reached the broker, and no other trigger has.
void World::CheckDelivered() {
  for (const SimulatedLog& log : logs_) report_.triggers += static_cast<int64_t>(log.expected.size());
  if (const auto wrong = FindUndelivered(logs_, delivered_, options_.ordered_failures, truth_)) return Fail(*wrong);
  report_.delivered = static_cast<int64_t>(delivered_.size());
}

WorldReport World::Run() {
  const auto is_done = [&] {
    for (size_t i = 0; i < logs_.size(); ++i) {
      if (written_[i] < logs_[i].size()) return false;
    }
    return true;
  };
  // Some while longer than it takes to write the log, so that its end is lived through too.
  int after_the_end = 0;
  for (int step = 0; step < kStepsMax && after_the_end < 200 && !report_.failure.has_value(); ++step) {
    Step();
    if (is_done()) ++after_the_end;
  }
  if (!report_.failure.has_value()) Settle();
  if (!report_.failure.has_value()) CheckStored();
  if (!report_.failure.has_value()) CheckDelivered();
  for (const auto& process : processes_) {
    report_.fenced += process->logic->counters().fenced;
    report_.replayed += process->logic->counters().records_replayed;
  }
  return report_;
}

}  // namespace stockalert::simulation
