#include "tests/support/test_environment/test_environment.h"

#include <libpq-fe.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/postgres/migration.h"

namespace stockalert::testing {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string VariableOrSkip(const char* name) {
  std::string value = Variable(name);
  if (value.empty()) {
    std::fprintf(stderr, "*** SKIPPED: %s is not set; run it by scripts/test integration\n", name);
    std::fflush(nullptr);
    std::_Exit(77);
  }
  return value;
}

std::string Query(const std::string& url, const std::string& sql) {
  PGconn* connection = PQconnectdb(url.c_str());
  PGresult* result = PQexec(connection, sql.c_str());
  const ExecStatusType status = PQresultStatus(result);
  std::string answer;
  std::string error;
  if (status == PGRES_TUPLES_OK && PQntuples(result) > 0) answer = PQgetvalue(result, 0, 0);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) error = PQerrorMessage(connection);
  PQclear(result);
  PQfinish(connection);
  if (!error.empty()) throw std::runtime_error(error);
  return answer;
}

// postgresql://user:password@host:port/database
size_t SlashOfDatabase(const std::string& url) {
  const size_t slash = url.find('/', url.find("://") + 3);
  if (slash == std::string::npos) throw std::runtime_error("STOCKALERT_TEST_POSTGRES must be a URL with a database");
  return slash;
}

}  // namespace

std::string UniqueName(const std::string& prefix) {
  static std::atomic<int> counter{0};
  return absl::StrCat(prefix, "_", getpid(), "_", ++counter);
}

std::string PostgresUrlOrSkip() { return VariableOrSkip("STOCKALERT_TEST_POSTGRES"); }
std::string KafkaBootstrapOrSkip() { return VariableOrSkip("STOCKALERT_TEST_KAFKA"); }
std::string KafkaBootstrapIfAny() { return Variable("STOCKALERT_TEST_KAFKA"); }

void CreateTopicOrThrow(const std::string& bootstrap, const std::string& topic, int partitions) {
  auto admin = kafka::TopicAdmin::Create({.bootstrap = bootstrap, .client_id = "test", .extra = {}});
  if (!admin.ok()) throw std::runtime_error(admin.status().ToString());
  kafka::TopicSpec spec;
  spec.name = topic;
  spec.partitions = partitions;
  spec.config = {{"message.timestamp.type", "LogAppendTime"}};
  if (const auto status = (*admin)->CreateTopic(spec, absl::Seconds(10)); !status.ok())
    throw std::runtime_error(status.ToString());
  if (const auto status = (*admin)->AwaitTopics({topic}, absl::Now() + absl::Seconds(10)); !status.ok()) {
    throw std::runtime_error(status.ToString());
  }
}

TestDatabase::TestDatabase() : name_(UniqueName("stockalert_t")) {
  const std::string server = PostgresUrlOrSkip();
  Query(server, absl::StrCat("CREATE DATABASE ", name_));
  url_ = absl::StrCat(server.substr(0, SlashOfDatabase(server)), "/", name_);
}

TestDatabase::~TestDatabase() {
  try {
    Query(PostgresUrlOrSkip(), absl::StrCat("DROP DATABASE IF EXISTS ", name_, " WITH (FORCE)"));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the test's database %s is left: %s\n", name_.c_str(), error.what());
  }
}

int TestDatabase::port() const {
  const size_t slash = SlashOfDatabase(url_);
  return std::stoi(url_.substr(url_.rfind(':', slash) + 1, slash));
}

std::string TestDatabase::UrlAtPort(int port) const {
  const size_t slash = SlashOfDatabase(url_);
  const size_t colon = url_.rfind(':', slash);
  return absl::StrCat(url_.substr(0, colon + 1), port, url_.substr(slash));
}

std::unique_ptr<postgres::Pool> TestDatabase::NewPool(int connections_max) const {
  return NewPoolAt(url_, connections_max);
}

std::unique_ptr<postgres::Pool> TestDatabase::NewPoolAt(const std::string& url, int connections_max) {
  postgres::PoolOptions options;
  options.url = url;
  options.application_name = "stockalert-test";
  options.connections_max = connections_max;
  auto pool = postgres::Pool::Create(options);
  if (!pool.ok()) throw std::runtime_error(pool.status().ToString());
  return *std::move(pool);
}

void TestDatabase::Migrate(const std::string& service) const {
  const auto migrations =
      postgres::ReadMigrations(absl::StrCat(STOCKALERT_SOURCE_DIR, "/services/", service, "/schema"));
  if (!migrations.ok()) throw std::runtime_error(migrations.status().ToString());
  const auto pool = NewPool(1);
  const auto applied = postgres::ApplyMigrations(*pool, absl::StrCat("stockalert_", service), *migrations);
  if (!applied.ok()) throw std::runtime_error(applied.status().ToString());
}

void TestDatabase::Execute(const std::string& sql) const { Query(url_, sql); }
int64_t TestDatabase::Count(const std::string& sql) const { return std::stoll(Query(url_, sql)); }

}  // namespace stockalert::testing
