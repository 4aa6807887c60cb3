// The migration job against real Postgres and, for its topics, whatever Kafka can be had. The topics' names are the
// mesh's own, so this test only runs against topics that are there or can be made.
#include <catch2/catch.hpp>

#include "services/tools/migrate/migrate.h"
#include "tests/support/mock_kafka/mock_kafka.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::migrate {
namespace {

Config MakeConfig(const testing::TestDatabase& database) {
  Config config;
  config.postgres_url = database.url();
  config.schema_dir = std::string(STOCKALERT_SOURCE_DIR) + "/services";
  config.start_timeout = absl::Seconds(5);
  return config;
}

std::unique_ptr<kafka::TopicAdmin> Admin(const std::string& bootstrap) {
  return *kafka::TopicAdmin::Create({.bootstrap = bootstrap, .client_id = "test", .extra = {}});
}

TEST_CASE("every service's schema is applied, and again without harm") {
  const testing::TestDatabase database;
  const auto pool = database.NewPool(1);
  const Config config = MakeConfig(database);
  REQUIRE(MigrateSchemas(*pool, config).ok());
  REQUIRE(MigrateSchemas(*pool, config).ok());
  CHECK(database.Count("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'stockalert_%'") >= 4);
}

TEST_CASE("the number of partitions is chosen once") {
  const testing::TestDatabase database;
  const auto pool = database.NewPool(1);
  Config config = MakeConfig(database);
  config.prices_partitions = 4;
  config.other_partitions = 2;
  config.admin_timeout = absl::Milliseconds(300);  // The mock cluster does not answer about a topic's configuration.
  testing::MockKafka kafka;
  kafka.CreateTopic("prices", 4);
  for (const char* topic : {"alert-events", "triggers", "user-events"}) kafka.CreateTopic(topic, 2);
  REQUIRE(MigrateTopics(*pool, *Admin(kafka.bootstrap()), config).ok());
  config.prices_partitions = 8;  // Too late.
  REQUIRE(MigrateTopics(*pool, *Admin(kafka.bootstrap()), config).ok());
  CHECK(database.Count("SELECT partitions FROM mesh.topics WHERE name = 'prices'") == 4);
  testing::MockKafka other;
  other.CreateTopic("prices", 8);
  const absl::Status refused = MigrateTopics(*pool, *Admin(other.bootstrap()), config);
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK(std::string(refused.message()).find("4 are recorded") != std::string::npos);
}

TEST_CASE("waits are bounded, and say what they waited for") {
  Config config;
  config.start_timeout = absl::Seconds(1);
  config.kafka_bootstrap = "127.0.0.1:1";
  config.schema_dir = std::string(STOCKALERT_SOURCE_DIR) + "/services";
  config.postgres_url = "postgresql://nobody@127.0.0.1:1/none";
  const absl::Status no_postgres = Migrate(config);
  CHECK(absl::IsUnavailable(no_postgres));
  CHECK(std::string(no_postgres.message()).find("Postgres") != std::string::npos);
  const testing::TestDatabase database;
  config.postgres_url = database.url();
  const absl::Status no_kafka = Migrate(config);
  CHECK(absl::IsUnavailable(no_kafka));
  CHECK(std::string(no_kafka.message()).find("Kafka") != std::string::npos);
}

TEST_CASE("a folder without schemas is refused") {
  const testing::TestDatabase database;
  const auto pool = database.NewPool(1);
  Config config = MakeConfig(database);
  config.schema_dir = "/nonexistent";
  CHECK(absl::IsNotFound(MigrateSchemas(*pool, config)));
  config.schema_dir = std::string(STOCKALERT_SOURCE_DIR) + "/cmake";
  CHECK(absl::IsNotFound(MigrateSchemas(*pool, config)));
}

}  // namespace
}  // namespace stockalert::migrate
