// stockalert.ticker.v1.TickerService: checks requests, calls the logic, makes responses.
//
// Thread-safe; gRPC calls it. What it is given must outlive it.
#pragma once

#include "services/common/base/clock.h"
#include "services/common/grpc/call_runner.h"
#include "services/ticker/hold_logic.h"
#include "services/ticker/price_board.h"
#include "services/ticker/split_logic.h"
#include "services/ticker/ticker_logic.h"
#include "stockalert/ticker/v1/ticker.grpc.pb.h"

namespace stockalert::ticker {

class TickerServiceImpl final : public v1::TickerService::CallbackService {
 public:
  // `source_runner` runs what always waits for the source, `runner` the rest.
  TickerServiceImpl(rpc::CallRunner& runner, rpc::CallRunner& source_runner, TickerLogic& logic, SplitLogic& splits,
                    HoldLogic& holds, PriceBoard& board, const base::Clock& clock)
      : runner_(runner),
        source_runner_(source_runner),
        logic_(logic),
        splits_(splits),
        holds_(holds),
        board_(board),
        clock_(clock) {}

  grpc::ServerUnaryReactor* RegisterTicker(grpc::CallbackServerContext* context,
                                           const v1::RegisterTickerRequest* request, v1::Ticker* response) override;
  grpc::ServerUnaryReactor* BatchRegisterTickers(grpc::CallbackServerContext* context,
                                                 const v1::BatchRegisterTickersRequest* request,
                                                 v1::BatchRegisterTickersResponse* response) override;
  grpc::ServerUnaryReactor* GetTicker(grpc::CallbackServerContext* context, const v1::GetTickerRequest* request,
                                      v1::Ticker* response) override;
  grpc::ServerUnaryReactor* ListTickers(grpc::CallbackServerContext* context, const v1::ListTickersRequest* request,
                                        v1::ListTickersResponse* response) override;
  grpc::ServerUnaryReactor* DeleteTicker(grpc::CallbackServerContext* context, const v1::DeleteTickerRequest* request,
                                         google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* GetQuote(grpc::CallbackServerContext* context, const v1::GetQuoteRequest* request,
                                     quote::v1::Quote* response) override;
  grpc::ServerUnaryReactor* BatchGetQuotes(grpc::CallbackServerContext* context,
                                           const v1::BatchGetQuotesRequest* request,
                                           v1::BatchGetQuotesResponse* response) override;
  grpc::ServerUnaryReactor* PublishQuotes(grpc::CallbackServerContext* context, const v1::PublishQuotesRequest* request,
                                          v1::PublishQuotesResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchQuotesResponse>* WatchQuotes(grpc::CallbackServerContext* context,
                                                                 const v1::WatchQuotesRequest* request) override;
  grpc::ServerUnaryReactor* ListBars(grpc::CallbackServerContext* context, const v1::ListBarsRequest* request,
                                     v1::ListBarsResponse* response) override;
  grpc::ServerUnaryReactor* DeclareSplit(grpc::CallbackServerContext* context, const v1::DeclareSplitRequest* request,
                                         v1::Split* response) override;
  grpc::ServerUnaryReactor* ListSplits(grpc::CallbackServerContext* context, const v1::ListSplitsRequest* request,
                                       v1::ListSplitsResponse* response) override;
  grpc::ServerUnaryReactor* HoldSymbol(grpc::CallbackServerContext* context, const v1::HoldSymbolRequest* request,
                                       v1::Ticker* response) override;
  grpc::ServerUnaryReactor* DismissSplit(grpc::CallbackServerContext* context, const v1::DismissSplitRequest* request,
                                         v1::Ticker* response) override;

 private:
  rpc::CallRunner& runner_;
  rpc::CallRunner& source_runner_;
  TickerLogic& logic_;
  SplitLogic& splits_;
  HoldLogic& holds_;
  PriceBoard& board_;
  const base::Clock& clock_;
};

}  // namespace stockalert::ticker
