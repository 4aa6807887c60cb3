// Tells the source which tickers are registered, by asking the ticker service several times a second.
//
// One thread of its own, from Start to Stop. While the ticker service is away the last list stays. The list comes in
// pages; a registration while they are read raises the version, so that the next list has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/channel.h"
#include "services/common/process/liveness.h"

namespace stockalert::fetcher {

class SymbolWatch {
 public:
  // Of the symbols; beyond it a list is no list of tickers, and is dropped.
  static constexpr size_t kSymbolsMax = 2'000'000;

  // `ticker_service` must outlive it. `on_change` is called on the watch's thread.
  SymbolWatch(const rpc::Peer& ticker_service, absl::Duration interval,
              std::function<void(const std::set<std::string>&)> on_change, int page_size = 10'000,
              size_t symbols_max = kSymbolsMax);
  ~SymbolWatch();

  void Start();
  void Stop();

 private:
  void Run();
  // None: nothing changed since `*version`. Otherwise all symbols, and their version in `*version`.
  absl::StatusOr<std::optional<std::set<std::string>>> List(int64_t* version);

  const rpc::Peer& ticker_service_;
  const absl::Duration interval_;
  const int page_size_;
  const size_t symbols_max_;
  const std::function<void(const std::set<std::string>&)> on_change_;
  mutable base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_{"fetcher_symbol_watch"};
  std::thread thread_;
};

}  // namespace stockalert::fetcher
