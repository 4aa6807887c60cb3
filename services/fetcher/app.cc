#include "services/fetcher/app.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/base/status_macros.h"
#include "services/common/boot/await.h"
#include "services/common/boot/ports.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/mesh_peer.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/tls/watch.h"
#include "services/domain/market/trading_calendar.h"
#include "services/fetcher/fetcher_service.h"
#include "services/fetcher/finnhub_source.h"
#include "services/fetcher/publish_source.h"
#include "services/fetcher/publisher.h"
#include "services/fetcher/publisher_lease.h"
#include "services/fetcher/replay_source.h"
#include "services/fetcher/source.h"
#include "services/fetcher/symbol_watch.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr char kProgram[] = "stockalert-fetcher";
constexpr absl::Duration kLeaseTimeout = absl::Seconds(2);
// Calls that wait for the source: as many as it is asked at once for users.
constexpr size_t kSourceThreads = 16;
constexpr size_t kSourceQueueMax = 64;

absl::StatusOr<std::unique_ptr<QuoteSource>> MakeSource(const Config& config, Publisher& publisher) {
  if (config.source == "finnhub") {
    FinnhubSourceOptions options;
    options.rest.url = config.finnhub_rest_url;
    options.rest.api_key = config.finnhub_api_key;
    options.stream.url = config.finnhub_ws_url;
    options.stream.api_key = config.finnhub_api_key;
    options.stream.symbols_max = static_cast<size_t>(config.finnhub_stream_symbols);
    options.stream.silence_max = config.finnhub_silence;
    options.with_stream = config.finnhub_stream_symbols > 0;
    options.calls_per_minute = config.finnhub_calls_per_minute;
    options.calls_per_second = config.finnhub_calls_per_second;
    return std::make_unique<FinnhubSource>(options, publisher);
  }
  if (config.source == "replay") {
    STOCKALERT_ASSIGN_OR_RETURN(
        ReplayFile file,
        ReadReplayFile(config.file, config.replay_symbol,
                       config.replay_decimals < 0 ? std::nullopt : std::optional(config.replay_decimals)));
    log::Info("read the replay's file", {{"file", config.file},
                                         {"symbols", file.symbols.size()},
                                         {"rows", file.rows},
                                         {"quotes", file.ticks.size()},
                                         {"rows_refused", file.rows_refused},
                                         {"prices_rounded", file.prices_rounded}});
    ReplayOptions options;
    options.speed = config.speed;
    options.quotes_per_second_max = config.quotes_per_s_max;
    options.gap_max = config.gap_max;
    options.run = config.replay_run;
    options.start_file = config.replay_start_file;
    return std::make_unique<ReplaySource>(
        std::move(file), options, publisher,
        std::make_unique<KafkaReplayLog>(config.kafka_bootstrap, config.kafka_security));
  }
  return std::make_unique<PublishSource>(publisher);
}

class GrpcLeaseKeeper final : public LeaseKeeper {
 public:
  explicit GrpcLeaseKeeper(const rpc::Peer& peer)
      : peer_(peer), stub_(pb::TickerInternalService::NewStub(peer.channel())) {}

  absl::StatusOr<Lease> Renew(int64_t epoch, bool release) override {
    ::grpc::ClientContext context;
    peer_.Prepare(context, trace_, absl::Now() + kLeaseTimeout);
    pb::RenewPublisherLeaseRequest request;
    request.set_epoch(epoch);
    request.set_release(release);
    pb::RenewPublisherLeaseResponse response;
    const absl::Status status = rpc::FromGrpc(stub_->RenewPublisherLease(&context, request, &response));
    if (!status.ok()) return status;
    return Lease{response.highest_epoch(), response.renewals(), response.released(), response.log_epoch()};
  }

  absl::StatusOr<int64_t> Acquire(int64_t if_highest_is) override {
    ::grpc::ClientContext context;
    peer_.Prepare(context, trace_, absl::Now() + kLeaseTimeout);
    pb::AcquirePublisherEpochRequest request;
    request.set_if_highest_is(if_highest_is);
    pb::AcquirePublisherEpochResponse response;
    const absl::Status status = rpc::FromGrpc(stub_->AcquirePublisherEpoch(&context, request, &response));
    if (!status.ok()) return status;
    return response.epoch();
  }

 private:
  const rpc::Peer& peer_;
  const std::unique_ptr<pb::TickerInternalService::Stub> stub_;
  // One for all: a new one each time would tell nobody anything.
  const trace::Context trace_ = trace::NewRoot();
};

// The tickers that the source is to bring prices of: none while another fetcher publishes. Thread-safe.
class WantedSymbols {
 public:
  explicit WantedSymbols(QuoteSource& source) : source_(source) {}

  void SetRegistered(const std::set<std::string>& symbols) {
    base::MutexLock lock(mutex_);
    registered_ = symbols;
    UpdateSource();
  }
  void SetPublishing(bool publishes) {
    base::MutexLock lock(mutex_);
    publishes_ = publishes;
    UpdateSource();
  }

 private:
  void UpdateSource() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    source_.SetSymbols(publishes_ ? registered_ : std::set<std::string>());
  }

  QuoteSource& source_;
  base::Mutex mutex_;
  std::set<std::string> registered_ ABSL_GUARDED_BY(mutex_);
  bool publishes_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace

// In the order in which they depend on each other; Stop ends the producer before what its callbacks use.
struct FetcherApp::Parts {
  Parts(const Config& given, std::unique_ptr<rpc::Credentials> made_credentials,
        std::unique_ptr<kafka::Producer> made_producer, std::unique_ptr<boot::Ports> made_ports)
      : config(given),
        credentials(std::move(made_credentials)),
        producer(std::move(made_producer)),
        ports(std::move(made_ports)) {}

  void MeasureSession() const;

  const Config config;
  base::SystemClock clock;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<tls::Watch> kafka_files = kafka::WatchFiles(config.kafka_security);
  rpc::Peer ticker_peer{rpc::MeshPeer(config.ticker_address, *credentials, config.mesh_token, config.mesh,
                                      {"stockalert.internal.v1.TickerInternalService/ListSymbols"})};
  std::unique_ptr<kafka::Producer> producer;
  Publisher publisher{*producer, clock, {.rules = static_cast<market::Rules>(config.log_format)}};
  std::unique_ptr<QuoteSource> source;  // Which one, the configuration says.
  rpc::CallRunner runner{
      {.name = "internal", .waiting_threads = 8, .mesh_token = config.mesh_token, .mesh = config.mesh}};
  // Threads of their own: what waits for the source must not keep those waiting who bring prices themselves.
  rpc::CallRunner source_runner{{.name = "source",
                                 .threads = kSourceThreads,
                                 .queue_max = kSourceQueueMax,
                                 .mesh_token = config.mesh_token,
                                 .mesh = config.mesh}};
  // From the start on.
  std::optional<FetcherServiceHandler> service;
  std::optional<WantedSymbols> wanted;
  std::optional<SymbolWatch> symbols;
  std::optional<PublisherLease> lease;
  std::unique_ptr<boot::Ports> ports;
};

absl::StatusOr<std::unique_ptr<FetcherApp>> FetcherApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(
      std::unique_ptr<boot::Ports> ports,
      boot::Ports::Claim({.http_address = config.http_address, .internal_address = config.internal_address}));
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  kafka::ProducerOptions options = PublisherProducerOptions(config.kafka_bootstrap);
  options.security = config.kafka_security;
  options.registry = metrics::Registry();
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Producer> producer, kafka::CreateProducer(options));
  auto parts = std::make_unique<Parts>(config, std::move(credentials), std::move(producer), std::move(ports));
  STOCKALERT_ASSIGN_OR_RETURN(parts->source, MakeSource(config, parts->publisher));
  return std::unique_ptr<FetcherApp>(new FetcherApp(std::move(parts)));
}

FetcherApp::FetcherApp(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
FetcherApp::~FetcherApp() { Stop(absl::Now()); }

int FetcherApp::internal_port() const { return parts_->ports->internal_port(); }

void FetcherApp::Parts::MeasureSession() const {
  static auto& open = metrics::GetGauge("stockalert_fetcher_regular_session",
                                        "1 while the exchanges' regular session is on, by the calendar");
  open.Set(market::SessionOf(clock.NowUs()) == market::Session::kRegular ? 1 : 0);
}

absl::StatusOr<int64_t> FetcherApp::AcquireEpoch() {
  const Parts& parts = *parts_;
  auto stub = pb::TickerInternalService::NewStub(parts.ticker_peer.channel());
  const trace::Context trace = trace::NewRoot();
  const absl::Time give_up = absl::Now() + parts.config.start_timeout;
  base::Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(1)});
  for (;;) {
    ::grpc::ClientContext context;
    parts.ticker_peer.Prepare(context, trace, absl::Now() + absl::Seconds(3));
    pb::AcquirePublisherEpochResponse response;
    absl::Status status = rpc::FromGrpc(stub->AcquirePublisherEpoch(&context, {}, &response));
    if (status.ok()) return response.epoch();
    if (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status)) return status;
    const absl::Duration pause = backoff.Next();
    if (absl::Now() + pause >= give_up) {
      return absl::Status(status.code(),
                          absl::StrCat("the ticker service gave no epoch within ",
                                       absl::FormatDuration(parts.config.start_timeout), ": ", status.message()));
    }
    log::Info("waiting for the ticker service", {{"status", status}});
    if (process::AwaitStopRequest(pause)) return absl::CancelledError("asked to stop");
  }
}

absl::Status FetcherApp::Start() {
  Parts& parts = *parts_;
  const auto reasons = [&parts]() -> std::vector<std::string> {
    if (parts.lease->holds()) return {};
    return {"stands by: another fetcher publishes"};
  };
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartHttp({.starting = "has no epoch from the ticker service yet",
                                                     .other_reasons = reasons,
                                                     .before_scrape = [&parts] { parts.MeasureSession(); }}));
  parts.service.emplace(parts.runner, parts.source_runner, *parts.source, parts.publisher, parts.clock);
  STOCKALERT_RETURN_IF_ERROR(parts.ports->StartCalls(
      {.credentials = *parts.credentials,
       .internal_service = boot::CallService{&*parts.service, "stockalert.internal.v1.FetcherService"}}));
  STOCKALERT_RETURN_IF_ERROR(boot::AwaitTopics({.bootstrap = parts.config.kafka_bootstrap,
                                                .security = parts.config.kafka_security,
                                                .client_id = absl::StrCat(kProgram, "-start"),
                                                .topics = {kafka::kPricesTopic}},
                                               absl::Now() + parts.config.start_timeout));
  STOCKALERT_ASSIGN_OR_RETURN(const int64_t epoch, AcquireEpoch());
  StartPublishing(epoch);
  parts.ports->SetServing(nullptr, "");
  return absl::OkStatus();
}

void FetcherApp::StartPublishing(int64_t epoch) {
  Parts& parts = *parts_;
  parts.publisher.BeginEpoch(epoch);
  parts.publisher.ExpectQuotesOf(parts.config.source == "finnhub"  ? kSourceRest
                                 : parts.config.source == "replay" ? kSourceReplay
                                                                   : kSourcePublished);
  CountSymbolsAside(0, 0);
  log::Info("publishing", {{"epoch", epoch}, {"source", parts.config.source}});
  parts.source->Start();
  parts.wanted.emplace(*parts.source);
  parts.symbols.emplace(parts.ticker_peer, parts.config.symbols_interval,
                        [&parts](const std::set<std::string>& symbols) { parts.wanted->SetRegistered(symbols); });
  parts.symbols->Start();
  parts.lease.emplace(
      std::make_unique<GrpcLeaseKeeper>(parts.ticker_peer), PublisherLeaseOptions{},
      [&parts] {
        parts.publisher.Suspend();
        parts.wanted->SetPublishing(false);
      },
      [&parts](int64_t new_epoch) {
        parts.publisher.BeginEpoch(new_epoch);
        parts.wanted->SetPublishing(true);
      });
  parts.lease->Start(epoch);
}

void FetcherApp::Stop(absl::Time deadline) {
  Parts& parts = *parts_;
  parts.ports->StopServing();
  // First of all, so that a fetcher that stands by takes over while this one ends; what it still sends has the older
  // epoch.
  if (parts.lease) parts.lease->Stop();
  if (parts.symbols) parts.symbols->Stop();
  parts.source->Stop();
  parts.ports->StopInternal(deadline);
  parts.runner.Stop(deadline);
  parts.source_runner.Stop(deadline);
  parts.publisher.Close(std::min(deadline, absl::Now() + absl::Seconds(5)));
  // Answers what is left, while those who are to hear it are there.
  parts.producer.reset();
  parts.ports->Close();
}

}  // namespace stockalert::fetcher
