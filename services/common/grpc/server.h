// A gRPC server of a service: its services, health (per service name too) and reflection on one address.
//
// Thread-safe. Begins NOT_SERVING. A public server takes any client; an internal one is guarded by its handlers (Access::kMesh).
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace stockalert::rpc {

struct ServerOptions {
  std::string address = {};  // "127.0.0.1:50051"; port 0 takes any free one.
  // Of Credentials, or InsecureServerCredentials() where plaintext is meant. Required.
  std::shared_ptr<::grpc::ServerCredentials> credentials = {};
  std::vector<::grpc::Service*> services = {};  // Must outlive the server.
  std::vector<std::string> service_names = {};  // "stockalert.user.v1.UserService": health answers for each, and for "".
  int receive_bytes_max = 4 * 1024 * 1024;
  int send_bytes_max = 16 * 1024 * 1024;
  // An older connection is ended in order, and its client connects anew: so that certificates which were renewed or have expired count for
  // clients that stay. No call is lost by it.
  absl::Duration connection_age_max = absl::InfiniteDuration();
};

// For internal ports, whose clients stay for ever.
inline constexpr absl::Duration kInternalConnectionAgeMax = absl::Hours(1);

class Server {
 public:
  // INVALID_ARGUMENT: no credentials. UNAVAILABLE: the address cannot be listened on (after a few tries: a fixed port may be taken for a moment).
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options);
  // Shuts down at once where Shutdown was not called.
  ~Server();

  int port() const { return port_; }
  // For tests.
  std::shared_ptr<::grpc::Channel> InProcessChannel();

  // What health answers, to watchers too.
  void SetServing(bool serving);
  // NOT_SERVING, no new calls, waits for the running ones until `deadline` and cancels what is left. Only the first call counts.
  void Shutdown(absl::Time deadline);

 private:
  Server(std::unique_ptr<::grpc::Server> server, std::vector<std::string> service_names, int port);

  std::unique_ptr<::grpc::Server> server_;
  const std::vector<std::string> service_names_;
  const int port_;
  bool down_ = false;
};

}  // namespace stockalert::rpc
