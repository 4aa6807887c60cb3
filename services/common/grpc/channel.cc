#include "services/common/grpc/channel.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "services/common/base/abseil.h"
#include "services/common/base/error.h"

namespace stockalert::rpc {
namespace {

std::string ServiceConfig(const std::vector<std::string>& retried) {
  nlohmann::json names = nlohmann::json::array();
  for (const std::string& name : retried) {
    const size_t slash = name.find('/');
    nlohmann::json entry = {{"service", name.substr(0, slash)}};
    if (slash != std::string::npos) entry["method"] = name.substr(slash + 1);
    names.push_back(entry);
  }
  return nlohmann::json{{"methodConfig",
                         {{{"name", names},
                           {"retryPolicy",
                            {{"maxAttempts", 3},
                             {"initialBackoff", "0.05s"},
                             {"maxBackoff", "0.5s"},
                             {"backoffMultiplier", 2},
                             {"retryableStatusCodes", nlohmann::json::array({"UNAVAILABLE", "CANCELLED"})}}}}}}}
      .dump();
}

std::shared_ptr<::grpc::Channel> MakeChannel(const PeerOptions& options) {
  ::grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A peer that vanished without closing its connection is found out.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetMaxReceiveMessageSize(options.receive_bytes_max);
  if (!options.certificate_name.empty()) arguments.SetSslTargetNameOverride(options.certificate_name);
  if (!options.retried.empty()) arguments.SetServiceConfigJSON(ServiceConfig(options.retried));
  return ::grpc::CreateCustomChannel(options.address, options.credentials, arguments);
}

}  // namespace

Peer::Peer(const PeerOptions& options)
    : channel_(MakeChannel(options)), mesh_token_(options.mesh_token), caller_token_(options.caller_token) {}

Peer::Peer(std::shared_ptr<::grpc::Channel> channel, std::string mesh_token)
    : channel_(std::move(channel)), mesh_token_(std::move(mesh_token)) {}

void Peer::Prepare(::grpc::ClientContext& context, const trace::Context& trace, absl::Time deadline) const {
  context.set_deadline(absl::ToChronoTime(deadline));
  context.AddMetadata(trace::kTraceparent, trace.Child().Traceparent());
  if (!mesh_token_.empty()) context.AddMetadata(kMeshTokenMetadata, mesh_token_);
  if (!caller_token_.empty()) context.AddMetadata(kCallerTokenMetadata, caller_token_);
}

absl::Status PeerFailure(const absl::Status& status, std::string_view reason, std::string_view peer_name) {
  if (status.ok()) return status;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kResourceExhausted:
      if (!base::ReasonOf(status).empty()) return status;
      break;
    default:
      break;
  }
  return base::Unavailable(reason, "the " + std::string(peer_name) + " does not answer; nothing was done: try again");
}

}  // namespace stockalert::rpc
