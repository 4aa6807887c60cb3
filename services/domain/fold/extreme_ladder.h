// Alerts that are measured from an extreme price: rises from a low, falls from a high. The extreme is that of a window
// of time (percent in a window), or of the time since each alert was armed (trailing).
//
// Alerts with the same extreme differ only in the distance that they wait for. They share a rung, which orders them by
// that distance. Rungs are ordered by their extreme; in a window that is the order of their times too,
// for an older price is kept only while it is more extreme than every later one (a monotonic deque). A price at or
// beyond some rungs' extremes becomes the extreme of all their alerts: the rungs merge, the smaller into the larger, so
// that no alert moves more than O(log n) times. A rung that falls out of the window gives its alerts to the next, for
// which that is now the extreme. Which rung has the nearest alert to trigger, and which the nearest to become ready, is
// kept in order as well: a price that changes nothing costs O(log n).
//
// All is written for lows; highs are lows of the negated price ("signed": a price or level times the direction).
// Not thread-safe; cannot fail.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "services/domain/fold/fold_state.h"
#include "services/domain/fold/quiet_interval.h"
#include "services/domain/fold/slot_at.h"

namespace stockalert::fold {

enum class Direction : int8_t { kUp = 1, kDown = -1 };  // Of the move that triggers.
enum class Measure : uint8_t { kPercent, kAmount };

inline int64_t Signed(Direction direction, int64_t value) { return static_cast<int64_t>(direction) * value; }

// The level `distance` (1e-4 of a percent, or micros) away from `reference` in `direction`, signed: reached by a price
// with Signed(price) >= level.
int64_t SignedLevel(Direction direction, Measure measure, int64_t reference, int64_t distance);

// Alerts with one reference, by distance, those that may trigger apart from those that wait for their level to be
// false.
struct Rung {
  int64_t reference_micros = 0;
  int64_t time_us = 0;
  absl::btree_set<SlotAt> ready;
  absl::btree_set<SlotAt> unready;
  // Alerts that only follow: this is the extreme of what they have seen since a pause, and they have a nearer one from
  // before.
  absl::btree_set<Slot> followers;
  // As registered with the ladder; none while the set is empty.
  std::optional<int64_t> ready_level;
  std::optional<int64_t> unready_level;
  int64_t ready_distance = 0;  // Where ready_level has a value.

  size_t size() const { return ready.size() + unready.size() + followers.size(); }
};

// Appends the alerts of `rung`, measured from `reference`, that `price` changes: ready ones at their level, others with
// their level false.
void FindChanged(const Rung& rung, int64_t reference, Direction direction, Measure measure, int64_t price,
                 std::vector<Slot>* found, int64_t* steps);
inline void FindChanged(const Rung& rung, Direction direction, Measure measure, int64_t price, std::vector<Slot>* found,
                        int64_t* steps) {
  FindChanged(rung, rung.reference_micros, direction, measure, price, found, steps);
}

// Narrows `*quiet` to the prices whose signed values are from `low` to `high`; QuietInterval's limits: no bound.
void NarrowQuiet(Direction direction, int64_t low, int64_t high, QuietInterval* quiet);
// Likewise to those that change no alert of `rung`.
void NarrowQuiet(const Rung& rung, Direction direction, Measure measure, QuietInterval* quiet);

class ExtremeLadder {
 public:
  // Told where an alert is whenever a merge moves it.
  class Members {
   public:
    virtual ~Members() = default;
    virtual void OnMovedTo(Slot slot, Direction direction, Rung* rung) = 0;
  };

  // `window_us` none: all time. `members` outlives the ladder.
  ExtremeLadder(Direction direction, Measure measure, std::optional<int64_t> window_us, Members* members);

  // Records a price that counts; times never fall. Forgets everything while the ladder holds no alert.
  void Advance(PricePoint point, int64_t* steps);

  // Appends the alerts that `price`, the one last passed to Advance, changes.
  void Find(int64_t price, std::vector<Slot>* found, int64_t* steps) const;

  // Appends the alerts of all time whose extreme `extreme` would replace, and that one of `prices` would then change.
  void FindReplaced(int64_t extreme, std::initializer_list<int64_t> prices, std::vector<Slot>* found,
                    int64_t* steps) const;

  // Narrows `*quiet` to prices around `price`, the one last passed to Advance, and times at which no alert changes,
  // whatever extremes they make on their way.
  void NarrowQuiet(int64_t price, QuietInterval* quiet, int64_t* steps) const;

  // The rung with this extreme; made where there is none. In a window, `point` must be one that Advance would keep.
  Rung* FindOrMakeRung(PricePoint point);
  // The rung with this extreme; nullptr where there is none.
  Rung* FindRung(int64_t reference_micros);

  void Add(Rung* rung, int64_t distance, Slot slot, bool ready);
  // The rung may be gone afterwards in a ladder of all time; in a window it stays until the next Advance.
  void Remove(Rung* rung, int64_t distance, Slot slot, bool ready);

  // Merges move followers as they move all alerts; Find never returns them.
  void AddFollower(Rung* rung, Slot slot);
  void RemoveFollower(Rung* rung, Slot slot);

  // In a window: the prices that are or can still become the extreme of the rung's alerts, its own first.
  std::vector<PricePoint> EntriesFrom(const Rung& rung) const;
  // All of them, from the first rung that has an alert.
  std::vector<PricePoint> Entries() const;

  Direction direction() const { return direction_; }
  size_t size() const { return size_; }
  size_t rung_count() const { return rungs_.size(); }

 private:
  using Rungs = absl::btree_map<int64_t, std::unique_ptr<Rung>>;  // By signed extreme.
  using Levels = absl::btree_set<std::pair<int64_t, int64_t>>;    // (level, signed extreme of the rung)

  void RegisterLevels(Rung* rung);
  void UnregisterLevels(Rung* rung);
  // Puts the alerts of both into one rung, which it gives back unregistered, with the extreme and time of `to`.
  std::unique_ptr<Rung> Merge(std::unique_ptr<Rung> from, std::unique_ptr<Rung> to, int64_t* steps);

  const Direction direction_;
  const Measure measure_;
  const std::optional<int64_t> window_us_;
  Members* const members_;
  Rungs rungs_;
  Levels ready_levels_;     // The lowest is reached first.
  Levels unready_levels_;   // Negated: the highest is left first.
  Levels ready_distances_;  // The least distance of each rung's ready alerts, in place of its level.
  size_t size_ = 0;
};

}  // namespace stockalert::fold
