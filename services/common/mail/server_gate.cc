#include "services/common/mail/server_gate.h"

#include <algorithm>

#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::mail {
namespace {

constexpr absl::Duration kLogInterval = absl::Minutes(10);

prometheus::Gauge& Available() {
  static auto& available = metrics::GetGauge("stockalert_mail_server_available",
                                             "Whether the mail server could be used when it was last tried");
  return available;
}

prometheus::Counter& Faults() {
  static auto& faults =
      metrics::GetCounter("stockalert_mail_server_faults_total", "Times that the mail server was tried in vain");
  return faults;
}

}  // namespace

ServerGate::ServerGate(const base::BackoffOptions& pauses, const base::MonotonicClock& clock)
    : clock_(clock), pauses_(pauses) {
  Available().Set(1);
  Faults();
}

absl::Duration ServerGate::Wait() const {
  base::MutexLock lock(mutex_);
  return absl::Microseconds(std::max<int64_t>(closed_until_us_ - clock_.NowUs(), 0));
}

int64_t ServerGate::round() const {
  base::MutexLock lock(mutex_);
  return round_;
}

void ServerGate::NoteFault(int64_t round, const std::string& why) {
  const int64_t now_us = clock_.NowUs();
  absl::Duration pause;
  {
    base::MutexLock lock(mutex_);
    if (round != round_) return;
    ++round_;
    pause = pauses_.Next();
    closed_until_us_ = now_us + absl::ToInt64Microseconds(pause);
    if (closed_since_us_ == 0) closed_since_us_ = now_us;
    Available().Set(0);
    Faults().Increment();
    if (now_us < log_again_us_) return;
    log_again_us_ = now_us + absl::ToInt64Microseconds(kLogInterval);
  }
  log::Error(
      "the mail server cannot be used; all mail waits: see whether it runs and whether the --smtp_ flags are right",
      {{"reason", why}, {"again_in", pause}});
}

void ServerGate::NoteAlive() {
  int64_t away_us = 0;
  {
    base::MutexLock lock(mutex_);
    if (closed_since_us_ == 0) return;
    away_us = clock_.NowUs() - closed_since_us_;
    closed_since_us_ = closed_until_us_ = log_again_us_ = 0;
    pauses_.Reset();
    Available().Set(1);
  }
  log::Info("the mail server can be used again", {{"away_s", away_us / 1'000'000}});
}

}  // namespace stockalert::mail
