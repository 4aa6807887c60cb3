#include "services/notifier/app.h"

#include <unistd.h>
#include <atomic>

#include <utility>

#include "absl/strings/str_cat.h"
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
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/net/port_claim.h"
#include "services/common/postgres/pool.h"
#include "services/common/postgres/write_probe.h"
#include "services/common/tls/watch.h"
#include "services/common/version/version.h"
#include "services/notifier/intake.h"
#include "services/notifier/notification_service.h"
#include "services/notifier/postgres_notification_store.h"
#include "services/notifier/watch_hub.h"

namespace stockalert::notifier {
namespace {

constexpr char kClientId[] = "stockalert-notifier";
constexpr absl::Duration kTopicsTimeout = absl::Seconds(5);

std::string GroupInstance(const Config& config) {
  if (config.kafka_group_instance == "none") return "";
  if (!config.kafka_group_instance.empty()) return config.kafka_group_instance;
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) return "";
  const std::string port = config.http_address.substr(config.http_address.rfind(':') + 1);
  // A port that is chosen at each start names nobody.
  return port == "0" ? "" : absl::StrCat(kClientId, "-", host, "-", port);
}

}  // namespace

// In the order in which they depend on each other.
struct NotifierApp::Parts {
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
  std::unique_ptr<Intake> intake;
  // Its ports answer. Read by the HTTP server's threads.
  std::atomic<bool> serving{false};
  std::unique_ptr<http::AdminServer> http;
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<postgres::WriteProbe> write_probe;  // Tells the servers.
};

absl::StatusOr<std::unique_ptr<NotifierApp>> NotifierApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(net::PortClaims claims,
                              net::PortClaims::Take({config.public_address, config.http_address}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool,
                              postgres::Pool::Create({.url = config.postgres_url,
                                                      .application_name = kClientId,
                                                      .connections_max = config.postgres_connections_max,
                                                      .registry = metrics::Registry()}));
  auto parts = std::make_unique<Parts>(config, std::move(credentials), std::move(pool));
  parts->claims = std::move(claims);
  return std::unique_ptr<NotifierApp>(new NotifierApp(std::move(parts)));
}

NotifierApp::NotifierApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
NotifierApp::~NotifierApp() = default;

absl::Status NotifierApp::Start() {
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
    const absl::Status status = parts.store.LastSequences({}).status();
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
                                                         .client_id = kClientId,
                                                         .extra = {}}));
  absl::Status topics;
  // A broker without the topics: the migrations are still under way.
  do {
    topics =
        admin->AwaitTopics({parts.config.triggers_topic, parts.config.user_events_topic}, absl::Now() + kTopicsTimeout);
  } while (absl::IsNotFound(topics) && absl::Now() < give_up && !process::StopRequested());
  if (absl::IsNotFound(topics)) return topics;
  if (!topics.ok()) log::Warning("Kafka does not answer; notifications come when it does", {{"status", topics}});
  parts.intake = std::make_unique<Intake>(
      IntakeOptions{.triggers_topic = parts.config.triggers_topic, .user_events_topic = parts.config.user_events_topic},
      [config = parts.config] {
        return kafka::GroupConsumer::Create({.bootstrap = config.kafka_bootstrap,
                                             .security = config.kafka_security,
                                             .client_id = kClientId,
                                             .group_id = config.kafka_group,
                                             .group_instance_id = GroupInstance(config),
                                             .topics = {config.triggers_topic, config.user_events_topic},
                                             .start = kafka::GroupConsumerOptions::Start::kFromBeginning,
                                             .extra = {},
                                             .registry = metrics::Registry()});
      },
      parts.store, parts.dead_letters, parts.clock, parts.ids,
      [&parts](const std::vector<std::string>& user_ids) { parts.hub.Wake(user_ids); });
  STOCKALERT_ASSIGN_OR_RETURN(parts.server,
                              rpc::Server::Start({.address = parts.config.public_address,
                                                  .credentials = parts.credentials->public_server(),
                                                  .services = {&parts.service},
                                                  .service_names = {"stockalert.notification.v1.NotificationService"},
                                                  .receive_bytes_max = 256 * 1024,
                                                  .limits = parts.config.public_limits,
                                                  .trusted_proxies = parts.config.calls.trusted_proxies,
                                                  .own_credentials = parts.credentials->own_public_port()}));
  parts.claims.Release();
  parts.server->SetServing(true);
  parts.write_probe =
      std::make_unique<postgres::WriteProbe>(*parts.pool, postgres::WriteProbeOptions{.schema = "stockalert_notifier"},
                                             [&parts](bool writable) { parts.server->SetWritable(writable); });
  parts.serving = true;
  log::Info("serving", {{"public_port", parts.server->port()}, {"http_port", parts.http->port()}});
  return absl::OkStatus();
}

void NotifierApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.serving = false;
  parts.write_probe.reset();
  parts.runner.EndStreams();
  if (parts.server) parts.server->Shutdown(deadline);
  if (parts.intake) parts.intake->Stop();
  parts.hub.Stop();
  parts.runner.Stop(deadline);
  parts.server.reset();
  parts.http.reset();
}

int NotifierApp::public_port() const { return parts_->server ? parts_->server->port() : 0; }
int NotifierApp::http_port() const { return parts_->http ? parts_->http->port() : 0; }

}  // namespace stockalert::notifier
