#include "services/common/grpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/log/log.h"

namespace stockalert::rpc {
namespace {

constexpr int kListenTries = 5;
constexpr absl::Duration kListenPause = absl::Milliseconds(300);
// How long the calls of a connection that grew old may take to end: longer than any may last.
constexpr absl::Duration kCallGrace = absl::Minutes(2);

std::unique_ptr<::grpc::Server> TryListen(const ServerOptions& options, int* port) {
  ::grpc::ServerBuilder builder;
  builder.AddListeningPort(options.address, options.credentials, port);
  // Otherwise two processes could serve the same port without knowing.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  if (options.connection_age_max != absl::InfiniteDuration()) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, static_cast<int>(absl::ToInt64Milliseconds(options.connection_age_max)));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, static_cast<int>(absl::ToInt64Milliseconds(kCallGrace)));
  }
  builder.SetMaxReceiveMessageSize(options.receive_bytes_max);
  builder.SetMaxSendMessageSize(options.send_bytes_max);
  for (::grpc::Service* service : options.services) builder.RegisterService(service);
  return builder.BuildAndStart();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] {
    ::grpc::EnableDefaultHealthCheckService(true);
    ::grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  if (options.credentials == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("a server on ", options.address, " needs credentials; plaintext has to be asked for"));
  }
  for (int attempt = 1; attempt <= kListenTries; ++attempt) {
    int port = 0;
    std::unique_ptr<::grpc::Server> server = TryListen(options, &port);
    if (server != nullptr && port > 0) {
      std::unique_ptr<Server> started(new Server(std::move(server), options.service_names, port));
      started->SetServing(false);
      return started;
    }
    if (attempt < kListenTries) {
      log::Warning("cannot listen for gRPC; trying again", {{"address", options.address}, {"attempt", attempt}});
      absl::SleepFor(kListenPause);
    }
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", options.address, " for gRPC: is another process there? Choose another address by its flag"));
}

Server::Server(std::unique_ptr<::grpc::Server> server, std::vector<std::string> service_names, int port)
    : server_(std::move(server)), service_names_(std::move(service_names)), port_(port) {}

Server::~Server() { Shutdown(absl::Now()); }

std::shared_ptr<::grpc::Channel> Server::InProcessChannel() { return server_->InProcessChannel(::grpc::ChannelArguments()); }

void Server::SetServing(bool serving) {
  ::grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  if (health == nullptr) return;
  // For all at once; a name that has not been set yet would be unknown.
  for (const std::string& name : service_names_) health->SetServingStatus(name, serving);
  health->SetServingStatus(serving);
}

void Server::Shutdown(absl::Time deadline) {
  if (down_) return;
  down_ = true;
  SetServing(false);
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
}

}  // namespace stockalert::rpc
