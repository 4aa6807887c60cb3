// Delivers what is queued: leases lanes, attempts their due deliveries, writes the results, and releases the lanes.
//
// RunOnce does what there is to do now and says when it wants to be called again; DeliveryLoop (delivery_loop.h) calls
// it on a thread of its own. Everything is bounded: lanes, the deliveries held of each, attempts in flight
// (delivery_window.h), results that are not written yet. While the database is down, results are kept, nothing more is
// attempted, and the store is tried again at growing intervals. An attempt whose result was never written is repeated
// by the worker that leases the lane next: perhaps twice, but never not at all. Leases are short, so that the lanes of
// a process that was killed do not wait for long, and are renewed while attempts are in flight, however long these
// take.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/common/base/backoff.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/notifier/delivery/delivery_store.h"
#include "services/notifier/delivery/delivery_translator.h"
#include "services/notifier/delivery/delivery_window.h"
#include "services/notifier/delivery/request_sender.h"

namespace stockalert::notifier {

struct DeliveryWorkerOptions {
  std::string owner;  // Names the leases' owner.
  // It has this name after a restart, too, and no other instance has it: the leases of the process before are ended at
  // the start. Otherwise they end by themselves.
  bool owner_is_lasting = false;
  DeliveryBounds bounds;
  int lanes_max = 500;
  int failing_lanes_max = 250;
  int deliveries_per_lane_max = 32;
  // The most unwritten results; while there are that many, nothing more is attempted.
  int unsettled_max = 2'000;
  // How often to look for retries and for deliveries that other instances queued.
  absl::Duration poll_interval = absl::Milliseconds(500);
  // Renewed after a third of it.
  absl::Duration lease_time = absl::Seconds(15);
  absl::Duration disable_after_failing = absl::Hours(24 * 5);
  base::BackoffOptions store_backoff = {};
};

class DeliveryWorker {
 public:
  // What is given must outlive it; the sender may still answer afterwards. `random_fraction`: from [0, 1).
  // `on_wake`: RunOnce has something to do; called on any thread, must be quick.
  DeliveryWorker(const DeliveryWorkerOptions& options, DeliveryStore& store, RequestSender& sender,
                 DeliveryTranslator& translator, const base::Clock& clock, std::function<double()> random_fraction,
                 std::function<void()> on_wake);

  // There are new deliveries for these users. Thread-safe, quick.
  void Wake(const std::vector<std::string>& user_ids);
  // Does what there is to do, and returns the time after which to call it again unless it is woken before.
  absl::Duration RunOnce();
  // Starts no more attempts; writes results. True: nothing is in flight or unwritten, and all leases are released.
  bool RunOnceToStop();
  // Releases the leases, whatever is in flight.
  void Abandon();
  int in_flight() const { return window_.in_flight(); }

 private:
  struct Finished {
    DeliveryWindow::Start start;
    AttemptResult result;
    int64_t start_us = 0;
    int64_t end_us = 0;
  };
  // Messages of other threads; the sender's results may come after the worker is destroyed.
  struct Inbox {
    base::Mutex mutex;
    std::vector<Finished> finished ABSL_GUARDED_BY(mutex);
    std::unordered_set<std::string> woken ABSL_GUARDED_BY(mutex);
    bool looks ABSL_GUARDED_BY(mutex) = false;
  };
  struct Unsettled {
    DeliveryWindow::Start start;
    SettledAttempt attempt;
  };

  void CollectFinished();
  void HandleFinished(Finished finished);
  void EndEarlierLeases();
  void HandlePostponed(Finished finished);
  Verdict VerdictOn(const Finished& finished);
  void LeaseAndRead();
  // New leases of lanes whose last attempt did not fail.
  int LanesToLease() const;
  void StartAttempts();
  void StartOne(DeliveryWindow::Start start);
  void FailAttempt(const DeliveryWindow::Start& start, SettledAttempt attempt);
  bool HasToRenew(int64_t now_us) const;
  // When to run again without being woken.
  int64_t NextTurn(int64_t now_us) const;
  // `releases`: leases to end; empty: those of idle lanes.
  bool Settle(std::vector<LaneLease> releases);
  void ApplySettled(const SettleRequest& request, const SettleResult& result, size_t count);
  void CancelForInactive(const std::vector<std::string>& destination_ids);
  void PauseStore(const char* what, const absl::Status& status);

  const DeliveryWorkerOptions options_;
  const LeaseOwner owner_;
  const int64_t renew_before_end_us_;
  DeliveryStore& store_;
  RequestSender& sender_;
  DeliveryTranslator& translator_;
  const base::Clock& clock_;
  const std::function<double()> random_fraction_;
  const std::function<void()> on_wake_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  DeliveryWindow window_;
  std::vector<Unsettled> unsettled_;
  base::Backoff backoff_;
  int64_t store_pause_until_us_ = 0;
  int64_t next_poll_us_ = 0;
  bool look_ = true;     // There may be lanes to lease.
  bool more_ = false;    // The last read found as many lanes as it asked for.
  double due_per_lane_;  // Of the lanes leased last, on average; at least 1.
  bool ends_earlier_leases_;
};

}  // namespace stockalert::notifier
