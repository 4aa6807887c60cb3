// Continuing in another log: the effects of the records between the last checkpoint and the end of the lost log are
// known only from the trigger rows. Pure and thread-safe.
#pragma once

#include <vector>

#include "services/domain/fold/fold_state.h"
#include "services/evaluator/evaluator_store.h"

namespace stockalert::evaluator {

// Applies to `state`, a checkpoint's, the triggers that came after it. Trigger numbers continue above theirs; a ONCE
// alert that triggered stays ended; a repeating one is not ready until its level has been false. An alert that the
// state does not know is kept as an ended id, so that a republished change continues its numbers, and arms it only if
// it had not ended.
void CarryOver(fold::FoldState& state, const std::vector<StoredTrigger>& triggers);

}  // namespace stockalert::evaluator
