// An alert's slot beside the price, distance or time that it is ordered by, in twelve bytes. Plain value.
#pragma once

#include <cstdint>

namespace stockalert::fold {

using Slot = uint32_t;

#pragma pack(push, 4)
struct SlotAt {
  int64_t at = 0;
  Slot slot = 0;

  friend bool operator==(SlotAt a, SlotAt b) { return a.at == b.at && a.slot == b.slot; }
  friend bool operator<(SlotAt a, SlotAt b) { return a.at != b.at ? a.at < b.at : a.slot < b.slot; }
};
#pragma pack(pop)
static_assert(sizeof(SlotAt) == 12);

}  // namespace stockalert::fold
