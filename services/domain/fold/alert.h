// An alert while it is looked at or changed; between that it is kept packed (packed_alerts.h). Plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/extreme_ladder.h"
#include "services/domain/fold/fold_state.h"
#include "services/domain/market/exchange_date.h"

namespace stockalert::fold {

// A percent EITHER has both legs, every other alert one.
inline constexpr size_t kUpLeg = 0;
inline constexpr size_t kDownLeg = 1;

inline Direction DirectionOf(size_t leg) { return leg == kUpLeg ? Direction::kUp : Direction::kDown; }

// One of the two conditions that an alert may consist of.
struct Leg {
  bool ready = false;
  // The reference or extreme, where no rung has it.
  int64_t reference_micros = 0;
  // The rung that the leg is in; while its alert is evaluated, the rung that it was in.
  Rung* rung = nullptr;
  // As in SavedLeg. Hardly any alert has some.
  std::vector<PricePoint> entries;
  bool operator==(const Leg&) const = default;
};

struct Alert {
  Slot slot = 0;
  condition::Definition definition;
  int64_t revision = 0;
  int64_t armed_revision = 0;
  int64_t trigger_number = 0;
  bool paused = false;
  bool ended = false;
  bool expired = false;
  bool begun = false;
  bool activated = false;  // Trailing: no activation price, or it was reached.
  // Date's references: the alert has one of its own on the date of date_stamp, in its legs.
  bool own_reference = false;
  Residence residence = Residence::kOut;
  // Of an alert that goes on after its triggers.
  std::optional<int64_t> last_trigger_time_us;
  int32_t last_trigger_date = market::kNoDate;
  // The date that own_reference and, out of the index, the legs' readiness are of.
  int32_t date_stamp = market::kNoDate;
  // Paused, or resumed and no price has counted since: the price before the next one is not its book's.
  bool has_own_price_before = false;
  std::optional<int64_t> own_price_before_micros;
  // CROSSES, in the index: the last price was below the target (-1), it (0), or above (1).
  int8_t watched_from = 0;
  std::array<Leg, 2> legs;
  bool operator==(const Alert&) const = default;
};

}  // namespace stockalert::fold
