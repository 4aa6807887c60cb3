#include "services/ticker/unused_sweeper.h"

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::ticker {
namespace {

constexpr absl::Duration kRoundMax = absl::Seconds(30);
constexpr absl::Duration kPauseMax = absl::Minutes(1);
// Between two rounds where there is more: the other services answer users meanwhile.
constexpr absl::Duration kBreath = absl::Seconds(1);

}  // namespace

UnusedSweeper::UnusedSweeper(TickerLogic& logic, absl::Duration interval)
    : logic_(logic),
      interval_(interval),
      heartbeat_("ticker_unused_sweeper", process::Liveness::kBound + kRoundMax + std::max(interval, kPauseMax)),
      thread_([this] { Run(); }) {}

UnusedSweeper::~UnusedSweeper() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void UnusedSweeper::Run() {
  static auto& failures =
      metrics::GetCounter("stockalert_ticker_sweep_failures_total", "Rounds of looking for unused tickers that failed");
  base::Backoff backoff({.initial = absl::Seconds(1), .maximum = kPauseMax});
  for (;;) {
    heartbeat_.Beat();
    const absl::StatusOr<int> looked_at = logic_.ForgetUnused(trace::NewRoot(), absl::Now() + kRoundMax);
    absl::Duration pause = interval_;
    if (looked_at.ok()) {
      backoff.Reset();
      if (*looked_at > 0) pause = kBreath;
    } else {
      failures.Increment();
      pause = backoff.Next();
      static log::Limiter limiter(absl::Minutes(1));
      if (limiter.Allow()) {
        log::Warning(
            "unused tickers cannot be looked for; trying again: are the user and alert services and the database "
            "there?",
            {{"status", looked_at.status()}});
      }
    }
    base::MutexLock lock(mutex_);
    changed_.WaitFor(lock, pause, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    if (stopping_) return;
  }
}

}  // namespace stockalert::ticker
