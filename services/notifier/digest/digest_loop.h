// Makes digests as they become due, on a thread of its own, until it is stopped.
//
// RunOnce does what there is to do now; Start has a thread call it, when it is woken and by a poll. While the database
// does not answer it is tried again with each poll; what is held stays held.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/notifier/digest/digest_store.h"

namespace stockalert::notifier {

struct DigestLoopOptions {
  DigestBounds bounds = {};
  absl::Duration poll_interval = absl::Seconds(1);
};

class DigestLoop {
 public:
  // Called with the users for whom something was queued; must be quick.
  using OnQueued = std::function<void(const std::vector<std::string>& user_ids)>;

  // What is given by reference must outlive it.
  DigestLoop(const DigestLoopOptions& options, DigestStore& store, const base::Clock& clock, OnQueued on_queued);
  // Stop.
  ~DigestLoop();
  DigestLoop(const DigestLoop&) = delete;
  DigestLoop& operator=(const DigestLoop&) = delete;

  void Start();
  // Something may be due earlier than was known. Thread-safe, quick.
  void Wake();
  // Ends after the transaction that it is at, and joins the thread.
  void Stop();

  // Makes what is due, with bounds of its own. Not beside Start. True: more may be due now.
  bool RunOnce();

 private:
  void Run();
  bool Wait(absl::Duration patience);

  const DigestLoopOptions options_;
  DigestStore& store_;
  const base::Clock& clock_;
  const OnQueued on_queued_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_{"digests"};
  std::thread thread_;
};

}  // namespace stockalert::notifier
