#include "services/tools/migrate/migrate.h"

#include <soci/soci.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/postgres/migration.h"
#include "services/common/postgres/transaction.h"
#include "services/tools/migrate/acls.h"
#include "services/tools/migrate/roles.h"

namespace stockalert::migrate {
namespace {

// Tries until `ready` answers OK or the time is over; answers its last status.
template <typename Ready>
absl::Status Await(const char* what, absl::Duration patience, Ready ready) {
  const absl::Time deadline = absl::Now() + patience;
  base::Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(1)});
  for (;;) {
    absl::Status status = ready();
    if (status.ok()) return status;
    const absl::Duration pause = backoff.Next();
    if (absl::Now() + pause >= deadline) {
      return absl::Status(status.code(), absl::StrCat(what, " did not answer within ", absl::FormatDuration(patience),
                                                      ": ", status.message()));
    }
    log::Info("waiting", {{"for", what}, {"status", status}});
    absl::SleepFor(pause);
  }
}

// The number that counts: the recorded one, or, at the very first run, `wanted`, which is recorded by that.
absl::StatusOr<int> RecordPartitions(postgres::Pool& pool, const std::string& topic, int wanted) {
  return postgres::Transact(pool, "migrate.topic", postgres::Idempotency::kIdempotent,
                            [&](postgres::Connection& connection) -> absl::StatusOr<int> {
                              soci::session& sql = connection.sql();
                              STOCKALERT_RETURN_IF_ERROR(postgres::ExecuteScript(connection, kTopicsTableSql));
                              sql << "INSERT INTO mesh.topics (name, partitions) VALUES (:name, :partitions) "
                                     "ON CONFLICT (name) DO NOTHING",
                                  soci::use(topic), soci::use(wanted);
                              int recorded = 0;
                              sql << "SELECT partitions FROM mesh.topics WHERE name = :name", soci::use(topic),
                                  soci::into(recorded);
                              return recorded;
                            });
}

constexpr char kRetention[] = "retention.ms";

absl::Status EnsureTopic(kafka::TopicAdmin& admin, const kafka::TopicSpec& spec, absl::Duration timeout,
                         absl::Duration patience) {
  absl::StatusOr<kafka::TopicDescription> found = admin.DescribeTopic(spec.name, timeout);
  if (absl::IsNotFound(found.status())) {
    absl::Status created = admin.CreateTopic(spec, timeout);
    if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
    // The brokers agree on a new topic a moment later.
    STOCKALERT_RETURN_IF_ERROR(admin.AwaitTopics({spec.name}, absl::Now() + patience));
    found = admin.DescribeTopic(spec.name, timeout);
    if (found.ok() && created.ok()) {
      log::Info("created the topic", {{"topic", spec.name}, {"partitions", found->partitions}});
    }
  }
  if (!found.ok()) return found.status();
  if (found->partitions != spec.partitions) {
    return absl::FailedPreconditionError(
        absl::StrCat("the topic ", spec.name, " has ", found->partitions, " partitions, and ", spec.partitions,
                     " are recorded for it: a symbol would change its partition. Restore the topic as it was, or give "
                     "it its own empty database"));
  }
  const absl::StatusOr<std::map<std::string, std::string>> config = admin.DescribeConfig(spec.name, timeout);
  if (!config.ok()) {
    log::Warning("the topic's configuration cannot be read, so it is not checked",
                 {{"topic", spec.name}, {"status", config.status()}});
    return absl::OkStatus();
  }
  const auto time = config->find("message.timestamp.type");
  if (time != config->end() && time->second != "LogAppendTime") {
    return absl::FailedPreconditionError(
        absl::StrCat("the topic ", spec.name, " has message.timestamp.type=", time->second,
                     ": set it to LogAppendTime (kafka-configs.sh --alter --entity-type topics --entity-name ",
                     spec.name, " --add-config message.timestamp.type=LogAppendTime)"));
  }
  const auto policy = config->find("cleanup.policy");
  if (policy != config->end() && policy->second != "delete") {
    return absl::FailedPreconditionError(absl::StrCat("the topic ", spec.name, " has cleanup.policy=", policy->second,
                                                      ": records would vanish; set it to delete"));
  }
  // Its owner may have chosen another time since.
  const auto kept = config->find(kRetention);
  const auto wanted = spec.config.find(kRetention);
  if (kept != config->end() && wanted != spec.config.end() && kept->second != wanted->second) {
    log::Warning(
        "the topic is there and keeps records for another time than --retention_h: it is left so; to change it, "
        "kafka-configs.sh --alter --entity-type topics --add-config retention.ms=...",
        {{"topic", spec.name}, {"retention_ms", kept->second}, {"wanted_ms", wanted->second}});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MigrateSchemas(postgres::Pool& pool, const Config& config) {
  std::vector<std::string> services;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(config.schema_dir, error)) {
    if (std::filesystem::is_directory(entry.path() / "schema")) services.push_back(entry.path().filename().string());
  }
  if (error)
    return absl::NotFoundError(absl::StrCat("cannot read --schema_dir ", config.schema_dir, ": ", error.message()));
  if (services.empty()) {
    return absl::NotFoundError(absl::StrCat("--schema_dir ", config.schema_dir, " holds no SERVICE/schema folder"));
  }
  std::sort(services.begin(), services.end());
  for (const std::string& service : services) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::vector<postgres::Migration> migrations,
                                postgres::ReadMigrations(absl::StrCat(config.schema_dir, "/", service, "/schema")));
    STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> applied,
                                postgres::ApplyMigrations(pool, absl::StrCat("stockalert_", service), migrations));
    for (const std::string& name : applied) log::Info("applied", {{"service", service}, {"migration", name}});
    log::Info("the schema is up to date", {{"service", service}, {"migrations", migrations.size()}});
  }
  return absl::OkStatus();
}

absl::Status MigrateTopics(postgres::Pool& pool, kafka::TopicAdmin& admin, const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(const int brokers, admin.CountBrokers(config.admin_timeout));
  const int copies = config.replication_factor > 0 ? config.replication_factor : (brokers >= 3 ? 3 : 1);
  const std::vector<std::pair<const char*, int>> topics = {{kafka::kPricesTopic, config.prices_partitions},
                                                           {kafka::kAlertEventsTopic, config.other_partitions},
                                                           {kafka::kTriggersTopic, config.other_partitions},
                                                           {kafka::kUserEventsTopic, config.other_partitions}};
  for (const auto& [name, wanted] : topics) {
    STOCKALERT_ASSIGN_OR_RETURN(const int partitions, RecordPartitions(pool, name, wanted));
    if (partitions != wanted) {
      log::Warning("the number of partitions was chosen at the first run and stays",
                   {{"topic", name}, {"partitions", partitions}, {"asked_for", wanted}});
    }
    kafka::TopicSpec spec;
    spec.name = name;
    spec.partitions = partitions;
    spec.replication_factor = copies;
    spec.config = {{"message.timestamp.type", "LogAppendTime"},
                   {"cleanup.policy", "delete"},
                   {"unclean.leader.election.enable", "false"},
                   {"min.insync.replicas", copies >= 3 ? "2" : "1"},
                   {kRetention, absl::StrCat(int64_t{config.retention_h} * 3600 * 1000)}};
    STOCKALERT_RETURN_IF_ERROR(EnsureTopic(admin, spec, config.admin_timeout, config.start_timeout));
  }
  return absl::OkStatus();
}

absl::Status Migrate(const Config& config) {
  postgres::PoolOptions pool_options;
  pool_options.url = config.postgres_url;
  pool_options.application_name = "stockalert-migrate";
  pool_options.connections_max = 1;
  // An index on a large table takes its time; another migration job at work does, too.
  pool_options.statement_timeout = absl::Minutes(30);
  pool_options.lock_timeout = absl::Minutes(1);
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<postgres::Pool> pool, postgres::Pool::Create(pool_options));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TopicAdmin> admin,
                              kafka::TopicAdmin::Create({.bootstrap = config.kafka_bootstrap,
                                                         .security = config.kafka_security,
                                                         .client_id = "stockalert-migrate",
                                                         .extra = {}}));
  STOCKALERT_RETURN_IF_ERROR(Await("Postgres", config.start_timeout, [&] { return pool->Ready(); }));
  STOCKALERT_RETURN_IF_ERROR(MigrateSchemas(*pool, config));
  STOCKALERT_RETURN_IF_ERROR(MigrateRoles(*pool, config));
  STOCKALERT_RETURN_IF_ERROR(
      Await("Kafka", config.start_timeout, [&] { return admin->CountBrokers(absl::Seconds(3)).status(); }));
  STOCKALERT_RETURN_IF_ERROR(MigrateTopics(*pool, *admin, config));
  return MigrateAcls(*admin, config);
}

}  // namespace stockalert::migrate
