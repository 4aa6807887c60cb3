#include "services/user/app.h"

#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/boot/await.h"
#include "services/common/boot/ports.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/mesh_peer.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/pool.h"
#include "services/common/tls/watch.h"
#include "services/user/grpc_ticker_registrar.h"
#include "services/user/key_authenticator.h"
#include "services/user/postgres_user_store.h"
#include "services/user/user_event_relay.h"
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
        std::unique_ptr<postgres::Pool> made_pool, std::unique_ptr<kafka::Producer> made_producer,
        std::unique_ptr<boot::Ports> made_ports)
      : config(given),
        credentials(std::move(made_credentials)),
        pool(std::move(made_pool)),
        producer(std::move(made_producer)),
        ticker_peer(rpc::MeshPeer(config.ticker_address, *credentials, config.mesh_token, config.mesh,
                                  {"stockalert.internal.v1.TickerInternalService/RegisterTicker"})),
        ports(std::move(made_ports)) {}

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
  UserEventRelay relay{store, *producer, clock, config.outbox_poll};
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
  std::unique_ptr<boot::Ports> ports;
};

absl::StatusOr<std::unique_ptr<UserApp>> UserApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<boot::Ports> ports,
                              boot::Ports::Claim({.public_address = config.public_address,
                                                  .http_address = config.http_address,
                                                  .internal_address = config.internal_address}));
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
  return std::unique_ptr<UserApp>(new UserApp(
      std::make_unique<Parts>(config, std::move(credentials), std::move(pool), std::move(producer), std::move(ports))));
}

UserApp::UserApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
UserApp::~UserApp() = default;

absl::Status UserApp::Start() {
  Parts& parts = *parts_;
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartHttp({.pool = parts.pool.get()}));
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitDatabase([&] { return parts.store.ListUsers(std::nullopt, 1).status(); },
                                                 absl::Now() + parts.config.start_timeout));
  parts.relay.Start();
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartCalls(
      {.credentials = *parts.credentials,
       .public_service = boot::CallService{&parts.service, "stockalert.user.v1.UserService"},
       .public_receive_bytes_max = 256 * 1024,
       .public_limits = parts.config.public_limits,
       .trusted_proxies = parts.config.calls.trusted_proxies,
       .internal_service = boot::CallService{&parts.internal_service, "stockalert.internal.v1.UserInternalService"}}));
  parts.ports->SetServing(parts.pool.get(), "stockalert_user");
  return absl::OkStatus();
}

void UserApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.ports->StopServing();
  parts.public_runner.EndStreams();
  parts.ports->StopPublic(deadline);
  parts.public_runner.Stop(deadline);
  // The others may still need to know whose a key is while they stop too.
  parts.ports->StopInternal(deadline);
  parts.internal_runner.Stop(deadline);
  parts.relay.Stop();
  parts.ports->Close();
}

int UserApp::public_port() const { return parts_->ports->public_port(); }
int UserApp::http_port() const { return parts_->ports->http_port(); }
int UserApp::internal_port() const { return parts_->ports->internal_port(); }

}  // namespace stockalert::user
