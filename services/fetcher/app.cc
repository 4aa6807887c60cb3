#include "services/fetcher/app.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/domain/market/trading_calendar.h"
#include "services/fetcher/finnhub_source.h"
#include "services/fetcher/publish_source.h"
#include "services/fetcher/replay_source.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

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
    STOCKALERT_ASSIGN_OR_RETURN(ReplayFile file, ReadReplayFile(config.file, config.replay_symbol));
    log::Info("read the replay's file", {{"file", config.file},
                                         {"symbols", file.symbols.size()},
                                         {"quotes", file.ticks.size()},
                                         {"rows_refused", file.rows_refused}});
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

}  // namespace

FetcherApp::FetcherApp(const Config& config, std::unique_ptr<rpc::Credentials> credentials)
    : config_(config),
      credentials_(std::move(credentials)),
      kafka_files_(kafka::WatchFiles(config.kafka_security)),
      ticker_service_(rpc::PeerOptions{.address = config.ticker_address,
                                       .credentials = credentials_->internal_client(),
                                       .mesh_token = config.mesh_token,
                                       .caller_token = config.mesh.caller_token,
                                       .retried = {"stockalert.internal.v1.TickerInternalService/ListSymbols"}}) {}

FetcherApp::~FetcherApp() { Stop(absl::Now()); }

absl::StatusOr<std::unique_ptr<process::App>> FetcherApp::Create(const Config& config) {
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<rpc::Credentials> credentials, rpc::Credentials::Create(config.tls));
  auto app = std::unique_ptr<FetcherApp>(new FetcherApp(config, std::move(credentials)));
  STOCKALERT_ASSIGN_OR_RETURN(app->claims_, net::PortClaims::Take({config.internal_address, config.http_address}));
  kafka::ProducerOptions options = PublisherProducerOptions(config.kafka_bootstrap);
  options.security = config.kafka_security;
  options.registry = metrics::Registry();
  STOCKALERT_ASSIGN_OR_RETURN(app->producer_, kafka::CreateProducer(options));
  app->publisher_ = std::make_unique<Publisher>(*app->producer_, app->clock_);
  STOCKALERT_ASSIGN_OR_RETURN(app->source_, MakeSource(config, *app->publisher_));
  return app;
}

void FetcherApp::MeasureSession() const {
  static auto& open = metrics::GetGauge("stockalert_fetcher_regular_session",
                                        "1 while the exchanges' regular session is on, by the calendar");
  open.Set(market::SessionOf(clock_.NowUs()) == market::Session::kRegular ? 1 : 0);
}

void FetcherApp::GiveSymbols() {
  static const std::set<std::string> kNone;
  source_->SetSymbols(publishes_ ? registered_ : kNone);
}

std::vector<std::string> FetcherApp::NotReadyReasons() const {
  if (!ready_) return {"has no epoch from the ticker service yet"};
  if (lease_ && !lease_->holds()) return {"stands by: another fetcher publishes"};
  return {};
}

absl::Status FetcherApp::AwaitTopics() {
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TopicAdmin> admin,
                              kafka::TopicAdmin::Create({.bootstrap = config_.kafka_bootstrap,
                                                         .security = config_.kafka_security,
                                                         .client_id = "stockalert-fetcher-start",
                                                         .extra = {}}));
  const absl::Time give_up = absl::Now() + config_.dependencies_wait;
  for (;;) {
    absl::Status status = admin->AwaitTopics({kafka::kPricesTopic}, std::min(absl::Now() + absl::Seconds(3), give_up));
    if (status.ok() || absl::Now() >= give_up) return status;
    log::Info("waiting for Kafka", {{"status", status}});
    if (process::AwaitStopRequest(absl::Milliseconds(200))) return absl::CancelledError("asked to stop");
  }
}

absl::StatusOr<int64_t> FetcherApp::AcquireEpoch() {
  auto stub = pb::TickerInternalService::NewStub(ticker_service_.channel());
  const trace::Context trace = trace::NewRoot();
  const absl::Time give_up = absl::Now() + config_.dependencies_wait;
  base::Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(1)});
  for (;;) {
    ::grpc::ClientContext context;
    ticker_service_.Prepare(context, trace, absl::Now() + absl::Seconds(3));
    pb::AcquirePublisherEpochResponse response;
    absl::Status status = rpc::FromGrpc(stub->AcquirePublisherEpoch(&context, {}, &response));
    if (status.ok()) return response.epoch();
    if (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status)) return status;
    const absl::Duration pause = backoff.Next();
    if (absl::Now() + pause >= give_up) {
      return absl::Status(status.code(),
                          absl::StrCat("the ticker service gave no epoch within ",
                                       absl::FormatDuration(config_.dependencies_wait), ": ", status.message()));
    }
    log::Info("waiting for the ticker service", {{"status", status}});
    if (process::AwaitStopRequest(pause)) return absl::CancelledError("asked to stop");
  }
}

absl::Status FetcherApp::Start() {
  STOCKALERT_ASSIGN_OR_RETURN(admin_,
                              http::AdminServer::Start({.address = config_.http_address,
                                                        .not_ready_reasons = [this] { return NotReadyReasons(); },
                                                        .before_scrape = [this] { MeasureSession(); }}));
  runner_ = std::make_unique<rpc::CallRunner>(rpc::CallRunnerOptions{
      .name = "internal", .waiting_threads = 8, .mesh_token = config_.mesh_token, .mesh = config_.mesh});
  // Threads of their own: what waits for the source must not keep those waiting who bring prices themselves.
  source_runner_ = std::make_unique<rpc::CallRunner>(rpc::CallRunnerOptions{.name = "source",
                                                                            .threads = kSourceThreads,
                                                                            .queue_max = kSourceQueueMax,
                                                                            .mesh_token = config_.mesh_token,
                                                                            .mesh = config_.mesh});
  handler_ = std::make_unique<FetcherServiceHandler>(*runner_, *source_runner_, *source_, *publisher_, clock_);
  STOCKALERT_ASSIGN_OR_RETURN(server_, rpc::Server::Start({.address = config_.internal_address,
                                                           .credentials = credentials_->internal_server(),
                                                           .services = {handler_.get()},
                                                           .service_names = {"stockalert.internal.v1.FetcherService"},
                                                           .name = "internal",
                                                           .limits = rpc::kInternalLimits,
                                                           .reflection = false,
                                                           .own_credentials = credentials_->own_internal_port()}));
  claims_.Release();
  STOCKALERT_RETURN_IF_ERROR(AwaitTopics());
  STOCKALERT_ASSIGN_OR_RETURN(const int64_t epoch, AcquireEpoch());
  publisher_->Begin(epoch);
  publisher_->ExpectQuotesOf(config_.source == "finnhub"  ? kSourceRest
                             : config_.source == "replay" ? kSourceReplay
                                                          : kSourcePublished);
  CountSymbolsAside(0, 0);
  log::Info("publishing", {{"epoch", epoch}, {"source", config_.source}});
  source_->Start();
  symbols_ = std::make_unique<SymbolWatch>(ticker_service_, config_.symbols_interval,
                                           [this](const std::set<std::string>& symbols) {
                                             base::MutexLock lock(symbols_mutex_);
                                             registered_ = symbols;
                                             GiveSymbols();
                                           });
  symbols_->Start();
  const auto publishes = [this](bool now) {
    base::MutexLock lock(symbols_mutex_);
    publishes_ = now;
    GiveSymbols();
  };
  lease_ = std::make_unique<PublisherLease>(
      std::make_unique<GrpcLeaseKeeper>(ticker_service_), PublisherLeaseOptions{},
      [this, publishes] {
        publisher_->Suspend();
        publishes(false);
      },
      [this, publishes](int64_t new_epoch) {
        publisher_->Begin(new_epoch);
        publishes(true);
      });
  lease_->Start(epoch);
  ready_ = true;
  server_->SetServing(true);
  return absl::OkStatus();
}

void FetcherApp::Stop(absl::Time deadline) {
  ready_ = false;
  if (server_) server_->SetServing(false);
  // First of all, so that a fetcher that stands by takes over while this one ends; what it still sends has the older
  // epoch.
  if (lease_) lease_->Stop();
  if (symbols_) symbols_->Stop();
  if (source_) source_->Stop();
  if (server_) server_->Shutdown(deadline);
  if (runner_) runner_->Stop(deadline);
  if (source_runner_) source_runner_->Stop(deadline);
  if (publisher_) publisher_->Close(std::min(deadline, absl::Now() + absl::Seconds(5)));
  // Answers what is left, while those who are to hear it are there.
  producer_.reset();
  server_.reset();
  admin_.reset();
}

}  // namespace stockalert::fetcher
