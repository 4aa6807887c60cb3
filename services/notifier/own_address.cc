#include "services/notifier/own_address.h"

#include <grpcpp/client_context.h>

#include "absl/time/clock.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/trace.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::notifier {
namespace {

namespace ipb = ::stockalert::internal::v1;

prometheus::Counter& Failures() {
  return metrics::GetCounter("stockalert_own_address_failures_total",
                             "Times that the user service did not say whether an address is its user's own");
}

}  // namespace

struct OwnAddress::Impl {
  const rpc::Peer& peer;
  absl::Duration timeout;
  std::unique_ptr<ipb::UserInternalService::Stub> stub;
};

OwnAddress::OwnAddress(const rpc::Peer& user_service, absl::Duration timeout)
    : impl_(new Impl{user_service, timeout, ipb::UserInternalService::NewStub(user_service.channel())}) {
  Failures();
}

OwnAddress::~OwnAddress() = default;

std::string OwnAddress::Find(const std::string& user_id) const {
  ipb::GetUserRequest request;
  request.set_user_id(user_id);
  ipb::GetUserResponse response;
  ::grpc::ClientContext context;
  impl_->peer.Prepare(context, trace::NewRoot(), absl::Now() + impl_->timeout);
  const absl::Status status = rpc::FromGrpc(impl_->stub->GetUser(&context, request, &response));
  if (!status.ok()) {
    Failures().Increment();
    log::Warning("the user service does not say which address is a user's own: a code has to prove it",
                 {{"error", std::string(status.message())}});
    return "";
  }
  return response.email_verified() ? response.email() : "";
}

}  // namespace stockalert::notifier
