// The ports of a service with gRPC: claimed before the service connects to anything; HTTP listens from its Start on,
// gRPC once the service has what it needs.
//
//   Ports::Claim(...)      before all else
//   StartHttp(...)         /healthz is OK, /readyz is not
//   ...                    what the service waits for
//   StartCalls(...)        gRPC listens; health is NOT_SERVING
//   SetServing()           health is SERVING
//   Stop… in the reverse order
//
// Belongs to the main thread, but for what /readyz asks.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/server.h"
#include "services/common/http/admin_server.h"
#include "services/common/net/port_claim.h"
#include "services/common/postgres/pool.h"
#include "services/common/postgres/write_probe.h"

namespace stockalert::boot {

struct PortAddresses {
  std::string public_address = {};  // Empty: it has no such port.
  std::string http_address = {};
  std::string internal_address = {};
};

struct HttpOptions {
  // Why the service is not ready, before it serves and whenever it cannot answer.
  std::string starting = "its ports do not serve yet, or no more";
  // The database that it cannot answer without; null: it has none.
  postgres::Pool* pool = nullptr;
  // Asked while it serves, on threads of the HTTP server's.
  std::function<std::vector<std::string>()> other_reasons = {};
  std::function<void()> before_scrape = {};
};

// A service of gRPC by the name that its health has.
struct CallService {
  ::grpc::Service* handler = nullptr;
  std::string name = {};  // "stockalert.user.v1.UserService"
};

struct CallOptions {
  const rpc::Credentials& credentials;
  std::optional<CallService> public_service = {};
  std::vector<CallService> other_public_services = {};  // On the same port.
  int public_receive_bytes_max = 1024 * 1024;
  rpc::ServerLimits public_limits = {};
  std::string trusted_proxies = {};  // As of rpc::ServerOptions; for the public port.
  std::optional<CallService> internal_service = {};
};

class Ports {
 public:
  // Claims them all until the servers listen. UNAVAILABLE says which process has one of them.
  static absl::StatusOr<std::unique_ptr<Ports>> Claim(const PortAddresses& addresses);
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;

  absl::Status StartHttp(const HttpOptions& options);
  absl::Status StartCalls(const CallOptions& options);
  // From here on health is SERVING, except for services whose store (`schema` in `pool`) refuses writes. Null: the
  // service has no store.
  void SetServing(postgres::Pool* pool, const std::string& schema);

  // Not ready and NOT_SERVING; calls are still answered.
  void StopServing();
  // No more calls, and those that run end by `deadline`.
  void StopPublic(absl::Time deadline);
  void StopInternal(absl::Time deadline);
  // Once nothing uses the handlers any more.
  void Close();

  // The real ports, once they are listened on; else 0.
  int public_port() const { return public_server_ ? public_server_->port() : 0; }
  int http_port() const { return http_ ? http_->port() : 0; }
  int internal_port() const { return internal_server_ ? internal_server_->port() : 0; }

 private:
  Ports(PortAddresses addresses, net::PortClaims claims);
  // Those that are there.
  std::vector<rpc::Server*> Servers() const;

  const PortAddresses addresses_;
  net::PortClaims claims_;  // Until the servers have the ports.
  std::atomic<bool> serving_{false};
  std::unique_ptr<http::AdminServer> http_;
  std::unique_ptr<rpc::Server> internal_server_;
  std::unique_ptr<rpc::Server> public_server_;
  std::unique_ptr<postgres::WriteProbe> write_probe_;  // Tells the servers.
};

}  // namespace stockalert::boot
