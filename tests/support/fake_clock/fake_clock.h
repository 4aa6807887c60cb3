// A clock that stands still until it is moved. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "services/common/base/clock.h"

namespace stockalert::testing {

class FakeClock final : public base::Clock {
 public:
  // 2026-01-02T15:00:00Z, in a regular session.
  explicit FakeClock(int64_t now_us = 1'767'366'000'000'000) : now_us_(now_us) {}
  int64_t NowUs() const override { return now_us_; }
  void Set(int64_t now_us) { now_us_ = now_us; }
  void Advance(absl::Duration by) { now_us_ += absl::ToInt64Microseconds(by); }

 private:
  std::atomic<int64_t> now_us_;
};

}  // namespace stockalert::testing
