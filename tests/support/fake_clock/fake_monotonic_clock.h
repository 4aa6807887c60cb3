// A monotonic clock that stands still until it is moved. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"

namespace stockalert::testing {

class FakeMonotonicClock final : public base::MonotonicClock {
 public:
  explicit FakeMonotonicClock(int64_t now_us = 1'000'000'000) : now_us_(now_us) {}
  int64_t NowUs() const override { return now_us_; }
  void Advance(absl::Duration by) { now_us_ += absl::ToInt64Microseconds(by); }

 private:
  std::atomic<int64_t> now_us_;
};

}  // namespace stockalert::testing
