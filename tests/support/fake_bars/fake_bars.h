// A BarSource that answers what it is told, as the ticker service would, and can be away. Thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "services/notifier/bars/bar_source.h"

namespace stockalert::testing {

class FakeBars final : public notifier::BarSource {
 public:
  absl::StatusOr<std::vector<notifier::PriceBar>> LastBars(const std::string& symbol, int64_t start_us, int64_t end_us,
                                                           int count_max) override {
    std::lock_guard lock(mutex_);
    ++calls_;
    if (!failure_.ok()) return failure_;
    std::vector<notifier::PriceBar> found = bars_[symbol];
    std::erase_if(found,
                  [&](const notifier::PriceBar& bar) { return bar.start_us < start_us || bar.start_us >= end_us; });
    const size_t kept = std::min(found.size(), static_cast<size_t>(std::max(count_max, 0)));
    found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(kept));
    return found;
  }
  // Oldest first.
  void SetBars(const std::string& symbol, std::vector<notifier::PriceBar> bars) {
    std::lock_guard lock(mutex_);
    bars_[symbol] = std::move(bars);
  }
  // What every later call answers; OK ends that.
  void Fail(absl::Status status) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(status);
  }
  int calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  absl::Status failure_;  // Guarded by mutex_, as what follows.
  std::map<std::string, std::vector<notifier::PriceBar>> bars_;
  int calls_ = 0;
};

}  // namespace stockalert::testing
