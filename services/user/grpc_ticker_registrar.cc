#include "services/user/grpc_ticker_registrar.h"

#include <algorithm>

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::user {
namespace {

// Longer than any call here lives: the follow is stored, or has failed, before the ticker may be deleted again.
constexpr int kHoldMs = 30'000;

}  // namespace

GrpcTickerRegistrar::GrpcTickerRegistrar(const rpc::Peer& ticker_service, const base::Clock& clock,
                                         absl::Duration timeout)
    : peer_(ticker_service),
      clock_(clock),
      timeout_(timeout),
      stub_(stockalert::internal::v1::TickerInternalService::NewStub(ticker_service.channel())) {}

absl::StatusOr<std::string> GrpcTickerRegistrar::Register(const std::string& symbol, const std::string& user_id,
                                                          const trace::Context& trace, absl::Time deadline) {
  stockalert::internal::v1::RegisterTickerRequest request;
  request.set_symbol(symbol);
  request.set_hold_ms(kHoldMs);
  request.set_user_id(user_id);
  stockalert::internal::v1::RegisterTickerResponse response;
  ::grpc::ClientContext context;
  peer_.Prepare(context, trace, std::min(deadline, clock_.Now() + timeout_));
  absl::Status status = rpc::FromGrpc(stub_->RegisterTicker(&context, request, &response));
  if (!status.ok() && status.code() != absl::StatusCode::kInvalidArgument) {
    metrics::GetCounter("stockalert_user_ticker_service_failures_total",
                        "Times that the ticker service failed a call of the user service")
        .Increment();
  }
  // What the ticker service cannot tell now (its source does not answer) is as good as not answering.
  if (status.code() == absl::StatusCode::kUnavailable && !base::ReasonOf(status).empty()) return status;
  STOCKALERT_RETURN_IF_ERROR(rpc::PeerFailure(status, "TICKER_SERVICE_UNAVAILABLE", "ticker service"));
  return response.symbol();
}

}  // namespace stockalert::user
