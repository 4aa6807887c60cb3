#include "services/user/app.h"

#include <atomic>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/server.h"
#include "services/common/http/admin_server.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/net/port_claim.h"
#include "services/common/postgres/pool.h"
#include "services/common/postgres/write_probe.h"
#include "services/common/tls/watch.h"
#include "services/user/grpc_ticker_registrar.h"
#include "services/user/key_authenticator.h"
#include "services/user/outbox_relay.h"
#include "services/user/postgres_user_store.h"
#include "services/user/user_internal_service.h"
#include "services/user/user_logic.h"
#include "services/user/user_service.h"

namespace stockalert::user {
namespace {

// The configuration's choice, which is one of these.
Registration RegistrationOf(const std::string& choice) {
  if (choice == "invitation") return Registration::kByInvitation;
  return choice == "closed" ? Registration::kClosed : Registration::kOpen;
}

}  // namespace

// In the order in which they depend on each other.
struct UserApp::Parts {
  Parts(const Config& given, std::unique_ptr<rpc::Credentials> made_credentials,
        std::unique_ptr<postgres::Pool> made_pool, std::unique_ptr<kafka::Producer> made_producer)
      : config(given),
        credentials(std::move(made_credentials)),
        pool(std::move(made_pool)),
        producer(std::move(made_producer)),
        ticker_peer({.address = config.ticker_address,
                     .credentials = credentials->internal_client(),
                     .mesh_token = config.mesh_token,
                     .caller_token = config.mesh.caller_token,
                     .retried = {"stockalert.internal.v1.TickerInternalService/RegisterTicker"}}) {}

  net::PortClaims claims;  // Until the servers have the ports.
  const Config config;
  base::SystemClock clock;
  base::SystemMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files = kafka::WatchFiles(config.kafka_security);
  std::unique_ptr<postgres::Pool> pool;
  std::unique_ptr<kafka::Producer> producer;
  rpc::Peer ticker_peer;
  PostgresUserStore store{*pool};
  GrpcTickerRegistrar tickers{ticker_peer, clock, config.ticker_timeout};
  RegistrationLimit limit{config.registrations_per_minute, config.registrations_per_peer_per_minute, monotonic_clock};
  UserLogic logic{
      store,
      tickers,
      limit,
      ids,
      clock,
      UserRules{.registration = RegistrationOf(config.registration),
                .email_code_life = config.email_code_life,
                .live_keys_max = config.keys_per_user_max,
                .dead_keys_max = 100,
                .followed_max = config.followed_per_user_max,
                .administrator_key_sha256 = config.admin_key.empty() ? "" : base::Sha256(config.admin_key)}};
  KeyAuthenticator key_authenticator{logic};
  // Only what is no key is kept: one that was revoked here ends here at once.
  rpc::CachingAuthenticator authenticator{key_authenticator, clock, monotonic_clock, {.keep = absl::ZeroDuration()}};
  OutboxRelay relay{store, *producer, clock, config.outbox_poll};
  rpc::CallRunner public_runner{{.name = "public",
                                 .threads = static_cast<size_t>(config.threads),
                                 .queue_max = static_cast<size_t>(config.queue_max),
                                 .waiting_threads = static_cast<size_t>(config.calls.waiting_threads),
                                 .waiting_queue_max = static_cast<size_t>(config.calls.waiting_queue_max),
                                 .calls = config.calls,
                                 .authenticator = &authenticator}};
  // Threads of its own: clients must not be able to keep the other services from authenticating theirs.
  rpc::CallRunner internal_runner{{.name = "internal",
                                   .threads = static_cast<size_t>(config.threads),
                                   .queue_max = static_cast<size_t>(config.queue_max),
                                   .mesh_token = config.mesh_token,
                                   .mesh = config.mesh}};
  UserService service{public_runner, logic, [this] { relay.Wake(); }};
  UserInternalService internal_service{internal_runner, logic};
  // Its ports answer. Read by the HTTP server's threads.
  std::atomic<bool> serving{false};
  std::unique_ptr<http::AdminServer> http;
  std::unique_ptr<rpc::Server> internal_server;
  std::unique_ptr<rpc::Server> public_server;
  std::unique_ptr<postgres::WriteProbe> write_probe;  // Tells the servers.
};

absl::StatusOr<std::unique_ptr<UserApp>> UserApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(
      net::PortClaims claims,
      net::PortClaims::Take({config.public_address, config.internal_address, config.http_address}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool,
                              postgres::Pool::Create({.url = config.postgres_url,
                                                      .application_name = "stockalert-user",
                                                      .connections_max = config.postgres_connections_max,
                                                      .registry = metrics::Registry()}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Producer> producer,
                              kafka::CreateProducer({.bootstrap = config.kafka_bootstrap,
                                                     .security = config.kafka_security,
                                                     .client_id = "stockalert-user",
                                                     .topics = {kafka::kUserEventsTopic},
                                                     .extra = {},
                                                     .registry = metrics::Registry()}));
  auto parts = std::make_unique<Parts>(config, std::move(credentials), std::move(pool), std::move(producer));
  parts->claims = std::move(claims);
  return std::unique_ptr<UserApp>(new UserApp(std::move(parts)));
}

UserApp::UserApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
UserApp::~UserApp() = default;

absl::Status UserApp::Start() {
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
    const absl::Status status = parts.store.ListUsers(std::nullopt, 1).status();
    if (status.ok()) break;
    if (absl::Now() >= give_up) {
      return base::Unavailable(
          "DATABASE_UNAVAILABLE",
          "the database does not answer, or its tables are missing: start it, run stockalert-migrate, start again");
    }
    log::Warning("waiting for the database and its tables", {{"error", status}});
    if (process::AwaitStopRequest(backoff.Next())) return absl::CancelledError("asked to stop");
  }
  parts.relay.Start();
  STOCKALERT_ASSIGN_OR_RETURN(parts.internal_server,
                              rpc::Server::Start({.address = parts.config.internal_address,
                                                  .credentials = parts.credentials->internal_server(),
                                                  .services = {&parts.internal_service},
                                                  .service_names = {"stockalert.internal.v1.UserInternalService"},
                                                  .name = "internal",
                                                  .limits = rpc::kInternalLimits,
                                                  .reflection = false,
                                                  .own_credentials = parts.credentials->own_internal_port()}));
  STOCKALERT_ASSIGN_OR_RETURN(parts.public_server,
                              rpc::Server::Start({.address = parts.config.public_address,
                                                  .credentials = parts.credentials->public_server(),
                                                  .services = {&parts.service},
                                                  .service_names = {"stockalert.user.v1.UserService"},
                                                  .receive_bytes_max = 256 * 1024,
                                                  .limits = parts.config.public_limits,
                                                  .trusted_proxies = parts.config.calls.trusted_proxies,
                                                  .own_credentials = parts.credentials->own_public_port()}));
  parts.claims.Release();
  parts.internal_server->SetServing(true);
  parts.public_server->SetServing(true);
  parts.write_probe = std::make_unique<postgres::WriteProbe>(
      *parts.pool, postgres::WriteProbeOptions{.schema = "stockalert_user"}, [&parts](bool writable) {
        parts.internal_server->SetWritable(writable);
        parts.public_server->SetWritable(writable);
      });
  parts.serving = true;
  log::Info("serving", {{"public_port", parts.public_server->port()},
                        {"internal_port", parts.internal_server->port()},
                        {"http_port", parts.http->port()}});
  return absl::OkStatus();
}

void UserApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.serving = false;
  parts.write_probe.reset();
  parts.public_runner.EndStreams();
  if (parts.public_server) parts.public_server->Shutdown(deadline);
  parts.public_runner.Stop(deadline);
  // The others may still need to know whose a key is while they stop too.
  if (parts.internal_server) parts.internal_server->Shutdown(deadline);
  parts.internal_runner.Stop(deadline);
  parts.relay.Stop();
  parts.public_server.reset();
  parts.internal_server.reset();
  parts.http.reset();
}

int UserApp::public_port() const { return parts_->public_server ? parts_->public_server->port() : 0; }
int UserApp::http_port() const { return parts_->http ? parts_->http->port() : 0; }
int UserApp::internal_port() const { return parts_->internal_server ? parts_->internal_server->port() : 0; }

}  // namespace stockalert::user
