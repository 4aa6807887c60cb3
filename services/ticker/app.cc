#include "services/ticker/app.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/server.h"
#include "services/common/http/admin_server.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/net/port_claim.h"
#include "services/common/postgres/pool.h"
#include "services/common/postgres/write_probe.h"
#include "services/common/tls/watch.h"
#include "services/common/version/version.h"
#include "services/ticker/grpc_peers.h"
#include "services/ticker/log_reader.h"
#include "services/ticker/postgres_price_store.h"
#include "services/ticker/postgres_ticker_store.h"
#include "services/ticker/ticker_internal_service.h"
#include "services/ticker/ticker_logic.h"
#include "services/ticker/ticker_service.h"
#include "services/ticker/unused_sweeper.h"

namespace stockalert::ticker {
namespace {

constexpr size_t kStreamsMax = 1000;
constexpr absl::Duration kTopicsTimeout = absl::Seconds(5);
constexpr absl::Duration kSweepInterval = absl::Minutes(5);

}  // namespace

// In the order in which they depend on each other.
struct TickerApp::Parts {
  Parts(const Config& given, std::unique_ptr<rpc::Credentials> made_credentials,
        std::unique_ptr<postgres::Pool> made_pool)
      : config(given), credentials(std::move(made_credentials)), pool(std::move(made_pool)) {}

  net::PortClaims claims;  // Until the servers have the ports.
  const Config config;
  base::SystemClock clock;
  base::SystemMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files = kafka::WatchFiles(config.kafka_security);
  std::unique_ptr<postgres::Pool> pool;
  rpc::Peer user_peer{{.address = config.user_address,
                       .credentials = credentials->internal_client(),
                       .mesh_token = config.mesh_token,
                       .caller_token = config.mesh.caller_token,
                       .retried = {"stockalert.internal.v1.UserInternalService"}}};
  rpc::Peer alert_peer{{.address = config.alert_address,
                        .credentials = credentials->internal_client(),
                        .mesh_token = config.mesh_token,
                        .caller_token = config.mesh.caller_token,
                        .retried = {"stockalert.internal.v1.AlertInternalService"}}};
  // PublishQuotes and FetchQuotes are not repeated: each would publish once more.
  rpc::Peer fetcher_peer{{.address = config.fetcher_address,
                          .credentials = credentials->internal_client(),
                          .mesh_token = config.mesh_token,
                          .caller_token = config.mesh.caller_token,
                          .retried = {"stockalert.internal.v1.FetcherService/LookupSymbol"}}};
  PostgresTickerStore store{*pool};
  PostgresPriceStore price_store{*pool};
  dead_letter::PostgresDeadLetterStore dead_letters{*pool, "stockalert_ticker", version::Text()};
  PriceBoard board{clock, monotonic_clock};
  GrpcFetcher fetcher{fetcher_peer};
  GrpcTickerUse use{user_peer, alert_peer};
  TickerLogic logic{
      TickerLogicOptions{.quotes_per_user_per_minute = config.quotes_per_user_per_minute,
                         .fetch_timeout = config.fetch_timeout,
                         .lookup_timeout = config.lookup_timeout,
                         .last_price_staleness_max = config.last_price_staleness_max,
                         .lookups_max = std::max<size_t>(
                             1, static_cast<size_t>(config.calls.waiting_threads) / 2),  // Registrations run on those.
                         .quote_calls_per_user_max = std::max<size_t>(1, static_cast<size_t>(config.threads) / 2),
                         .unused_per_user_max = config.unused_tickers_per_user_max,
                         .new_per_user_per_day = config.new_tickers_per_user_per_day,
                         .forget_unused_after = config.forget_unused_after},
      store,
      board,
      fetcher,
      use,
      clock,
      monotonic_clock,
      ids};
  rpc::UserServiceAuthenticator user_service{user_peer};
  rpc::CachingAuthenticator authenticator{user_service, clock, monotonic_clock};
  rpc::CallRunner public_runner{{.name = "public",
                                 .threads = static_cast<size_t>(config.threads),
                                 .queue_max = static_cast<size_t>(config.queue_max),
                                 .waiting_threads = static_cast<size_t>(config.calls.waiting_threads),
                                 .waiting_queue_max = static_cast<size_t>(config.calls.waiting_queue_max),
                                 .calls = config.calls,
                                 .streams_max = rpc::StreamsThatFit(kStreamsMax, config.public_limits),
                                 .authenticator = &authenticator}};
  // Threads of its own: clients must not keep the other services waiting.
  rpc::CallRunner internal_runner{{.name = "internal",
                                   .threads = static_cast<size_t>(config.threads),
                                   .queue_max = static_cast<size_t>(config.queue_max),
                                   .waiting_threads = static_cast<size_t>(config.calls.waiting_threads),
                                   .waiting_queue_max = static_cast<size_t>(config.calls.waiting_queue_max),
                                   .mesh_token = config.mesh_token,
                                   .mesh = config.mesh}};
  // And these: what waits for the source must not keep those waiting who do not need it.
  rpc::CallRunner source_runner{{.name = "source",
                                 .threads = static_cast<size_t>(config.threads),
                                 .queue_max = static_cast<size_t>(config.queue_max),
                                 .calls = config.calls,
                                 .authenticator = &authenticator}};
  TickerServiceImpl service{public_runner, source_runner, logic, board, clock};
  TickerInternalServiceImpl internal_service{internal_runner, logic};
  std::unique_ptr<LogReader> reader;
  std::unique_ptr<UnusedSweeper> sweeper;
  // Its ports answer. Read by the HTTP server's threads.
  std::atomic<bool> serving{false};
  std::unique_ptr<http::AdminServer> http;
  std::unique_ptr<rpc::Server> internal_server;
  std::unique_ptr<rpc::Server> public_server;
  std::unique_ptr<postgres::WriteProbe> write_probe;  // Tells the servers.
};

absl::StatusOr<std::unique_ptr<TickerApp>> TickerApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(
      net::PortClaims claims,
      net::PortClaims::Take({config.public_address, config.internal_address, config.http_address}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool,
                              postgres::Pool::Create({.url = config.postgres_url,
                                                      .application_name = "stockalert-ticker",
                                                      .connections_max = config.postgres_connections_max,
                                                      .registry = metrics::Registry()}));
  auto parts = std::make_unique<Parts>(config, std::move(credentials), std::move(pool));
  parts->claims = std::move(claims);
  return std::unique_ptr<TickerApp>(new TickerApp(std::move(parts)));
}

TickerApp::TickerApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TickerApp::~TickerApp() = default;

absl::Status TickerApp::Start() {
  Parts& parts = *parts_;
  STOCKALERT_ASSIGN_OR_RETURN(
      parts.http, http::AdminServer::Start({.address = parts.config.http_address, .not_ready_reasons = [&parts] {
                                              std::vector<std::string> reasons;
                                              if (!parts.serving)
                                                reasons.push_back("its ports do not serve yet, or no more");
                                              if (!parts.pool->Ready().ok())
                                                reasons.push_back("the database does not answer");
                                              return reasons;
                                            }}));
  // Until the database and its tables answer there is nothing to serve.
  base::Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(2)});
  const absl::Time give_up = absl::Now() + parts.config.start_timeout;
  for (;;) {
    const absl::Status status = parts.store.List("", 1).status();
    if (status.ok()) break;
    if (absl::Now() >= give_up) {
      return base::Unavailable(
          kReasonDatabaseUnavailable,
          "the database does not answer, or its tables are missing: start it, run stockalert-migrate, start again");
    }
    log::Warning("waiting for the database and its tables", {{"status", status}});
    if (process::AwaitStopRequest(backoff.Next())) return absl::CancelledError("asked to stop");
  }
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TopicAdmin> admin,
                              kafka::TopicAdmin::Create({.bootstrap = parts.config.kafka_bootstrap,
                                                         .security = parts.config.kafka_security,
                                                         .client_id = "stockalert-ticker",
                                                         .extra = {}}));
  absl::Status topics;
  // A broker without the topic: the migrations are still under way.
  do {
    topics = admin->AwaitTopics({parts.config.prices_topic}, absl::Now() + kTopicsTimeout);
  } while (absl::IsNotFound(topics) && absl::Now() < give_up && !process::StopRequested());
  if (absl::IsNotFound(topics)) return topics;
  if (!topics.ok()) log::Warning("Kafka does not answer; latest prices come when it does", {{"status", topics}});
  parts.reader = std::make_unique<LogReader>(LogReaderOptions{.bootstrap = parts.config.kafka_bootstrap,
                                                              .security = parts.config.kafka_security,
                                                              .topic = parts.config.prices_topic,
                                                              .save_interval = parts.config.price_save_interval},
                                             parts.board, parts.price_store, parts.dead_letters, parts.clock);
  STOCKALERT_ASSIGN_OR_RETURN(parts.internal_server,
                              rpc::Server::Start({.address = parts.config.internal_address,
                                                  .credentials = parts.credentials->internal_server(),
                                                  .services = {&parts.internal_service},
                                                  .service_names = {"stockalert.internal.v1.TickerInternalService"},
                                                  .name = "internal",
                                                  .limits = rpc::kInternalLimits,
                                                  .reflection = false,
                                                  .own_credentials = parts.credentials->own_internal_port()}));
  STOCKALERT_ASSIGN_OR_RETURN(parts.public_server,
                              rpc::Server::Start({.address = parts.config.public_address,
                                                  .credentials = parts.credentials->public_server(),
                                                  .services = {&parts.service},
                                                  .service_names = {"stockalert.ticker.v1.TickerService"},
                                                  .receive_bytes_max = 1024 * 1024,
                                                  .limits = parts.config.public_limits,
                                                  .trusted_proxies = parts.config.calls.trusted_proxies,
                                                  .own_credentials = parts.credentials->own_public_port()}));
  parts.claims.Release();
  parts.internal_server->SetServing(true);
  parts.public_server->SetServing(true);
  parts.write_probe = std::make_unique<postgres::WriteProbe>(
      *parts.pool, postgres::WriteProbeOptions{.schema = "stockalert_ticker"}, [&parts](bool writable) {
        parts.internal_server->SetWritable(writable);
        parts.public_server->SetWritable(writable);
      });
  parts.sweeper =
      std::make_unique<UnusedSweeper>(parts.logic, std::min(kSweepInterval, parts.config.forget_unused_after / 2));
  parts.serving = true;
  log::Info("serving", {{"public_port", parts.public_server->port()},
                        {"internal_port", parts.internal_server->port()},
                        {"http_port", parts.http->port()}});
  return absl::OkStatus();
}

void TickerApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.serving = false;
  parts.write_probe.reset();
  parts.sweeper.reset();
  parts.public_runner.EndStreams();
  if (parts.public_server) parts.public_server->Shutdown(deadline);
  parts.public_runner.Stop(deadline);
  parts.source_runner.Stop(deadline);
  if (parts.internal_server) parts.internal_server->Shutdown(deadline);
  parts.internal_runner.Stop(deadline);
  parts.public_server.reset();
  parts.internal_server.reset();
  if (parts.reader) parts.reader->Stop();
  parts.http.reset();
}

int TickerApp::public_port() const { return parts_->public_server ? parts_->public_server->port() : 0; }
int TickerApp::http_port() const { return parts_->http ? parts_->http->port() : 0; }
int TickerApp::internal_port() const { return parts_->internal_server ? parts_->internal_server->port() : 0; }

}  // namespace stockalert::ticker
