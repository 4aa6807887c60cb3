// The id of an alert in little space: a UUID, as every alert service gives, is 16 bytes. Any other text is kept as it
// is, on the heap: streams from files name their alerts as they like.
//
// A value; equal ids are those of equal texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace stockalert::fold {

class AlertId {
 public:
  explicit AlertId(std::string_view text);
  ~AlertId() { Clear(); }
  AlertId(AlertId&& other) noexcept : high_(other.high_), low_(std::exchange(other.low_, 0)) {}
  AlertId& operator=(AlertId&& other) noexcept {
    std::swap(high_, other.high_);
    std::swap(low_, other.low_);
    return *this;
  }
  AlertId(const AlertId& other) : high_(other.high_), low_(other.has_text() ? other.CopyOfText() : other.low_) {}
  AlertId& operator=(const AlertId& other) { return *this = AlertId(other); }

  std::string Text() const;

  friend bool operator==(const AlertId& a, const AlertId& b) {
    return a.high_ == b.high_ && (a.low_ == b.low_ || (a.has_text() && b.has_text() && a.text() == b.text()));
  }
  template <typename H>
  friend H AbslHashValue(H h, const AlertId& id) {
    return id.has_text() ? H::combine(std::move(h), id.text()) : H::combine(std::move(h), id.high_, id.low_);
  }

 private:
  // The UUID's halves. A UUID whose first half is zero is kept as a text: then `low_` is the address of a string, or
  // zero for the empty text.
  bool has_text() const { return high_ == 0; }
  std::string_view text() const;
  uint64_t CopyOfText() const;
  void DeleteText();
  void Clear() {
    if (has_text() && low_ != 0) DeleteText();
  }

  uint64_t high_ = 0;
  uint64_t low_ = 0;
};

}  // namespace stockalert::fold
