#include "services/alert/app.h"

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "services/alert/alert_internal_service.h"
#include "services/alert/alert_service.h"
#include "services/alert/change_publisher.h"
#include "services/alert/event_applier.h"
#include "services/alert/event_consumer.h"
#include "services/alert/grpc_explainer.h"
#include "services/alert/grpc_upstream.h"
#include "services/alert/outbox_sweeper.h"
#include "services/alert/postgres_alert_store.h"
#include "services/alert/postgres_event_store.h"
#include "services/alert/postgres_outbox_store.h"
#include "services/alert/postgres_split_notice_store.h"
#include "services/alert/split_notice_relay.h"
#include "services/alert/trigger_relay.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/boot/await.h"
#include "services/common/boot/flags.h"
#include "services/common/boot/ports.h"
#include "services/common/config/address.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/mesh_peer.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/tls/watch.h"
#include "services/common/version/version.h"

namespace stockalert::alert {
namespace {

constexpr char kProgram[] = "stockalert-alert";

}  // namespace

// In the order in which they depend on each other.
struct AlertApp::Parts {
  Parts(const Config& given, std::unique_ptr<rpc::Credentials> made_credentials,
        std::unique_ptr<postgres::Pool> made_pool, std::unique_ptr<kafka::Producer> made_producer,
        std::unique_ptr<boot::Ports> made_ports)
      : config(given),
        credentials(std::move(made_credentials)),
        pool(std::move(made_pool)),
        producer(std::move(made_producer)),
        ports(std::move(made_ports)) {}

  // Any evaluator, and each owner of a partition: all show the certificate of the one that is configured.
  std::shared_ptr<rpc::Peer> EvaluatorAt(const std::string& address) const {
    rpc::PeerOptions options = rpc::MeshPeer(address, *credentials, config.mesh_token, config.mesh, {});
    options.certificate_name = config::ParseAddress(config.evaluator_address)->host;
    return std::make_shared<rpc::Peer>(options);
  }

  const Config config;
  base::SystemClock clock;
  base::SystemMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files = kafka::WatchFiles(config.kafka_security);
  std::unique_ptr<postgres::Pool> pool;
  std::unique_ptr<kafka::Producer> producer;
  rpc::Peer user_peer{rpc::MeshPeer(config.user_address, *credentials, config.mesh_token, config.mesh,
                                    {"stockalert.internal.v1.UserInternalService"})};
  rpc::Peer ticker_peer{rpc::MeshPeer(config.ticker_address, *credentials, config.mesh_token, config.mesh,
                                      {"stockalert.internal.v1.TickerInternalService"})};
  rpc::Peer notifier_peer{rpc::MeshPeer(config.notifier_address, *credentials, config.mesh_token, config.mesh,
                                        {"stockalert.internal.v1.NotifierInternalService"})};
  PostgresAlertStore store{*pool};
  PostgresOutboxStore outboxes{*pool};
  PostgresEventStore events{*pool};
  PostgresSplitNoticeStore split_notices{*pool};
  dead_letter::PostgresDeadLetterStore dead_letters{*pool, "stockalert_alert", version::Text()};
  GrpcUpstream upstream{user_peer, ticker_peer, notifier_peer, config.upstream_timeout};
  ChangePublisher publisher{*producer, monotonic_clock, {.wait_max = config.publish_wait}};
  OutboxSweeper sweeper{outboxes, publisher, clock, {.tombstones_kept = config.tombstones_kept}};
  TriggerRelay relay{outboxes, *producer, clock, TriggerRelay::Options()};
  SplitNoticeRelay split_relay{split_notices, *producer, clock, SplitNoticeRelay::Options()};
  EventApplier applier{events, relay, publisher, clock, config.triggers_per_minute};
  GrpcExplainer explainer{[this](const std::string& address) { return EvaluatorAt(address); }, config.evaluator_address,
                          config.upstream_timeout};
  rpc::UserServiceAuthenticator user_service{user_peer};
  rpc::CachingAuthenticator authenticator{user_service, clock, monotonic_clock};
  rpc::CallRunner public_runner{{.name = "public",
                                 .threads = static_cast<size_t>(config.threads),
                                 .queue_max = static_cast<size_t>(config.queue_max),
                                 .waiting_threads = static_cast<size_t>(config.calls.waiting_threads),
                                 .waiting_queue_max = static_cast<size_t>(config.calls.waiting_queue_max),
                                 .calls = config.calls,
                                 .call_time_max = config.call_time_max,
                                 .authenticator = &authenticator}};
  rpc::CallRunner internal_runner{
      {.name = "internal", .threads = 4, .mesh_token = config.mesh_token, .mesh = config.mesh}};
  AlertLogic logic{store, upstream, publisher, ids, clock, {.alerts_per_user_max = config.alerts_per_user_max}};
  AlertService service{public_runner, logic, store, sweeper, explainer, clock};
  AlertInternalService internal_service{internal_runner, store};
  std::optional<EventConsumer> consumer;  // From the start on.
  std::unique_ptr<boot::Ports> ports;
};

absl::StatusOr<std::unique_ptr<AlertApp>> AlertApp::Create(const Config& config) {
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
  // librdkafka sends a request for each partition, so that one at a time would make callers of different symbols wait
  // for each other. What is published here may overtake: changes are whole states ordered by their revisions, and a
  // trigger goes out after the one before it was acknowledged.
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Producer> producer,
                              kafka::CreateProducer({.bootstrap = config.kafka_bootstrap,
                                                     .security = config.kafka_security,
                                                     .client_id = kProgram,
                                                     .linger = absl::ZeroDuration(),
                                                     .topics = {kafka::kPricesTopic, kafka::kTriggersTopic},
                                                     .extra = {{"max.in.flight.requests.per.connection", "128"}},
                                                     .registry = metrics::Registry()}));
  return std::unique_ptr<AlertApp>(new AlertApp(
      std::make_unique<Parts>(config, std::move(credentials), std::move(pool), std::move(producer), std::move(ports))));
}

AlertApp::AlertApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
AlertApp::~AlertApp() = default;

void AlertApp::StartConsumer() {
  Parts& parts = *parts_;
  const kafka::GroupConsumerOptions options = {
      .bootstrap = parts.config.kafka_bootstrap,
      .security = parts.config.kafka_security,
      .client_id = kProgram,
      .group_id = parts.config.group_id,
      .group_instance_id = boot::GroupInstance(kProgram, parts.config.instance_id),
      .topics = {kafka::kAlertEventsTopic, kafka::kUserEventsTopic},
      .fetch_wait_max = absl::Milliseconds(50),
      .extra = {},
      .registry = metrics::Registry()};
  kafka::GroupWorkerOptions worker = EventWorkerOptions();
  worker.on_fenced = [](const std::string& why) { process::RequestFailureStop(why); };
  parts.consumer.emplace([options] { return kafka::GroupConsumer::Create(options); }, parts.applier, parts.dead_letters,
                         parts.clock, worker);
  parts.consumer->Start();
}

absl::Status AlertApp::Start() {
  Parts& parts = *parts_;
  const Config& config = parts.config;
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartHttp({.pool = parts.pool.get()}));
  const absl::Time give_up = absl::Now() + config.start_timeout;
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitDatabase([&] { return parts.outboxes.MeasureBacklog().status(); }, give_up));
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitTopics(
      {.bootstrap = config.kafka_bootstrap,
       .security = config.kafka_security,
       .client_id = kProgram,
       .topics = {kafka::kPricesTopic, kafka::kAlertEventsTopic, kafka::kTriggersTopic, kafka::kUserEventsTopic},
       .late_without_broker = "changes of alerts, and what becomes of them"},
      give_up));
  parts.relay.Start();
  parts.split_relay.Start();
  parts.sweeper.Start();
  StartConsumer();
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartCalls(
      {.credentials = *parts.credentials,
       .public_service = boot::CallService{&parts.service, "stockalert.alert.v1.AlertService"},
       .public_limits = config.public_limits,
       .trusted_proxies = config.calls.trusted_proxies,
       .internal_service = boot::CallService{&parts.internal_service, "stockalert.internal.v1.AlertInternalService"}}));
  parts.ports->SetServing(parts.pool.get(), "stockalert_alert");
  return absl::OkStatus();
}

void AlertApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.ports->StopServing();
  parts.split_relay.RequestStop();
  // Calls have the larger part of the time; events and the relay need a moment for their last acknowledgements.
  const absl::Time calls_by = absl::Now() + (deadline - absl::Now()) * 0.6;
  parts.ports->StopPublic(calls_by);
  parts.ports->StopInternal(calls_by);
  parts.public_runner.Stop(calls_by);
  parts.internal_runner.Stop(calls_by);
  if (parts.consumer) parts.consumer->Stop();
  parts.sweeper.Stop();
  parts.split_relay.Stop();
  parts.relay.Stop(deadline - absl::Milliseconds(200));
  if (const absl::Status flushed = parts.producer->Flush(deadline - absl::Milliseconds(100)); !flushed.ok()) {
    log::Warning("some records were not acknowledged before the end; the outboxes have them", {{"status", flushed}});
  }
  // Leaves the group while the broker can still be told.
  parts.consumer.reset();
  parts.ports->Close();
}

int AlertApp::public_port() const { return parts_->ports->public_port(); }
int AlertApp::http_port() const { return parts_->ports->http_port(); }
int AlertApp::internal_port() const { return parts_->ports->internal_port(); }

}  // namespace stockalert::alert
