// Publishes deletions of users and codes to be mailed to the topic user-events, from the store's outbox, and removes
// them there once the broker has them.
//
// One thread of its own. At least once: a crash between the two, or a second instance of the service, publishes twice,
// which the consumers expect. Retries through outages of the broker and the database with bounded pauses; counts and
// logs them.
#pragma once

#include <thread>

#include "absl/time/time.h"
#include "services/common/base/backoff.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/producer.h"
#include "services/common/process/liveness.h"
#include "services/user/user_store.h"

namespace stockalert::user {

class UserEventRelay {
 public:
  // What is handed in must outlive it.
  UserEventRelay(UserStore& store, kafka::Producer& producer, const base::Clock& clock, absl::Duration poll_interval);
  // Stops.
  ~UserEventRelay();

  // There is something to publish: do not wait for the next poll. Thread-safe.
  void Wake();
  // Ends after the round that is under way. Only the first call counts.
  void Stop();

  // One round; returns how many were published. Public for tests, which run it without the thread.
  absl::StatusOr<int> RelayOnce(absl::Time deadline);
  // The same for codes; what has expired is dropped.
  absl::StatusOr<int> RelayCodesOnce(absl::Time deadline);

  void Start();

 private:
  void Run();

  UserStore& store_;
  kafka::Producer& producer_;
  const base::Clock& clock_;
  const absl::Duration poll_interval_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_;
  std::thread thread_;
};

}  // namespace stockalert::user
