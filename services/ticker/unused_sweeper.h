// Forgets tickers that nobody uses, a few at a time, so that they do not cost calls to the source for ever.
//
// One thread of its own. Several instances of the service may sweep side by side. Runs on through outages, with bounded
// pauses; counts and logs them.
#pragma once

#include <thread>

#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/ticker/ticker_logic.h"

namespace stockalert::ticker {

class UnusedSweeper {
 public:
  // `logic` must outlive it. Runs every `interval`; again at once while there is more.
  UnusedSweeper(TickerLogic& logic, absl::Duration interval);
  // Stops, after the round that is under way.
  ~UnusedSweeper();

 private:
  void Run();

  TickerLogic& logic_;
  const absl::Duration interval_;
  process::Heartbeat heartbeat_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace stockalert::ticker
