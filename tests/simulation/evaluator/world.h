// A world of evaluators: the very logic and relay that the service runs, several processes of them, a broker, a group
// that moves partitions about, and a database, with everything that goes wrong between them: crashes, processes that
// have lost a partition and do not know it yet, lost answers, records read twice, checkpoints that rot, events that are
// not delivered or delivered twice.
//
// One thread; everything follows from the seed. The log is made beforehand, the auditor says what it must trigger, and
// Run compares.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/domain/record/event.h"
#include "services/evaluator/alert_event_relay.h"
#include "services/evaluator/evaluator_logic.h"
#include "services/evaluator/evaluator_store.h"
#include "tests/simulation/evaluator/logs.h"
#include "tests/simulation/evaluator/random.h"
#include "tests/simulation/evaluator/simulated_store.h"

namespace stockalert::simulation {

struct WorldOptions {
  uint64_t seed = 0;
  int partitions = 2;
  int processes = 3;
  int records_a_partition = 120;
  // Whether things go wrong by chance.
  bool faults = true;
  // An event that is not delivered takes those after it with it, as a producer that keeps its order does. Else only
  // completeness is asked of what arrives, not order.
  bool ordered_failures = true;
  // The call of the store, counted from 0, at which its process dies: before it is carried out, or after, before the
  // answer.
  std::optional<int64_t> crash_at_call;
  bool crash_after_call = false;
};

struct WorldReport {
  // What went wrong; nothing where all is well.
  std::optional<std::string> failure;
  int64_t store_calls = 0;
  int64_t triggers = 0;
  int64_t crashes = 0;
  int64_t fenced = 0;
  int64_t replayed = 0;
  int64_t checkpoints = 0;
  int64_t delivered = 0;
};

class World {
 public:
  // `store` is empty and outlives the world.
  World(evaluator::EvaluatorStore& store, const WorldOptions& options);
  ~World();

  WorldReport Run();

 private:
  class Publisher;
  struct Process;

  void MakeLogs();
  StoreFault NextFault();
  void Start(Process& process);
  void Crash(Process& process);
  void Forget(Process& process, int32_t partition);
  void HearOfTheGroup(Process& process);
  void Poll(Process& process);
  void Commit(Process& process);
  void Checkpoint(Process& process);
  void Step();
  void Settle();
  void CheckStored();
  void CheckDelivered();
  void Fail(const std::string& what);
  evaluator::LogFacts FactsOf(int32_t partition) const;

  const WorldOptions options_;
  Random random_;
  evaluator::EvaluatorStore& truth_;
  SimulatedStore store_;
  std::vector<SimulatedLog> logs_;
  std::vector<int64_t> written_;  // Partition → how many of its records the broker has by now.
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<size_t> assigned_;        // Partition → process, as the group has it.
  std::vector<std::string> delivered_;  // What the broker has on alert-events, in its order.
  Process* acting_ = nullptr;
  bool dying_ = false;  // The acting process is to crash once it has been called back.
  bool calm_ = false;   // Nothing goes wrong any more.
  size_t commit_rows_max_ = 0;
  size_t compare_rows_max_ = 0;
  size_t window_max_ = 0;
  WorldReport report_;
};

}  // namespace stockalert::simulation
