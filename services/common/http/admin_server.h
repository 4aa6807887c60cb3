// The HTTP port of a service: /metrics, /healthz (its loops turn and its queues move: 503, with their names, where one
// has not for its bound) and /readyz (it can answer its callers now).
//
// Thread-safe. One thread serves all connections, whose number and whole times are bounded: whoever is slow to ask or
// to read keeps nobody from an answer. What may wait for something (/readyz, /metrics) is made on others, so that
// /healthz is always answered at once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/net/port_claim.h"
#include "services/common/process/liveness.h"

namespace stockalert::http {

struct AdminServerOptions {
  std::string address = {};  // "127.0.0.1:11051"; port 0 takes any free one.
  // Why the service is not ready; empty: it is. Called on threads of the server's, must be bounded (a few seconds).
  std::function<std::vector<std::string>()> not_ready_reasons = {};
  // Sets the gauges that are true only at the moment of a scrape; may be empty. Called on threads of the server's, must
  // be quick.
  std::function<void()> before_scrape = {};
  // A request, from the connection (or the answer before) to its last byte, and an answer to its last byte: whatever
  // comes in between.
  absl::Duration request_time_max = absl::Seconds(5);
  absl::Duration answer_time_max = absl::Seconds(10);
  // What /healthz answers by; watched as long as the server is there. Must outlive it.
  process::Liveness* liveness = &process::Liveness::OfProcess();
  absl::Duration port_patience = net::kPortPatience;
};

class AdminServer {
 public:
  // INVALID_ARGUMENT: not an address; UNAVAILABLE: it cannot be listened on; says who has it.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const AdminServerOptions& options);
  // Stops it.
  ~AdminServer();

  int port() const { return port_; }

 private:
  struct Impl;
  AdminServer(std::unique_ptr<Impl> impl, int port);

  std::unique_ptr<Impl> impl_;
  const int port_;
};

}  // namespace stockalert::http
