// Credentials for the gRPC ports of a service and for its calls to other services. By tls::Settings they are TLS from
// files, which are read again when they change, or plaintext.
//
//   internal ports   the service's certificate, mutual: clients must show one signed by an authority of the mesh
//   public port      the public certificate; clients show a bearer key instead of a certificate
//   calls            the service's certificate as client; the server's must be signed by the mesh and name the host
//
// New connections use what the files hold at that time; open ones continue. tls::Watch reports files that become
// unusable. Replace key and certificate together (a folder behind a link, as Kubernetes mounts a secret): while they do
// not match, new connections are refused. Thread-safe; must outlive the servers and channels made with it.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/tls/settings.h"
#include "services/common/tls/watch.h"

namespace stockalert::rpc {

class Credentials {
 public:
  // How soon changed files are used. Whole seconds.
  static constexpr absl::Duration kRefresh = absl::Seconds(2);

  // INVALID_ARGUMENT: what tls::Check says.
  static absl::StatusOr<std::unique_ptr<Credentials>> Create(const tls::Settings& settings,
                                                             absl::Duration refresh = kRefresh);

  // Null where the settings say that there is no public port.
  const std::shared_ptr<::grpc::ServerCredentials>& public_server() const { return public_server_; }
  const std::shared_ptr<::grpc::ServerCredentials>& internal_server() const { return internal_server_; }
  const std::shared_ptr<::grpc::ChannelCredentials>& internal_client() const { return internal_client_; }
  // For a service's calls to its own ports, whose certificate needs no check: it may have expired, or name another host
  // than loopback.
  const std::shared_ptr<::grpc::ChannelCredentials>& own_public_port() const { return own_public_port_; }
  const std::shared_ptr<::grpc::ChannelCredentials>& own_internal_port() const { return own_internal_port_; }

 private:
  Credentials() = default;

  std::shared_ptr<::grpc::ServerCredentials> public_server_;
  std::shared_ptr<::grpc::ServerCredentials> internal_server_;
  std::shared_ptr<::grpc::ChannelCredentials> internal_client_;
  std::shared_ptr<::grpc::ChannelCredentials> own_public_port_;
  std::shared_ptr<::grpc::ChannelCredentials> own_internal_port_;
  std::unique_ptr<tls::Watch> watch_;
};

}  // namespace stockalert::rpc
