// Going on in another log: what the records between the last checkpoint and the end of the lost log had made happen is
// known from the trigger rows alone. Pure and thread-safe.
#pragma once

#include <vector>

#include "services/domain/fold/fold_state.h"
#include "services/evaluator/evaluator_store.h"

namespace stockalert::evaluator {

// Brings `state`, a checkpoint's, up to the triggers that came after it: numbers go on above them; a ONCE alert that
// triggered stays ended; a repeating one is not ready until its level has been false; an alert that the state does not
// know is kept as an ended id, so that a republished change continues its numbers, and arms it only if it had not
// ended.
void CarryOver(fold::FoldState& state, const std::vector<StoredTrigger>& triggers);

}  // namespace stockalert::evaluator
