#include "services/alert/outbox_sweeper.h"

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {
namespace {

constexpr int kResyncBatch = 2000;
constexpr int kPurgeBatch = 500;

void LogStoreFailure(const char* what, const absl::Status& status) {
  static auto& failures =
      metrics::GetCounter("stockalert_alert_sweeper_failures_total", "Turns of the outbox sweeper that failed");
  failures.Increment();
  static log::Limiter limiter(absl::Seconds(5));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning("the outbox sweeper could not do its turn; it tries again",
                 {{"what", what}, {"error", status}, {"suppressed", *suppressed}});
  }
}

}  // namespace

OutboxSweeper::OutboxSweeper(OutboxStore& store, ChangeLog& log, const base::Clock& clock, const Options& options)
    : store_(store), log_(log), clock_(clock), options_(options) {}

OutboxSweeper::~OutboxSweeper() { Stop(); }

void OutboxSweeper::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Loop(); });
}

void OutboxSweeper::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

absl::Status OutboxSweeper::RequestResync(const std::string& symbol) {
  {
    base::MutexLock lock(mutex_);
    if (resyncs_.size() >= options_.resyncs_max) {
      return base::ResourceExhausted("RESYNC_BUSY", "several resyncs are under way: wait until they are done",
                                     absl::Seconds(10));
    }
    resyncs_.push_back({symbol, "", 0, false});
  }
  wake_.NotifyAll();
  return absl::OkStatus();
}

void OutboxSweeper::Loop() {
  for (;;) {
    heartbeat_.Beat();
    const bool more = RunOnce();
    base::MutexLock lock(mutex_);
    if (stopping_) return;
    if (!more) {
      wake_.WaitFor(lock, options_.interval, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    }
  }
}

bool OutboxSweeper::RunOnce() {
  const bool reopened = ResyncBatch();
  const bool swept = SweepBatch();
  MeasureAndPurge();
  return reopened || swept;
}

bool OutboxSweeper::SweepBatch() {
  const int limit = log_answers_ ? options_.batch_max : 1;
  absl::StatusOr<std::vector<StoredAlert>> due = store_.ClaimOpenChanges(clock_.NowUs(), limit);
  if (!due.ok()) {
    LogStoreFailure("claim open changes", due.status());
    return false;
  }
  if (due->empty()) return false;
  static auto& swept =
      metrics::GetCounter("stockalert_alert_changes_swept_total", "Open changes that the sweeper published again");
  swept.Increment(static_cast<double>(due->size()));
  const std::vector<std::string> failed = log_.Publish(*due, "", absl::Now() + options_.publish_timeout);
  log_answers_ = failed.empty();
  if (!failed.empty()) {
    const int64_t when_us = clock_.NowUs() + absl::ToInt64Microseconds(options_.retry_after);
    if (const absl::Status status = store_.PostponeOpenChanges(failed, when_us); !status.ok())
      LogStoreFailure("postpone open changes", status);
    return false;
  }
  return static_cast<int>(due->size()) == limit || limit == 1;
}

bool OutboxSweeper::ResyncBatch() {
  Resync resync;
  {
    base::MutexLock lock(mutex_);
    if (resyncs_.empty()) return false;
    resync = resyncs_.front();
  }
  if (!resync.begun) {
    if (const absl::Status status = store_.ForgetSymbolPlaces(resync.symbol); !status.ok()) {
      LogStoreFailure("forget the places of symbols", status);
      return false;
    }
    resync.begun = true;
  }
  absl::StatusOr<ReopenedChanges> reopened =
      store_.ReopenChanges(resync.symbol, resync.after_alert_id, kResyncBatch, clock_.NowUs());
  if (!reopened.ok()) {
    LogStoreFailure("open changes anew", reopened.status());
    return false;
  }
  resync.count += reopened->count;
  resync.after_alert_id = reopened->last_alert_id;
  const bool done = resync.after_alert_id.empty();
  if (done)
    log::Info("resync: every alert is being published again", {{"symbol", resync.symbol}, {"alerts", resync.count}});
  base::MutexLock lock(mutex_);
  if (done) {
    resyncs_.pop_front();
  } else {
    resyncs_.front() = resync;
  }
  return true;
}

void OutboxSweeper::MeasureAndPurge() {
  const int64_t now_us = clock_.NowUs();
  const absl::Duration now = base::MonotonicNow();
  if (now >= next_measure_) {
    next_measure_ = now + options_.measure_interval;
    static auto& changes =
        metrics::GetGauge("stockalert_alert_open_changes", "Changes of alerts that the evaluator has not confirmed");
    static auto& age =
        metrics::GetGauge("stockalert_alert_oldest_open_change_seconds", "Age of the oldest unconfirmed change");
    static auto& triggers = metrics::GetGauge("stockalert_alert_open_triggers", "Triggers that wait to be passed on");
    const absl::StatusOr<Backlog> backlog = store_.MeasureBacklog();
    if (!backlog.ok()) {
      LogStoreFailure("measure the backlog", backlog.status());
    } else {
      changes.Set(static_cast<double>(backlog->open_changes));
      age.Set(backlog->oldest_open_change_us == 0 ? 0
                                                  : static_cast<double>(now_us - backlog->oldest_open_change_us) / 1e6);
      triggers.Set(static_cast<double>(backlog->open_triggers));
    }
  }
  if (now >= next_purge_) {
    const absl::StatusOr<int64_t> purged =
        store_.Purge(now_us - absl::ToInt64Microseconds(options_.tombstones_kept), kPurgeBatch);
    if (!purged.ok()) {
      LogStoreFailure("purge tombstones", purged.status());
      next_purge_ = now + options_.measure_interval;
      return;
    }
    // A full batch: the rest follows at the next turn.
    next_purge_ = *purged == kPurgeBatch ? now : now + options_.purge_interval;
    if (*purged > 0) log::Info("forgot old tombstones", {{"alerts", *purged}});
    if (const absl::Status forgotten = store_.ForgetMinutes(now_us); !forgotten.ok())
      LogStoreFailure("forget counts of minutes", forgotten);
  }
}

}  // namespace stockalert::alert
