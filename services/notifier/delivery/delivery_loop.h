// Runs a DeliveryWorker on a thread of its own until it is stopped, and keeps the queue's metrics.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/notifier/delivery/delivery_worker.h"

namespace stockalert::notifier {

class DeliveryLoop {
 public:
  // Starts at once. What it is given must outlive it; the sender's late results may come after it is destroyed.
  DeliveryLoop(const DeliveryWorkerOptions& options, DeliveryStore& store, RequestSender& sender,
               DeliveryTranslator& translator, const base::Clock& clock);
  // Stops without waiting.
  ~DeliveryLoop();
  DeliveryLoop(const DeliveryLoop&) = delete;
  DeliveryLoop& operator=(const DeliveryLoop&) = delete;

  // Thread-safe, quick.
  void Wake(const std::vector<std::string>& user_ids) { worker_.Wake(user_ids); }
  // Starts nothing more, waits until `deadline` for attempts in flight, writes the results, releases the leases, and
  // joins the thread.
  void Stop(absl::Time deadline);

 private:
  // Rung by the sender's results, also after the loop is destroyed.
  struct Bell {
    base::Mutex mutex;
    base::ConditionVariable changed;
    bool rung ABSL_GUARDED_BY(mutex) = false;
    bool stopping ABSL_GUARDED_BY(mutex) = false;
    absl::Duration stop_by ABSL_GUARDED_BY(mutex);  // By the monotonic clock.
  };

  void Run();
  void Finish(absl::Duration stop_by);
  void ShowState();
  // Waits until it rings, at most `patience`. True: stop.
  bool Wait(absl::Duration patience);

  DeliveryStore& store_;
  const base::Clock& clock_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  DeliveryWorker worker_;  // Used only by the thread, except for Wake.
  absl::Duration state_due_ = absl::ZeroDuration();
  process::Heartbeat heartbeat_;
  std::thread thread_;
};

}  // namespace stockalert::notifier
