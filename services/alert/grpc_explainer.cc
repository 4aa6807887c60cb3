#include "services/alert/grpc_explainer.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "services/alert/alert_errors.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/status_convert.h"
#include "stockalert/internal/v1/evaluator_internal.grpc.pb.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;

// As many as there may be evaluators: the topic's partitions, unless the operator says otherwise.
constexpr size_t kOwnersMax = 64;

}  // namespace

GrpcExplainer::GrpcExplainer(MakePeer make_peer, const std::string& evaluator_address, absl::Duration timeout)
    : make_peer_(std::move(make_peer)), timeout_(timeout), any_(make_peer_(evaluator_address)) {}

std::shared_ptr<rpc::Peer> GrpcExplainer::PeerAt(const std::string& address) {
  base::MutexLock lock(mutex_);
  if (owners_.size() >= kOwnersMax && owners_.count(address) == 0) owners_.clear();
  std::shared_ptr<rpc::Peer>& owner = owners_[address];
  if (owner == nullptr) owner = make_peer_(address);
  return owner;
}

absl::StatusOr<ipb::ExplainAlertResponse> GrpcExplainer::Ask(const rpc::Peer& evaluator, const std::string& alert_id,
                                                             const std::string& symbol,
                                                             const rpc::CallContext& call) const {
  ipb::ExplainAlertRequest request;
  request.set_alert_id(alert_id);
  request.set_symbol(symbol);
  ipb::ExplainAlertResponse response;
  ::grpc::ClientContext context;
  evaluator.Prepare(context, call.trace, std::min(call.deadline, absl::Now() + timeout_));
  const auto stub = ipb::EvaluatorInternalService::NewStub(evaluator.channel());
  const absl::Status status = rpc::FromGrpc(stub->ExplainAlert(&context, request, &response));
  // It answers, and says why it cannot.
  if (absl::IsUnavailable(status) && !base::ReasonOf(status).empty()) return status;
  if (absl::IsResourceExhausted(status) && !base::ReasonOf(status).empty()) return status;
  if (status.ok()) return response;
  return base::Unavailable(kReasonEvaluatorUnavailable,
                           "the evaluator does not answer; the alert itself is kept, and watched as soon as the "
                           "evaluator is there: ask again in a moment");
}

absl::StatusOr<ipb::FoldedAlert> GrpcExplainer::Explain(const std::string& alert_id, const std::string& symbol,
                                                        const rpc::CallContext& call) {
  STOCKALERT_ASSIGN_OR_RETURN(ipb::ExplainAlertResponse response, Ask(*any_, alert_id, symbol, call));
  if (response.has_owner_address()) {
    const std::string owner = response.owner_address();
    STOCKALERT_ASSIGN_OR_RETURN(response, Ask(*PeerAt(owner), alert_id, symbol, call));
  }
  if (response.has_alert()) return std::move(*response.mutable_alert());
  // It has changed hands meanwhile.
  return base::Unavailable(kReasonPartitionNotOwned,
                           "the alert's part of the log is going from one evaluator to another: ask again in a moment");
}

}  // namespace stockalert::alert
