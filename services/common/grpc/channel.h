// Calls from one service of the mesh to another.
//
//   rpc::Peer tickers({.address = config.ticker_address, .mesh_token = config.mesh_token});
//   auto stub = internal::v1::TickerInternalService::NewStub(tickers.channel());
//   grpc::ClientContext context;
//   tickers.Prepare(context, call.trace, std::min(call.deadline, clock.Now() + absl::Seconds(2)));
//   absl::Status status = rpc::FromGrpc(stub->RegisterTicker(&context, request, &response));
//
// Thread-safe. A peer that comes back is found again within about a second.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/trace/trace.h"

namespace stockalert::rpc {

// The metadata key of the mesh token.
inline constexpr char kMeshTokenMetadata[] = "x-stockalert-mesh-token";
// The metadata key of the caller's own token.
inline constexpr char kCallerTokenMetadata[] = "x-stockalert-caller-token";

struct PeerOptions {
  std::string address = {};
  // Credentials::internal_client(), or InsecureChannelCredentials() for plaintext. Without any, every call fails.
  std::shared_ptr<::grpc::ChannelCredentials> credentials = {};
  std::string mesh_token = {};    // Empty: none is sent.
  std::string caller_token = {};  // Likewise.
  // Fully qualified services, or "service/Method", whose calls gRPC may repeat (at most 3 tries in all) on UNAVAILABLE:
  // idempotent ones.
  std::vector<std::string> retried = {};
  int receive_bytes_max = 16 * 1024 * 1024;
  // Under TLS: the name that the peer's certificate must have. Empty: the address's host.
  std::string certificate_name = {};
};

class Peer {
 public:
  explicit Peer(const PeerOptions& options);
  // Over a channel that is there (tests: Server::InProcessChannel).
  Peer(std::shared_ptr<::grpc::Channel> channel, std::string mesh_token);

  const std::shared_ptr<::grpc::Channel>& channel() const { return channel_; }
  // Sets deadline, tokens, and traceparent (a child span of `trace`).
  void Prepare(::grpc::ClientContext& context, const trace::Context& trace, absl::Time deadline) const;

 private:
  const std::shared_ptr<::grpc::Channel> channel_;
  const std::string mesh_token_;
  const std::string caller_token_;
};

// What a handler answers when a service that it calls fails: the peer's own INVALID_ARGUMENT, NOT_FOUND,
// FAILED_PRECONDITION and RESOURCE_EXHAUSTED (with a reason) are passed on; everything else becomes UNAVAILABLE with
// `reason` ("TICKER_SERVICE_UNAVAILABLE") and a message that says that nothing was done. OK stays OK.
absl::Status PeerFailure(const absl::Status& status, std::string_view reason, std::string_view peer_name);

}  // namespace stockalert::rpc
