// The clock for durations, as a dependency: times to live, windows of rates, leases, backoffs, how long something has
// been waiting. Setting the machine's date does not move it. Its readings mean something within one process alone:
// never store or send them.
//
// Thread-safe. The fake is in tests/support/fake_clock.
#pragma once

#include <cstdint>
#include <ctime>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace stockalert::base {

class MonotonicClock {
 public:
  virtual ~MonotonicClock() = default;
  // Microseconds since some moment before the process began. Never goes back.
  virtual int64_t NowUs() const = 0;
  // The same as a duration, so that it cannot be mistaken for a calendar time.
  absl::Duration Now() const { return absl::Microseconds(NowUs()); }
};

class SystemMonotonicClock final : public MonotonicClock {
 public:
  // Keeps counting while the machine is suspended, so that nothing lives longer for it. Waits of
  // std::condition_variable do not.
  int64_t NowUs() const override {
    timespec now = {};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
  }
};

// For waits and pauses that no test has to own. "Long ago" is -absl::InfiniteDuration().
inline absl::Duration MonotonicNow() { return SystemMonotonicClock().Now(); }

// A calendar deadline by this clock. Convert it once, where a wait begins, so that setting the machine's date meanwhile
// neither ends nor prolongs the wait.
inline absl::Duration ToMonotonic(absl::Time deadline) { return MonotonicNow() + (deadline - absl::Now()); }

}  // namespace stockalert::base
