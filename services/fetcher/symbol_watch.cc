#include "services/fetcher/symbol_watch.h"

#include <utility>

#include "absl/time/clock.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::fetcher {

namespace pb = ::stockalert::internal::v1;

SymbolWatch::SymbolWatch(const rpc::Peer& ticker_service, absl::Duration interval,
                         std::function<void(const std::set<std::string>&)> on_change)
    : ticker_service_(ticker_service), interval_(interval), on_change_(std::move(on_change)) {}

SymbolWatch::~SymbolWatch() { Stop(); }

void SymbolWatch::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
}

void SymbolWatch::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

void SymbolWatch::Run() {
  auto stub = pb::TickerInternalService::NewStub(ticker_service_.channel());
  auto& failures = metrics::GetCounter("stockalert_fetcher_symbol_list_failures_total",
                                       "Times that the ticker service did not list its symbols");
  auto& count = metrics::GetGauge("stockalert_fetcher_symbols", "Registered tickers, as last heard");
  // One trace for all of it: a new one several times a second would tell nobody anything.
  const trace::Context trace = trace::NewRoot();
  int64_t version = 0;
  for (;;) {
    heartbeat_.Beat();
    ::grpc::ClientContext context;
    ticker_service_.Prepare(context, trace, absl::Now() + absl::Seconds(2));
    pb::ListSymbolsRequest request;
    request.set_known_version(version);
    pb::ListSymbolsResponse response;
    const absl::Status status = rpc::FromGrpc(stub->ListSymbols(&context, request, &response));
    if (!status.ok()) {
      failures.Increment();
      static log::Limiter limiter(absl::Seconds(10));
      if (const auto suppressed = limiter.Allow()) {
        log::Warning("the ticker service does not list its symbols; going on with the last list",
                     {{"status", status}, {"suppressed", *suppressed}});
      }
    } else if (!response.unchanged()) {
      version = response.version();
      const std::set<std::string> symbols(response.symbols().begin(), response.symbols().end());
      count.Set(static_cast<double>(symbols.size()));
      log::Info("the registered tickers changed", {{"version", version}, {"symbols", symbols.size()}});
      on_change_(symbols);
    }
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, absl::ToChronoMicroseconds(interval_), [&] { return stopped_; })) return;
  }
}

}  // namespace stockalert::fetcher
