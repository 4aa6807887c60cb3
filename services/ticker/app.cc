#include "services/ticker/app.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/boot/await.h"
#include "services/common/boot/ports.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/mesh_peer.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/pool.h"
#include "services/common/tls/watch.h"
#include "services/common/version/version.h"
#include "services/ticker/grpc_peers.h"
#include "services/ticker/postgres_price_store.h"
#include "services/ticker/postgres_split_store.h"
#include "services/ticker/postgres_ticker_store.h"
#include "services/ticker/price_log_reader.h"
#include "services/ticker/split_sweeper.h"
#include "services/ticker/ticker_internal_service.h"
#include "services/ticker/ticker_logic.h"
#include "services/ticker/ticker_service.h"
#include "services/ticker/unused_sweeper.h"

namespace stockalert::ticker {
namespace {

constexpr size_t kStreamsMax = 1000;
constexpr char kProgram[] = "stockalert-ticker";
constexpr absl::Duration kSweepInterval = absl::Minutes(5);
constexpr absl::Duration kSplitSweepInterval = absl::Seconds(2);

}  // namespace

// In the order in which they depend on each other.
struct TickerApp::Parts {
  Parts(const Config& given, std::unique_ptr<rpc::Credentials> made_credentials,
        std::unique_ptr<postgres::Pool> made_pool, std::unique_ptr<boot::Ports> made_ports)
      : config(given),
        credentials(std::move(made_credentials)),
        pool(std::move(made_pool)),
        ports(std::move(made_ports)) {}

  const Config config;
  base::SystemClock clock;
  base::SystemMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files = kafka::WatchFiles(config.kafka_security);
  std::unique_ptr<postgres::Pool> pool;
  rpc::Peer user_peer{rpc::MeshPeer(config.user_address, *credentials, config.mesh_token, config.mesh,
                                    {"stockalert.internal.v1.UserInternalService"})};
  rpc::Peer alert_peer{rpc::MeshPeer(config.alert_address, *credentials, config.mesh_token, config.mesh,
                                     {"stockalert.internal.v1.AlertInternalService"})};
  // PublishQuotes and FetchQuotes are not repeated: each would publish once more.
  rpc::Peer fetcher_peer{rpc::MeshPeer(config.fetcher_address, *credentials, config.mesh_token, config.mesh,
                                       {"stockalert.internal.v1.FetcherService/LookupSymbol"})};
  PostgresTickerStore store{*pool};
  PostgresPriceStore price_store{*pool};
  PostgresSplitStore split_store{*pool};
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
      price_store,
      board,
      fetcher,
      use,
      clock,
      monotonic_clock,
      ids};
  SplitLogic split_logic{SplitLogicOptions{}, split_store, board, fetcher, clock};
  HoldLogic hold_logic{HoldLogicOptions{}, logic, board, fetcher};
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
  TickerServiceImpl service{public_runner, source_runner, logic, split_logic, hold_logic, board, clock};
  TickerInternalServiceImpl internal_service{internal_runner, logic};
  // From the start on.
  std::optional<PriceLogReader> reader;
  std::optional<UnusedSweeper> sweeper;
  std::optional<SplitSweeper> split_sweeper;
  std::unique_ptr<boot::Ports> ports;
};

absl::StatusOr<std::unique_ptr<TickerApp>> TickerApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<boot::Ports> ports,
                              boot::Ports::Claim({.public_address = config.public_address,
                                                  .http_address = config.http_address,
                                                  .internal_address = config.internal_address}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool,
                              postgres::Pool::Create({.url = config.postgres_url,
                                                      .application_name = kProgram,
                                                      .connections_max = config.postgres_connections_max,
                                                      .registry = metrics::Registry()}));
  return std::unique_ptr<TickerApp>(
      new TickerApp(std::make_unique<Parts>(config, std::move(credentials), std::move(pool), std::move(ports))));
}

TickerApp::TickerApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TickerApp::~TickerApp() = default;

absl::Status TickerApp::Start() {
  Parts& parts = *parts_;
  const Config& config = parts.config;
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartHttp({.pool = parts.pool.get()}));
  const absl::Time give_up = absl::Now() + config.start_timeout;
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitDatabase([&] { return parts.store.List("", 1).status(); }, give_up));
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitTopics({.bootstrap = config.kafka_bootstrap,
                                                .security = config.kafka_security,
                                                .client_id = kProgram,
                                                .topics = {config.prices_topic},
                                                .late_without_broker = "latest prices"},
                                               give_up));
  parts.reader.emplace(PriceLogReaderOptions{.bootstrap = config.kafka_bootstrap,
                                             .security = config.kafka_security,
                                             .topic = config.prices_topic,
                                             .save_interval = config.price_save_interval,
                                             .unsaved_bars_max = config.unsaved_bars_max},
                       parts.board, parts.price_store, parts.dead_letters, parts.clock);
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartCalls(
      {.credentials = *parts.credentials,
       .public_service = boot::CallService{&parts.service, "stockalert.ticker.v1.TickerService"},
       .public_receive_bytes_max = 1024 * 1024,
       .public_limits = config.public_limits,
       .trusted_proxies = config.calls.trusted_proxies,
       .internal_service =
           boot::CallService{&parts.internal_service, "stockalert.internal.v1.TickerInternalService"}}));
  parts.sweeper.emplace(parts.logic, std::min(kSweepInterval, config.forget_unused_after / 2));
  parts.split_sweeper.emplace(parts.split_logic, kSplitSweepInterval);
  parts.ports->SetServing(parts.pool.get(), "stockalert_ticker");
  return absl::OkStatus();
}

void TickerApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.ports->StopServing();
  parts.sweeper.reset();
  parts.split_sweeper.reset();
  parts.public_runner.EndStreams();
  parts.ports->StopPublic(deadline);
  parts.public_runner.Stop(deadline);
  parts.source_runner.Stop(deadline);
  parts.ports->StopInternal(deadline);
  parts.internal_runner.Stop(deadline);
  if (parts.reader) parts.reader->Stop();
  parts.ports->Close();
}

int TickerApp::public_port() const { return parts_->ports->public_port(); }
int TickerApp::http_port() const { return parts_->ports->http_port(); }
int TickerApp::internal_port() const { return parts_->ports->internal_port(); }

}  // namespace stockalert::ticker
