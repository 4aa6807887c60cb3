// How the alerts of a famous symbol could be evaluated by several, as docs/adr/0026 has it: each shard folds the whole
// partition but the changes of alerts that are another's. Pure functions over the states of folds, for its simulation.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "services/domain/fold/fold_state.h"
#include "services/domain/record/event.h"

namespace stockalert::simulation {

// From 0, below `count`.
int64_t ShardOf(std::string_view alert_id, int64_t count);

// Whether the shard folds the record: all do, but for the changes of alerts that are another's.
bool IsFor(const record::Event& event, int64_t shard, int64_t count);

// What one fold of the whole would have, made of those of all shards as of the same place. Precondition: at least one.
fold::FoldState MergeShards(const std::vector<fold::FoldState>& shards);

// What one of `count` shards has of the whole.
fold::FoldState ShardState(const fold::FoldState& whole, int64_t shard, int64_t count);

}  // namespace stockalert::simulation
