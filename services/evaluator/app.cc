#include "services/evaluator/app.h"

#include <soci/soci.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/boot/await.h"
#include "services/common/boot/flags.h"
#include "services/common/boot/ports.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/credentials.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/pool.h"
#include "services/common/postgres/transaction.h"
#include "services/common/tls/watch.h"
#include "services/evaluator/evaluator_internal_service.h"
#include "services/evaluator/evaluator_service.h"
#include "services/evaluator/postgres_evaluator_store.h"

namespace stockalert::evaluator {
namespace {

constexpr char kProgram[] = "stockalert-evaluator";

// More than may wait for the fold, so that these many never keep the refusal of others waiting.
constexpr size_t kQuestionThreads = 32;
constexpr absl::Duration kLastCalls = absl::Seconds(1);

// The number of partitions that stockalert-migrate recorded, which must be what the broker has.
absl::StatusOr<int> CheckPartitionCount(postgres::Pool& pool, const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(
      const int recorded,
      postgres::Read(pool, "evaluator.partition_count", [](postgres::Connection& connection) -> absl::StatusOr<int> {
        int partitions = 0;
        const std::string topic = kafka::kPricesTopic;
        connection.sql() << "SELECT partitions FROM mesh.topics WHERE name = :name", soci::use(topic),
            soci::into(partitions);
        return partitions;
      }));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TopicAdmin> admin,
                              kafka::TopicAdmin::Create({.bootstrap = config.kafka_bootstrap,
                                                         .security = config.kafka_security,
                                                         .client_id = absl::StrCat(kProgram, "-start"),
                                                         .extra = {}}));
  STOCKALERT_ASSIGN_OR_RETURN(const kafka::TopicDescription topic,
                              admin->DescribeTopic(kafka::kPricesTopic, absl::Seconds(10)));
  if (topic.partitions == recorded) return recorded;
  return absl::FailedPreconditionError(absl::StrCat("the topic ", kafka::kPricesTopic, " has ", topic.partitions,
                                                    " partitions, and ", recorded,
                                                    " are recorded: a symbol would have two logs. Run "
                                                    "stockalert-migrate; restore the topic where it refuses"));
}

absl::StatusOr<EvaluatorServiceOptions> OptionsOf(const Config& config) {
  EvaluatorServiceOptions options;
  options.kafka_bootstrap = config.kafka_bootstrap;
  options.kafka_security = config.kafka_security;
  options.prices_topic = kafka::kPricesTopic;
  options.events_topic = kafka::kAlertEventsTopic;
  options.group_id = config.group_id;
  options.instance_id = boot::GroupInstance("evaluator", config.instance_id);
  options.advertised_address = AdvertisedAddress(config);
  options.poll_records = static_cast<size_t>(config.poll_records);
  options.commit_interval = config.commit_interval;
  options.checkpoint_interval = config.checkpoint_interval;
  options.session_timeout = config.session_timeout;
  options.held_records_max = config.held_records_max;
  STOCKALERT_ASSIGN_OR_RETURN(options.skipped_records, ParseRecords(config.skip_records));
  options.on_fatal = [](const std::string& why) { process::RequestFailureStop(why); };
  return options;
}

}  // namespace

// In the order in which they depend on each other.
struct EvaluatorApp::Parts {
  Parts(const Config& given, std::unique_ptr<rpc::Credentials> made_credentials,
        std::unique_ptr<postgres::Pool> made_pool, const EvaluatorServiceOptions& options,
        std::unique_ptr<boot::Ports> made_ports)
      : config(given),
        credentials(std::move(made_credentials)),
        pool(std::move(made_pool)),
        service(store, options),
        ports(std::move(made_ports)) {}

  std::vector<std::string> NotReadyReasons();

  const Config config;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files = kafka::WatchFiles(config.kafka_security);
  std::unique_ptr<postgres::Pool> pool;
  PostgresEvaluatorStore store{*pool};
  EvaluatorService service;
  rpc::CallRunner internal_runner{
      {.name = "internal", .threads = kQuestionThreads, .mesh_token = config.mesh_token, .mesh = config.mesh}};
  EvaluatorInternalService internal_service{
      internal_runner,
      [this](int32_t partition, const std::string& alert_id, absl::Time deadline) {
        return service.Explain(partition, alert_id, deadline);
      },
      store, AdvertisedAddress(config)};
  std::unique_ptr<boot::Ports> ports;
};

absl::StatusOr<std::unique_ptr<EvaluatorApp>> EvaluatorApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(
      std::unique_ptr<boot::Ports> ports,
      boot::Ports::Claim({.http_address = config.http_address, .internal_address = config.internal_address}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool,
                              postgres::Pool::Create({.url = config.postgres_url,
                                                      .application_name = kProgram,
                                                      .connections_max = config.postgres_connections_max,
                                                      .statement_timeout = absl::Seconds(30),
                                                      .registry = metrics::Registry()}));
  STOCKALERT_ASSIGN_OR_RETURN(const EvaluatorServiceOptions options, OptionsOf(config));
  return std::unique_ptr<EvaluatorApp>(new EvaluatorApp(
      std::make_unique<Parts>(config, std::move(credentials), std::move(pool), options, std::move(ports))));
}

EvaluatorApp::EvaluatorApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
EvaluatorApp::~EvaluatorApp() = default;

absl::Status EvaluatorApp::Start() {
  Parts& parts = *parts_;
  const Config& config = parts.config;
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartHttp({.starting = "starting: waiting for Postgres, Kafka and the topics",
                                                     .other_reasons = [&parts] { return parts.NotReadyReasons(); }}));
  const absl::Time give_up = absl::Now() + config.start_timeout;
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitDatabase([&] { return parts.pool->Ready(); }, give_up));
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitTopics({.bootstrap = config.kafka_bootstrap,
                                                .security = config.kafka_security,
                                                .client_id = absl::StrCat(kProgram, "-start"),
                                                .topics = {kafka::kPricesTopic, kafka::kAlertEventsTopic}},
                                               give_up));
  STOCKALERT_ASSIGN_OR_RETURN(const int partitions, CheckPartitionCount(*parts.pool, config));
  parts.internal_service.SetPartitionCount(partitions);
  STOCKALERT_RETURN_IF_ERROR(parts.service.Start());
  log::Info("evaluating", {{"instance_id", boot::GroupInstance("evaluator", config.instance_id)},
                           {"advertised_address", AdvertisedAddress(config)}});
  STOCKALERT_RETURN_IF_ERROR(
      parts.ports->StartCalls({.credentials = *parts.credentials,
                               .internal_service = boot::CallService{
                                   &parts.internal_service, "stockalert.internal.v1.EvaluatorInternalService"}}));
  parts.ports->SetServing(nullptr, "");
  return absl::OkStatus();
}

void EvaluatorApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.ports->StopServing();
  const absl::Time calls_by = std::min(deadline, absl::Now() + kLastCalls);
  parts.ports->StopInternal(calls_by);
  parts.internal_runner.Stop(calls_by);
  parts.service.Stop(deadline);
  parts.ports->Close();
}

std::vector<std::string> EvaluatorApp::Parts::NotReadyReasons() {
  std::vector<std::string> reasons;
  const EvaluatorService::Health health = service.health();
  if (!health.joined) reasons.push_back("the consumer group has not given this member its partitions yet");
  if (health.loading > 0)
    reasons.push_back(absl::StrCat(health.loading, " of ", health.assigned, " partitions are being loaded"));
  for (const auto& [partition, why] : health.stopped)
    reasons.push_back(absl::StrCat("partition ", partition, " is stopped: ", why));
  if (const absl::Status status = store.Ready(); !status.ok()) reasons.push_back(std::string(status.message()));
  return reasons;
}

}  // namespace stockalert::evaluator
