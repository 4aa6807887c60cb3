#include "services/ticker/grpc_peers.h"

#include <algorithm>
#include <utility>

#include "services/common/base/error.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/status_convert.h"
#include "services/domain/record/log_record.h"
#include "stockalert/internal/v1/alert_internal.grpc.pb.h"
#include "stockalert/internal/v1/fetcher.grpc.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::ticker {

namespace ipb = ::stockalert::internal::v1;

namespace {

constexpr char kFetcher[] = "fetcher";

}  // namespace

struct GrpcFetcher::Impl {
  const rpc::Peer& peer;
  std::unique_ptr<ipb::FetcherService::Stub> stub;
  base::Mutex mutex;
  base::ConditionVariable idle;
  int running ABSL_GUARDED_BY(mutex) = 0;
};

GrpcFetcher::GrpcFetcher(const rpc::Peer& peer)
    : impl_(new Impl{peer, ipb::FetcherService::NewStub(peer.channel()), {}, {}, 0}) {}

GrpcFetcher::~GrpcFetcher() {
  base::MutexLock lock(impl_->mutex);
  // Each call ends by its own deadline.
  impl_->idle.Wait(lock, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(impl_->mutex) { return impl_->running == 0; });
}

absl::StatusOr<LookedUp> GrpcFetcher::Lookup(const std::string& symbol, const std::string& user,
                                             const trace::Context& trace, absl::Time deadline) {
  ipb::LookupSymbolRequest request;
  request.set_symbol(symbol);
  request.set_user_id(user);
  ipb::LookupSymbolResponse response;
  ::grpc::ClientContext context;
  impl_->peer.Prepare(context, trace, deadline);
  const absl::Status status = rpc::FromGrpc(impl_->stub->LookupSymbol(&context, request, &response));
  if (!status.ok()) return rpc::PeerFailure(status, kReasonFetcherUnavailable, kFetcher);
  switch (response.knowledge()) {
    case ipb::LookupSymbolResponse::KNOWLEDGE_KNOWN:
      return LookedUp{Knowledge::kKnown, {}};
    case ipb::LookupSymbolResponse::KNOWLEDGE_UNKNOWN:
      return LookedUp{Knowledge::kUnknown, {}};
    case ipb::LookupSymbolResponse::KNOWLEDGE_CANNOT_TELL:
      return LookedUp{Knowledge::kNoList, {}};
    case ipb::LookupSymbolResponse::KNOWLEDGE_NOT_IN_PLAN:
      return LookedUp{Knowledge::kNotInPlan, {}};
    // What a newer fetcher says is no permission.
    default:
      return LookedUp{Knowledge::kAskLater, absl::Milliseconds(response.retry_after_ms())};
  }
}

void GrpcFetcher::FetchAsync(const std::vector<std::string>& symbols, const std::string& user,
                             const trace::Context& trace, absl::Time deadline, Fetched done) {
  struct Call {
    ::grpc::ClientContext context;
    ipb::FetchQuotesRequest request;
    ipb::FetchQuotesResponse response;
    Fetched done;
  };
  auto call = std::make_shared<Call>();
  call->request.mutable_symbols()->Assign(symbols.begin(), symbols.end());
  call->request.set_user_id(user);
  call->done = std::move(done);
  impl_->peer.Prepare(call->context, trace, deadline);
  {
    base::MutexLock lock(impl_->mutex);
    ++impl_->running;
  }
  impl_->stub->async()->FetchQuotes(
      &call->context, &call->request, &call->response, [this, call](const ::grpc::Status& grpc_status) {
        const absl::Status status = rpc::FromGrpc(grpc_status);
        if (status.ok()) {
          auto& quotes = *call->response.mutable_quotes();
          FetchedQuotes fetched{{std::make_move_iterator(quotes.begin()), std::make_move_iterator(quotes.end())}, {}};
          for (const ipb::SymbolProblem& problem : call->response.problems()) {
            fetched.problems.push_back({problem.symbol(), problem.kind() == ipb::SymbolProblem::KIND_NOT_IN_PLAN,
                                        absl::Milliseconds(std::max<int64_t>(problem.retry_after_ms(), 0))});
          }
          call->done(std::move(fetched));
        } else if (base::ReasonOf(status) == kReasonSourceUnavailable) {
          // The fetcher answers; it is its source that does not.
          call->done(status);
        } else {
          call->done(rpc::PeerFailure(status, kReasonFetcherUnavailable, kFetcher));
        }
        base::MutexLock lock(impl_->mutex);
        --impl_->running;
        impl_->idle.NotifyAll();
      });
}

absl::StatusOr<std::vector<LogPlace>> GrpcFetcher::Publish(const std::vector<ipb::QuoteRecord>& quotes,
                                                           const trace::Context& trace, absl::Time deadline) {
  ipb::PublishQuotesRequest request;
  request.mutable_quotes()->Assign(quotes.begin(), quotes.end());
  ipb::PublishQuotesResponse response;
  ::grpc::ClientContext context;
  impl_->peer.Prepare(context, trace, deadline);
  const absl::Status status = rpc::FromGrpc(impl_->stub->PublishQuotes(&context, request, &response));
  if (status.ok()) {
    std::vector<LogPlace> places;
    places.reserve(static_cast<size_t>(response.places_size()));
    for (const ipb::LogPlace& place : response.places()) places.push_back({place.partition(), place.offset()});
    return places;
  }
  absl::Status failure = rpc::PeerFailure(status, kReasonFetcherUnavailable, kFetcher);
  if (!absl::IsUnavailable(failure)) return failure;
  return base::Unavailable(kReasonFetcherUnavailable,
                           "the fetcher did not confirm the quotes, and some may be in the log: publish them again");
}

absl::StatusOr<LogPlace> GrpcFetcher::PublishSplit(const record::Split& split, const trace::Context& trace,
                                                   absl::Time deadline) {
  ipb::PublishSplitRequest request;
  *request.mutable_split() = record::EncodeRecord(split).split();
  ipb::PublishSplitResponse response;
  ::grpc::ClientContext context;
  impl_->peer.Prepare(context, trace, deadline);
  const absl::Status status = rpc::FromGrpc(impl_->stub->PublishSplit(&context, request, &response));
  if (status.ok()) return LogPlace{response.place().partition(), response.place().offset()};
  absl::Status failure = rpc::PeerFailure(status, kReasonFetcherUnavailable, kFetcher);
  if (!absl::IsUnavailable(failure)) return failure;
  return base::Unavailable(kReasonFetcherUnavailable,
                           "the fetcher did not confirm the split: it is kept, and is published as soon as can be");
}

absl::StatusOr<LogPlace> GrpcFetcher::PublishHold(const std::string& symbol, Kind kind, const trace::Context& trace,
                                                  absl::Time deadline) {
  ipb::PublishHoldRequest request;
  request.set_symbol(symbol);
  request.set_kind(kind == Kind::kSuspected ? ipb::PublishHoldRequest::KIND_SUSPECTED
                                            : ipb::PublishHoldRequest::KIND_DISMISSED);
  ipb::PublishHoldResponse response;
  ::grpc::ClientContext context;
  impl_->peer.Prepare(context, trace, deadline);
  const absl::Status status = rpc::FromGrpc(impl_->stub->PublishHold(&context, request, &response));
  if (status.ok()) return LogPlace{response.place().partition(), response.place().offset()};
  absl::Status failure = rpc::PeerFailure(status, kReasonFetcherUnavailable, kFetcher);
  if (!absl::IsUnavailable(failure)) return failure;
  return base::Unavailable(
      kReasonFetcherUnavailable,
      "the fetcher did not confirm it, and it may be in the log: look at the ticker, or ask again");
}

struct GrpcTickerUse::Impl {
  const rpc::Peer& user;
  const rpc::Peer& alert;
  std::unique_ptr<ipb::UserInternalService::Stub> user_stub;
  std::unique_ptr<ipb::AlertInternalService::Stub> alert_stub;
};

GrpcTickerUse::GrpcTickerUse(const rpc::Peer& user, const rpc::Peer& alert)
    : impl_(new Impl{user, alert, ipb::UserInternalService::NewStub(user.channel()),
                     ipb::AlertInternalService::NewStub(alert.channel())}) {}

GrpcTickerUse::~GrpcTickerUse() = default;

absl::StatusOr<int64_t> GrpcTickerUse::CountFollowers(const std::string& symbol, const trace::Context& trace,
                                                      absl::Time deadline) {
  ipb::CountFollowersRequest request;
  request.set_symbol(symbol);
  ipb::CountFollowersResponse response;
  ::grpc::ClientContext context;
  impl_->user.Prepare(context, trace, deadline);
  const absl::Status status = rpc::FromGrpc(impl_->user_stub->CountFollowers(&context, request, &response));
  if (!status.ok()) return rpc::PeerFailure(status, "USER_SERVICE_UNAVAILABLE", "user service");
  return response.follower_count();
}

absl::StatusOr<int64_t> GrpcTickerUse::CountAlerts(const std::string& symbol, const trace::Context& trace,
                                                   absl::Time deadline) {
  ipb::CountAlertsRequest request;
  request.set_symbol(symbol);
  ipb::CountAlertsResponse response;
  ::grpc::ClientContext context;
  impl_->alert.Prepare(context, trace, deadline);
  const absl::Status status = rpc::FromGrpc(impl_->alert_stub->CountAlerts(&context, request, &response));
  if (!status.ok()) return rpc::PeerFailure(status, "ALERT_SERVICE_UNAVAILABLE", "alert service");
  return response.alert_count();
}

}  // namespace stockalert::ticker
