// The alerts of a symbol as they were at one moment, packed as they are in the fold, to be saved later and in parts.
//
// Not thread-safe; cannot fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "services/domain/fold/fold_state.h"
#include "services/domain/fold/packed_alerts.h"
#include "services/domain/fold/slot_set.h"

namespace stockalert::fold {

// What an alert's symbol adds to what is saved of it.
struct SavedBeside {
  const std::string& symbol;
  int32_t date = 0;
  const SlotSet& since_last_quote;
};

SavedAlert SaveAlert(const PackedAlerts& alerts, Slot slot, const SavedBeside& beside);

class FrozenAlerts {
 public:
  FrozenAlerts(const PackedAlerts& alerts, const SavedBeside& beside)
      : alerts_(alerts.CopyWithoutRungs()),
        symbol_(beside.symbol),
        date_(beside.date),
        since_last_quote_(beside.since_last_quote) {}

  // Appends the next alerts, `max` at most; true once all are saved.
  bool SaveNext(size_t max, std::vector<SavedAlert>* saved) {
    for (; next_ < alerts_.end(); ++next_) {
      if (!alerts_.Contains(next_)) continue;
      if (max-- == 0) return false;
      saved->push_back(SaveAlert(alerts_, next_, {symbol_, date_, since_last_quote_}));
    }
    return true;
  }

 private:
  PackedAlerts alerts_;
  std::string symbol_;
  int32_t date_;
  SlotSet since_last_quote_;
  Slot next_ = 0;
};

}  // namespace stockalert::fold
