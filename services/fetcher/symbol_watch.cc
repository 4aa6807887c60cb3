#include "services/fetcher/symbol_watch.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::fetcher {

namespace pb = ::stockalert::internal::v1;

namespace {

// A long list is asked for again only after so many times as long as it took: a stream of registrations must not keep
// the ticker service listing.
constexpr int kPauseAfterList = 4;
constexpr absl::Duration kPauseMax = absl::Seconds(30);

}  // namespace

SymbolWatch::SymbolWatch(const rpc::Peer& ticker_service, absl::Duration interval,
                         std::function<void(const std::set<std::string>&)> on_change, int page_size, size_t symbols_max)
    : ticker_service_(ticker_service),
      interval_(interval),
      page_size_(page_size),
      symbols_max_(symbols_max),
      on_change_(std::move(on_change)) {}

SymbolWatch::~SymbolWatch() { Stop(); }

void SymbolWatch::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
}

void SymbolWatch::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

absl::StatusOr<std::optional<std::set<std::string>>> SymbolWatch::List(int64_t* version) {
  auto stub = pb::TickerInternalService::NewStub(ticker_service_.channel());
  // One trace for all of it: a new one several times a second would tell nobody anything.
  static const trace::Context trace = trace::NewRoot();
  std::set<std::string> symbols;
  std::string after;
  int64_t first_version = 0;
  for (;;) {
    heartbeat_.Beat();
    ::grpc::ClientContext context;
    ticker_service_.Prepare(context, trace, absl::Now() + absl::Seconds(2));
    pb::ListSymbolsRequest request;
    request.set_known_version(*version);
    request.set_page_size(page_size_);
    request.set_after(after);
    pb::ListSymbolsResponse response;
    const absl::Status status = rpc::FromGrpc(stub->ListSymbols(&context, request, &response));
    if (!status.ok()) return status;
    if (response.unchanged()) return std::optional<std::set<std::string>>();
    // The first page's: what was registered behind its back since then is in a later version.
    if (after.empty()) first_version = response.version();
    for (std::string& symbol : *response.mutable_symbols()) symbols.insert(symbols.end(), std::move(symbol));
    if (symbols.size() > symbols_max_) return absl::ResourceExhaustedError("the list of tickers is too long");
    // A page that brings nothing further would be asked for without end.
    if (response.more() && (symbols.empty() || *symbols.rbegin() <= after))
      return absl::InternalError("a page of tickers does not go on");
    if (!response.more()) break;
    after = *symbols.rbegin();
    base::MutexLock lock(mutex_);
    if (stopped_) return absl::CancelledError("stopping");
  }
  *version = first_version;
  return std::optional(std::move(symbols));
}

void SymbolWatch::Run() {
  auto& failures = metrics::GetCounter("stockalert_fetcher_symbol_list_failures_total",
                                       "Times that the ticker service did not list its symbols");
  auto& count = metrics::GetGauge("stockalert_fetcher_symbols", "Registered tickers, as last heard");
  const base::SystemMonotonicClock clock;
  int64_t version = 0;
  for (;;) {
    const int64_t begun_us = clock.NowUs();
    absl::StatusOr<std::optional<std::set<std::string>>> symbols = List(&version);
    if (!symbols.ok()) {
      failures.Increment();
      static log::Limiter limiter(absl::Seconds(10));
      if (const auto suppressed = limiter.Allow()) {
        log::Warning("the ticker service does not list its symbols; going on with the last list",
                     {{"status", symbols.status()}, {"suppressed", *suppressed}});
      }
    } else if (symbols->has_value()) {
      count.Set(static_cast<double>((*symbols)->size()));
      log::Info("the registered tickers changed", {{"version", version}, {"symbols", (*symbols)->size()}});
      on_change_(**symbols);
    }
    const absl::Duration pause =
        std::max(interval_, std::min(kPauseMax, absl::Microseconds(kPauseAfterList * (clock.NowUs() - begun_us))));
    base::MutexLock lock(mutex_);
    if (changed_.WaitFor(lock, pause, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; })) return;
  }
}

}  // namespace stockalert::fetcher
