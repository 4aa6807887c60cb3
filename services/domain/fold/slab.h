// Records of one kind by number, in chunks of memory that stay where they are: growing copies no record, and a record
// costs no more than its own bytes. A number is free again after Remove, and a chunk without records gives its memory
// back.
//
// Not thread-safe; cannot fail.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace stockalert::fold {

template <typename T, size_t kPerChunk>
class Slab {
 public:
  using Number = uint32_t;

  Slab() = default;
  Slab(Slab&&) = default;
  Slab& operator=(Slab&&) = default;
  // Copies records with their numbers.
  Slab(const Slab& other) : with_room_(other.with_room_), size_(other.size_) {
    chunks_.reserve(other.chunks_.size());
    for (const Chunk& chunk : other.chunks_) {
      chunks_.push_back({chunk.records == nullptr ? nullptr : std::make_unique<Records>(*chunk.records), chunk.used});
    }
  }

  // The number of a new record, as T() makes it.
  Number Add() {
    if (with_room_.empty()) {
      with_room_.push_back(static_cast<Number>(chunks_.size()));
      chunks_.emplace_back();
    }
    const Number at = with_room_.back();
    Chunk& chunk = chunks_[at];
    if (chunk.records == nullptr) chunk.records = std::make_unique<Records>();
    const auto place = static_cast<Number>(std::countr_one(chunk.used));
    chunk.used |= uint32_t{1} << place;
    if (chunk.used == kFull) with_room_.pop_back();
    ++size_;
    return at * kPerChunk + place;
  }

  // Precondition: Add gave the number, and it was not removed since.
  void Remove(Number number) {
    Chunk& chunk = chunks_[number / kPerChunk];
    --size_;
    if (chunk.used == kFull) with_room_.push_back(number / kPerChunk);
    chunk.used &= ~(uint32_t{1} << number % kPerChunk);
    if (chunk.used == 0) {
      chunk.records.reset();
    } else {
      (*chunk.records)[number % kPerChunk] = T();
    }
  }

  T& operator[](Number number) { return (*chunks_[number / kPerChunk].records)[number % kPerChunk]; }
  const T& operator[](Number number) const { return (*chunks_[number / kPerChunk].records)[number % kPerChunk]; }

  bool Contains(Number number) const {
    return number / kPerChunk < chunks_.size() && (chunks_[number / kPerChunk].used >> number % kPerChunk & 1) != 0;
  }

  size_t size() const { return size_; }
  // Above every number that there is.
  Number end() const { return static_cast<Number>(chunks_.size() * kPerChunk); }

  // All that there are, in rising order: visitor(number). The visitor adds and removes none.
  template <typename Visitor>
  void ForEach(const Visitor& visitor) const {
    for (size_t at = 0; at < chunks_.size(); ++at) {
      for (uint32_t left = chunks_[at].used; left != 0; left &= left - 1) {
        visitor(static_cast<Number>(at * kPerChunk + static_cast<size_t>(std::countr_zero(left))));
      }
    }
  }

 private:
  static_assert(kPerChunk <= 32);
  static constexpr uint32_t kFull = static_cast<uint32_t>((uint64_t{1} << kPerChunk) - 1);

  using Records = std::array<T, kPerChunk>;
  struct Chunk {
    std::unique_ptr<Records> records;  // None while there is no record in it.
    uint32_t used = 0;                 // A bit a record.
  };

  std::vector<Chunk> chunks_;
  std::vector<Number> with_room_;  // The chunks that are not full, each once.
  size_t size_ = 0;
};

}  // namespace stockalert::fold
