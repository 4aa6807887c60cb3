// A set of slots that is filled and emptied again and again: a bit a slot. Adding one costs the same however many there
// are, clearing no more than adding did, and it never grows beyond the highest slot.
//
// Not thread-safe; cannot fail.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace stockalert::fold {

class SlotSet {
 public:
  void Add(uint32_t slot) {
    const size_t word = slot / kBits;
    if (word >= words_.size()) words_.resize(std::max(word + 1, words_.size() * 3 / 2));
    if (words_[word] == 0) used_.push_back(static_cast<uint32_t>(word));
    words_[word] |= uint64_t{1} << slot % kBits;
  }

  bool Contains(uint32_t slot) const {
    return slot / kBits < words_.size() && (words_[slot / kBits] >> slot % kBits & 1) != 0;
  }

  void Clear() {
    for (uint32_t word : used_) words_[word] = 0;
    used_.clear();
  }

  // Each once, in rising order.
  std::vector<uint32_t> Sorted() const {
    std::vector<uint32_t> words = used_;
    std::sort(words.begin(), words.end());
    std::vector<uint32_t> slots;
    for (uint32_t word : words) {
      for (uint64_t left = words_[word]; left != 0; left &= left - 1) {
        slots.push_back(static_cast<uint32_t>(word * kBits + static_cast<size_t>(std::countr_zero(left))));
      }
    }
    return slots;
  }

 private:
  static constexpr size_t kBits = 64;

  std::vector<uint64_t> words_;
  std::vector<uint32_t> used_;  // Those of words_ that are not zero.
};

}  // namespace stockalert::fold
