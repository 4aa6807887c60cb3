// Accepts the connections of a gRPC server, and keeps their number within bounds.
//
// gRPC 1.51's own listener knows no bound, and once the process had no file left for a connection it never accepts
// again, while all else goes on (CVE-2023-4785). This one accepts on a thread of its own and hands each connection
// over; what comes above the bound is closed at once, so that it costs a client more than the server; where files have
// run out all the same it waits and goes on.
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
  // They bring the connections of many clients, and bound each client's themselves: of these, all count alone.
  TrustedProxies trusted_proxies = {};
};

class Listener {
 public:
  // Takes the address; clients connect from here on, and wait. INVALID_ARGUMENT: not an address. UNAVAILABLE: it cannot
  // be had now.
  static absl::StatusOr<std::unique_ptr<Listener>> Listen(const ListenerOptions& options);
  // Stops.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Begins to accept. Once. The server must run by then.
  void Serve(std::unique_ptr<::grpc::experimental::ExternalConnectionAcceptor> acceptor);
  // Gives the address up; connections that are open stay.
  void Stop();

  int port() const { return port_; }
  // Connections that were refused for a bound, or for want of files; a port that refuses is not dead.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  // A connection that was handed over: it is there as long as its descriptor is still the same socket.
  struct Connection {
    ino_t socket = 0;
    std::string peer;  // As of NetworkOf; "" for a trusted proxy.
  };
  Listener(const ListenerOptions& options, std::vector<int> sockets, int port, int wake);
  void Run();
  void AcceptFrom(int socket);
  // Null where it may be had, else which bound it is above.
  const char* FindBound(const std::string& peer);
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

// Who a connection counts for: "203.0.113.7", "2001:db8:1:2::/64"; an IPv4 address within IPv6 is one of IPv4. "" for
// other families.
std::string NetworkOf(const sockaddr_storage& address);

}  // namespace stockalert::rpc
