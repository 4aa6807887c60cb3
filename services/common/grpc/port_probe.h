// Calls a gRPC port of its own process, as a client would: by a new connection each time, over its TLS, with a call of
// the health service.
//
// Any answer will do, NOT_SERVING too. A port that has not answered for a minute, and refused no connection meanwhile,
// is dead, whatever else works; the heartbeat "port_NAME" shows it (process/liveness.h). A port that refuses
// connections because of their number is busy, not dead: restarting the service would only do what an attacker wants.
// Has one thread of its own.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"

namespace stockalert::rpc {

struct PortProbeOptions {
  std::string name = {};     // "public", "internal".
  std::string address = {};  // As the server listens on it, with its real port; a wildcard is asked on loopback.
  // Credentials that accept any server certificate: all that counts is that the port answers.
  std::shared_ptr<::grpc::ChannelCredentials> credentials = {};
  absl::Duration interval = absl::Seconds(5);
  absl::Duration timeout = absl::Seconds(10);
  absl::Duration bound = process::Liveness::kBound;
  // How many connections the port has refused so far; may be empty.
  std::function<uint64_t()> refused = {};
  process::Liveness* liveness = &process::Liveness::OfProcess();
};

class PortProbe {
 public:
  // Begins at once.
  explicit PortProbe(const PortProbeOptions& options);
  ~PortProbe();
  PortProbe(const PortProbe&) = delete;
  PortProbe& operator=(const PortProbe&) = delete;

  // One call; whether it was answered. For the thread and for tests.
  bool ProbeOnce();

 private:
  void Run();

  const PortProbeOptions options_;
  process::Heartbeat heartbeat_;
  base::Mutex mutex_;
  base::ConditionVariable stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  ::grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace stockalert::rpc
