#include "services/ticker/split_sweeper.h"

#include "absl/time/clock.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::ticker {
namespace {

constexpr absl::Duration kRoundMax = absl::Seconds(30);

}  // namespace

SplitSweeper::SplitSweeper(SplitLogic& logic, absl::Duration interval)
    : logic_(logic),
      interval_(interval),
      heartbeat_("ticker_split_sweeper", process::Liveness::kBound + kRoundMax + interval),
      thread_([this] { Run(); }) {}

SplitSweeper::~SplitSweeper() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void SplitSweeper::Run() {
  static auto& failures = metrics::GetCounter("stockalert_ticker_split_sweep_failures_total",
                                              "Rounds of publishing pending splits that failed");
  for (;;) {
    heartbeat_.Beat();
    const absl::StatusOr<int> published = logic_.PublishPending(trace::NewRoot(), absl::Now() + kRoundMax);
    if (!published.ok()) {
      failures.Increment();
      static log::Limiter limiter(absl::Seconds(30));
      if (limiter.Allow()) {
        log::Warning("splits that were declared cannot be published now; trying again until they are in the log",
                     {{"status", published.status()}});
      }
    }
    base::MutexLock lock(mutex_);
    changed_.WaitFor(lock, interval_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    if (stopping_) return;
  }
}

}  // namespace stockalert::ticker
