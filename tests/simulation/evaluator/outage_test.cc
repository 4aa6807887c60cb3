// The evaluator through outages in every order (outages.h). A failure prints its seed and its story;
// STOCKALERT_SIMULATION_STORY plays one.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include <catch2/catch.hpp>

#include "services/domain/record/log_record.h"
#include "tests/simulation/evaluator/outages.h"
#include "tests/simulation/evaluator/random.h"

namespace stockalert::simulation {
namespace {

constexpr uint64_t kSeed = 9'173;
constexpr int64_t kSecondsMax = 10;

uint64_t FirstSeed() { return static_cast<uint64_t>(FromEnvironment("STOCKALERT_SIMULATION_SEED", kSeed)); }
std::chrono::seconds SecondsMax() {
  return std::chrono::seconds(FromEnvironment("STOCKALERT_SIMULATION_SECONDS", kSecondsMax));
}

void Quiet() {
  if (FromEnvironment("STOCKALERT_SIMULATION_LOG", 0) == 0 && std::freopen("/dev/null", "w", stderr) == nullptr)
    std::abort();
}

class Play {
 public:
  explicit Play(uint64_t seed) : seed_(seed) {
    for (int32_t partition = 0; partition < 3; ++partition) logs_.push_back(MakeLog(seed, partition, 40));
  }

  void operator()(const std::string& story, uint64_t variation = 0) {
    OutageWorld world(logs_, seed_ + variation);
    const OutageReport report = world.Run(story);
    if (report.failure.has_value()) {
      FAIL("STOCKALERT_SIMULATION_SEED=" << seed_ << " STOCKALERT_SIMULATION_STORY=" << story << " (variation "
                                         << variation << "): " << *report.failure);
    }
    ++stories_;
    sum_.turns += report.turns;
    sum_.blocked += report.blocked;
    sum_.rested += report.rested;
    sum_.apart += report.apart;
    sum_.fenced += report.fenced;
    sum_.tried_again += report.tried_again;
    sum_.triggers += report.triggers;
  }

  // That what should be met was met.
  void Check() const {
    std::cout << stories_ << " stories of outages, seed " << seed_ << ": " << sum_.triggers << " triggers, "
              << sum_.turns << " turns, " << sum_.blocked << " blocked, " << sum_.rested
              << " with a stopped partition, " << sum_.apart << " outside of the group, " << sum_.fenced << " fenced, "
              << sum_.tried_again << " partitions tried again\n";
    CHECK(sum_.triggers > 0);
    CHECK(sum_.blocked > 0);
    CHECK(sum_.rested > 0);
    CHECK(sum_.apart > 0);
    CHECK(sum_.fenced > 0);
    CHECK(sum_.tried_again > 0);
  }

 private:
  const uint64_t seed_;
  std::vector<SimulatedLog> logs_;
  int64_t stories_ = 0;
  OutageReport sum_;
};

TEST_CASE("without any outage all triggers are recorded and delivered", "[simulation]") {
  Quiet();
  Play play(FirstSeed());
  play("");
}

TEST_CASE("a split is in a checkpoint long before the next one is due, and other records are not", "[simulation]") {
  Quiet();
  const auto checkpoints_of = [](const record::Event& event) {
    std::vector<SimulatedLog> logs(1);
    logs[0].records.push_back(
        {record::SymbolOf(event), record::EncodeRecord(event).SerializeAsString(), 1'767'366'000'000'000});
    const OutageReport report = OutageWorld(logs, FirstSeed(), absl::Hours(24)).Run("");
    CHECK(report.failure.value_or("") == "");
    return report.checkpoints;
  };
  CHECK(checkpoints_of(record::Split{"AAPL", "s1", 1, {4, 1}, 0}) == 1);
  CHECK(checkpoints_of(record::Restart{"AAPL"}) == 0);
}

TEST_CASE("the story given by hand is played", "[.][story]") {
  Quiet();
  const char* story = std::getenv("STOCKALERT_SIMULATION_STORY");
  REQUIRE(story != nullptr);
  Play play(FirstSeed());
  play(story, static_cast<uint64_t>(FromEnvironment("STOCKALERT_SIMULATION_VARIATION", 0)));
}

TEST_CASE("outages that once blocked the evaluator for good do so no more", "[simulation]") {
  Quiet();
  Play play(FirstSeed());
  for (uint64_t variation = 0; variation < 20; ++variation) {
    // A commit waits for the database, and the group is lost meanwhile: by the broker, by a frozen process, by both
    // disks.
    for (const char* story : {"DG", "DGd", "DZ", "DBbd", "DBdb", "FBdb", "FBbd", "FZd", "DR", "DRd", "FRd"})
      play(story, variation);
    // What cannot be stored, alone and with the rest.
    for (const char* story : {"U", "Uu", "UDd", "UGu", "UR", "UX", "UFd", "UO"}) play(story, variation);
    // A partition's place is gone while its commit is blocked.
    for (const char* story : {"DOd", "FOd", "DOG", "ODR"}) play(story, variation);
  }
}

TEST_CASE("every two and every three outages, one after the other", "[simulation]") {
  Quiet();
  Play play(FirstSeed());
  for (const char a : kOutages) {
    for (const char b : kOutages) play({a, b});
  }
  const auto begin = std::chrono::steady_clock::now();
  bool all = true;
  for (const char a : kOutages) {
    for (const char b : kOutages) {
      for (const char c : kOutages) {
        if (std::chrono::steady_clock::now() - begin > 3 * SecondsMax()) all = false;
        if (all) play({a, b, c});
      }
    }
  }
  if (!all) std::cout << "not every three: the time was up\n";
  play.Check();
}

TEST_CASE("the evaluator recovers from long random sequences of outages", "[simulation]") {
  Quiet();
  const int64_t iterations = FromEnvironment("STOCKALERT_SIMULATION_ITERATIONS", 100'000);
  const auto begin = std::chrono::steady_clock::now();
  int64_t done = 0;
  for (; done < iterations && std::chrono::steady_clock::now() - begin < SecondsMax(); ++done) {
    const uint64_t seed = FirstSeed() + static_cast<uint64_t>(done);
    Play play(seed);
    Random random(seed);
    std::string story;
    for (int64_t length = random.Between(3, 14); length > 0; --length) {
      story += kOutages[static_cast<size_t>(random.Between(0, static_cast<int64_t>(kOutages.size()) - 1))];
    }
    play(story);
  }
  std::cout << done << " long stories from seed " << FirstSeed() << "\n";
  CHECK(done > 0);
}

}  // namespace
}  // namespace stockalert::simulation
