// All alerts of a symbol, packed: what every alert has in 64 bytes, one beside the other, and what few have (an expiry,
// a cooldown, a hysteresis, a trigger behind it, a pause, two legs with different references, …) apart.
//
// Packing loses nothing: Get gives what Put was given, with the references of legs that are in a rung left at 0, for
// the rung has them.
//
// Not thread-safe; cannot fail.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/alert.h"
#include "services/domain/fold/alert_id.h"
#include "services/domain/fold/slab.h"

namespace stockalert::fold {

class PackedAlerts {
 public:
  // The slot of a new alert, which identifies it until Remove.
  Slot Add(AlertId id);
  void Remove(Slot slot);

  Alert Get(Slot slot) const;
  // The alert says which slot.
  void Put(const Alert& alert);

  // A copy of all, in which each leg has the reference of the rung that it is in.
  PackedAlerts CopyWithoutRungs() const;

  size_t size() const { return alerts_.size(); }
  // Above every slot that there is.
  Slot end() const { return alerts_.end(); }
  bool Contains(Slot slot) const { return alerts_.Contains(slot); }
  // In the order of slots; see Slab.
  template <typename Visitor>
  void ForEach(const Visitor& visitor) const {
    alerts_.ForEach(visitor);
  }

  // Parts of an alert, without unpacking the others.
  const AlertId& id(Slot slot) const { return alerts_[slot].id; }
  int64_t revision(Slot slot) const;
  condition::Sessions sessions(Slot slot) const { return static_cast<condition::Sessions>(alerts_[slot].sessions); }
  bool begun(Slot slot) const { return alerts_[slot].begun != 0; }
  bool ended(Slot slot) const { return alerts_[slot].ended != 0; }
  Residence residence(Slot slot) const { return static_cast<Residence>(alerts_[slot].residence); }
  void SetReady(Slot slot, size_t leg) { alerts_[slot].ready |= 1U << leg; }
  // Precondition: the leg is in a rung.
  void MoveToRung(Slot slot, size_t leg, Rung* rung);

 private:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  // Which of an alert's legs the reference in its Packed is of; the other one's is zero, or in its More.
  enum class ReferenceOf : uint8_t { kBoth, kUp, kDown, kUpAndMore };

  union Reference {
    int64_t micros;
    Rung* rung;
  };

  struct Packed {
    AlertId id{""};
    int64_t first = 0;   // The first parameter of the condition: a price, a percentage, an amount.
    int64_t second = 0;  // The second: a bound, a window, a given price, an activation price.
    Reference reference{.micros = 0};
    // The lower halves.
    uint32_t revision = 0;
    uint32_t armed_revision = 0;
    uint32_t trigger_number = 0;
    int32_t date_stamp = market::kNoDate;
    uint32_t more = kNone;
    // The definition; `op` and `percent_reference` as the condition has them.
    uint32_t condition : 2 = 0;
    uint32_t op : 2 = 0;
    uint32_t percent_reference : 3 = 0;
    uint32_t has_activation : 1 = 0;
    uint32_t trigger_policy : 2 = 0;
    uint32_t creation_policy : 2 = 0;
    uint32_t sessions : 1 = 0;
    // The state.
    uint32_t paused : 1 = 0;
    uint32_t ended : 1 = 0;
    uint32_t expired : 1 = 0;
    uint32_t begun : 1 = 0;
    uint32_t activated : 1 = 0;
    uint32_t own_reference : 1 = 0;
    uint32_t has_own_price_before : 1 = 0;
    uint32_t residence : 2 = 0;
    uint32_t watched_from : 2 = 1;  // Plus one.
    uint32_t ready : 2 = 0;         // A bit a leg.
    uint32_t in_rung : 2 = 0;       // Likewise.
    uint32_t reference_of : 2 = 0;
  };
  static_assert(sizeof(Packed) == 64);

  using Entries = std::array<std::vector<PricePoint>, 2>;

  // What few alerts have; as by default it is left out.
  struct More {
    int64_t third = 0;  // What the condition has beside `first` and `second`.
    int64_t cooldown_us = 0;
    int64_t hysteresis_micros = 0;
    int64_t expire_time_us = 0;
    int64_t last_trigger_time_us = 0;
    int64_t own_price_before_micros = 0;
    Reference down_reference{.micros = 0};  // For kUpAndMore.
    std::unique_ptr<Entries> entries;
    // The upper halves.
    int32_t revision = 0;
    int32_t armed_revision = 0;
    int32_t trigger_number = 0;
    int32_t last_trigger_date = market::kNoDate;
    bool has_expire_time = false;
    bool has_last_trigger_time = false;
    bool has_own_price = false;

    More() = default;
    More(const More& other);
    More& operator=(More&&) = default;
    bool IsNeeded() const;
  };

  static void PackCondition(const condition::Condition& condition, Packed* packed, More* more);
  static condition::Condition UnpackCondition(const Packed& packed, const More& more);
  static void PackLegs(const Alert& alert, Packed* packed, More* more);
  static void UnpackLegs(const Packed& packed, const More& more, Alert* alert);
  const More& MoreOf(const Packed& packed) const;
  Reference& ReferenceOfLeg(Packed& packed, size_t leg);

  Slab<Packed, 16> alerts_;
  Slab<More, 8> mores_;
};

}  // namespace stockalert::fold
