// Finnhub's WebSocket: trades of up to `symbols_max` symbols, on the one connection that a key may have.
//
// One thread of its own, from Start to Stop; SetSymbols and streamed() are thread-safe. Connections break by design,
// hang silently, and are refused at times: a silence longer than the watchdog's ends a connection, and another is tried
// after a growing, jittered pause. "Too many symbols" lowers the number that is asked for. The key is in no log line.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/base/backoff.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/fetcher/finnhub_json.h"

namespace stockalert::fetcher {

struct FinnhubStreamOptions {
  std::string url = "wss://ws.finnhub.io";  // ws:// is for a double on the same machine.
  std::string api_key;
  size_t symbols_max = 50;
  absl::Duration silence_max = absl::Seconds(150);  // Pings come about once a minute.
  absl::Duration connect_timeout = absl::Seconds(10);
  base::BackoffOptions backoff = {
      .initial = absl::Seconds(1), .maximum = absl::Seconds(60), .factor = 2.0, .jitter = 0.5};
};

class FinnhubStream {
 public:
  // `on_trade` is called on the stream's thread and must be quick.
  FinnhubStream(const FinnhubStreamOptions& options, std::function<void(const StreamTrade&)> on_trade);
  ~FinnhubStream();

  void Start();
  void Stop();
  void SetSymbols(const std::set<std::string>& symbols);

  // The symbols that are subscribed to now; empty while there is no connection.
  std::set<std::string> streamed() const;

 private:
  class Session;
  template <typename Socket>
  class SessionOn;
  void Run();
  // One connection, from its begin to its end; says how it ended.
  absl::Status RunConnection(bool* worked);
  bool HasSymbols() const;
  std::set<std::string> Wanted() const;
  void Handle(std::string_view text, Session& session);
  void DropLast(Session& session);

  const FinnhubStreamOptions options_;
  const std::function<void(const StreamTrade&)> on_trade_;
  std::atomic<bool> stopped_{false};
  mutable base::Mutex mutex_;
  std::set<std::string> symbols_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> subscribed_ ABSL_GUARDED_BY(mutex_);
  size_t slots_ ABSL_GUARDED_BY(mutex_);  // What the server has let us have.
  std::vector<std::string> asked_for_;    // In order, on this connection. The stream's thread's.
  process::Heartbeat heartbeat_{"fetcher_finnhub_stream"};
  std::thread thread_;
};

}  // namespace stockalert::fetcher
