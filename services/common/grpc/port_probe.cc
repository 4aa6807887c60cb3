#include "services/common/grpc/port_probe.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpc/health/v1/health.pb.h"
#include "services/common/config/address.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::rpc {
namespace {

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";

std::string OwnAddress(const std::string& address) {
  const absl::StatusOr<config::Address> parsed = config::ParseAddress(address);
  if (!parsed.ok()) return address;
  if (parsed->host == "0.0.0.0") return absl::StrCat("127.0.0.1:", parsed->port);
  if (parsed->host == "::") return absl::StrCat("[::1]:", parsed->port);
  return address;
}

}  // namespace

PortProbe::PortProbe(const PortProbeOptions& options)
    : options_(options), heartbeat_("port_" + options.name, options.bound, *options.liveness) {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
}

PortProbe::~PortProbe() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    if (asking_ != nullptr) asking_->TryCancel();
  }
  stopped_.NotifyAll();
  thread_.join();
}

bool PortProbe::ProbeOnce() {
  ::grpc::ChannelArguments arguments;
  // A connection of its own, so that accepting is tried as well.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(absl::ToInt64Milliseconds(options_.timeout)));
  const auto channel = ::grpc::CreateCustomChannel(OwnAddress(options_.address), options_.credentials, arguments);
  ::grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.timeout));
  context.set_wait_for_ready(false);
  {
    base::MutexLock lock(mutex_);
    if (stopping_) return false;
    asking_ = &context;
  }
  ::grpc::health::v1::HealthCheckResponse response;
  const ::grpc::internal::RpcMethod method(kCheck, nullptr, ::grpc::internal::RpcMethod::NORMAL_RPC);
  const ::grpc::Status status =
      ::grpc::internal::BlockingUnaryCall<::grpc::health::v1::HealthCheckRequest,
                                          ::grpc::health::v1::HealthCheckResponse, google::protobuf::MessageLite,
                                          google::protobuf::MessageLite>(channel.get(), method, &context, {},
                                                                         &response);
  {
    base::MutexLock lock(mutex_);
    asking_ = nullptr;
  }
  // What gRPC says itself where nobody has answered. A server that says so is seen by the others of its calls.
  return status.error_code() != ::grpc::StatusCode::UNAVAILABLE &&
         status.error_code() != ::grpc::StatusCode::DEADLINE_EXCEEDED;
}

void PortProbe::Run() {
  static const auto failures_of = [](const std::string& port) -> prometheus::Counter& {
    return metrics::GetCounter("stockalert_rpc_own_port_failures_total",
                               "Calls of the process to its own gRPC port that were not answered", {{"port", port}});
  };
  prometheus::Counter& failures = failures_of(options_.name);
  for (;;) {
    const uint64_t refused = options_.refused ? options_.refused() : 0;
    const bool answered = ProbeOnce();
    const bool busy = !answered && options_.refused && options_.refused() > refused;
    if (answered || busy) heartbeat_.Beat();
    base::MutexLock lock(mutex_);
    if (stopping_) return;
    if (!answered) {
      failures.Increment();
      static log::Limiter limiter(absl::Seconds(10));
      if (const auto suppressed = limiter.Allow()) {
        log::Warning(
            "an own port does not answer",
            {{"port", options_.name}, {"address", options_.address}, {"busy", busy}, {"suppressed", *suppressed}});
      }
    }
    if (stopped_.WaitFor(lock, options_.interval, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; }))
      return;
  }
}

}  // namespace stockalert::rpc
