// Puts the alert service together: built by Create, brought up by Start, taken down in the reverse order by Stop.
// Belongs to main's thread.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/alert/config.h"
#include "services/common/process/run_main.h"

namespace stockalert::alert {

class AlertApp final : public process::App {
 public:
  static absl::StatusOr<std::unique_ptr<AlertApp>> Create(const Config& config);
  ~AlertApp() override;

  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

  // The real ports, after Start.
  int public_port() const;
  int http_port() const;
  int internal_port() const;

 private:
  struct Parts;
  explicit AlertApp(std::unique_ptr<Parts> parts);
  // Reads events: confirmations, triggers, deletions.
  void StartConsumer();

  const std::unique_ptr<Parts> parts_;
};

}  // namespace stockalert::alert
