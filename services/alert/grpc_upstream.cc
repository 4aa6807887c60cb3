#include "services/alert/grpc_upstream.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "services/alert/alert_errors.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/status_convert.h"
#include "stockalert/internal/v1/notifier_internal.grpc.pb.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;

// As the ticker service says while it reads the log.
constexpr char kReasonPricesNotReady[] = "PRICES_NOT_READY";

}  // namespace

struct GrpcUpstream::Stubs {
  std::unique_ptr<ipb::UserInternalService::Stub> user;
  std::unique_ptr<ipb::TickerInternalService::Stub> ticker;
  std::unique_ptr<ipb::NotifierInternalService::Stub> notifier;
};

GrpcUpstream::GrpcUpstream(const rpc::Peer& user_service, const rpc::Peer& ticker_service, const rpc::Peer& notifier,
                           absl::Duration timeout)
    : user_service_(user_service),
      ticker_service_(ticker_service),
      notifier_(notifier),
      timeout_(timeout),
      stubs_(std::make_unique<Stubs>(Stubs{ipb::UserInternalService::NewStub(user_service.channel()),
                                           ipb::TickerInternalService::NewStub(ticker_service.channel()),
                                           ipb::NotifierInternalService::NewStub(notifier.channel())})) {}

GrpcUpstream::~GrpcUpstream() = default;

absl::Time GrpcUpstream::DeadlineOf(const rpc::CallContext& call) const {
  return std::min(call.deadline, absl::Now() + timeout_);
}

absl::Status GrpcUpstream::CheckUser(const std::string& user_id, const rpc::CallContext& call) {
  ipb::GetUserRequest request;
  request.set_user_id(user_id);
  ipb::GetUserResponse response;
  ::grpc::ClientContext context;
  user_service_.Prepare(context, call.trace, DeadlineOf(call));
  return rpc::PeerFailure(rpc::FromGrpc(stubs_->user->GetUser(&context, request, &response)),
                          kReasonUserServiceUnavailable, "user service");
}

absl::StatusOr<RegisteredTicker> GrpcUpstream::AskForTicker(const std::string& symbol, bool validate_only,
                                                            absl::Duration hold, const rpc::CallContext& call) {
  ipb::RegisterTickerRequest request;
  request.set_symbol(symbol);
  request.set_user_id(call.caller.user_id);
  request.set_validate_only(validate_only);
  request.set_hold_ms(static_cast<int32_t>(absl::ToInt64Milliseconds(hold)));
  ipb::RegisterTickerResponse response;
  ::grpc::ClientContext context;
  ticker_service_.Prepare(context, call.trace, DeadlineOf(call));
  absl::Status status = rpc::FromGrpc(stubs_->ticker->RegisterTicker(&context, request, &response));
  // The ticker service answers, but not what it has to ask in its turn (its database, the source): that is what to look
  // at.
  if (absl::IsUnavailable(status) && !base::ReasonOf(status).empty()) return status;
  STOCKALERT_RETURN_IF_ERROR(rpc::PeerFailure(status, kReasonTickerServiceUnavailable, "ticker service"));
  RegisteredTicker registered{response.symbol()};
  if (response.has_split_number()) registered.split_number = response.split_number();
  return registered;
}

absl::StatusOr<RegisteredTicker> GrpcUpstream::RegisterTicker(const std::string& symbol, absl::Duration hold,
                                                              const rpc::CallContext& call) {
  return AskForTicker(symbol, false, hold, call);
}

absl::StatusOr<RegisteredTicker> GrpcUpstream::CheckTicker(const std::string& symbol, const rpc::CallContext& call) {
  return AskForTicker(symbol, true, absl::ZeroDuration(), call);
}

absl::StatusOr<std::map<std::string, int64_t>> GrpcUpstream::GetSplitNumbers(const std::vector<std::string>& symbols,
                                                                             const rpc::CallContext& call) {
  ipb::GetLastPricesRequest request;
  for (const std::string& symbol : symbols) request.add_symbols(symbol);
  ipb::GetLastPricesResponse response;
  ::grpc::ClientContext context;
  ticker_service_.Prepare(context, call.trace, DeadlineOf(call));
  const absl::Status status = rpc::FromGrpc(stubs_->ticker->GetLastPrices(&context, request, &response));
  std::map<std::string, int64_t> numbers;
  // It answers, and has not read the log yet.
  if (absl::IsUnavailable(status) && base::ReasonOf(status) == kReasonPricesNotReady) return numbers;
  STOCKALERT_RETURN_IF_ERROR(rpc::PeerFailure(status, kReasonTickerServiceUnavailable, "ticker service"));
  for (const ipb::LastPrice& price : response.prices()) numbers[price.symbol()] = price.split_number();
  return numbers;
}

absl::StatusOr<std::map<std::string, LastPrices>> GrpcUpstream::GetLastPrices(const std::vector<std::string>& symbols,
                                                                              const rpc::CallContext& call) {
  ipb::GetLastPricesRequest request;
  for (const std::string& symbol : symbols) request.add_symbols(symbol);
  ipb::GetLastPricesResponse response;
  ::grpc::ClientContext context;
  ticker_service_.Prepare(context, call.trace, DeadlineOf(call));
  STOCKALERT_RETURN_IF_ERROR(
      rpc::PeerFailure(rpc::FromGrpc(stubs_->ticker->GetLastPrices(&context, request, &response)),
                       kReasonTickerServiceUnavailable, "ticker service"));
  std::map<std::string, LastPrices> prices;
  for (const ipb::LastPrice& price : response.prices()) {
    LastPrices& out = prices[price.symbol()];
    if (price.has_regular_price_micros()) out.regular_price_micros = price.regular_price_micros();
    if (price.has_extended_price_micros()) out.extended_price_micros = price.extended_price_micros();
    if (price.has_previous_close_micros()) out.previous_close_micros = price.previous_close_micros();
    if (price.has_day_open_micros()) out.day_open_micros = price.day_open_micros();
    out.split_number = price.split_number();
  }
  return prices;
}

absl::StatusOr<std::set<std::string>> GrpcUpstream::FindDestinations(const std::string& user_id,
                                                                     const std::set<std::string>& destination_ids,
                                                                     const rpc::CallContext& call) {
  ipb::FindDestinationsRequest request;
  request.set_user_id(user_id);
  for (const std::string& id : destination_ids) request.add_destination_ids(id);
  ipb::FindDestinationsResponse response;
  ::grpc::ClientContext context;
  notifier_.Prepare(context, call.trace, DeadlineOf(call));
  const absl::Status status = rpc::FromGrpc(stubs_->notifier->FindDestinations(&context, request, &response));
  // The notifier answers, but not its database: that is what to look at.
  if (absl::IsUnavailable(status) && !base::ReasonOf(status).empty()) return status;
  STOCKALERT_RETURN_IF_ERROR(rpc::PeerFailure(status, kReasonNotifierUnavailable, "notifier"));
  return std::set<std::string>(response.destination_ids().begin(), response.destination_ids().end());
}

}  // namespace stockalert::alert
