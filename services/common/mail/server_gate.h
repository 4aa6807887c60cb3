// Whether the mail server may be tried now. After a fault of the server nothing is tried for a while, longer after each
// further fault, so that what waits does not knock at a dead server; any sign of life opens the gate.
//
// Thread-safe. A closed gate is one gauge and one line in the log, not one for each mail.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "services/common/base/backoff.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"

namespace stockalert::mail {

class ServerGate {
 public:
  // `clock` must outlive it.
  ServerGate(const base::BackoffOptions& pauses, const base::MonotonicClock& clock);

  // How long nothing may be tried; zero: try now.
  absl::Duration Wait() const;
  // Goes with each try, and comes back with what became of it.
  int64_t round() const;
  // The try of that round has met a fault of the server. Tries that began together count as one.
  void NoteFault(int64_t round, const std::string& why);
  void NoteAlive();

 private:
  const base::MonotonicClock& clock_;
  mutable base::Mutex mutex_;
  base::Backoff pauses_ ABSL_GUARDED_BY(mutex_);
  int64_t round_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t closed_until_us_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t closed_since_us_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: it is open.
  int64_t log_again_us_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace stockalert::mail
