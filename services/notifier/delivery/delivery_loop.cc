#include "services/notifier/delivery/delivery_loop.h"

#include <pthread.h>

#include <algorithm>

#include "services/common/base/backoff.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::notifier {
namespace {

constexpr absl::Duration kStateInterval = absl::Seconds(5);
// While it stops: how often it checks whether the database is back.
constexpr absl::Duration kStopInterval = absl::Milliseconds(50);

}  // namespace

DeliveryLoop::DeliveryLoop(const DeliveryWorkerOptions& options, DeliveryStore& store, RequestSender& sender,
                           DeliveryTranslator& translator, const base::Clock& clock)
    : store_(store),
      clock_(clock),
      worker_(options, store, sender, translator, clock, base::RandomFraction,
              [bell = bell_] {
                {
                  base::MutexLock lock(bell->mutex);
                  bell->rung = true;
                }
                bell->changed.NotifyOne();
              }),
      heartbeat_("delivery") {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "delivery");
}

DeliveryLoop::~DeliveryLoop() { Stop(absl::InfinitePast()); }

void DeliveryLoop::Stop(absl::Time deadline) {
  if (!thread_.joinable()) return;
  {
    base::MutexLock lock(bell_->mutex);
    bell_->stopping = true;
    bell_->stop_by = base::ToMonotonic(deadline);
  }
  bell_->changed.NotifyOne();
  thread_.join();
}

bool DeliveryLoop::Wait(absl::Duration patience) {
  base::MutexLock lock(bell_->mutex);
  bell_->changed.WaitFor(
      lock, patience, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(bell_->mutex) { return bell_->rung || bell_->stopping; });
  bell_->rung = false;
  return bell_->stopping;
}

void DeliveryLoop::Run() {
  bool stopping = false;
  while (!stopping) {
    heartbeat_.Beat();
    const absl::Duration pause = worker_.RunOnce();
    ShowState();
    stopping = Wait(pause);
  }
  absl::Duration stop_by;
  {
    base::MutexLock lock(bell_->mutex);
    stop_by = bell_->stop_by;
  }
  Finish(stop_by);
  heartbeat_.End();
}

void DeliveryLoop::Finish(absl::Duration stop_by) {
  while (!worker_.RunOnceToStop()) {
    heartbeat_.Beat();
    const absl::Duration left = stop_by - base::MonotonicNow();
    if (left <= absl::ZeroDuration()) return worker_.Abandon();
    base::MutexLock lock(bell_->mutex);
    bell_->changed.WaitFor(lock, std::min(left, kStopInterval),
                           [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(bell_->mutex) { return bell_->rung; });
    bell_->rung = false;
  }
}

void DeliveryLoop::ShowState() {
  static auto& queued = metrics::GetGauge("stockalert_delivery_queued", "Queued deliveries, counted up to 100000");
  static auto& age = metrics::GetGauge("stockalert_delivery_queue_age_seconds",
                                       "How long the oldest due delivery has been waiting, among destinations whose "
                                       "last attempt did not fail");
  static auto& disabled =
      metrics::GetGauge("stockalert_delivery_destinations_disabled", "Disabled destinations, counted up to 100000");
  static auto& in_flight = metrics::GetGauge("stockalert_delivery_in_flight", "Attempts in progress");
  in_flight.Set(worker_.in_flight());
  const absl::Duration now = base::MonotonicNow();
  if (now < state_due_) return;
  state_due_ = now + kStateInterval;
  const int64_t now_us = clock_.NowUs();
  const auto state = store_.QueryState(now_us);
  if (!state.ok()) return;  // RunOnce has logged it.
  queued.Set(static_cast<double>(state->queued));
  disabled.Set(static_cast<double>(state->disabled_destinations));
  age.Set(state->oldest_due_us ? static_cast<double>(std::max<int64_t>(now_us - *state->oldest_due_us, 0)) / 1e6 : 0);
}

}  // namespace stockalert::notifier
