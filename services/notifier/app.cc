#include "services/notifier/app.h"

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/boot/await.h"
#include "services/common/boot/flags.h"
#include "services/common/boot/ports.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/mesh_peer.h"
#include "services/common/kafka/consumer.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/pool.h"
#include "services/common/tls/watch.h"
#include "services/common/version/version.h"
#include "services/notifier/intake.h"
#include "services/notifier/notification_service.h"
#include "services/notifier/postgres_notification_store.h"
#include "services/notifier/watch_hub.h"

namespace stockalert::notifier {
namespace {

constexpr char kProgram[] = "stockalert-notifier";

}  // namespace

// In the order in which they depend on each other.
struct NotifierApp::Parts {
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
  PostgresNotificationStore store{*pool};
  dead_letter::PostgresDeadLetterStore dead_letters{*pool, "stockalert_notifier", version::Text()};
  rpc::UserServiceAuthenticator user_service{user_peer};
  rpc::CachingAuthenticator authenticator{user_service, clock, monotonic_clock};
  rpc::CallRunner runner{
      {.name = "public",
       .threads = static_cast<size_t>(config.threads),
       .queue_max = static_cast<size_t>(config.queue_max),
       .calls = config.calls,
       .streams_max = rpc::StreamsThatFit(static_cast<size_t>(config.streams_max), config.public_limits),
       .authenticator = &authenticator}};
  // Its poll runs work on the runner.
  WatchHub hub{store, config.watch_poll_interval};
  NotificationServiceImpl service{runner, store, hub, clock};
  std::optional<Intake> intake;  // From the start on.
  std::unique_ptr<boot::Ports> ports;
};

absl::StatusOr<std::unique_ptr<NotifierApp>> NotifierApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(
      std::unique_ptr<boot::Ports> ports,
      boot::Ports::Claim({.public_address = config.public_address, .http_address = config.http_address}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool,
                              postgres::Pool::Create({.url = config.postgres_url,
                                                      .application_name = kProgram,
                                                      .connections_max = config.postgres_connections_max,
                                                      .registry = metrics::Registry()}));
  return std::unique_ptr<NotifierApp>(
      new NotifierApp(std::make_unique<Parts>(config, std::move(credentials), std::move(pool), std::move(ports))));
}

NotifierApp::NotifierApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
NotifierApp::~NotifierApp() = default;

absl::Status NotifierApp::Start() {
  Parts& parts = *parts_;
  const Config& config = parts.config;
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartHttp({.pool = parts.pool.get()}));
  const absl::Time give_up = absl::Now() + config.start_timeout;
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitDatabase([&] { return parts.store.LastSequences({}).status(); }, give_up));
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitTopics({.bootstrap = config.kafka_bootstrap,
                                                .security = config.kafka_security,
                                                .client_id = kProgram,
                                                .topics = {config.triggers_topic, config.user_events_topic},
                                                .late_without_broker = "notifications"},
                                               give_up));
  const kafka::GroupConsumerOptions consumer = {.bootstrap = config.kafka_bootstrap,
                                                .security = config.kafka_security,
                                                .client_id = kProgram,
                                                .group_id = config.group_id,
                                                .group_instance_id = boot::GroupInstance(kProgram, config.instance_id),
                                                .topics = {config.triggers_topic, config.user_events_topic},
                                                .start = kafka::GroupConsumerOptions::Start::kFromBeginning,
                                                .extra = {},
                                                .registry = metrics::Registry()};
  parts.intake.emplace(
      IntakeOptions{.triggers_topic = config.triggers_topic,
                    .user_events_topic = config.user_events_topic,
                    .on_fenced = [](const std::string& why) { process::RequestFailureStop(why); }},
      [consumer] { return kafka::GroupConsumer::Create(consumer); }, parts.store, parts.dead_letters, parts.clock,
      parts.ids, [&parts](const std::vector<std::string>& user_ids) { parts.hub.Wake(user_ids); });
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartCalls(
      {.credentials = *parts.credentials,
       .public_service = boot::CallService{&parts.service, "stockalert.notification.v1.NotificationService"},
       .public_receive_bytes_max = 256 * 1024,
       .public_limits = config.public_limits,
       .trusted_proxies = config.calls.trusted_proxies}));
  parts.ports->SetServing(parts.pool.get(), "stockalert_notifier");
  return absl::OkStatus();
}

void NotifierApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.ports->StopServing();
  parts.runner.EndStreams();
  parts.ports->StopPublic(deadline);
  if (parts.intake) parts.intake->Stop();
  parts.hub.Stop();
  parts.runner.Stop(deadline);
  parts.ports->Close();
}

int NotifierApp::public_port() const { return parts_->ports->public_port(); }
int NotifierApp::http_port() const { return parts_->ports->http_port(); }

}  // namespace stockalert::notifier
