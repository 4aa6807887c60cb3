// Publishes splits that were declared and are not in the log yet, until they are.
//
// One thread of its own. Several instances of the service may sweep side by side. Runs on through outages, with bounded
// pauses; counts and logs them.
#pragma once

#include <thread>

#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/ticker/split_logic.h"

namespace stockalert::ticker {

class SplitSweeper {
 public:
  // `logic` must outlive it. Looks every `interval`.
  SplitSweeper(SplitLogic& logic, absl::Duration interval);
  // Stops, after the round that is under way.
  ~SplitSweeper();

 private:
  void Run();

  SplitLogic& logic_;
  const absl::Duration interval_;
  process::Heartbeat heartbeat_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace stockalert::ticker
