// The notifier as a whole: wiring, start and stop. Belongs to main's thread.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "services/common/process/run_main.h"
#include "services/notifier/config.h"

namespace stockalert::notifier {

class NotifierApp final : public process::App {
 public:
  static absl::StatusOr<std::unique_ptr<NotifierApp>> Create(const Config& config);
  ~NotifierApp() override;

  // Waits for the database (its schema made by stockalert-migrate), then serves. Kafka may be down: triggers wait in
  // it. A Kafka without the topics is an error.
  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

  // The real ports, after Start; for tests.
  int public_port() const;
  int http_port() const;
  // 0: mails have no link that unsubscribes.
  int unsubscribe_port() const;
  int internal_port() const;

 private:
  struct Parts;
  explicit NotifierApp(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace stockalert::notifier
