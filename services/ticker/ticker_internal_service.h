// stockalert.internal.v1.TickerInternalService, for the other services.
//
// Thread-safe; gRPC calls it. What it is given must outlive it.
#pragma once

#include "services/common/grpc/call_runner.h"
#include "services/ticker/ticker_logic.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::ticker {

class TickerInternalServiceImpl final : public internal::v1::TickerInternalService::CallbackService {
 public:
  TickerInternalServiceImpl(rpc::CallRunner& runner, TickerLogic& logic) : runner_(runner), logic_(logic) {}

  grpc::ServerUnaryReactor* RegisterTicker(grpc::CallbackServerContext* context,
                                           const internal::v1::RegisterTickerRequest* request,
                                           internal::v1::RegisterTickerResponse* response) override;
  grpc::ServerUnaryReactor* GetLastPrices(grpc::CallbackServerContext* context,
                                          const internal::v1::GetLastPricesRequest* request,
                                          internal::v1::GetLastPricesResponse* response) override;
  grpc::ServerUnaryReactor* AcquirePublisherEpoch(grpc::CallbackServerContext* context,
                                                  const internal::v1::AcquirePublisherEpochRequest* request,
                                                  internal::v1::AcquirePublisherEpochResponse* response) override;
  grpc::ServerUnaryReactor* RenewPublisherLease(grpc::CallbackServerContext* context,
                                                const internal::v1::RenewPublisherLeaseRequest* request,
                                                internal::v1::RenewPublisherLeaseResponse* response) override;
  grpc::ServerUnaryReactor* ListSymbols(grpc::CallbackServerContext* context,
                                        const internal::v1::ListSymbolsRequest* request,
                                        internal::v1::ListSymbolsResponse* response) override;
  grpc::ServerUnaryReactor* ListLastBars(grpc::CallbackServerContext* context,
                                         const internal::v1::ListLastBarsRequest* request,
                                         internal::v1::ListLastBarsResponse* response) override;

 private:
  rpc::CallRunner& runner_;
  TickerLogic& logic_;
};

}  // namespace stockalert::ticker
