#include "services/fetcher/publisher_lease.h"

#include <utility>

#include "services/common/base/monotonic_clock.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::fetcher {

LeaseTurns::Change LeaseTurns::TakeOver(int64_t highest_epoch) {
  const absl::StatusOr<int64_t> acquired = keeper_.Acquire(highest_epoch);
  // Somebody else was quicker, or nobody answers: the next turn tells.
  seen_since_us_ = 0;
  if (!acquired.ok()) return {};
  epoch_ = *acquired;
  holds_ = true;
  return {Change::Kind::kGained, epoch_};
}

LeaseTurns::Change LeaseTurns::RunOnce() {
  static auto& failures = metrics::GetCounter("stockalert_fetcher_lease_failures_total",
                                              "Times that the ticker service did not say who publishes");
  const absl::StatusOr<LeaseKeeper::Lease> lease = keeper_.Renew(epoch_, false);
  if (!lease.ok()) {
    // Of a ticker service that does not know of leases nothing can be heard: all is as it was before there were any.
    if (!absl::IsUnimplemented(lease.status())) failures.Increment();
    // Nothing was seen, so nothing was seen to stand still.
    seen_since_us_ = 0;
    return {};
  }
  if (holds_) {
    if (lease->highest_epoch == epoch_ && lease->log_epoch <= epoch_) return {};
    // The log is ahead of all epochs that were given, or ours is: the database came from a backup.
    if (lease->highest_epoch <= epoch_) return TakeOver(lease->highest_epoch);
    holds_ = false;
    seen_since_us_ = 0;
    return {Change::Kind::kLost, epoch_};
  }
  const int64_t now_us = clock_.NowUs();
  if (seen_since_us_ == 0 || lease->highest_epoch != seen_epoch_ || lease->renewals != seen_renewals_) {
    seen_epoch_ = lease->highest_epoch;
    seen_renewals_ = lease->renewals;
    seen_since_us_ = now_us;
  }
  if (lease->released || now_us - seen_since_us_ >= absl::ToInt64Microseconds(takeover_after_))
    return TakeOver(lease->highest_epoch);
  return {};
}

void LeaseTurns::Release() {
  if (holds_) (void)keeper_.Renew(epoch_, true);
}

PublisherLease::PublisherLease(std::unique_ptr<LeaseKeeper> keeper, const PublisherLeaseOptions& options,
                               std::function<void()> on_lost, std::function<void(int64_t)> on_gained)
    : keeper_(std::move(keeper)), options_(options), on_lost_(std::move(on_lost)), on_gained_(std::move(on_gained)) {}

PublisherLease::~PublisherLease() { Stop(); }

void PublisherLease::Start(int64_t epoch) {
  thread_ = std::thread([this, epoch] { Run(epoch); });
}

void PublisherLease::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void PublisherLease::Run(int64_t epoch) {
  static auto& publishing = metrics::GetGauge("stockalert_fetcher_publishing",
                                              "1 while this fetcher publishes, 0 while it stands by for another");
  static auto& epoch_gauge =
      metrics::GetGauge("stockalert_fetcher_epoch", "The epoch under which this fetcher publishes, or last did");
  const base::SystemMonotonicClock clock;
  LeaseTurns turns(*keeper_, clock, options_.takeover_after, epoch);
  publishing.Set(1);
  epoch_gauge.Set(static_cast<double>(epoch));
  for (;;) {
    heartbeat_.Beat();
    {
      base::MutexLock lock(mutex_);
      if (changed_.WaitFor(lock, options_.interval, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; }))
        break;
    }
    const LeaseTurns::Change change = turns.RunOnce();
    if (change.kind == LeaseTurns::Change::Kind::kLost) {
      holds_ = false;
      publishing.Set(0);
      log::Warning("another fetcher has a newer epoch: this one publishes nothing and stands by",
                   {{"epoch", change.epoch}});
      on_lost_();
    } else if (change.kind == LeaseTurns::Change::Kind::kGained) {
      log::Warning("publishing under a new epoch", {{"epoch", change.epoch}});
      on_gained_(change.epoch);
      holds_ = true;
      publishing.Set(1);
      epoch_gauge.Set(static_cast<double>(change.epoch));
    }
  }
  turns.Release();
  heartbeat_.End();
}

}  // namespace stockalert::fetcher
