// The life of a service process, the same for each: block signals, read the configuration, build the app, start it,
// wait, stop it.
//
//   int main(int argc, char** argv) {
//     user::Config config;
//     return process::RunMain(argc, argv, {.name = "stockalert-user",
//                                          .description = "Users, API keys and followed tickers",
//                                          .declare = [&](config::Parser& parser) { user::Declare(parser, config); },
//                                          .create = [&] { return user::UserApp::Create(config); }});
//   }
//
// Exit codes: 0 stopped in order, 1 could not start, was told to fail, or did not stop in time, 2 the configuration is
// wrong. RunMain adds --log_level, --shutdown_grace_s, --healthcheck (0 ready, 1 not, within 3 s), --help and
// --version.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/config/parser.h"

namespace stockalert::process {

// A service. Built, started and stopped by the main thread.
class App {
 public:
  virtual ~App() = default;
  // Brings everything up and returns. May wait for dependencies, bounded, and gives up early where StopRequested(). An
  // error ends the process with 1; Stop is called all the same.
  virtual absl::Status Start() = 0;
  // Takes everything down in the reverse order, at the latest by `deadline`: not serving, no new work, drain, commit,
  // flush, close.
  virtual void Stop(absl::Time deadline) = 0;
};

struct Program {
  std::string name = {};  // The binary's, and the service in the logs.
  std::string description = {};
  std::function<void(config::Parser& parser)> declare = {};
  // Builds the app from the configuration; opens nothing that threads serve.
  std::function<absl::StatusOr<std::unique_ptr<App>>()> create = {};
};

// A process of which something is stuck for three times its bound (liveness.h) stops, too, as by RequestFailureStop,
// for where nobody asks /healthz. The first SIGINT or SIGTERM asks to stop, a second one ends the process at once, as
// does a Stop that outlasts its grace by 5 s.
int RunMain(int argc, char** argv, const Program& program);

// Whether the process has been asked to stop. Thread-safe.
bool StopRequested();
// Waits until the process is asked to stop, at most `timeout`; answers StopRequested(). For waits between retries in
// Start.
bool AwaitStopRequest(absl::Duration timeout);
// Makes the process stop in order and exit with 1: what a service does that cannot go on. Logs the reason. Thread-safe.
void RequestFailureStop(std::string_view reason);

}  // namespace stockalert::process
