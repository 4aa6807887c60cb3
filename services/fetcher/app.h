// The fetcher's process: publisher, source, the watch of the registered tickers, and its ports. Used by the main thread
// alone.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/server.h"
#include "services/common/http/admin_server.h"
#include "services/common/kafka/producer.h"
#include "services/common/net/port_claim.h"
#include "services/common/process/run_main.h"
#include "services/common/tls/watch.h"
#include "services/fetcher/config.h"
#include "services/fetcher/fetcher_service.h"
#include "services/fetcher/publisher.h"
#include "services/fetcher/publisher_lease.h"
#include "services/fetcher/source.h"
#include "services/fetcher/symbol_watch.h"

namespace stockalert::fetcher {

class FetcherApp final : public process::App {
 public:
  // INVALID_ARGUMENT or NOT_FOUND: the replay's file is no such file.
  static absl::StatusOr<std::unique_ptr<process::App>> Create(const Config& config);
  ~FetcherApp() override;

  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

  // For tests, after Start.
  int internal_port() const { return server_->port(); }

 private:
  FetcherApp(const Config& config, std::unique_ptr<rpc::Credentials> credentials);
  absl::Status AwaitTopics();
  absl::StatusOr<int64_t> AcquireEpoch();
  std::vector<std::string> NotReadyReasons() const;
  // The tickers that the source is to bring prices of: none while another fetcher publishes.
  void GiveSymbols() ABSL_EXCLUSIVE_LOCKS_REQUIRED(symbols_mutex_);
  // Sets the gauge of the regular session.
  void MeasureSession() const;

  net::PortClaims claims_;  // Until the servers have the ports.
  const Config config_;
  base::SystemClock clock_;
  std::unique_ptr<rpc::Credentials> credentials_;
  std::unique_ptr<tls::Watch> kafka_files_;
  rpc::Peer ticker_service_;
  // In the order in which they are made; destroyed the other way, but for the producer, which Stop ends before what its
  // callbacks use.
  std::unique_ptr<kafka::Producer> producer_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<QuoteSource> source_;
  std::unique_ptr<rpc::CallRunner> runner_;
  std::unique_ptr<rpc::CallRunner> source_runner_;
  std::unique_ptr<FetcherServiceHandler> handler_;
  std::unique_ptr<rpc::Server> server_;
  base::Mutex symbols_mutex_;
  std::set<std::string> registered_ ABSL_GUARDED_BY(symbols_mutex_);
  bool publishes_ ABSL_GUARDED_BY(symbols_mutex_) = true;
  std::unique_ptr<SymbolWatch> symbols_;
  std::unique_ptr<PublisherLease> lease_;
  std::unique_ptr<http::AdminServer> admin_;
  std::atomic<bool> ready_{false};
};

}  // namespace stockalert::fetcher
