// Continuing in another log: the effects of the records between the last checkpoint and the end of the lost log are
// known only from the rows of triggers and splits. Pure and thread-safe.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "services/domain/fold/fold_state.h"
#include "services/evaluator/evaluator_store.h"

namespace stockalert::evaluator {

// Applies to `state`, a checkpoint's, the splits that came after it, in their order; what it knows already changes
// nothing. Records that were held until such a split are evaluated, as they were: before CarryOver, for what they
// triggered is among the triggers. An error: the state is not one.
absl::Status CarrySplitsOver(fold::FoldState& state, const std::vector<RecordedSplit>& splits);

// Applies to `state`, a checkpoint's, the triggers that came after it. Trigger numbers continue above theirs; a ONCE
// alert that triggered stays ended; a repeating one is not ready until its level has been false. An alert that the
// state does not know is kept as an ended id, so that a republished change continues its numbers, and arms it only if
// it had not ended.
void CarryOver(fold::FoldState& state, const std::vector<StoredTrigger>& triggers);

}  // namespace stockalert::evaluator
