// Forgets tickers that nobody uses, a few at a time, so that what somebody once registered does not cost calls of the
// source for ever.
//
// One thread of its own. Several instances of the service may sweep side by side. Runs on through outages, with bounded
// pauses; counts and logs them.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/time/time.h"
#include "services/common/process/liveness.h"
#include "services/ticker/ticker_logic.h"

namespace stockalert::ticker {

class UnusedSweeper {
 public:
  // `logic` must outlive it. Looks every `interval`; at once again where there is more.
  UnusedSweeper(TickerLogic& logic, absl::Duration interval);
  // Stops, after the round that is under way.
  ~UnusedSweeper();

 private:
  void Run();

  TickerLogic& logic_;
  const absl::Duration interval_;
  process::Heartbeat heartbeat_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace stockalert::ticker
