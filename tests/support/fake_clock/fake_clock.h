// Clocks that stand still until they are moved. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "services/common/base/clock.h"
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

// The calendar's, and beside it the monotonic one of the same machine.
class FakeClock final : public base::Clock {
 public:
  // 2026-01-02T15:00:00Z, in a regular session.
  explicit FakeClock(int64_t now_us = 1'767'366'000'000'000) : now_us_(now_us) {}
  int64_t NowUs() const override { return now_us_; }
  const base::MonotonicClock& monotonic() const { return monotonic_; }
  // Somebody sets the date: no time passes.
  void Set(int64_t now_us) { now_us_ = now_us; }
  // Time passes.
  void Advance(absl::Duration by) {
    now_us_ += absl::ToInt64Microseconds(by);
    monotonic_.Advance(by);
  }

 private:
  std::atomic<int64_t> now_us_;
  FakeMonotonicClock monotonic_;
};

}  // namespace stockalert::testing
