// The user service as a whole: wiring, start and stop.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "services/common/process/run_main.h"
#include "services/user/config.h"

namespace stockalert::user {

class UserApp final : public process::App {
 public:
  static absl::StatusOr<std::unique_ptr<UserApp>> Create(const Config& config);
  ~UserApp() override;

  // Waits for the database (its schema made by stockalert-migrate), then serves. Kafka may be down: deletions wait in
  // the outbox.
  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

  // The real ports, after Start; for tests.
  int public_port() const;
  int http_port() const;
  int internal_port() const;

 private:
  struct Parts;
  explicit UserApp(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace stockalert::user
