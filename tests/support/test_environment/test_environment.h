// The real Postgres and Kafka that integration tests are given by STOCKALERT_TEST_POSTGRES and STOCKALERT_TEST_KAFKA.
// Where one is not set, the test program says so loudly and exits with 77, which CTest shows as skipped.
//
// Tests make databases and topics of their own, so that they can run side by side.
#pragma once

#include <memory>
#include <string>

#include "services/common/postgres/pool.h"

namespace stockalert::testing {

// Unique for each call and process: "prefix_1234_1".
std::string UniqueName(const std::string& prefix);

std::string PostgresUrlOrSkip();
std::string KafkaBootstrapOrSkip();
// Empty where there is none: for tests that also have the mock cluster.
std::string KafkaBootstrapIfAny();

// A topic of its own name on the real broker, with append times as the mesh has them.
void CreateTopicOrThrow(const std::string& bootstrap, const std::string& topic, int partitions);

// A fresh database, dropped in the end.
class TestDatabase {
 public:
  TestDatabase();
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  const std::string& url() const { return url_; }
  // The same database at another port of 127.0.0.1, as through a proxy.
  std::string UrlAtPort(int port) const;
  int port() const;
  std::unique_ptr<postgres::Pool> NewPool(int connections_max = 4) const;
  static std::unique_ptr<postgres::Pool> NewPoolAt(const std::string& url, int connections_max = 4);
  // The SQL files of a service: "evaluator".
  void Migrate(const std::string& service) const;
  // Runs SQL without an answer; throws where it fails.
  void Execute(const std::string& sql) const;
  int64_t Count(const std::string& sql) const;

 private:
  std::string name_;
  std::string url_;
};

}  // namespace stockalert::testing
