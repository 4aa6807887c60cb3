#include "services/common/process/liveness.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::process {
namespace {

// As LivenessWatch does: a look a second.
void Run(Liveness& liveness, testing::FakeMonotonicClock& clock, int seconds) {
  for (int i = 0; i < seconds; ++i) {
    clock.Advance(absl::Seconds(1));
    liveness.Sample();
  }
}

std::vector<std::string> Names(const std::map<std::string, Liveness::Age>& stuck) {
  std::vector<std::string> names;
  for (const auto& [name, age] : stuck) names.push_back(name);
  return names;
}

TEST_CASE("a loop that has not turned for its bound is stuck, and is not once it turns") {
  testing::FakeMonotonicClock clock;
  Liveness liveness(clock);
  Heartbeat fast("fast", Liveness::kBound, liveness);
  Heartbeat slow("slow", absl::Seconds(300), liveness);
  fast.Beat();
  slow.Beat();
  Run(liveness, clock, 60);
  CHECK(liveness.FindStuck().empty());
  Run(liveness, clock, 1);
  const auto stuck = liveness.FindStuck();
  REQUIRE(Names(stuck) == std::vector<std::string>{"fast"});
  CHECK(stuck.at("fast").age == absl::Seconds(61));
  CHECK(stuck.at("fast").bound == absl::Seconds(60));
  fast.Beat();
  CHECK(liveness.FindStuck().empty());
  Run(liveness, clock, 240);
  CHECK(Names(liveness.FindStuck()) == std::vector<std::string>{"fast", "slow"});
}

TEST_CASE("a loop is watched from its first turn, and until it ends in order or is gone") {
  testing::FakeMonotonicClock clock;
  Liveness liveness(clock);
  Heartbeat never_began("never_began", Liveness::kBound, liveness);
  Heartbeat ended("ended", Liveness::kBound, liveness);
  Heartbeat began_anew("began_anew", Liveness::kBound, liveness);
  ended.Beat();
  began_anew.Beat();
  {
    Heartbeat gone("gone", Liveness::kBound, liveness);
    gone.Beat();
  }
  Run(liveness, clock, 30);
  ended.End();
  began_anew.End();
  began_anew.Beat();
  Run(liveness, clock, 61);
  CHECK(Names(liveness.FindStuck()) == std::vector<std::string>{"began_anew"});
}

TEST_CASE("of several with one name the worst counts, once") {
  testing::FakeMonotonicClock clock;
  Liveness liveness(clock);
  Heartbeat first("lane", Liveness::kBound, liveness);
  Heartbeat second("lane", Liveness::kBound, liveness);
  first.Beat();
  second.Beat();
  Run(liveness, clock, 50);
  first.Beat();
  Run(liveness, clock, 20);
  REQUIRE(Names(liveness.FindStuck()) == std::vector<std::string>{"lane"});
  CHECK(liveness.FindStuck().at("lane").age == absl::Seconds(70));
  CHECK(liveness.Ages().at("lane").age == absl::Seconds(70));
}

TEST_CASE("time in which the process was frozen makes nothing old") {
  testing::FakeMonotonicClock clock;
  Liveness liveness(clock);
  Heartbeat loop("loop", Liveness::kBound, liveness);
  Movement queue("queue", [] { return Movement::State{.waiting = 1, .done = 0}; }, Liveness::kBound, liveness);
  loop.Beat();
  Run(liveness, clock, 10);
  clock.Advance(absl::Minutes(10));
  // Whoever asks first after it, before anything could turn.
  CHECK(liveness.FindStuck().empty());
  CHECK(liveness.Ages().at("loop").age == absl::Seconds(15));
  // A loop that does not come back after it is found all the same.
  Run(liveness, clock, 46);
  CHECK(Names(liveness.FindStuck()) == std::vector<std::string>{"loop", "queue"});
}

TEST_CASE("where nobody looks regularly, what is asked now and then still finds what is stuck") {
  testing::FakeMonotonicClock clock;
  Liveness liveness(clock);
  Heartbeat loop("loop", Liveness::kBound, liveness);
  loop.Beat();
  for (int i = 0; i < 12; ++i) {
    clock.Advance(absl::Seconds(10));
    CHECK(liveness.FindStuck().empty());
  }
  clock.Advance(absl::Seconds(10));
  CHECK(Names(liveness.FindStuck()) == std::vector<std::string>{"loop"});
}

TEST_CASE("a queue is stuck where it holds something and nothing leaves it") {
  testing::FakeMonotonicClock clock;
  Liveness liveness(clock);
  Movement::State state;
  Movement queue("queue", [&] { return state; }, Liveness::kBound, liveness);
  // Empty for as long as it likes.
  Run(liveness, clock, 1000);
  CHECK(liveness.FindStuck().empty());
  // Full and moving.
  state.waiting = 100;
  for (int i = 0; i < 10; ++i) {
    ++state.done;
    Run(liveness, clock, 59);
    CHECK(liveness.FindStuck().empty());
  }
  ++state.done;
  Run(liveness, clock, 1);
  Run(liveness, clock, 60);
  CHECK(liveness.FindStuck().empty());
  Run(liveness, clock, 1);
  CHECK(Names(liveness.FindStuck()) == std::vector<std::string>{"queue"});
  state.waiting = 0;
  CHECK(liveness.FindStuck().empty());
}

TEST_CASE("the watch samples by itself") {
  testing::FakeMonotonicClock clock;
  Liveness liveness(clock);
  Heartbeat loop("loop", absl::Milliseconds(1), liveness);
  std::atomic<int> looks{0};
  Movement seen(
      "seen",
      [&looks] {
        ++looks;
        return Movement::State{};
      },
      Liveness::kBound, liveness);
  {
    LivenessWatch watch(liveness, absl::Milliseconds(1));
    while (looks < 3) std::this_thread::yield();
  }
  const int after = looks;
  CHECK(after >= 3);
}

}  // namespace
}  // namespace stockalert::process
