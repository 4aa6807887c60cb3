// A partition that several fold, each for its share of the alerts (shards.h), against one fold of the whole: shards
// that lag, crash and go on from a checkpoint, and whose number changes on the way, over random logs.
//
// STOCKALERT_SIMULATION_SEED, _ITERATIONS and _SECONDS choose what is run; a failure prints its seed and the smallest
// stream that shows it.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "services/domain/fold/fold.h"
#include "tests/simulation/evaluator/comparison.h"
#include "tests/simulation/evaluator/event_generator.h"
#include "tests/simulation/evaluator/event_text.h"
#include "tests/simulation/evaluator/random.h"
#include "tests/simulation/evaluator/shards.h"
#include "tests/simulation/evaluator/shrink.h"

namespace stockalert::simulation {
namespace {

using fold::Fold;
using fold::FoldState;
using fold::Outcome;

constexpr int64_t kIterations = 300;
constexpr int64_t kSecondsMax = 6;
constexpr uint64_t kSeed = 20'261'201;

// What has left the shards, by record: what is done again after a crash must be what was done before.
struct Done {
  std::vector<record::Trigger> triggers;
  std::vector<record::Confirmation> confirmations;
};

class Shards {
 public:
  Shards(const std::vector<PlacedEvent>& events, Random* random)
      : events_(events), random_(*random), done_(events.size()) {
    Split(FoldState{}, 0);
  }

  // To the end of the log; answers the first thing that is wrong.
  std::optional<std::string> Run() {
    while (!problem_.has_value() && Behind()) {
      Shard& shard = shards_[static_cast<size_t>(random_.Between(0, std::ssize(shards_) - 1))];
      if (random_.Chance(0.01)) {
        Reshard();
      } else if (random_.Chance(0.05)) {
        shard.saved = {shard.fold.Snapshot(), shard.next};
      } else if (random_.Chance(0.03)) {
        shard.fold = Restored(shard.saved.first);
        shard.next = shard.saved.second;
      } else {
        // In bursts, so that some lag far behind others.
        for (int64_t left = random_.Between(1, 20); left > 0 && shard.next < events_.size(); --left) Step(&shard);
      }
    }
    return problem_;
  }

  const Done& done(size_t record) const { return done_[record]; }
  FoldState Merged() const {
    std::vector<FoldState> states;
    for (const Shard& shard : shards_) states.push_back(shard.fold.Snapshot());
    return MergeShards(states);
  }
  int64_t reshards() const { return reshards_; }

 private:
  struct Shard {
    int64_t number = 0;
    Fold fold;
    size_t next = 0;      // The record that it folds next.
    size_t furthest = 0;  // Up to here its outcomes have left it.
    std::pair<FoldState, size_t> saved;
  };

  bool Behind() const {
    return std::any_of(shards_.begin(), shards_.end(),
                       [this](const Shard& shard) { return shard.next < events_.size(); });
  }

  Fold Restored(const FoldState& state) {
    absl::StatusOr<Fold> fold = Fold::Restore(state);
    if (fold.ok()) return std::move(*fold);
    problem_ = "  a state was not restored: " + std::string(fold.status().message()) + "\n";
    return {};
  }

  void Step(Shard* shard) {
    const PlacedEvent& placed = events_[shard->next];
    Outcome outcome;
    if (IsFor(placed.event, shard->number, std::ssize(shards_)))
      shard->fold.Apply(placed.event, placed.place, &outcome);
    if (shard->next >= shard->furthest) {
      Done& done = done_[shard->next];
      done.triggers.insert(done.triggers.end(), outcome.triggers.begin(), outcome.triggers.end());
      done.confirmations.insert(done.confirmations.end(), outcome.confirmations.begin(), outcome.confirmations.end());
      shard->furthest = shard->next + 1;
    } else {
      for (const record::Trigger& trigger : outcome.triggers) {
        const std::vector<record::Trigger>& before = done_[shard->next].triggers;
        if (std::find(before.begin(), before.end(), trigger) == before.end()) {
          problem_ = "  after a crash there is one more: " + TriggerText(trigger) + "\n";
        }
      }
    }
    ++shard->next;
  }

  // All fold up to where the first of them is: there their states make a whole, which is dealt out anew.
  void Reshard() {
    const size_t place = std::max_element(shards_.begin(), shards_.end(), [](const Shard& left, const Shard& right) {
                           return left.next < right.next;
                         })->next;
    // Nor may what has left one be done by another again.
    const size_t furthest = std::max_element(shards_.begin(), shards_.end(), [](const Shard& left, const Shard& right) {
                              return left.furthest < right.furthest;
                            })->furthest;
    for (Shard& shard : shards_) {
      while (shard.next < std::max(place, furthest) && !problem_.has_value()) Step(&shard);
    }
    ++reshards_;
    Split(Merged(), std::max(place, furthest));
  }

  void Split(const FoldState& whole, size_t next) {
    const int64_t count = random_.Between(1, 5);
    shards_.clear();
    for (int64_t number = 0; number < count; ++number) {
      FoldState state = ShardState(whole, number, count);
      shards_.push_back({number, Restored(state), next, next, {state, next}});
    }
  }

  const std::vector<PlacedEvent>& events_;
  Random& random_;
  std::vector<Done> done_;
  std::vector<Shard> shards_;
  int64_t reshards_ = 0;
  std::optional<std::string> problem_;
};

struct Tally {
  int64_t triggers = 0;
  int64_t reshards = 0;
};

std::optional<std::string> Run(const std::vector<PlacedEvent>& events, uint64_t seed, Tally* tally) {
  Random random(seed);
  Shards shards(events, &random);
  if (const auto problem = shards.Run()) return problem;
  Fold whole;
  for (size_t i = 0; i < events.size(); ++i) {
    Outcome outcome;
    whole.Apply(events[i].event, events[i].place, &outcome);
    std::vector<record::Trigger> triggers = shards.done(i).triggers;
    std::stable_sort(triggers.begin(), triggers.end(), [](const record::Trigger& left, const record::Trigger& right) {
      return left.alert_id < right.alert_id;
    });
    std::vector<record::Trigger> expected = outcome.triggers;
    std::stable_sort(expected.begin(), expected.end(), [](const record::Trigger& left, const record::Trigger& right) {
      return left.alert_id < right.alert_id;
    });
    const std::string at = "  at " + EventLine(events[i]) + "\n";
    if (const auto difference = Difference(triggers, expected)) return *difference + at;
    if (!(shards.done(i).confirmations == outcome.confirmations)) return "  a change is confirmed otherwise\n" + at;
    tally->triggers += std::ssize(expected);
  }
  tally->reshards += shards.reshards();
  const FoldState merged = shards.Merged();
  const FoldState expected = whole.Snapshot();
  if (!(merged.alerts == expected.alerts)) return "  in the end the alerts are others\n";
  if (!(merged.counters == expected.counters)) return "  in the end something else is counted\n";
  return std::nullopt;
}

TEST_CASE("shards of a partition do together what one fold does", "[simulation]") {
  const uint64_t first_seed = static_cast<uint64_t>(FromEnvironment("STOCKALERT_SIMULATION_SEED", kSeed));
  const int64_t iterations = FromEnvironment("STOCKALERT_SIMULATION_ITERATIONS", kIterations);
  const int64_t seconds_max = FromEnvironment("STOCKALERT_SIMULATION_SECONDS", kSecondsMax);
  const auto begin = std::chrono::steady_clock::now();
  Tally tally;
  int64_t done = 0;
  for (; done < iterations; ++done) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(seconds_max)) break;
    const uint64_t seed = first_seed + static_cast<uint64_t>(done);
    EventGenerator generator(seed);
    std::vector<PlacedEvent> events;
    const int64_t length = Random(seed).Pick<int64_t>({40, 150, 150, 400, 400, 1500});
    for (int64_t i = 0; i < length; ++i) events.push_back(generator.Next());
    if (!Run(events, seed, &tally).has_value()) continue;
    Tally ignored;
    events = Shrink<PlacedEvent>(
        events, [&](const std::vector<PlacedEvent>& some) { return Run(some, seed, &ignored).has_value(); });
    FAIL("STOCKALERT_SIMULATION_SEED=" << seed << "\n"
                                       << StreamText(events) << Run(events, seed, &ignored).value_or("gone"));
  }
  std::cout << "seeds " << first_seed << " to " << first_seed + static_cast<uint64_t>(done) - 1 << ": "
            << tally.triggers << " triggers, " << tally.reshards << " times other numbers of shards\n";
  CHECK(done > 0);
  CHECK(tally.triggers > 0);
  CHECK(tally.reshards > 0);
}

}  // namespace
}  // namespace stockalert::simulation
