#include "services/evaluator/app.h"

#include <soci/soci.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::evaluator {
namespace {

std::string DefaultInstanceId(const Config& config) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const absl::StatusOr<config::Address> address = config::ParseAddress(config.http_address);
  return absl::StrCat("evaluator-", host.data(), "-", address.ok() ? address->port : 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<process::App>> EvaluatorApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(net::PortClaims claims, net::PortClaims::Take({config.http_address}));
  postgres::PoolOptions options;
  options.url = config.postgres_url;
  options.application_name = "stockalert-evaluator";
  options.connections_max = config.postgres_connections;
  options.statement_timeout = absl::Seconds(30);
  options.registry = metrics::Registry();
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool, postgres::Pool::Create(options));
  Config complete = config;
  if (complete.instance_id.empty()) complete.instance_id = DefaultInstanceId(config);
  return std::unique_ptr<process::App>(new EvaluatorApp(complete, std::move(claims), std::move(pool)));
}

EvaluatorApp::EvaluatorApp(const Config& config, net::PortClaims claims, std::unique_ptr<postgres::Pool> pool)
    : claims_(std::move(claims)),
      config_(config),
      kafka_files_(kafka::WatchFiles(config.kafka_security)),
      pool_(std::move(pool)),
      store_(*pool_) {}

absl::Status EvaluatorApp::AwaitDependencies() {
  const absl::Time deadline = absl::Now() + config_.start_timeout;
  for (;;) {
    absl::Status status = pool_->Ready();
    if (status.ok()) break;
    if (absl::Now() >= deadline) return status;
    if (process::AwaitStopRequest(absl::Milliseconds(300))) return absl::CancelledError("told to stop");
  }
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TopicAdmin> admin,
                              kafka::TopicAdmin::Create({.bootstrap = config_.kafka_bootstrap,
                                                         .security = config_.kafka_security,
                                                         .client_id = "stockalert-evaluator-start",
                                                         .extra = {}}));
  // In slices, so that a stop request is heard.
  absl::Status topics;
  do {
    topics = admin->AwaitTopics({kafka::kPricesTopic, kafka::kAlertEventsTopic}, absl::Now() + absl::Seconds(1));
    if (process::StopRequested()) return absl::CancelledError("told to stop");
  } while (!topics.ok() && absl::Now() < deadline);
  STOCKALERT_RETURN_IF_ERROR(topics);
  return CheckPartitionCount();
}

absl::Status EvaluatorApp::CheckPartitionCount() {
  STOCKALERT_ASSIGN_OR_RETURN(
      const int recorded,
      postgres::Read(*pool_, "evaluator.partition_count", [](postgres::Connection& connection) -> absl::StatusOr<int> {
        int partitions = 0;
        const std::string topic = kafka::kPricesTopic;
        connection.sql() << "SELECT partitions FROM mesh.topics WHERE name = :name", soci::use(topic),
            soci::into(partitions);
        return partitions;
      }));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TopicAdmin> admin,
                              kafka::TopicAdmin::Create({.bootstrap = config_.kafka_bootstrap,
                                                         .security = config_.kafka_security,
                                                         .client_id = "stockalert-evaluator-start",
                                                         .extra = {}}));
  STOCKALERT_ASSIGN_OR_RETURN(const kafka::TopicDescription topic,
                              admin->DescribeTopic(kafka::kPricesTopic, absl::Seconds(10)));
  if (topic.partitions == recorded) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the topic ", kafka::kPricesTopic, " has ", topic.partitions,
                                                    " partitions, and ", recorded,
                                                    " are recorded: a symbol would have two logs. Run "
                                                    "stockalert-migrate; restore the topic where it refuses"));
}

absl::Status EvaluatorApp::Start() {
  STOCKALERT_ASSIGN_OR_RETURN(
      admin_, http::AdminServer::Start(
                  {.address = config_.http_address, .not_ready_reasons = [this] { return NotReadyReasons(); }}));
  claims_.Release();
  STOCKALERT_RETURN_IF_ERROR(AwaitDependencies());
  EvaluatorServiceOptions options;
  options.kafka_bootstrap = config_.kafka_bootstrap;
  options.kafka_security = config_.kafka_security;
  options.prices_topic = kafka::kPricesTopic;
  options.events_topic = kafka::kAlertEventsTopic;
  options.group_id = config_.group_id;
  options.instance_id = config_.instance_id;
  options.poll_records = static_cast<size_t>(config_.poll_records);
  options.commit_interval = config_.commit_interval;
  options.checkpoint_interval = config_.checkpoint_interval;
  options.session_timeout = config_.session_timeout;
  STOCKALERT_ASSIGN_OR_RETURN(options.skipped_records, ParseRecords(config_.skip_records));
  options.on_fatal = [](const std::string& why) { process::RequestFailureStop(why); };
  auto service = std::make_unique<EvaluatorService>(store_, options);
  STOCKALERT_RETURN_IF_ERROR(service->Start());
  started_.store(service.get(), std::memory_order_release);
  service_ = std::move(service);
  log::Info("serving", {{"http_port", admin_->port()}, {"instance_id", config_.instance_id}});
  return absl::OkStatus();
}

void EvaluatorApp::Stop(absl::Time deadline) {
  if (service_) service_->Stop(deadline);
  admin_.reset();
  started_ = nullptr;
  service_.reset();
}

std::vector<std::string> EvaluatorApp::NotReadyReasons() {
  const EvaluatorService* service = started_.load(std::memory_order_acquire);
  if (service == nullptr) return {"starting: waiting for Postgres, Kafka and the topics"};
  std::vector<std::string> reasons;
  const EvaluatorService::Health health = service->health();
  if (!health.joined) reasons.push_back("the consumer group has not given this member its partitions yet");
  if (health.loading > 0)
    reasons.push_back(absl::StrCat(health.loading, " of ", health.assigned, " partitions are being loaded"));
  for (const auto& [partition, why] : health.stopped)
    reasons.push_back(absl::StrCat("partition ", partition, " is stopped: ", why));
  if (const absl::Status status = store_.Ready(); !status.ok()) reasons.push_back(std::string(status.message()));
  return reasons;
}

}  // namespace stockalert::evaluator
