// The evaluator as a whole: wiring of store, loop and health. Belongs to main's thread.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "services/common/process/run_main.h"
#include "services/evaluator/config.h"

namespace stockalert::evaluator {

class EvaluatorApp final : public process::App {
 public:
  static absl::StatusOr<std::unique_ptr<EvaluatorApp>> Create(const Config& config);
  ~EvaluatorApp() override;

  // Waits for Postgres, Kafka and what stockalert-migrate has to have made.
  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

 private:
  struct Parts;
  explicit EvaluatorApp(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace stockalert::evaluator
