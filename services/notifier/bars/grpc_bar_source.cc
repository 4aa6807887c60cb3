#include "services/notifier/bars/grpc_bar_source.h"

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/trace.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::notifier {

namespace ipb = ::stockalert::internal::v1;

namespace {

prometheus::Counter& Failures() {
  return metrics::GetCounter("stockalert_notifier_bar_failures_total",
                             "Times that the ticker service failed a call for bars");
}

}  // namespace

struct GrpcBarSource::Stub {
  std::unique_ptr<ipb::TickerInternalService::Stub> ticker;
};

GrpcBarSource::GrpcBarSource(const rpc::Peer& ticker_service, absl::Duration timeout)
    : ticker_service_(ticker_service),
      timeout_(timeout),
      stub_(std::make_unique<Stub>(Stub{ipb::TickerInternalService::NewStub(ticker_service.channel())})) {
  Failures();
}

GrpcBarSource::~GrpcBarSource() = default;

absl::StatusOr<std::vector<PriceBar>> GrpcBarSource::LastBars(const std::string& symbol, int64_t start_us,
                                                              int64_t end_us, int count_max) {
  ipb::ListLastBarsRequest request;
  request.set_symbol(symbol);
  request.set_start_time_us(start_us);
  request.set_end_time_us(end_us);
  request.set_bar_count_max(count_max);
  ipb::ListLastBarsResponse response;
  ::grpc::ClientContext context;
  ticker_service_.Prepare(context, trace::NewRoot(), absl::Now() + timeout_);
  const absl::Status status = rpc::FromGrpc(stub_->ticker->ListLastBars(&context, request, &response));
  if (!status.ok()) {
    Failures().Increment();
  }
  // The ticker service answers, but not its database: that is what to look at.
  if (absl::IsUnavailable(status) && !base::ReasonOf(status).empty()) return status;
  STOCKALERT_RETURN_IF_ERROR(rpc::PeerFailure(status, "TICKER_SERVICE_UNAVAILABLE", "ticker service"));
  std::vector<PriceBar> bars;
  bars.reserve(static_cast<size_t>(response.bars_size()));
  for (const ipb::PriceBar& bar : response.bars()) {
    bars.push_back({bar.start_time_us(), bar.open_micros(), bar.high_micros(), bar.low_micros(), bar.close_micros()});
  }
  return bars;
}

}  // namespace stockalert::notifier
