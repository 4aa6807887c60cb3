// The evaluator service's own logic in a simulated world (world.h), against the auditor: what is stored and what is
// delivered in the end is what the log says, whatever went wrong on the way. Seeds as in differential_test.cc.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <catch2/catch.hpp>

#include "tests/simulation/evaluator/random.h"
#include "tests/simulation/evaluator/world.h"
#include "tests/support/evaluator_store/in_memory_evaluator_store.h"

namespace stockalert::simulation {
namespace {

constexpr int64_t kIterations = 150;
constexpr int64_t kSecondsMax = 8;
constexpr uint64_t kSeed = 7'411;

uint64_t FirstSeed() { return static_cast<uint64_t>(FromEnvironment("STOCKALERT_SIMULATION_SEED", kSeed)); }
int64_t SecondsMax() { return FromEnvironment("STOCKALERT_SIMULATION_SECONDS", kSecondsMax); }

// Faults are what is simulated here: what the service logs of them would fill the output.
void Quiet() {
  if (FromEnvironment("STOCKALERT_SIMULATION_LOG", 0) == 0 && std::freopen("/dev/null", "w", stderr) == nullptr)
    std::abort();
}

WorldReport RunWorld(const WorldOptions& options) {
  testing::InMemoryEvaluatorStore store;
  World world(store, options);
  return world.Run();
}

TEST_CASE("evaluators in a world where everything goes wrong", "[simulation]") {
  Quiet();
  const int64_t iterations = FromEnvironment("STOCKALERT_SIMULATION_ITERATIONS", kIterations);
  const auto begin = std::chrono::steady_clock::now();
  WorldReport sum;
  int64_t done = 0;
  for (; done < iterations; ++done) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(SecondsMax())) break;
    WorldOptions options;
    options.seed = FirstSeed() + static_cast<uint64_t>(done);
    options.ordered_failures = options.seed % 2 == 0;
    // Smaller worlds first: where all fail, a small one says it best.
    for (const int records : {10, 30, 120}) {
      options.records_a_partition = records;
      const WorldReport report = RunWorld(options);
      if (report.failure.has_value()) {
        FAIL("STOCKALERT_SIMULATION_SEED=" << options.seed << ", " << records
                                           << " records a partition: " << *report.failure);
      }
      sum.store_calls += report.store_calls;
      sum.triggers += report.triggers;
      sum.crashes += report.crashes;
      sum.fenced += report.fenced;
      sum.replayed += report.replayed;
      sum.checkpoints += report.checkpoints;
      sum.delivered += report.delivered;
    }
  }
  std::cout << done << " seeds from " << FirstSeed() << ": " << sum.triggers << " triggers, " << sum.delivered
            << " events delivered, " << sum.store_calls << " calls of the store, " << sum.crashes << " crashes, "
            << sum.fenced << " fenced, " << sum.replayed << " records replayed, " << sum.checkpoints
            << " checkpoints\n";
  CHECK(done > 0);
  CHECK(sum.triggers > 0);
  CHECK(sum.crashes > 0);
  CHECK(sum.fenced > 0);
  CHECK(sum.replayed > 0);
  CHECK(sum.checkpoints > 0);
}

TEST_CASE("a crash at every call of the store, before it and after it", "[simulation]") {
  Quiet();
  const int64_t seeds = FromEnvironment("STOCKALERT_SIMULATION_ITERATIONS", 4);
  const auto begin = std::chrono::steady_clock::now();
  const auto is_over = [&] { return std::chrono::steady_clock::now() - begin > std::chrono::seconds(SecondsMax()); };
  int64_t crashes = 0;
  for (int64_t i = 0; i < seeds && !is_over(); ++i) {
    WorldOptions options;
    options.seed = FirstSeed() + static_cast<uint64_t>(i);
    options.processes = 2;
    options.records_a_partition = 40;
    options.faults = false;
    const WorldReport undisturbed = RunWorld(options);
    REQUIRE_FALSE(undisturbed.failure.has_value());
    for (int64_t call = 0; call < undisturbed.store_calls && !is_over(); ++call) {
      for (const bool after : {false, true}) {
        options.crash_at_call = call;
        options.crash_after_call = after;
        const WorldReport report = RunWorld(options);
        crashes += report.crashes;
        if (report.failure.has_value()) {
          FAIL("STOCKALERT_SIMULATION_SEED=" << options.seed << ", crash " << (after ? "after" : "before") << " call "
                                             << call << " of the store: " << *report.failure);
        }
      }
    }
  }
  std::cout << crashes << " crashes, one a world\n";
  CHECK(crashes > 0);
}

}  // namespace
}  // namespace stockalert::simulation
