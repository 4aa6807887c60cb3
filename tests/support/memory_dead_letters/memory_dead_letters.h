// Dead letters in memory. Thread-safe.
#pragma once

#include <mutex>
#include <vector>

#include "services/common/dead_letter/dead_letter.h"

namespace stockalert::testing {

class MemoryDeadLetters final : public dead_letter::DeadLetterStore {
 public:
  absl::Status Add(const std::vector<dead_letter::DeadLetter>& letters, int64_t) override {
    std::lock_guard lock(mutex_);
    letters_.insert(letters_.end(), letters.begin(), letters.end());
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Has(const dead_letter::DeadLetter& letter) override {
    std::lock_guard lock(mutex_);
    for (const dead_letter::DeadLetter& one : letters_) {
      if (one.place == letter.place && one.offset == letter.offset) return true;
    }
    return false;
  }
  absl::StatusOr<int64_t> CountOpen() override { return static_cast<int64_t>(letters().size()); }

  std::vector<dead_letter::DeadLetter> letters() const {
    std::lock_guard lock(mutex_);
    return letters_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<dead_letter::DeadLetter> letters_;  // Guarded by mutex_.
};

}  // namespace stockalert::testing
