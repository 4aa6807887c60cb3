// The fold and the auditor over the records that a fuzzer makes: every choice of the generator is a few bytes of the
// input. The fold goes through a checkpoint now and then.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "services/domain/fold/fold.h"
#include "tests/simulation/evaluator/comparison.h"
#include "tests/simulation/evaluator/event_generator.h"
#include "tests/simulation/evaluator/event_text.h"
#include "tests/support/auditor/auditor.h"

namespace stockalert::simulation {
namespace {

// Beyond that nothing new happens, and inputs get slow.
constexpr size_t kEventsMax = 600;
constexpr size_t kCheckpointEvery = 37;

[[noreturn]] void Fail(const std::vector<PlacedEvent>& events, const std::string& what) {
  std::cerr << StreamText(events) << what << "\n";
  std::abort();
}

void Compare(EventGenerator& generator) {
  fold::Fold fold;
  auditor::Auditor auditor;
  std::vector<PlacedEvent> events;
  while (events.size() < kEventsMax && !generator.exhausted()) {
    events.push_back(generator.Next());
    const PlacedEvent& placed = events.back();
    fold::Outcome outcome;
    fold.Apply(placed.event, placed.place, &outcome);
    if (const auto difference = Difference(outcome.triggers, auditor.Apply(placed.place.offset, placed.event)))
      Fail(events, *difference);
    if (events.size() % kCheckpointEvery != 0) continue;
    const fold::FoldState state = fold.Snapshot();
    auto restored = fold::Fold::Restore(state);
    if (!restored.ok()) Fail(events, std::string(restored.status().message()));
    if (!(restored->Snapshot() == state)) Fail(events, "a restored fold has another state");
    fold = std::move(*restored);
  }
}

}  // namespace
}  // namespace stockalert::simulation

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stockalert::simulation::EventGenerator generator{stockalert::simulation::Random(data, size)};
  stockalert::simulation::Compare(generator);
  return 0;
}
