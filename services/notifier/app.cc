#include "services/notifier/app.h"

#include <algorithm>
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
#include "services/common/config/address.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/mesh_peer.h"
#include "services/common/kafka/consumer.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/pool.h"
#include "services/common/process/liveness.h"
#include "services/common/secrets/secret_box.h"
#include "services/common/tls/watch.h"
#include "services/common/version/version.h"
#include "services/notifier/bars/grpc_bar_source.h"
#include "services/notifier/code_mail/code_mailer.h"
#include "services/notifier/code_mail/postgres_code_mail_store.h"
#include "services/notifier/delivery/delivery_loop.h"
#include "services/notifier/delivery/destination_logic.h"
#include "services/notifier/delivery/destination_service.h"
#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/http_request_sender.h"
#include "services/notifier/delivery/kind_translator.h"
#include "services/notifier/delivery/mail_request_sender.h"
#include "services/notifier/delivery/postgres_delivery_store.h"
#include "services/notifier/delivery/postgres_destination_store.h"
#include "services/notifier/digest/digest_loop.h"
#include "services/notifier/digest/postgres_digest_store.h"
#include "services/notifier/intake.h"
#include "services/notifier/notification_service.h"
#include "services/notifier/notifier_internal_service.h"
#include "services/notifier/own_address.h"
#include "services/notifier/picture/picture_maker.h"
#include "services/notifier/postgres_notification_store.h"
#include "services/notifier/settings/postgres_settings_store.h"
#include "services/notifier/settings/settings_logic.h"
#include "services/notifier/unsubscribe/unsubscribe_handler.h"
#include "services/notifier/unsubscribe/unsubscribe_server.h"
#include "services/notifier/unsubscribe/unsubscribe_token.h"
#include "services/notifier/watch_hub.h"

namespace stockalert::notifier {
namespace {

constexpr char kProgram[] = "stockalert-notifier";
// What Stop keeps for itself, so that what deliveries have come to is written and their lanes are given back.
constexpr absl::Duration kDeliveryStopTime = absl::Seconds(2);

absl::StatusOr<std::optional<SecretBox>> ReadKeys(const std::string& path) {
  if (path.empty()) return std::optional<SecretBox>();
  STOCKALERT_ASSIGN_OR_RETURN(SecretBox box, SecretBox::FromFile(path));
  return std::optional<SecretBox>(std::move(box));
}

HttpRequestSenderOptions SenderOptions(const Config& config, process::Heartbeat& heartbeat) {
  HttpRequestSenderOptions options;
  options.timeout = config.delivery_timeout;
  options.connect_timeout = std::min(options.connect_timeout, config.delivery_timeout);
  options.in_flight_max = static_cast<size_t>(config.deliveries_in_flight_max);
  options.waiting_max = options.in_flight_max;
  options.authorities_file = config.egress_ca_file;
  options.has_operator_server = !config.apprise_url.empty();
  options.on_turn = [&heartbeat] { heartbeat.Beat(); };
  return options;
}

// None: mail is off.
std::optional<MailIdentity> MailIdentityOf(const Config& config, const std::optional<SecretBox>& secrets) {
  if (config.smtp_address.empty()) return std::nullopt;
  MailIdentity identity{.from = config.mail_from,
                        .from_name = config.mail_from_name,
                        .unsubscribe = config.mail_unsubscribe.empty() ? config.mail_from : config.mail_unsubscribe};
  if (config.public_url.empty() || !secrets) return identity;
  std::string prefix = config.public_url;
  while (prefix.ends_with('/')) prefix.pop_back();
  identity.unsubscribe_url = [prefix, secrets = *secrets](const std::string& user_id, const std::string& destination_id,
                                                          const std::string& address) {
    return prefix + "/unsubscribe/" + MakeUnsubscribeToken(secrets, user_id, destination_id, address);
  };
  return identity;
}

// None: apprise is off. The flags were checked when they were read.
std::optional<AppriseServer> AppriseServerOf(const Config& config) {
  if (config.apprise_url.empty()) return std::nullopt;
  return AppriseServer::Parse(config.apprise_url, config.apprise_schemes).value();
}

// The flags were checked when they were read.
mail::SmtpOptions SmtpOptionsOf(const Config& config, process::Heartbeat& heartbeat) {
  mail::SmtpOptions options;
  const config::Address address = config::ParseAddress(config.smtp_address).value();
  options.host = address.host;
  options.port = address.port;
  options.tls = config.smtp_tls == "tls"    ? mail::SmtpTls::kImplicit
                : config.smtp_tls == "none" ? mail::SmtpTls::kNone
                                            : mail::SmtpTls::kStartTls;
  options.user = config.smtp_user;
  options.password = config.smtp_password;
  options.authorities_file = config.smtp_ca_file;
  options.timeout = config.smtp_timeout;
  options.connect_timeout = std::min(options.connect_timeout, config.smtp_timeout);
  options.in_flight_max = static_cast<size_t>(config.smtp_in_flight_max);
  options.on_turn = [&heartbeat] { heartbeat.Beat(); };
  return options;
}

DeliveryWorkerOptions WorkerOptions(const Config& config) {
  DeliveryWorkerOptions options;
  const std::string instance = boot::GroupInstance(kProgram, config.instance_id);
  options.owner = instance.empty() ? kProgram : instance;
  options.owner_is_lasting = !instance.empty();
  options.bounds.in_flight_max = config.deliveries_in_flight_max;
  options.bounds.failing_in_flight_max = std::max(config.deliveries_in_flight_max / 4, 1);
  options.poll_interval = config.delivery_poll_interval;
  return options;
}

}  // namespace

// In the order in which they depend on each other.
struct NotifierApp::Parts {
  Parts(const Config& given, std::unique_ptr<rpc::Credentials> made_credentials,
        std::unique_ptr<postgres::Pool> made_pool, std::unique_ptr<boot::Ports> made_ports, EgressGuard made_guard,
        const KindHosts& hosts, std::optional<SecretBox> keys)
      : config(given),
        guard(std::move(made_guard)),
        kinds(guard, hosts, MailIdentityOf(config, keys), AppriseServerOf(config)),
        secrets(std::move(keys)),
        credentials(std::move(made_credentials)),
        pool(std::move(made_pool)),
        ports(std::move(made_ports)) {}

  // Delivers, where delivery is on.
  struct Deliverer {
    explicit Deliverer(Parts& parts)
        : translator(parts.kinds, *parts.secrets),
          sender(SenderOptions(parts.config, heartbeat), parts.guard),
          mailer(parts.config.smtp_address.empty() ? nullptr : std::make_unique<Mailer>(parts, sender)),
          loop(WorkerOptions(parts.config), parts.queue, mailer ? mailer->sender : static_cast<RequestSender&>(sender),
               translator, parts.clock) {}

    // Where mail is on.
    struct Mailer {
      Mailer(Parts& parts, RequestSender& others)
          : pictures(parts.bars, ChartFont::Load(), parts.monotonic_clock),
            client(SmtpOptionsOf(parts.config, heartbeat), parts.monotonic_clock),
            sender(client, others, &pictures),
            codes({.from = parts.config.mail_from, .from_name = parts.config.mail_from_name}, parts.code_mails,
                  *parts.secrets, parts.clock,
                  [this](const mail::Mail& mail, mail::SmtpClient::Done done) { client.Send(mail, std::move(done)); }) {
        codes.Start();
      }

      process::Heartbeat heartbeat{"mails"};
      PictureMaker pictures;
      mail::SmtpClient client;
      MailRequestSender sender;
      CodeMailer codes;
    };

    KindTranslator translator;
    process::Heartbeat heartbeat{"webhooks"};
    HttpRequestSender sender;
    std::unique_ptr<Mailer> mailer;
    DeliveryLoop loop;
  };
  IntakeOptions MakeIntakeOptions() {
    IntakeOptions options;
    options.triggers_topic = config.triggers_topic;
    options.user_events_topic = config.user_events_topic;
    options.on_fenced = [](const std::string& why) { process::RequestFailureStop(why); };
    if (!delivery || !delivery->mailer) return options;
    options.seal_code_mail = [this](const CodeRequest& request) {
      return SealCodeMail(*secrets, request.user_id, request.address, request.code);
    };
    options.on_code_mails = [this] { delivery->mailer->codes.Wake(); };
    return options;
  }
  // Where mails have a link that unsubscribes.
  absl::Status StartUnsubscribe() {
    if (config.public_url.empty() || !secrets) return absl::OkStatus();
    unsubscribe_handler.emplace(*secrets, [this](const std::string& user_id, const std::string& id,
                                                 const std::function<bool(const Destination&)>& is_meant) {
      return destination_logic.Unsubscribe(user_id, id, is_meant);
    });
    UnsubscribeServerOptions options;
    options.address = config.unsubscribe_address;
    options.handle = [this](const PageRequest& request) { return unsubscribe_handler->Handle(request); };
    STOCKALERT_ASSIGN_OR_RETURN(unsubscribe_server, UnsubscribeServer::Start(options));
    return absl::OkStatus();
  }
  void WakeDelivery(const std::vector<std::string>& user_ids) {
    if (delivery) delivery->loop.Wake(user_ids);
  }

  const Config config;
  const EgressGuard guard;
  const Kinds kinds;
  const std::optional<SecretBox> secrets;  // None: delivery is off.
  base::SystemClock clock;
  base::SystemMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files = kafka::WatchFiles(config.kafka_security);
  std::unique_ptr<postgres::Pool> pool;
  rpc::Peer user_peer{rpc::MeshPeer(config.user_address, *credentials, config.mesh_token, config.mesh,
                                    {"stockalert.internal.v1.UserInternalService"})};
  rpc::Peer ticker_peer{rpc::MeshPeer(config.ticker_address, *credentials, config.mesh_token, config.mesh,
                                      {"stockalert.internal.v1.TickerInternalService"})};
  GrpcBarSource bars{ticker_peer};
  PostgresNotificationStore store{*pool};
  dead_letter::PostgresDeadLetterStore dead_letters{*pool, "stockalert_notifier", version::Text()};
  PostgresDestinationStore destinations{*pool};
  PostgresDeliveryStore queue{*pool};
  PostgresCodeMailStore code_mails{*pool};
  PostgresSettingsStore settings{*pool};
  PostgresDigestStore held{*pool};
  rpc::UserServiceAuthenticator user_service{user_peer};
  OwnAddress own_address{user_peer};
  rpc::CachingAuthenticator authenticator{user_service, clock, monotonic_clock};
  rpc::CallRunner runner{
      {.name = "public",
       .threads = static_cast<size_t>(config.threads),
       .queue_max = static_cast<size_t>(config.queue_max),
       .calls = config.calls,
       .streams_max = rpc::StreamsThatFit(static_cast<size_t>(config.streams_max), config.public_limits),
       .authenticator = &authenticator}};
  rpc::CallRunner internal_runner{
      {.name = "internal", .threads = 4, .mesh_token = config.mesh_token, .mesh = config.mesh}};
  // Its poll runs work on the runner.
  WatchHub hub{store, config.watch_poll_interval};
  SettingsLogic settings_logic{settings, clock, [this] { digests.Wake(); }};
  NotificationServiceImpl service{runner, store, settings_logic, hub, clock};
  DestinationLogic destination_logic{destinations,
                                     kinds,
                                     secrets,
                                     clock,
                                     ids,
                                     [this](const std::string& user_id) { WakeDelivery({user_id}); },
                                     [this](const std::string& user_id) { return own_address.Find(user_id); }};
  DestinationServiceImpl destination_service{runner, destination_logic, kinds, clock};
  NotifierInternalServiceImpl internal_service{internal_runner, destinations};
  // From the start on.
  std::optional<Deliverer> delivery;
  DigestLoop digests{{}, held, clock, [this](const std::vector<std::string>& user_ids) { WakeDelivery(user_ids); }};
  std::optional<Intake> intake;
  std::optional<UnsubscribeHandler> unsubscribe_handler;
  std::unique_ptr<UnsubscribeServer> unsubscribe_server;
  std::unique_ptr<boot::Ports> ports;
};

absl::StatusOr<std::unique_ptr<NotifierApp>> NotifierApp::Create(const Config& config) {
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
  STOCKALERT_ASSIGN_OR_RETURN(EgressGuard guard, EgressGuard::Create(config.egress_allow, config.egress_allow_http));
  STOCKALERT_ASSIGN_OR_RETURN(const KindHosts hosts, KindHosts::Parse(config.destination_hosts));
  STOCKALERT_ASSIGN_OR_RETURN(std::optional<SecretBox> keys, ReadKeys(config.delivery_keys_file));
  return std::unique_ptr<NotifierApp>(new NotifierApp(std::make_unique<Parts>(
      config, std::move(credentials), std::move(pool), std::move(ports), std::move(guard), hosts, std::move(keys))));
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
  if (parts.secrets) {
    parts.delivery.emplace(parts);
  } else {
    log::Warning("delivery is off: no destination can be created and nothing is sent; --delivery_keys_file turns it on",
                 {});
  }
  parts.intake.emplace(
      parts.MakeIntakeOptions(), [consumer] { return kafka::GroupConsumer::Create(consumer); }, parts.store,
      parts.dead_letters, parts.clock, parts.ids,
      [&parts](const std::vector<std::string>& user_ids, int64_t deliveries) {
        parts.hub.Wake(user_ids);
        if (deliveries > 0) parts.WakeDelivery(user_ids);
      });
  if (!IsTimeZone(kFirstTimeZone))
    log::Warning("there is no time zone database: times in texts are UTC, and nobody can choose a zone; install tzdata",
                 {});
  parts.digests.Start();
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartCalls(
      {.credentials = *parts.credentials,
       .public_service = boot::CallService{&parts.service, "stockalert.notification.v1.NotificationService"},
       .other_public_services = {{&parts.destination_service, "stockalert.notification.v1.DestinationService"}},
       .public_receive_bytes_max = 256 * 1024,
       .public_limits = config.public_limits,
       .trusted_proxies = config.calls.trusted_proxies,
       .internal_service =
           boot::CallService{&parts.internal_service, "stockalert.internal.v1.NotifierInternalService"}}));
  STOCKALERT_RETURN_IF_ERROR(parts.StartUnsubscribe());
  parts.ports->SetServing(parts.pool.get(), "stockalert_notifier");
  return absl::OkStatus();
}

void NotifierApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.ports->StopServing();
  parts.unsubscribe_server.reset();
  parts.runner.EndStreams();
  parts.ports->StopPublic(deadline);
  parts.ports->StopInternal(deadline);
  if (parts.intake) parts.intake->Stop();
  parts.digests.Stop();
  if (parts.delivery && parts.delivery->mailer) parts.delivery->mailer->codes.Stop();
  if (parts.delivery) parts.delivery->loop.Stop(deadline - kDeliveryStopTime);
  parts.hub.Stop();
  parts.runner.Stop(deadline);
  parts.internal_runner.Stop(deadline);
  parts.ports->Close();
}

int NotifierApp::public_port() const { return parts_->ports->public_port(); }
int NotifierApp::http_port() const { return parts_->ports->http_port(); }
int NotifierApp::unsubscribe_port() const {
  return parts_->unsubscribe_server ? parts_->unsubscribe_server->port() : 0;
}
int NotifierApp::internal_port() const { return parts_->ports->internal_port(); }

}  // namespace stockalert::notifier
