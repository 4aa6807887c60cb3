// The wall clock as a dependency, so that tests and simulations own time.
//
// Thread-safe. The fake is in tests/support/fake_clock.
#pragma once

#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace stockalert::base {

class Clock {
 public:
  virtual ~Clock() = default;
  // Microseconds since 1970-01-01 UTC.
  virtual int64_t NowUs() const = 0;
  absl::Time Now() const { return absl::FromUnixMicros(NowUs()); }
};

class SystemClock final : public Clock {
 public:
  int64_t NowUs() const override { return absl::ToUnixMicros(absl::Now()); }
};

}  // namespace stockalert::base
