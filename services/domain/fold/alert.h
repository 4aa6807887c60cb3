// An alert as its symbol's fold keeps it. Plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/alert_id.h"
#include "services/domain/fold/extreme_ladder.h"
#include "services/domain/fold/fold_state.h"
#include "services/domain/market/exchange_date.h"

namespace stockalert::fold {

// A percent EITHER has both legs, every other alert one.
inline constexpr size_t kUpLeg = 0;
inline constexpr size_t kDownLeg = 1;

inline Direction DirectionOf(size_t leg) { return leg == kUpLeg ? Direction::kUp : Direction::kDown; }

// One of the two conditions that an alert may consist of.
class Leg {
 public:
  bool ready = false;
  // The reference or extreme, where no rung has it.
  int64_t reference_micros = 0;
  // The rung that the leg is in; while its alert is evaluated, the rung that it was in.
  Rung* rung = nullptr;

  // As in SavedLeg. Hardly any alert has some.
  const std::vector<PricePoint>& entries() const {
    static const std::vector<PricePoint> kNone;
    return entries_ == nullptr ? kNone : *entries_;
  }
  void SetEntries(std::vector<PricePoint> entries) {
    entries_ = entries.empty() ? nullptr : std::make_unique<std::vector<PricePoint>>(std::move(entries));
  }

 private:
  std::unique_ptr<std::vector<PricePoint>> entries_;
};

struct Alert {
  static constexpr int64_t kNoKey = std::numeric_limits<int64_t>::min();

  AlertId id{""};
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
  std::optional<int64_t> last_trigger_time_us;
  int32_t last_trigger_date = market::kNoDate;
  // The date that own_reference and, out of the index, the legs' readiness are of.
  int32_t date_stamp = market::kNoDate;
  // The price before the next one; valid only while no price has counted since prices_seen_before.
  std::optional<int64_t> price_before_micros;
  int64_t prices_seen_before = 0;
  std::array<Leg, 2> legs;
  // As registered in wake_up and wake_down (signed), the lower bound in inside, the time in window_ends.
  int64_t wake_up_key = kNoKey;
  int64_t wake_down_key = kNoKey;
  int64_t inside_key = kNoKey;
  int64_t window_end_key = kNoKey;
};

}  // namespace stockalert::fold
