// The ticker service as a whole: wiring, start and stop. Belongs to main's thread.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "services/common/process/run_main.h"
#include "services/ticker/config.h"

namespace stockalert::ticker {

class TickerApp final : public process::App {
 public:
  static absl::StatusOr<std::unique_ptr<TickerApp>> Create(const Config& config);
  ~TickerApp() override;

  // Waits for the database (its schema made by stockalert-migrate), then serves. Kafka and the fetcher may be down: the
  // latest prices stand still, and new symbols are refused, until they are back. A Kafka without the topic is an error.
  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

  // The real ports, after Start; for tests.
  int public_port() const;
  int http_port() const;
  int internal_port() const;

 private:
  struct Parts;
  explicit TickerApp(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace stockalert::ticker
