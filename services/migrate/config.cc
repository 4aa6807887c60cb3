#include "services/migrate/config.h"

#include "services/common/postgres/security.h"

namespace stockalert::migrate {

void Declare(config::Parser& parser, Config& config) {
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  parser.String("schema_dir", &config.schema_dir, config::kRequired, "the folder that holds SERVICE/schema/*.sql");
  parser.Integer("prices_partitions", &config.prices_partitions, 1, 10'000,
                 "partitions of the topic prices; chosen once, at the first run, for ever");
  parser.Integer("other_partitions", &config.other_partitions, 1, 10'000, "partitions of each other topic, when it is created");
  parser.Integer("replication_factor", &config.replication_factor, 0, 16,
                 "copies of each record; 0: three where there are three brokers, else one");
  parser.Integer("retention_h", &config.retention_h, 24, 24 * 3650, "how long Kafka keeps records");
  parser.Seconds("wait_s", &config.wait, absl::Seconds(1), absl::Minutes(10), "how long to wait for Postgres and for Kafka");
}

}  // namespace stockalert::migrate
