#include "services/domain/fold/interval_tree.h"

#include <algorithm>
#include <cstdlib>

namespace stockalert::fold {
namespace {

// Well spread and the same everywhere: a treap's balance needs no more than that neighbours have unrelated priorities.
uint32_t PriorityOf(int64_t low, uint32_t slot) {
  uint64_t x = static_cast<uint64_t>(low) ^ (static_cast<uint64_t>(slot) << 32) ^ slot;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<uint32_t>((x ^ (x >> 31)) >> 16);
}

}  // namespace

bool IntervalTree::IsBefore(const Node& node, int64_t low, Slot slot) {
  return node.low != low ? node.low < low : node.slot < slot;
}

void IntervalTree::UpdateHighest(NodeIndex at) {
  Node& node = nodes_[at];
  node.highest = node.high;
  if (node.left != kNone) node.highest = std::max(node.highest, nodes_[node.left].highest);
  if (node.right != kNone) node.highest = std::max(node.highest, nodes_[node.right].highest);
}

void IntervalTree::Split(NodeIndex at, int64_t low, Slot slot, NodeIndex* before, NodeIndex* rest) {
  if (at == kNone) {
    *before = *rest = kNone;
    return;
  }
  NodeIndex part = kNone;
  if (IsBefore(nodes_[at], low, slot)) {
    Split(nodes_[at].right, low, slot, &part, rest);
    nodes_[at].right = part;
    *before = at;
  } else {
    Split(nodes_[at].left, low, slot, before, &part);
    nodes_[at].left = part;
    *rest = at;
  }
  UpdateHighest(at);
}

IntervalTree::NodeIndex IntervalTree::Merge(NodeIndex before, NodeIndex rest) {
  if (before == kNone) return rest;
  if (rest == kNone) return before;
  if (nodes_[before].priority >= nodes_[rest].priority) {
    const NodeIndex right = Merge(nodes_[before].right, rest);
    nodes_[before].right = right;
    UpdateHighest(before);
    return before;
  }
  const NodeIndex left = Merge(before, nodes_[rest].left);
  nodes_[rest].left = left;
  UpdateHighest(rest);
  return rest;
}

IntervalTree::NodeIndex IntervalTree::InsertInSubtree(NodeIndex at, NodeIndex added) {
  if (at == kNone) return added;
  if (nodes_[added].priority > nodes_[at].priority) {
    NodeIndex before = kNone;
    NodeIndex rest = kNone;
    Split(at, nodes_[added].low, nodes_[added].slot, &before, &rest);
    nodes_[added].left = before;
    nodes_[added].right = rest;
    UpdateHighest(added);
    return added;
  }
  if (IsBefore(nodes_[at], nodes_[added].low, nodes_[added].slot)) {
    const NodeIndex right = InsertInSubtree(nodes_[at].right, added);
    nodes_[at].right = right;
  } else {
    const NodeIndex left = InsertInSubtree(nodes_[at].left, added);
    nodes_[at].left = left;
  }
  UpdateHighest(at);
  return at;
}

IntervalTree::NodeIndex IntervalTree::EraseFromSubtree(NodeIndex at, int64_t low, Slot slot) {
  if (at == kNone) std::abort();  // The caller's precondition is broken: the index no longer knows what is in it.
  if (nodes_[at].low == low && nodes_[at].slot == slot) {
    const NodeIndex merged = Merge(nodes_[at].left, nodes_[at].right);
    free_.push_back(at);
    return merged;
  }
  if (IsBefore(nodes_[at], low, slot)) {
    const NodeIndex right = EraseFromSubtree(nodes_[at].right, low, slot);
    nodes_[at].right = right;
  } else {
    const NodeIndex left = EraseFromSubtree(nodes_[at].left, low, slot);
    nodes_[at].left = left;
  }
  UpdateHighest(at);
  return at;
}

void IntervalTree::Insert(int64_t low, int64_t high, Slot slot) {
  NodeIndex added = 0;
  if (free_.empty()) {
    added = static_cast<NodeIndex>(nodes_.size());
    nodes_.emplace_back();
  } else {
    added = free_.back();
    free_.pop_back();
  }
  nodes_[added] = Node{low, high, high, slot, PriorityOf(low, slot), kNone, kNone};
  root_ = InsertInSubtree(root_, added);
  ++size_;
}

void IntervalTree::Erase(int64_t low, Slot slot) {
  root_ = EraseFromSubtree(root_, low, slot);
  --size_;
}

void IntervalTree::Find(int64_t price, std::vector<Slot>* found, int64_t* steps) const {
  FindInSubtree(root_, price, found, steps);
}

void IntervalTree::NarrowQuiet(int64_t price, QuietInterval* quiet, int64_t* steps) const {
  for (NodeIndex at = root_; at != kNone;) {
    ++*steps;
    const Node& node = nodes_[at];
    if (node.low > price) {
      quiet->KeepBelow(node.low);
      at = node.left;
      continue;
    }
    // All to its left begin before the price, too: what ends behind it contains it, and then nothing is quiet.
    quiet->KeepAbove(node.left == kNone ? node.high : std::max(node.high, nodes_[node.left].highest));
    at = node.right;
  }
}

void IntervalTree::FindInSubtree(NodeIndex at, int64_t price, std::vector<Slot>* found, int64_t* steps) const {
  if (at == kNone) return;
  ++*steps;
  const Node& node = nodes_[at];
  if (node.highest < price) return;
  FindInSubtree(node.left, price, found, steps);
  if (node.low > price) return;  // And so are all to its right.
  if (node.high >= price) found->push_back(node.slot);
  FindInSubtree(node.right, price, found, steps);
}

}  // namespace stockalert::fold
