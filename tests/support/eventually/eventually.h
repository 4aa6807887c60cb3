// Waits for what other threads do, bounded.
#pragma once

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace stockalert::testing {

// Whether it holds before `patience` ends. Asked every other millisecond, and once more at the end.
inline bool Eventually(const std::function<bool()>& holds, absl::Duration patience = absl::Seconds(20)) {
  const absl::Time give_up = absl::Now() + patience;
  while (!holds()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

}  // namespace stockalert::testing
