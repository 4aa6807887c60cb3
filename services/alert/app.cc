#include "services/alert/app.h"

#include <unistd.h>

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/alert/alert_internal_service.h"
#include "services/alert/alert_service.h"
#include "services/alert/change_publisher.h"
#include "services/alert/event_applier.h"
#include "services/alert/event_consumer.h"
#include "services/alert/grpc_upstream.h"
#include "services/alert/outbox_sweeper.h"
#include "services/alert/postgres_alert_store.h"
#include "services/alert/postgres_event_store.h"
#include "services/alert/postgres_outbox_store.h"
#include "services/alert/trigger_relay.h"
#include "services/common/base/error.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/server.h"
#include "services/common/http/admin_server.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/net/port_claim.h"
#include "services/common/postgres/write_probe.h"
#include "services/common/tls/watch.h"
#include "services/common/version/version.h"

namespace stockalert::alert {
namespace {

constexpr char kClientId[] = "stockalert-alert";
constexpr absl::Duration kTopicsWait = absl::Seconds(10);
constexpr absl::Duration kMigrationsWait = absl::Seconds(60);
constexpr absl::Duration kReadyWait = absl::Seconds(30);

std::string GroupInstance(const Config& config) {
  if (config.kafka_group_instance == "none") return "";
  if (!config.kafka_group_instance.empty()) return config.kafka_group_instance;
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) return "";
  const size_t colon = config.http_address.rfind(':');
  const std::string port = config.http_address.substr(colon + 1);
  // A port that is chosen at each start names nobody.
  return port == "0" ? "" : absl::StrCat(kClientId, "-", host, "-", port);
}

postgres::PoolOptions PoolOptionsOf(const Config& config) {
  postgres::PoolOptions pool;
  pool.url = config.postgres_url;
  pool.application_name = kClientId;
  pool.connections_max = config.postgres_connections;
  pool.registry = metrics::Registry();
  return pool;
}

kafka::ProducerOptions ProducerOptionsOf(const Config& config) {
  kafka::ProducerOptions producer;
  producer.bootstrap = config.kafka_bootstrap;
  producer.security = config.kafka_security;
  producer.client_id = kClientId;
  producer.linger = absl::ZeroDuration();
  // librdkafka sends a request for each partition, so that one at a time would make callers of different symbols wait
  // for each other. What is published here may overtake: changes are whole states ordered by their revisions, and a
  // trigger goes out after the one before it was acknowledged.
  producer.extra = {{"max.in.flight.requests.per.connection", "128"}};
  producer.topics = {kafka::kPricesTopic, kafka::kTriggersTopic};
  producer.registry = metrics::Registry();
  return producer;
}

rpc::PeerOptions PeerOptionsOf(const Config& config, const rpc::Credentials& credentials, const std::string& address,
                               const std::string& service) {
  rpc::PeerOptions peer;
  peer.address = address;
  peer.credentials = credentials.internal_client();
  peer.mesh_token = config.mesh_token;
  peer.caller_token = config.mesh.caller_token;
  peer.retried = {service};
  return peer;
}

rpc::CallRunnerOptions PublicCallsOf(const Config& config, rpc::Authenticator& authenticator) {
  rpc::CallRunnerOptions calls;
  calls.name = "public";
  calls.threads = static_cast<size_t>(config.threads);
  calls.queue_max = static_cast<size_t>(config.queue);
  calls.waiting_threads = static_cast<size_t>(config.calls.waiting_threads);
  calls.waiting_queue_max = static_cast<size_t>(config.calls.waiting_queue_max);
  calls.calls = config.calls;
  calls.call_time_max = config.call_time_max;
  calls.authenticator = &authenticator;
  return calls;
}

rpc::CallRunnerOptions InternalCallsOf(const Config& config) {
  rpc::CallRunnerOptions calls;
  calls.name = "internal";
  calls.threads = 4;
  calls.mesh_token = config.mesh_token;
  calls.mesh = config.mesh;
  return calls;
}

}  // namespace

// In the order of construction; destroyed in the reverse.
struct AlertApp::Parts {
  net::PortClaims claims;  // Until the servers have the ports.
  base::SystemClock clock;
  base::SystemMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files;
  std::unique_ptr<postgres::Pool> pool;
  std::unique_ptr<PostgresAlertStore> store;
  std::unique_ptr<PostgresOutboxStore> outboxes;
  std::unique_ptr<PostgresEventStore> events;
  std::unique_ptr<dead_letter::PostgresDeadLetterStore> dead_letters;
  std::unique_ptr<kafka::Producer> producer;
  std::unique_ptr<kafka::TopicAdmin> topics;
  std::unique_ptr<rpc::Peer> user_service;
  std::unique_ptr<rpc::Peer> ticker_service;
  std::unique_ptr<GrpcUpstream> upstream;
  std::unique_ptr<rpc::UserServiceAuthenticator> user_authenticator;
  std::unique_ptr<rpc::CachingAuthenticator> authenticator;
  std::unique_ptr<ChangePublisher> publisher;
  std::unique_ptr<OutboxSweeper> sweeper;
  std::unique_ptr<TriggerRelay> relay;
  std::unique_ptr<EventApplier> applier;
  std::unique_ptr<EventConsumer> consumer;
  std::unique_ptr<rpc::CallRunner> public_calls;
  std::unique_ptr<rpc::CallRunner> internal_calls;
  std::unique_ptr<AlertLogic> logic;
  std::unique_ptr<AlertService> service;
  std::unique_ptr<AlertInternalService> internal_service;
  std::unique_ptr<rpc::Server> internal_server;
  std::unique_ptr<rpc::Server> public_server;
  std::unique_ptr<postgres::WriteProbe> write_probe;  // Tells the servers.
  // Its ports answer. Read by the HTTP server's threads.
  std::atomic<bool> serving{false};
  std::unique_ptr<http::AdminServer> admin;
};

absl::StatusOr<std::unique_ptr<AlertApp>> AlertApp::Create(const Config& config) {
  auto parts = std::make_unique<Parts>();
  STOCKALERT_ASSIGN_OR_RETURN(
      parts->claims, net::PortClaims::Take({config.public_address, config.internal_address, config.http_address}));
  STOCKALERT_ASSIGN_OR_RETURN(parts->credentials, rpc::Credentials::Create(config.tls));
  parts->kafka_files = kafka::WatchFiles(config.kafka_security);
  STOCKALERT_ASSIGN_OR_RETURN(parts->pool, postgres::Pool::Create(PoolOptionsOf(config)));
  parts->store = std::make_unique<PostgresAlertStore>(*parts->pool);
  parts->outboxes = std::make_unique<PostgresOutboxStore>(*parts->pool);
  parts->events = std::make_unique<PostgresEventStore>(*parts->pool);
  parts->dead_letters =
      std::make_unique<dead_letter::PostgresDeadLetterStore>(*parts->pool, "stockalert_alert", version::Text());
  STOCKALERT_ASSIGN_OR_RETURN(parts->producer, kafka::CreateProducer(ProducerOptionsOf(config)));
  kafka::TopicAdminOptions topics;
  topics.bootstrap = config.kafka_bootstrap;
  topics.security = config.kafka_security;
  topics.client_id = kClientId;
  STOCKALERT_ASSIGN_OR_RETURN(parts->topics, kafka::TopicAdmin::Create(topics));

  parts->user_service = std::make_unique<rpc::Peer>(
      PeerOptionsOf(config, *parts->credentials, config.user_address, "stockalert.internal.v1.UserInternalService"));
  parts->ticker_service = std::make_unique<rpc::Peer>(PeerOptionsOf(config, *parts->credentials, config.ticker_address,
                                                                    "stockalert.internal.v1.TickerInternalService"));
  parts->upstream =
      std::make_unique<GrpcUpstream>(*parts->user_service, *parts->ticker_service, config.upstream_timeout);
  parts->user_authenticator = std::make_unique<rpc::UserServiceAuthenticator>(*parts->user_service);
  parts->authenticator =
      std::make_unique<rpc::CachingAuthenticator>(*parts->user_authenticator, parts->clock, parts->monotonic_clock);

  ChangePublisher::Options publisher;
  publisher.wait_max = config.publish_wait;
  parts->publisher = std::make_unique<ChangePublisher>(*parts->producer, parts->monotonic_clock, publisher);
  OutboxSweeper::Options sweeper;
  sweeper.tombstones_kept = config.tombstones_kept;
  parts->sweeper = std::make_unique<OutboxSweeper>(*parts->outboxes, *parts->publisher, parts->clock, sweeper);
  parts->relay =
      std::make_unique<TriggerRelay>(*parts->outboxes, *parts->producer, parts->clock, TriggerRelay::Options());
  parts->applier = std::make_unique<EventApplier>(*parts->events, *parts->relay, *parts->publisher, parts->clock,
                                                  config.triggers_per_minute);
  parts->public_calls = std::make_unique<rpc::CallRunner>(PublicCallsOf(config, *parts->authenticator));
  parts->internal_calls = std::make_unique<rpc::CallRunner>(InternalCallsOf(config));
  AlertLogic::Options logic;
  logic.alerts_per_user_max = config.alerts_per_user_max;
  parts->logic =
      std::make_unique<AlertLogic>(*parts->store, *parts->upstream, *parts->publisher, parts->ids, parts->clock, logic);
  parts->service =
      std::make_unique<AlertService>(*parts->public_calls, *parts->logic, *parts->store, *parts->sweeper, parts->clock);
  parts->internal_service = std::make_unique<AlertInternalService>(*parts->internal_calls, *parts->store);
  return std::unique_ptr<AlertApp>(new AlertApp(config, std::move(parts)));
}

AlertApp::AlertApp(const Config& config, std::unique_ptr<Parts> parts) : config_(config), parts_(std::move(parts)) {}

AlertApp::~AlertApp() = default;

int AlertApp::public_port() const { return parts_->public_server->port(); }
int AlertApp::http_port() const { return parts_->admin->port(); }
int AlertApp::internal_port() const { return parts_->internal_server->port(); }

// Topics that are missing are a mistake of the installation; a broker that does not answer is an outage, which this
// service lives through.
absl::Status AlertApp::CheckTopics() {
  absl::Status topics;
  const absl::Time give_up = absl::Now() + kMigrationsWait;
  // A broker without the topics: the migrations are still under way.
  do {
    topics = parts_->topics->AwaitTopics(
        {kafka::kPricesTopic, kafka::kAlertEventsTopic, kafka::kTriggersTopic, kafka::kUserEventsTopic},
        absl::Now() + kTopicsWait);
  } while (absl::IsNotFound(topics) && absl::Now() < give_up && !process::StopRequested());
  if (topics.ok() || absl::IsNotFound(topics)) return topics;
  log::Warning("Kafka does not answer; going on without it: changes of alerts stay open until it is back",
               {{"error", topics}});
  return absl::OkStatus();
}

absl::Status AlertApp::Start() {
  http::AdminServerOptions admin;
  admin.address = config_.http_address;
  admin.not_ready_reasons = [this] {
    std::vector<std::string> reasons;
    if (!parts_->serving) reasons.push_back("its ports do not serve yet, or no more");
    if (const absl::Status ready = parts_->store->Ready(); !ready.ok())
      reasons.push_back(absl::StrCat("Postgres: ", ready.message()));
    return reasons;
  };
  STOCKALERT_ASSIGN_OR_RETURN(parts_->admin, http::AdminServer::Start(admin));
  STOCKALERT_RETURN_IF_ERROR(CheckTopics());

  const absl::Time began = absl::Now();
  for (;;) {
    absl::Status ready = parts_->store->Ready();
    const bool answers = ready.ok();
    // Without its tables there is nothing to serve.
    if (answers) ready = parts_->outboxes->MeasureBacklog().status();
    if (ready.ok()) break;
    if (absl::Now() >= began + (answers ? kMigrationsWait : kReadyWait)) {
      if (answers) {
        return base::Unavailable("DATABASE_UNAVAILABLE",
                                 "the database's tables are missing: run stockalert-migrate, start again");
      }
      log::Warning("Postgres does not answer; serving all the same: calls get UNAVAILABLE until it is back",
                   {{"error", ready}});
      break;
    }
    log::Info("waiting for the database and its tables", {{"error", ready}});
    if (process::AwaitStopRequest(absl::Milliseconds(500))) return absl::CancelledError("asked to stop");
  }

  kafka::GroupConsumerOptions consumer;
  consumer.bootstrap = config_.kafka_bootstrap;
  consumer.security = config_.kafka_security;
  consumer.client_id = kClientId;
  consumer.group_id = config_.kafka_group;
  consumer.group_instance_id = GroupInstance(config_);
  consumer.topics = {kafka::kAlertEventsTopic, kafka::kUserEventsTopic};
  consumer.fetch_wait_max = absl::Milliseconds(50);
  consumer.registry = metrics::Registry();
  STOCKALERT_ASSIGN_OR_RETURN(
      parts_->consumer,
      EventConsumer::Create([consumer] { return kafka::GroupConsumer::Create(consumer); }, *parts_->applier,
                            *parts_->dead_letters, parts_->clock, EventConsumer::Options()));
  parts_->relay->Start();
  parts_->sweeper->Start();
  parts_->consumer->Start();

  rpc::ServerOptions internal;
  internal.address = config_.internal_address;
  internal.credentials = parts_->credentials->internal_server();
  internal.name = "internal";
  internal.limits = rpc::kInternalLimits;
  internal.reflection = false;
  internal.own_credentials = parts_->credentials->own_internal_port();
  internal.services = {parts_->internal_service.get()};
  internal.service_names = {"stockalert.internal.v1.AlertInternalService"};
  STOCKALERT_ASSIGN_OR_RETURN(parts_->internal_server, rpc::Server::Start(internal));
  rpc::ServerOptions server;
  server.address = config_.public_address;
  server.credentials = parts_->credentials->public_server();
  server.limits = config_.public_limits;
  server.trusted_proxies = config_.calls.trusted_proxies;
  server.own_credentials = parts_->credentials->own_public_port();
  server.services = {parts_->service.get()};
  server.service_names = {"stockalert.alert.v1.AlertService"};
  STOCKALERT_ASSIGN_OR_RETURN(parts_->public_server, rpc::Server::Start(server));
  parts_->claims.Release();
  parts_->internal_server->SetServing(true);
  parts_->public_server->SetServing(true);
  parts_->write_probe = std::make_unique<postgres::WriteProbe>(
      *parts_->pool, postgres::WriteProbeOptions{.schema = "stockalert_alert"}, [this](bool writable) {
        parts_->internal_server->SetWritable(writable);
        parts_->public_server->SetWritable(writable);
      });
  parts_->serving = true;
  log::Info("the alert service is up", {{"public_port", parts_->public_server->port()},
                                        {"internal_port", parts_->internal_server->port()},
                                        {"http_port", parts_->admin->port()}});
  return absl::OkStatus();
}

void AlertApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.serving = false;
  parts.write_probe.reset();
  // Calls have the larger part of the time; events and the relay need a moment for their last acknowledgements.
  const absl::Time calls_by = absl::Now() + (deadline - absl::Now()) * 0.6;
  if (parts.public_server) parts.public_server->Shutdown(calls_by);
  if (parts.internal_server) parts.internal_server->Shutdown(calls_by);
  parts.public_calls->Stop(calls_by);
  parts.internal_calls->Stop(calls_by);
  if (parts.consumer) parts.consumer->Stop();
  parts.sweeper->Stop();
  parts.relay->Stop(deadline - absl::Milliseconds(200));
  if (const absl::Status flushed = parts.producer->Flush(deadline - absl::Milliseconds(100)); !flushed.ok()) {
    log::Warning("some records were not acknowledged before the end; the outboxes have them", {{"error", flushed}});
  }
  // Leaves the group while the broker can still be told.
  parts.consumer.reset();
  parts.admin.reset();
}

}  // namespace stockalert::alert
