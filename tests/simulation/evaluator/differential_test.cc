// The evaluator's fold against the auditor over random logs: the triggers of every record, the state of every alert,
// and a fold taken apart into a checkpoint and put together again on the way.
//
// STOCKALERT_SIMULATION_SEED and STOCKALERT_SIMULATION_ITERATIONS choose what is run; a failure prints its seed and the
// smallest stream that shows it.
#include <chrono>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <catch2/catch.hpp>

#include "services/domain/fold/fold.h"
#include "tests/simulation/evaluator/comparison.h"
#include "tests/simulation/evaluator/event_generator.h"
#include "tests/simulation/evaluator/event_text.h"
#include "tests/simulation/evaluator/random.h"
#include "tests/simulation/evaluator/shrink.h"
#include "tests/support/auditor/auditor.h"

namespace stockalert::simulation {
namespace {

using auditor::Auditor;
using auditor::Shown;
using fold::AlertView;
using fold::Fold;
using fold::FoldState;
using fold::Outcome;
using record::AlertChange;
using record::SymbolStatus;

constexpr int64_t kIterations = 400;
constexpr int64_t kSecondsMax = 8;
constexpr uint64_t kSeed = 20'250'306;

Shown ShownBy(const AlertView& view) {
  if (view.ended) return Shown::kTriggered;
  if (view.expired) return Shown::kExpired;
  if (view.paused) return Shown::kPaused;
  if (view.held) return Shown::kHeld;
  return view.waiting ? Shown::kWaiting : Shown::kActive;
}

enum class Checkpoints { kNone, kSometimes, kAlways };

// What the alert's service would show, who knows of the symbol only what the fold has told.
Shown ShownByStatus(const AlertView& view, const SymbolStatus& status) {
  const condition::Definition& definition = view.definition;
  const auto* change = std::get_if<condition::PercentChange>(&definition.condition);
  const bool needs_close = change != nullptr && change->reference == condition::PercentReference::kPreviousClose;
  const bool needs_open = change != nullptr && change->reference == condition::PercentReference::kDayOpen;
  if (view.ended) return Shown::kTriggered;
  // Event time 0 is told before the first quote and after a restart: no quote has expired anything.
  if (definition.expire_time_us.has_value() && status.last_event_time_us != 0 &&
      status.last_event_time_us >= *definition.expire_time_us) {
    return Shown::kExpired;
  }
  if (view.paused) return Shown::kPaused;
  if (status.held) return Shown::kHeld;
  const bool waits = (needs_close && !status.previous_close_known) || (needs_open && !status.day_open_known);
  return waits ? Shown::kWaiting : Shown::kActive;
}

// How much of what matters has happened.
struct Tally {
  int64_t triggers = 0;
  int64_t held_triggers = 0;  // Of them those found by what settled a hold.
};

// In what the two differ about one alert, of which `revision` is the last one known.
std::optional<std::string> AlertDifference(const Fold& fold, const Auditor& auditor,
                                           const std::map<std::string, SymbolStatus>& statuses, const std::string& id,
                                           int64_t revision) {
  const std::optional<AlertView> view = fold.FindAlert(id);
  const std::optional<Shown> shown = auditor.StateOf(id, std::nullopt);
  if (view.has_value() != shown.has_value()) return "  only one of the two knows alert " + id + "\n";
  if (!view.has_value()) return std::nullopt;
  const auto text = [](Shown state) { return std::to_string(static_cast<int>(state)); };
  if (ShownBy(*view) != *shown) {
    return "  alert " + id + " is shown as " + text(ShownBy(*view)) + ", expected " + text(*shown) + "\n";
  }
  const auto status = statuses.find(view->symbol);
  const Shown by_status = ShownByStatus(*view, status == statuses.end() ? SymbolStatus{} : status->second);
  if (by_status != *shown) {
    return "  by the symbol's status alert " + id + " would be shown as " + text(by_status) + ", expected " +
           text(*shown) + "\n";
  }
  // What was changed in a hold is confirmed, and known afterwards.
  const bool is_known = view->held ? view->revision <= revision : view->revision == revision;
  if (!is_known) return "  alert " + id + " has another revision\n";
  return std::nullopt;
}

// Both over the same events; the first difference, or nothing.
std::optional<std::string> Run(const std::vector<PlacedEvent>& events, Checkpoints checkpoints, Tally* tally) {
  Fold fold;
  Auditor auditor;
  std::map<std::string, int64_t> revisions;
  std::map<std::string, std::string> symbols;  // By alert: the one that its first change names.
  std::map<std::string, SymbolStatus> statuses;
  std::optional<FoldState> copied;  // What the snapshot under way has to come to.
  for (size_t i = 0; i < events.size(); ++i) {
    const PlacedEvent& placed = events[i];
    Outcome outcome;
    fold.Apply(placed.event, placed.place, &outcome);
    const std::vector<record::Trigger> expected = auditor.Apply(placed.place.offset, placed.event);
    tally->triggers += static_cast<int64_t>(expected.size());
    if (!std::holds_alternative<record::Quote>(placed.event)) {
      tally->held_triggers += static_cast<int64_t>(expected.size());
    }
    const auto at_event = [&](const std::string& what) { return what + "  at " + EventLine(placed) + "\n"; };
    if (const auto difference = Difference(outcome.triggers, expected)) return at_event(*difference);

    if (const AlertChange* change = std::get_if<AlertChange>(&placed.event)) {
      int64_t& known = revisions[change->alert_id];
      // What names another symbol is not about this alert.
      if (symbols.try_emplace(change->alert_id, change->symbol).first->second == change->symbol) {
        known = std::max(known, change->revision);
      }
      if (outcome.confirmations.size() != 1 || outcome.confirmations.front().alert_id != change->alert_id ||
          outcome.confirmations.front().revision != known ||
          outcome.confirmations.front().offset != placed.place.offset) {
        return at_event("  a change was not confirmed as it should be\n");
      }
    } else if (!outcome.confirmations.empty()) {
      return at_event("  a confirmation without a change\n");
    }
    for (const SymbolStatus& status : outcome.statuses) {
      if (status.offset != placed.place.offset) return at_event("  a status of another place\n");
      statuses[status.symbol] = status;
    }
    for (const auto& [symbol, status] : statuses) {
      if (status.held != auditor.IsHeld(symbol)) return at_event("  only one of the two holds " + symbol + "\n");
    }
    for (const auto& [id, revision] : revisions) {
      if (const auto difference = AlertDifference(fold, auditor, statuses, id, revision)) return at_event(*difference);
    }
    if (checkpoints != Checkpoints::kNone && i % 23 == 0) {
      copied = fold.Snapshot();
      fold.BeginSnapshot();
    } else if (copied.has_value() && fold.ContinueSnapshot(static_cast<int64_t>(i % 3))) {
      FoldState state = fold.TakeSnapshot();
      PutInOrder(&state);
      if (!(state == *copied)) return at_event("  a snapshot taken in parts has another state\n");
      copied.reset();
    }
    if (checkpoints == Checkpoints::kAlways || (checkpoints == Checkpoints::kSometimes && i % 17 == 16)) {
      const FoldState state = fold.Snapshot();
      auto restored = Fold::Restore(state);
      if (!restored.ok())
        return at_event("  a snapshot was not restored: " + std::string(restored.status().message()) + "\n");
      if (!(restored->Snapshot() == state)) return at_event("  a restored fold has another state\n");
      fold = std::move(*restored);
      copied.reset();
    }
  }
  return std::nullopt;
}

TEST_CASE("the fold and the auditor agree on random logs", "[simulation]") {
  const uint64_t first_seed = static_cast<uint64_t>(FromEnvironment("STOCKALERT_SIMULATION_SEED", kSeed));
  const int64_t iterations = FromEnvironment("STOCKALERT_SIMULATION_ITERATIONS", kIterations);
  const int64_t seconds_max = FromEnvironment("STOCKALERT_SIMULATION_SECONDS", kSecondsMax);
  const auto begin = std::chrono::steady_clock::now();
  int64_t events_run = 0;
  Tally tally;
  int64_t done = 0;
  for (; done < iterations; ++done) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(seconds_max)) break;
    const uint64_t seed = first_seed + static_cast<uint64_t>(done);
    EventGenerator generator(seed);
    Random random(seed);
    std::vector<PlacedEvent> events;
    const int64_t length = random.Pick<int64_t>({40, 150, 150, 400, 400, 1500});
    events.reserve(static_cast<size_t>(length));
    for (int64_t i = 0; i < length; ++i) events.push_back(generator.Next());
    events_run += length;
    if (!Run(events, Checkpoints::kSometimes, &tally).has_value()) continue;

    // Without checkpoints if it fails without, for a stream has none.
    Tally ignored;
    const Checkpoints checkpoints =
        Run(events, Checkpoints::kNone, &ignored).has_value() ? Checkpoints::kNone : Checkpoints::kAlways;
    const auto fails = [&](const std::vector<PlacedEvent>& some) {
      return Run(some, checkpoints, &ignored).has_value();
    };
    const bool shrinkable = fails(events);
    if (shrinkable) events = Shrink<PlacedEvent>(events, fails);
    const auto difference = Run(events, shrinkable ? checkpoints : Checkpoints::kSometimes, &ignored);
    FAIL("STOCKALERT_SIMULATION_SEED=" << seed << (checkpoints == Checkpoints::kNone ? "" : " (only with checkpoints)")
                                       << "\n"
                                       << StreamText(events) << difference.value_or("gone"));
  }
  std::cout << "seeds " << first_seed << " to " << first_seed + static_cast<uint64_t>(done) - 1 << ": " << events_run
            << " events, " << tally.triggers << " triggers, " << tally.held_triggers
            << " of them found when a hold was settled\n";
  CHECK(done > 0);
  CHECK(tally.triggers > 0);
  CHECK(tally.held_triggers > 0);
}

}  // namespace
}  // namespace stockalert::simulation
