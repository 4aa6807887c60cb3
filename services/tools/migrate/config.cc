#include "services/tools/migrate/config.h"

#include <optional>

#include "services/common/boot/flags.h"
#include "services/common/postgres/security.h"
#include "services/tools/migrate/acls.h"
#include "services/tools/migrate/roles.h"

namespace stockalert::migrate {

void Declare(config::Parser& parser, Config& config) {
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  parser.AddString("schema_dir", &config.schema_dir, config::kRequired, "the folder that holds SERVICE/schema/*.sql");
  parser.AddChoice(
      "postgres_roles", &config.postgres_roles, {"auto", "required", "off"},
      "a role a service, with rights on its own schema alone: made where the connecting role may, else the "
      "SQL is printed; required: "
      "that they are not as they should be is an error");
  parser.AddString(
      "postgres_role_names", &config.postgres_role_names, config::kOptional,
      "KEY=ROLE,... for user, ticker, alert, evaluator, notifier, maintenance, audit; one that is not listed "
      "is stockalert_KEY");
  parser.AddString("postgres_role_passwords_dir", &config.postgres_role_passwords_dir, config::kOptional,
                   "a folder with a file KEY for each role that gets its password from here");
  parser.AddBoolean(
      "postgres_own_cluster", &config.postgres_own_cluster,
      "the database server is the mesh's alone: nobody but superusers may connect to its other databases");
  parser.AddRule([&config]() -> std::optional<std::string> {
    const absl::Status status = ParseRoleNames(config.postgres_role_names).status();
    return status.ok() ? std::nullopt : std::optional<std::string>(std::string(status.message()));
  });
  parser.AddChoice(
      "kafka_acls", &config.kafka_acls, {"off", "auto", "required"},
      "allow each service's principal what it does with Kafka, at a broker with an authorizer; auto: print "
      "the commands where that "
      "is not allowed; required: it is an error then");
  parser.AddString(
      "kafka_principals", &config.kafka_principals, config::kOptional,
      "KEY=User:NAME;... for user, ticker, alert, notifier, fetcher, evaluator, audit, migrate; one that is "
      "not listed is "
      "User:stockalert-KEY");
  parser.AddRule([&config]() -> std::optional<std::string> {
    const absl::Status status = ParsePrincipals(config.kafka_principals).status();
    return status.ok() ? std::nullopt : std::optional<std::string>(std::string(status.message()));
  });
  parser.AddInteger("prices_partitions", &config.prices_partitions, 1, 10'000,
                    "partitions of the topic prices; chosen once, at the first run, for ever");
  parser.AddInteger("other_partitions", &config.other_partitions, 1, 10'000,
                    "partitions of each other topic, when it is created");
  parser.AddInteger("replication_factor", &config.replication_factor, 0, 16,
                    "copies of each record; 0: three where there are three brokers, else one");
  parser.AddInteger("retention_h", &config.retention_h, 24, 24 * 3650, "how long Kafka keeps records");
  boot::DeclareStart(parser, config.start_timeout);
  parser.AddOldName("wait_s", "start_timeout_s");
}

}  // namespace stockalert::migrate
