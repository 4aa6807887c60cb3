// Keeps the source told of the registered tickers, by asking the ticker service several times a second.
//
// One thread of its own, from Start to Stop. While the ticker service is away the last list stays.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "services/common/grpc/channel.h"
#include "services/common/process/liveness.h"

namespace stockalert::fetcher {

class SymbolWatch {
 public:
  // `ticker_service` must outlive it. `on_change` is called on the watch's thread.
  SymbolWatch(const rpc::Peer& ticker_service, absl::Duration interval,
              std::function<void(const std::set<std::string>&)> on_change);
  ~SymbolWatch();

  void Start();
  void Stop();

 private:
  void Run();

  const rpc::Peer& ticker_service_;
  const absl::Duration interval_;
  const std::function<void(const std::set<std::string>&)> on_change_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // Guarded by mutex_.
  process::Heartbeat heartbeat_{"fetcher_symbol_watch"};
  std::thread thread_;
};

}  // namespace stockalert::fetcher
