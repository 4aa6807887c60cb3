// The evaluator's process: wiring of store, loop and health.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "services/common/http/admin_server.h"
#include "services/common/net/port_claim.h"
#include "services/common/postgres/pool.h"
#include "services/common/process/run_main.h"
#include "services/common/tls/watch.h"
#include "services/evaluator/config.h"
#include "services/evaluator/evaluator_service.h"
#include "services/evaluator/postgres_evaluator_store.h"

namespace stockalert::evaluator {

class EvaluatorApp final : public process::App {
 public:
  static absl::StatusOr<std::unique_ptr<process::App>> Create(const Config& config);

  // Waits for Postgres, Kafka and what stockalert-migrate has to have made, at most start_timeout each.
  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

 private:
  EvaluatorApp(const Config& config, net::PortClaims claims, std::unique_ptr<postgres::Pool> pool);
  absl::Status AwaitDependencies();
  // The number of partitions that stockalert-migrate recorded against what the broker has.
  absl::Status CheckPartitionCount();
  std::vector<std::string> NotReadyReasons();

  net::PortClaims claims_;  // Until the servers have the ports.
  const Config config_;
  const std::unique_ptr<tls::Watch> kafka_files_;
  const std::unique_ptr<postgres::Pool> pool_;
  PostgresEvaluatorStore store_;
  std::unique_ptr<EvaluatorService> service_;
  std::atomic<EvaluatorService*> started_{nullptr};  // What the HTTP threads look at.
  std::unique_ptr<http::AdminServer> admin_;
};

}  // namespace stockalert::evaluator
