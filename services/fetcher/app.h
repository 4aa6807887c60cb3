// The fetcher as a whole: publisher, source, the watch of the registered tickers, and its ports. Belongs to main's
// thread.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "services/common/process/run_main.h"
#include "services/fetcher/config.h"

namespace stockalert::fetcher {

class FetcherApp final : public process::App {
 public:
  // INVALID_ARGUMENT or NOT_FOUND: the replay's file is no such file.
  static absl::StatusOr<std::unique_ptr<FetcherApp>> Create(const Config& config);
  ~FetcherApp() override;

  absl::Status Start() override;
  void Stop(absl::Time deadline) override;

  // For tests, after Start.
  int internal_port() const;

 private:
  struct Parts;
  explicit FetcherApp(std::unique_ptr<Parts> parts);
  absl::StatusOr<int64_t> AcquireEpoch();
  // Source, symbols and lease, once there is an epoch.
  void StartPublishing(int64_t epoch);

  std::unique_ptr<Parts> parts_;
};

}  // namespace stockalert::fetcher
