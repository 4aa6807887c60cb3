// A gRPC server of a service: its services, health (per service name too) and, on public ports, reflection, on one
// address.
//
// Thread-safe. Starts NOT_SERVING. A public server accepts any client; an internal one is guarded by its handlers
// (Access::kMesh). What a client may use before it is identified is limited: connections, streams, threads, memory,
// metadata, messages, idle time, pings. docs/security.md lists what gRPC 1.51 cannot limit; the edge proxy has to do
// that. The process calls its own port and reports the result to process/liveness.h.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/listener.h"
#include "services/common/grpc/port_probe.h"
#include "services/common/grpc/server_limits.h"
#include "services/common/net/port_claim.h"

namespace stockalert::rpc {

class Reflection;

struct ServerOptions {
  std::string address = {};  // "127.0.0.1:50051"; port 0 takes any free one.
  // From Credentials, or InsecureServerCredentials() for plaintext. Required.
  std::shared_ptr<::grpc::ServerCredentials> credentials = {};
  std::vector<::grpc::Service*> services = {};  // Must outlive the server.
  std::vector<std::string> service_names =
      {};  // "stockalert.user.v1.UserService": health answers for each, and for "".
  // The size of a request's message, which gRPC holds in memory before any handler sees it. The largest valid ones,
  // batches of 100, are far smaller.
  int receive_bytes_max = 1024 * 1024;
  int send_bytes_max = 16 * 1024 * 1024;
  std::string name = "public";  // The label `port` in metrics: "public", "internal".
  ServerLimits limits = {};
  std::string trusted_proxies = {};  // As for TrustedProxies::Parse: these are not bound an address.
  bool reflection = true;
  // With them the process calls the port regularly (Credentials::own_public_port); null: it does not.
  std::shared_ptr<::grpc::ChannelCredentials> own_credentials = {};
  absl::Duration port_patience = net::kPortPatience;
};

class Server {
 public:
  // INVALID_ARGUMENT: no credentials. UNAVAILABLE: cannot listen on the address; says which process has it.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options);
  // Shuts down at once where Shutdown was not called.
  ~Server();

  int port() const { return listener_->port(); }
  // Connections that were closed because of a limit.
  uint64_t refused_connections() const { return listener_->refused(); }
  // For tests.
  std::shared_ptr<::grpc::Channel> InProcessChannel();

  // What the health service answers, also to watchers.
  void SetServing(bool serving);
  // Whether the services' store accepts writes. If not, health answers NOT_SERVING for each service's name, but SERVING
  // for "" because reads still work. Thread-safe, also beside SetServing.
  void SetWritable(bool writable);
  // NOT_SERVING, no new calls, waits for the running ones until `deadline` and cancels what is left. Only the first
  // call counts.
  void Shutdown(absl::Time deadline);

 private:
  Server(const ServerOptions& options, std::unique_ptr<Listener> listener, std::unique_ptr<Reflection> reflection);
  absl::Status BuildAndStart(const ServerOptions& options);

  const std::vector<std::string> service_names_;
  const std::unique_ptr<Reflection> reflection_;  // Null where there is none. Outlives the server.
  const std::unique_ptr<Listener> listener_;
  std::unique_ptr<::grpc::Server> server_;
  std::unique_ptr<PortProbe> probe_;
  void UpdateHealth() ABSL_EXCLUSIVE_LOCKS_REQUIRED(health_mutex_);

  bool down_ = false;
  base::Mutex health_mutex_;
  bool serving_ ABSL_GUARDED_BY(health_mutex_) = false;
  bool writable_ ABSL_GUARDED_BY(health_mutex_) = true;
};

}  // namespace stockalert::rpc
