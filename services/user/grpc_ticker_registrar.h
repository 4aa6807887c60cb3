// Registers tickers by the ticker service's internal call. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "services/common/base/clock.h"
#include "services/common/grpc/channel.h"
#include "services/user/ticker_registrar.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::user {

class GrpcTickerRegistrar final : public TickerRegistrar {
 public:
  // `timeout` bounds a call whose own deadline is later. The arguments must outlive it.
  GrpcTickerRegistrar(const rpc::Peer& ticker_service, const base::Clock& clock, absl::Duration timeout);
  absl::StatusOr<std::string> Register(const std::string& symbol, const std::string& user_id,
                                       const trace::Context& trace, absl::Time deadline) override;

 private:
  const rpc::Peer& peer_;
  const base::Clock& clock_;
  const absl::Duration timeout_;
  const std::unique_ptr<stockalert::internal::v1::TickerInternalService::Stub> stub_;
};

}  // namespace stockalert::user
