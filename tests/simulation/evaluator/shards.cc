#include "tests/simulation/evaluator/shards.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <variant>

namespace stockalert::simulation {
namespace {

using fold::FoldState;
using fold::SavedAlert;
using fold::SavedBook;
using fold::SavedSymbol;
using fold::SavedTombstone;
using fold::SavedWindow;
using record::AlertChange;
using record::Event;

// A shard keeps the candidates of a window from its first alert with it on; those of the one that began first are those
// of the whole. That is the one with the oldest candidate: a newer one's are the last of these, as a candidate goes
// when a nearer price comes, wherever it is kept.
void MergeWindows(const SavedBook& from, SavedBook* into) {
  for (const SavedWindow& window : from.windows) {
    const auto same = std::find_if(into->windows.begin(), into->windows.end(), [&window](const SavedWindow& other) {
      return other.window_us == window.window_us && other.up == window.up;
    });
    if (same == into->windows.end()) {
      into->windows.push_back(window);
    } else if (window.rungs.size() > same->rungs.size()) {
      same->rungs = window.rungs;
    }
  }
  std::sort(into->windows.begin(), into->windows.end(), [](const SavedWindow& left, const SavedWindow& right) {
    return left.window_us != right.window_us ? left.window_us < right.window_us : left.up > right.up;
  });
}

// The records that all have stand in one order; changes between two of them are of different alerts, or of one shard.
std::vector<Event> MergeHeld(const std::vector<Event>& left, const std::vector<Event>& right) {
  std::vector<Event> merged;
  auto other = right.begin();
  const auto take_changes = [&](auto& at, const std::vector<Event>& events) {
    for (; at != events.end() && std::holds_alternative<AlertChange>(*at); ++at) merged.push_back(*at);
  };
  for (auto at = left.begin(); at != left.end(); ++at) {
    take_changes(at, left);
    take_changes(other, right);
    if (at == left.end()) break;
    merged.push_back(*at);
    ++other;
  }
  take_changes(other, right);
  return merged;
}

void MergeSymbol(const SavedSymbol& from, SavedSymbol* into) {
  for (size_t i = 0; i < into->books.size(); ++i) MergeWindows(from.books[i], &into->books[i]);
  if (into->held_records.has_value()) into->held_records = MergeHeld(*into->held_records, *from.held_records);
}

}  // namespace

int64_t ShardOf(std::string_view alert_id, int64_t count) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a.
  for (const char byte : alert_id) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  return static_cast<int64_t>((hash >> 32) % static_cast<uint64_t>(count));
}

bool IsFor(const Event& event, int64_t shard, int64_t count) {
  const auto* change = std::get_if<AlertChange>(&event);
  return change == nullptr || ShardOf(change->alert_id, count) == shard;
}

FoldState MergeShards(const std::vector<FoldState>& shards) {
  FoldState whole = shards.front();
  std::map<std::string, SavedSymbol> symbols;
  for (const SavedSymbol& symbol : whole.symbols) symbols.emplace(symbol.symbol, symbol);
  for (size_t i = 1; i < shards.size(); ++i) {
    const FoldState& shard = shards[i];
    for (const SavedSymbol& symbol : shard.symbols) {
      const auto [known, is_new] = symbols.try_emplace(symbol.symbol, symbol);
      if (!is_new) MergeSymbol(symbol, &known->second);
    }
    whole.alerts.insert(whole.alerts.end(), shard.alerts.begin(), shard.alerts.end());
    whole.tombstones.insert(whole.tombstones.end(), shard.tombstones.begin(), shard.tombstones.end());
    whole.log_time_us = std::max(whole.log_time_us, shard.log_time_us);
    // What quotes did is counted by each; what alerts did, by the one that has them.
    whole.counters.changes_applied += shard.counters.changes_applied;
    whole.counters.changes_skipped += shard.counters.changes_skipped;
    whole.counters.triggers += shard.counters.triggers;
    whole.counters.edges_swallowed += shard.counters.edges_swallowed;
  }
  whole.symbols.clear();
  for (auto& [name, symbol] : symbols) whole.symbols.push_back(std::move(symbol));
  std::stable_sort(
      whole.tombstones.begin(), whole.tombstones.end(),
      [](const SavedTombstone& left, const SavedTombstone& right) { return left.log_time_us < right.log_time_us; });
  PutInOrder(&whole);
  return whole;
}

FoldState ShardState(const FoldState& whole, int64_t shard, int64_t count) {
  FoldState state;
  state.log_time_us = whole.log_time_us;
  state.counters = whole.counters;
  if (shard != 0) {
    state.counters.changes_applied = state.counters.changes_skipped = 0;
    state.counters.triggers = state.counters.edges_swallowed = 0;
  }
  const auto is_own = [&](const auto& item) { return ShardOf(item.id, count) == shard; };
  std::copy_if(whole.alerts.begin(), whole.alerts.end(), std::back_inserter(state.alerts), is_own);
  std::copy_if(whole.tombstones.begin(), whole.tombstones.end(), std::back_inserter(state.tombstones), is_own);
  state.symbols = whole.symbols;
  for (SavedSymbol& symbol : state.symbols) {
    if (!symbol.held_records.has_value()) continue;
    std::erase_if(*symbol.held_records, [&](const Event& event) { return !IsFor(event, shard, count); });
  }
  return state;
}

}  // namespace stockalert::simulation
