#include "services/common/grpc/server.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"
#include "services/common/grpc/reflection.h"
#include "services/common/net/port_claim.h"

namespace stockalert::rpc {
namespace {

// A client that has connected has so long for TLS and its first frame.
constexpr absl::Duration kHandshakeMax = absl::Seconds(10);

// What gRPC takes for "never".
int Milliseconds(absl::Duration duration) {
  return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(duration), std::numeric_limits<int>::max()));
}

absl::StatusOr<std::unique_ptr<Listener>> Listen(const ServerOptions& options) {
  STOCKALERT_ASSIGN_OR_RETURN(const TrustedProxies trusted_proxies, TrustedProxies::Parse(options.trusted_proxies));
  std::unique_ptr<Listener> listener;
  STOCKALERT_RETURN_IF_ERROR(net::RetryWhileTaken(options.address, options.port_patience, [&]() -> absl::Status {
    STOCKALERT_ASSIGN_OR_RETURN(
        listener, Listener::Listen(
                      {.address = options.address,
                       .name = options.name,
                       .connections_max = static_cast<size_t>(options.limits.connections_max),
                       .connections_per_address_max = static_cast<size_t>(options.limits.connections_per_address_max),
                       .trusted_proxies = trusted_proxies}));
    return absl::OkStatus();
  }));
  return listener;
}

std::vector<std::string> Listed(const ServerOptions& options) {
  std::vector<std::string> names = options.service_names;
  names.insert(names.end(), {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"});
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] { ::grpc::EnableDefaultHealthCheckService(true); });
  if (options.credentials == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("a server on ", options.address, " needs credentials; plaintext has to be asked for"));
  }
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<Listener> listener, Listen(options));
  std::unique_ptr<Server> server(new Server(
      options, std::move(listener), options.reflection ? std::make_unique<Reflection>(Listed(options)) : nullptr));
  STOCKALERT_RETURN_IF_ERROR(server->BuildAndStart(options));
  return server;
}

Server::Server(const ServerOptions& options, std::unique_ptr<Listener> listener, std::unique_ptr<Reflection> reflection)
    : service_names_(options.service_names), reflection_(std::move(reflection)), listener_(std::move(listener)) {}

absl::Status Server::BuildAndStart(const ServerOptions& options) {
  const ServerLimits& limits = options.limits;
  ::grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Who pings more often, twice, is closed.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(kHandshakeMax));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, limits.metadata_bytes_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.streams_per_connection_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(limits.connection_idle_max));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(limits.connection_age_max));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, Milliseconds(limits.connection_age_grace));
  builder.SetMaxReceiveMessageSize(options.receive_bytes_max);
  builder.SetMaxSendMessageSize(options.send_bytes_max);
  builder.SetResourceQuota(
      ::grpc::ResourceQuota(options.name).Resize(static_cast<size_t>(limits.memory_mib_max) * 1024 * 1024));
  for (::grpc::Service* service : options.services) builder.RegisterService(service);
  if (reflection_ != nullptr) builder.RegisterService(reflection_.get());
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
      ::grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, options.credentials);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr)
    return absl::UnavailableError(absl::StrCat("gRPC does not start a server for ", options.address));
  SetServing(false);
  listener_->Serve(std::move(acceptor));
  if (options.own_credentials != nullptr) {
    const absl::StatusOr<config::Address> address = config::ParseAddress(options.address);
    const bool v6 = address->host.find(':') != std::string::npos;
    probe_ = std::make_unique<PortProbe>(
        PortProbeOptions{.name = options.name,
                         .address = absl::StrCat(v6 ? "[" : "", address->host, v6 ? "]:" : ":", port()),
                         .credentials = options.own_credentials,
                         .refused = [listener = listener_.get()] { return listener->refused(); }});
  }
  return absl::OkStatus();
}

Server::~Server() { Shutdown(absl::Now()); }

std::shared_ptr<::grpc::Channel> Server::InProcessChannel() {
  return server_->InProcessChannel(::grpc::ChannelArguments());
}

void Server::SetServing(bool serving) {
  base::MutexLock lock(health_mutex_);
  serving_ = serving;
  UpdateHealth();
}

void Server::SetWritable(bool writable) {
  base::MutexLock lock(health_mutex_);
  writable_ = writable;
  UpdateHealth();
}

void Server::UpdateHealth() {
  ::grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  if (health == nullptr) return;
  // Not for all at once: a name that has not been set yet would be unknown.
  for (const std::string& name : service_names_) health->SetServingStatus(name, serving_ && writable_);
  health->SetServingStatus("", serving_);
}

void Server::Shutdown(absl::Time deadline) {
  if (down_) return;
  down_ = true;
  if (server_ == nullptr) return;
  SetServing(false);
  probe_.reset();
  listener_->Stop();
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
}

}  // namespace stockalert::rpc
