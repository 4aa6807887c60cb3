// Accepts the connections of a gRPC server, and limits their number.
//
// gRPC 1.51's own listener has no limit, and once the process has run out of file descriptors it never accepts again,
// while everything else goes on (CVE-2023-4785). This one accepts on a thread of its own and hands each connection
// over. Connections above a limit are closed at once, so that they cost the client more than the server. If descriptors
// run out all the same, it waits and continues.
#pragma once

#include <grpcpp/server_builder.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/grpc/peer.h"
#include "services/common/process/liveness.h"

namespace prometheus {
class Gauge;
}

namespace stockalert::rpc {

struct ListenerOptions {
  std::string address =
      {};                 // "127.0.0.1:50051"; port 0 takes any free one, "0.0.0.0" all addresses, also those of IPv6.
  std::string name = {};  // The label `port` in metrics, and in the names of loops: "public", "internal".
  // At most; never more than three quarters of the files that the process may have.
  size_t connections_max = 8000;
  // From one address (of IPv6: one /64); never more than half of all.
  size_t connections_per_address_max = 4000;
  // Proxies bring the connections of many clients and limit each client themselves: only the total limit applies to
  // them.
  TrustedProxies trusted_proxies = {};
};

class Listener {
 public:
  // Listens on the address: from here on clients can connect, and wait. INVALID_ARGUMENT: not an address. UNAVAILABLE:
  // it is taken.
  static absl::StatusOr<std::unique_ptr<Listener>> Listen(const ListenerOptions& options);
  // Stops.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Starts to accept. To be called once, after the server runs.
  void Serve(std::unique_ptr<::grpc::experimental::ExternalConnectionAcceptor> acceptor);
  // Stops listening; open connections stay.
  void Stop();

  int port() const { return port_; }
  // Connections refused because of a limit or a lack of descriptors; a port that refuses is not dead.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  // A connection that was handed over. It exists as long as its descriptor is still the same socket.
  struct Connection {
    ino_t socket = 0;
    std::string peer;  // As of NetworkOf; "" for a trusted proxy.
  };
  Listener(const ListenerOptions& options, std::vector<int> sockets, int port, int wake);
  void Run();
  void AcceptFrom(int socket);
  // The limit that a connection from `peer` would exceed; null: none.
  const char* FindExceededLimit(const std::string& peer);
  void ForgetClosed();
  void Forget(int fd);
  void Refuse(int fd, const char* bound);

  const ListenerOptions options_;
  const std::vector<int> sockets_;
  const int port_;
  const int wake_;  // An eventfd.
  std::unique_ptr<::grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  // The thread's own.
  std::unordered_map<int, Connection> connections_;  // By descriptor.
  std::unordered_map<std::string, size_t> of_peer_;
  absl::Duration next_look_ = -absl::InfiniteDuration();  // For connections that were closed.
  std::atomic<uint64_t> refused_{0};
  bool stopped_ = false;  // Its owner's.
  prometheus::Gauge& open_;
  process::Heartbeat heartbeat_;
  std::thread thread_;
};

// The network that a connection counts for: "203.0.113.7", "2001:db8:1:2::/64"; an IPv4-mapped IPv6 address counts as
// IPv4. "" for other families.
std::string NetworkOf(const sockaddr_storage& address);

}  // namespace stockalert::rpc
