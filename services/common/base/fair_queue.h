// A round-robin queue: each Pop takes the oldest item of the owner whose turn it is, who then goes to the end of the
// round. So for each item that its owner has before it, an item waits for at most one item of every other owner,
// however many they have. The items of one owner stay in order.
//
// Bounded by whoever pushes (size, size_of). Not thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <unordered_map>
#include <utility>

namespace stockalert::base {

template <typename Owner, typename Item>
class FairQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  size_t size_of(const Owner& owner) const {
    const auto found = lanes_.find(owner);
    return found == lanes_.end() ? 0 : found->second.size();
  }
  size_t owners() const { return lanes_.size(); }

  void Push(const Owner& owner, Item item) {
    std::deque<Item>& lane = lanes_[owner];
    if (lane.empty()) round_.push_back(owner);
    lane.push_back(std::move(item));
    ++size_;
  }

  // Not for an empty queue.
  std::pair<Owner, Item> Pop() {
    std::pair<Owner, Item> popped{std::move(round_.front()), Item()};
    round_.pop_front();
    const auto lane = lanes_.find(popped.first);
    popped.second = std::move(lane->second.front());
    lane->second.pop_front();
    --size_;
    if (lane->second.empty()) {
      lanes_.erase(lane);
    } else {
      round_.push_back(popped.first);
    }
    return popped;
  }

  // Removes the items for which `gone(item)`; the others keep their order and turns.
  template <typename Predicate>
  void RemoveIf(Predicate gone) {
    for (auto owner = round_.begin(); owner != round_.end();) {
      const auto lane = lanes_.find(*owner);
      size_ -= std::erase_if(lane->second, gone);
      if (lane->second.empty()) {
        lanes_.erase(lane);
        owner = round_.erase(owner);
      } else {
        ++owner;
      }
    }
  }

 private:
  std::unordered_map<Owner, std::deque<Item>> lanes_;  // None is empty.
  std::list<Owner> round_;                             // The owners of lanes_, in their turns.
  size_t size_ = 0;
};

}  // namespace stockalert::base
