// A set of closed price intervals, each of one alert, that finds those which contain a price without looking at the
// others: what ENTERS alerts outside their channel wait in, and LEAVES alerts that wait to be well inside again.
//
// A treap ordered by (low, slot), each node knowing the highest bound below it: insertion and removal cost O(log n), a
// search O(log n) for each interval found. The shape depends on the content alone. Not thread-safe; cannot fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "services/domain/fold/quiet_interval.h"

namespace stockalert::fold {

class IntervalTree {
 public:
  using Slot = uint32_t;

  // Precondition: no interval with this low and slot is in the set.
  void Insert(int64_t low, int64_t high, Slot slot);

  // Precondition: Insert(low, …, slot) was called, and it was not removed since.
  void Erase(int64_t low, Slot slot);

  // Appends the slots of all intervals that contain `price`; adds the number of nodes looked at to `*steps`.
  void Find(int64_t price, std::vector<Slot>* found, int64_t* steps) const;

  // Narrows `*quiet` to the prices around `price` that no interval contains.
  void NarrowQuiet(int64_t price, QuietInterval* quiet, int64_t* steps) const;

  size_t size() const { return size_; }

 private:
  using NodeIndex = uint32_t;
  static constexpr NodeIndex kNone = 0;

  struct Node {
    int64_t low = 0;
    int64_t high = 0;
    int64_t highest = 0;  // Of the node and all below it.
    Slot slot = 0;
    uint32_t priority = 0;
    NodeIndex left = kNone;
    NodeIndex right = kNone;
  };

  static bool IsBefore(const Node& node, int64_t low, Slot slot);
  void UpdateHighest(NodeIndex at);
  // Splits the tree at `at` into what is before (low, slot) and the rest.
  void Split(NodeIndex at, int64_t low, Slot slot, NodeIndex* before, NodeIndex* rest);
  NodeIndex Merge(NodeIndex before, NodeIndex rest);
  NodeIndex InsertInSubtree(NodeIndex at, NodeIndex added);
  NodeIndex EraseFromSubtree(NodeIndex at, int64_t low, Slot slot);
  void FindInSubtree(NodeIndex at, int64_t price, std::vector<Slot>* found, int64_t* steps) const;

  std::vector<Node> nodes_{Node{}};  // The first one stands for none.
  std::vector<NodeIndex> free_;
  NodeIndex root_ = kNone;
  size_t size_ = 0;
};

}  // namespace stockalert::fold
