// The internal gRPC edge: FetcherService over a source and the publisher. Thread-safe.
#pragma once

#include "services/common/base/clock.h"
#include "services/common/grpc/call_runner.h"
#include "services/fetcher/publisher.h"
#include "services/fetcher/source.h"
#include "stockalert/internal/v1/fetcher.grpc.pb.h"

namespace stockalert::fetcher {

class FetcherServiceHandler final : public internal::v1::FetcherService::CallbackService {
 public:
  // All must outlive it.
  // `source_runner` runs what waits for the source, `runner` the rest.
  FetcherServiceHandler(rpc::CallRunner& runner, rpc::CallRunner& source_runner, QuoteSource& source,
                        Publisher& publisher, const base::Clock& clock)
      : runner_(runner), source_runner_(source_runner), source_(source), publisher_(publisher), clock_(clock) {}

  ::grpc::ServerUnaryReactor* LookupSymbol(::grpc::CallbackServerContext* context,
                                           const internal::v1::LookupSymbolRequest* request,
                                           internal::v1::LookupSymbolResponse* response) override;
  ::grpc::ServerUnaryReactor* FetchQuotes(::grpc::CallbackServerContext* context,
                                          const internal::v1::FetchQuotesRequest* request,
                                          internal::v1::FetchQuotesResponse* response) override;
  ::grpc::ServerUnaryReactor* PublishQuotes(::grpc::CallbackServerContext* context,
                                            const internal::v1::PublishQuotesRequest* request,
                                            internal::v1::PublishQuotesResponse* response) override;
  ::grpc::ServerUnaryReactor* PublishSplit(::grpc::CallbackServerContext* context,
                                           const internal::v1::PublishSplitRequest* request,
                                           internal::v1::PublishSplitResponse* response) override;
  ::grpc::ServerUnaryReactor* PublishHold(::grpc::CallbackServerContext* context,
                                          const internal::v1::PublishHoldRequest* request,
                                          internal::v1::PublishHoldResponse* response) override;

 private:
  absl::StatusOr<internal::v1::PublishQuotesResponse> Publish(const rpc::CallContext& call,
                                                              const internal::v1::PublishQuotesRequest& request);

  rpc::CallRunner& runner_;
  rpc::CallRunner& source_runner_;
  QuoteSource& source_;
  Publisher& publisher_;
  const base::Clock& clock_;
};

}  // namespace stockalert::fetcher
