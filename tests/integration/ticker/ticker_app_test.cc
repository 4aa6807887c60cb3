// The whole ticker service over real Postgres and Kafka; its peers are fakes on a real port.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <deque>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/grpc/time_convert.h"
#include "services/common/kafka/producer.h"
#include "services/common/metrics/metrics.h"
#include "services/ticker/app.h"
#include "services/ticker/ticker_logic.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "stockalert/ticker/v1/ticker.grpc.pb.h"
#include "tests/support/fake_mesh/fake_mesh.h"
#include "tests/support/flaky_proxy/flaky_proxy.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::ticker {
namespace {

namespace ipb = ::stockalert::internal::v1;

constexpr char kKey[] = "sak_of_the_user_0123";
constexpr char kAdminKey[] = "sak_administrator";
constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr absl::Duration kPatience = absl::Seconds(20);

// Asks until the answer is what is waited for, or patience ends.
template <typename Ask>
bool Eventually(Ask ask) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!ask()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

struct Mesh {
  explicit Mesh(bool with_kafka = true) {
    database.Migrate("ticker");
    fakes.SetCaller(kKey, {.user_id = kUser, .key_id = "k"});
    fakes.SetCaller(kAdminKey, {.user_id = {}, .key_id = "a", .is_administrator = true});
    config.public_address = "127.0.0.1:0";
    config.http_address = "127.0.0.1:0";
    config.internal_address = "127.0.0.1:0";
    config.user_address = fakes.address();
    config.alert_address = fakes.address();
    config.fetcher_address = fakes.address();
    config.mesh_token = testing::kFakeMeshToken;
    config.tls.plaintext = true;
    config.postgres_url = database.url();
    config.price_save_interval = absl::Milliseconds(100);
    config.prices_topic = testing::UniqueName("prices");
    if (with_kafka) {
      config.kafka_bootstrap = testing::KafkaBootstrapOrSkip();
      testing::CreateTopicOrThrow(config.kafka_bootstrap, config.prices_topic, 3);
      kafka::ProducerOptions options;
      options.bootstrap = config.kafka_bootstrap;
      options.client_id = "test";
      producer = *kafka::CreateProducer(options);
    } else {
      // Nothing listens there.
      config.kafka_bootstrap = "127.0.0.1:1";
    }
  }

  void Start() {
    app = *TickerApp::Create(config);
    const absl::Status started = app->Start();
    INFO(started);
    REQUIRE(started.ok());
    channel =
        ::grpc::CreateChannel("127.0.0.1:" + std::to_string(app->public_port()), ::grpc::InsecureChannelCredentials());
    stub = v1::TickerService::NewStub(channel);
    peer = std::make_unique<rpc::Peer>(rpc::PeerOptions{.address = "127.0.0.1:" + std::to_string(app->internal_port()),
                                                        .credentials = ::grpc::InsecureChannelCredentials(),
                                                        .mesh_token = testing::kFakeMeshToken,
                                                        .retried = {}});
    internal = ipb::TickerInternalService::NewStub(peer->channel());
  }
  void Stop() {
    app->Stop(absl::Now() + absl::Seconds(10));
    app.reset();
  }
  ~Mesh() {
    if (app) Stop();
  }

  static std::unique_ptr<::grpc::ClientContext> Context(const std::string& key = kKey,
                                                        absl::Duration timeout = absl::Seconds(10)) {
    auto context = std::make_unique<::grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    context->AddMetadata("authorization", "Bearer " + key);
    return context;
  }

  absl::Status Register(const std::string& symbol, v1::Ticker* ticker = nullptr,
                        absl::Duration timeout = absl::Seconds(10)) {
    v1::RegisterTickerRequest request;
    request.set_symbol(symbol);
    v1::Ticker answer;
    const auto context = Context(kKey, timeout);
    const absl::Status status = rpc::FromGrpc(stub->RegisterTicker(context.get(), request, &answer));
    if (ticker != nullptr) *ticker = answer;
    return status;
  }

  v1::Ticker Get(const std::string& symbol) {
    v1::GetTickerRequest request;
    request.set_name("tickers/" + symbol);
    v1::Ticker answer;
    const auto context = Context();
    (void)stub->GetTicker(context.get(), request, &answer);
    return answer;
  }

  absl::StatusOr<ipb::LastPrice> LastPrice(const std::string& symbol) {
    ipb::GetLastPricesRequest request;
    request.add_symbols(symbol);
    ipb::GetLastPricesResponse response;
    ::grpc::ClientContext context;
    peer->Prepare(context, trace::NewRoot(), absl::Now() + absl::Seconds(5));
    absl::Status status = rpc::FromGrpc(internal->GetLastPrices(&context, request, &response));
    if (!status.ok()) return status;
    return response.prices(0);
  }

  void Produce(const ipb::LogRecord& record, const std::string& symbol) {
    const auto delivered =
        producer->ProduceAndWait(config.prices_topic, symbol, record.SerializeAsString(), {}, absl::Now() + kPatience);
    INFO(delivered.status());
    REQUIRE(delivered.ok());
  }
  void Quote(const std::string& symbol, int64_t price_micros, int64_t time_us,
             ipb::TradingSession session = ipb::TRADING_SESSION_REGULAR) {
    ipb::LogRecord record;
    ipb::QuoteRecord& quote = *record.mutable_quote();
    quote.set_symbol(symbol);
    quote.set_price_micros(price_micros);
    quote.set_event_time_us(time_us);
    quote.set_session(session);
    quote.set_source("published");
    quote.set_publisher_epoch(1);
    quote.set_sequence(++sequence);
    Produce(record, symbol);
  }

  testing::TestDatabase database;
  testing::FakeMesh fakes;
  Config config;
  std::unique_ptr<kafka::Producer> producer;
  int64_t sequence = 0;
  std::unique_ptr<TickerApp> app;
  std::shared_ptr<::grpc::Channel> channel;
  std::unique_ptr<v1::TickerService::Stub> stub;
  std::unique_ptr<rpc::Peer> peer;
  std::unique_ptr<ipb::TickerInternalService::Stub> internal;
};

constexpr int64_t kTime = 1'767'366'000'000'000;

double Records(const std::string& kind) {
  return metrics::GetCounter("stockalert_ticker_log_records_total", "Records of the log of prices, by what they were",
                             {{"kind", kind}})
      .Value();
}

TEST_CASE("prices from the log are shown, streamed, and known after a restart") {
  Mesh mesh;
  std::map<std::string, double> before;
  for (const char* kind : {"quote_accepted", "quote_late", "quote_repeated", "quote_refused", "restart", "malformed"})
    before[kind] = Records(kind);
  mesh.Start();
  v1::Ticker ticker;
  REQUIRE(mesh.Register(" aapl ", &ticker).ok());
  CHECK(ticker.name() == "tickers/AAPL");
  CHECK(!ticker.has_latest_quote());
  mesh.Quote("AAPL", 150'000'000, kTime);

  v1::WatchQuotesRequest watch;
  watch.add_names("tickers/AAPL");
  const auto context = Mesh::Context(kKey, kPatience);
  auto stream = mesh.stub->WatchQuotes(context.get(), watch);
  v1::WatchQuotesResponse response;
  REQUIRE(stream->Read(&response));
  CHECK(response.quotes(0).price() == "150");
  mesh.Quote("AAPL", 151'250'000, kTime + 1);
  REQUIRE(stream->Read(&response));
  CHECK(response.quotes(0).price() == "151.25");
  CHECK(response.quotes(0).symbol() == "AAPL");
  context->TryCancel();

  CHECK(Eventually([&] { return mesh.Get("AAPL").latest_quote().price() == "151.25"; }));
  mesh.Quote("AAPL", 149'000'000, kTime);  // Late.
  mesh.Quote("AAPL", 152'000'000, kTime + 2, ipb::TRADING_SESSION_POST);
  CHECK(Eventually([&] {
    const auto last = mesh.LastPrice("AAPL");
    return last.ok() && last->extended_price_micros() == 152'000'000;
  }));
  CHECK(mesh.LastPrice("AAPL")->regular_price_micros() == 151'250'000);
  CHECK(mesh.LastPrice("AAPL")->last_event_time_us() == kTime + 2);
  CHECK(!mesh.LastPrice("MSFT")->has_regular_price_micros());

  mesh.Stop();
  CHECK(mesh.database.Count("SELECT count(*) FROM stockalert_ticker.latest_prices") == 1);
  CHECK(mesh.database.Count("SELECT sum(next_offset) FROM stockalert_ticker.log_places") == 4);
  mesh.Start();
  CHECK(Eventually([&] { return mesh.Get("AAPL").latest_quote().price() == "152"; }));
  CHECK(Eventually([&] { return mesh.LastPrice("AAPL").ok(); }));
  CHECK(mesh.LastPrice("AAPL")->regular_price_micros() == 151'250'000);
  // A repeated one is known by the sequence that was kept.
  mesh.sequence -= 1;
  mesh.Quote("AAPL", 999'000'000, kTime + 3);
  mesh.Quote("AAPL", 153'000'000, kTime + 3);
  CHECK(Eventually([&] { return mesh.Get("AAPL").latest_quote().price() == "153"; }));
  // What no quote can have, a restart, and what is no record, change no price but that of the restart; all are counted.
  mesh.Quote("AAPL", 0, kTime + 4);
  ipb::LogRecord restart;
  restart.mutable_restart()->set_symbol("AAPL");
  mesh.Produce(restart, "AAPL");
  CHECK(Eventually([&] { return !mesh.Get("AAPL").has_latest_quote(); }));
  mesh.Produce(ipb::LogRecord(), "AAPL");
  CHECK(Eventually([&] { return Records("malformed") == before["malformed"] + 1; }));
  CHECK(Records("quote_accepted") == before["quote_accepted"] + 4);
  CHECK(Records("quote_late") == before["quote_late"] + 1);
  CHECK(Records("quote_repeated") == before["quote_repeated"] + 1);
  CHECK(Records("quote_refused") == before["quote_refused"] + 1);
  CHECK(Records("restart") == before["restart"] + 1);
}

TEST_CASE("a place that the log does not have begins the partition anew") {
  Mesh mesh;
  mesh.database.Execute("INSERT INTO stockalert_ticker.log_places VALUES (0, 500), (1, 500), (2, 500)");
  mesh.database.Execute(
      "INSERT INTO stockalert_ticker.latest_prices (symbol, publisher_epoch, sequence, session, source, log_partition, "
      "log_offset) "
      "SELECT 'AAPL', 0, 0, 0, '', x, 499 FROM generate_series(0, 0) AS x");
  for (int i = 1; i <= 3; ++i) mesh.Quote("AAPL", 150'000'000 + i, kTime + i);
  // The places were another cluster's, as far as anybody knows; here they are this one's.
  const auto admin =
      kafka::TopicAdmin::Create({.bootstrap = mesh.config.kafka_bootstrap, .client_id = "test", .extra = {}});
  mesh.database.Execute("INSERT INTO stockalert_ticker.log_identity (cluster_id) VALUES ('" +
                        *(*admin)->ClusterId(absl::Seconds(5)) + "')");
  mesh.Start();
  CHECK(Eventually([&] {
    const auto last = mesh.LastPrice("AAPL");
    return last.ok() && last->regular_price_micros() == 150'000'003;
  }));
  mesh.Stop();
  CHECK(mesh.database.Count("SELECT sum(next_offset) FROM stockalert_ticker.log_places") == 3);
}

TEST_CASE("the database away: calls answer, prices go on and are saved afterwards") {
  Mesh mesh;
  testing::FlakyProxy proxy(mesh.database.port());
  mesh.config.postgres_url = mesh.database.UrlAtPort(proxy.port());
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.Quote("AAPL", 150'000'000, kTime);
  CHECK(Eventually([&] { return mesh.LastPrice("AAPL").ok() && mesh.LastPrice("AAPL")->has_regular_price_micros(); }));
  proxy.Cut();
  const absl::Time asked = absl::Now();
  const absl::Status refused = mesh.Register("MSFT", nullptr, absl::Seconds(8));
  CHECK(refused.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(refused) == "DATABASE_UNAVAILABLE");
  CHECK(absl::Now() - asked < absl::Seconds(8));
  mesh.Quote("AAPL", 151'000'000, kTime + 1);
  CHECK(Eventually([&] { return mesh.LastPrice("AAPL")->regular_price_micros() == 151'000'000; }));
  proxy.Mend();
  CHECK(Eventually([&] { return mesh.Register("MSFT").ok(); }));
  CHECK(Eventually([&] {
    return mesh.database.Count(
               "SELECT count(*) FROM stockalert_ticker.latest_prices WHERE regular_price_micros = 151000000") == 1;
  }));
}

TEST_CASE("Kafka away: tickers are registered, last prices are not ready") {
  Mesh mesh(/*with_kafka=*/false);
  mesh.Start();
  CHECK(mesh.Register("AAPL").ok());
  const auto last = mesh.LastPrice("AAPL");
  CHECK(base::ReasonOf(last.status()) == "PRICES_NOT_READY");
}

TEST_CASE("a missing topic ends the start with what to do") {
  Mesh mesh;
  mesh.config.prices_topic = testing::UniqueName("no_topic");
  mesh.config.start_timeout = absl::Seconds(1);
  auto app = *TickerApp::Create(mesh.config);
  const absl::Status started = app->Start();
  CHECK(started.code() == absl::StatusCode::kNotFound);
  CHECK(std::string(started.message()).find("stockalert-migrate") != std::string::npos);
  app->Stop(absl::Now() + absl::Seconds(5));
}

TEST_CASE("published quotes go by the fetcher into the log and come out") {
  Mesh mesh;
  mesh.fakes.OnPublish([&](const ipb::QuoteRecord& quote) {
    ipb::LogRecord record;
    *record.mutable_quote() = quote;
    record.mutable_quote()->set_session(ipb::TRADING_SESSION_REGULAR);
    record.mutable_quote()->set_source("published");
    (void)mesh.producer->ProduceAndWait(mesh.config.prices_topic, quote.symbol(), record.SerializeAsString(), {},
                                        absl::Now() + kPatience);
  });
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  v1::PublishQuotesRequest request;
  quote::v1::Quote& quote = *request.add_quotes();
  quote.set_symbol("aapl");
  quote.set_price("150.5");
  *quote.mutable_event_time() = rpc::TimestampFromUs(kTime);
  v1::PublishQuotesResponse response;
  const auto context = Mesh::Context(kAdminKey);
  const absl::Status published = rpc::FromGrpc(mesh.stub->PublishQuotes(context.get(), request, &response));
  INFO(published);
  REQUIRE(published.ok());
  CHECK(response.published_count() == 1);
  CHECK(Eventually([&] { return mesh.Get("AAPL").latest_quote().price() == "150.5"; }));
  const auto as_user = Mesh::Context();
  CHECK(mesh.stub->PublishQuotes(as_user.get(), request, &response).error_code() ==
        ::grpc::StatusCode::PERMISSION_DENIED);
}

TEST_CASE("two instances read the same log and save into the same rows") {
  Mesh mesh;
  mesh.Start();
  auto second = *TickerApp::Create(mesh.config);
  REQUIRE(second->Start().ok());
  for (int i = 1; i <= 200; ++i) mesh.Quote(i % 2 == 0 ? "AAPL" : "MSFT", 100'000'000 + i, kTime + i);
  CHECK(Eventually([&] {
    return mesh.database.Count("SELECT coalesce(sum(next_offset), 0) FROM stockalert_ticker.log_places") == 200 &&
           mesh.database.Count(
               "SELECT count(*) FROM stockalert_ticker.latest_prices WHERE regular_price_micros IN (100000200, "
               "100000199)") == 2;
  }));
  second->Stop(absl::Now() + absl::Seconds(10));
}

// "open high low close" of each bar, newest first.
std::vector<std::string> BarsOf(Mesh& mesh, const std::string& symbol) {
  v1::ListBarsRequest request;
  request.set_parent("tickers/" + symbol);
  v1::ListBarsResponse response;
  const auto context = Mesh::Context();
  (void)mesh.stub->ListBars(context.get(), request, &response);
  std::vector<std::string> bars;
  for (const v1::Bar& bar : response.bars())
    bars.push_back(bar.open() + " " + bar.high() + " " + bar.low() + " " + bar.close());
  return bars;
}

using BarTexts = std::vector<std::string>;

void RestartSymbol(Mesh& mesh, const std::string& symbol) {
  ipb::LogRecord restart;
  restart.mutable_restart()->set_symbol(symbol);
  mesh.Produce(restart, symbol);
}

// Every instance knows as much as this.
void AwaitOffsets(Mesh& mesh, int64_t sum) {
  CHECK(Eventually([&] {
    return mesh.database.Count("SELECT coalesce(sum(next_offset), 0) FROM stockalert_ticker.log_places") == sum;
  }));
}

TEST_CASE("bars are made from the log, and go on after a restart") {
  Mesh mesh;
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  CHECK(BarsOf(mesh, "AAPL").empty());
  mesh.Quote("AAPL", 3'000'000, kTime);
  mesh.Quote("AAPL", 5'500'000, kTime + 1, ipb::TRADING_SESSION_POST);
  mesh.Quote("AAPL", 9'000'000, kTime + 2, ipb::TRADING_SESSION_CLOSED);
  mesh.Quote("AAPL", 2'000'000, kTime + 3);
  mesh.Quote("AAPL", 9'000'000, kTime + 2);  // Late.
  mesh.Quote("AAPL", 4'000'000, kTime + kMinuteUs);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"4 4 4 4", "3 5.5 2 2"}; }));
  mesh.Stop();
  mesh.Start();
  mesh.Quote("AAPL", 1'000'000, kTime + kMinuteUs + 1);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"4 4 1 1", "3 5.5 2 2"}; }));
  ipb::ListLastBarsRequest request;
  request.set_symbol("AAPL");
  request.set_start_time_us(kTime);
  request.set_end_time_us(kTime + 2 * kMinuteUs);
  request.set_bar_count_max(5);
  ipb::ListLastBarsResponse response;
  ::grpc::ClientContext context;
  mesh.peer->Prepare(context, trace::NewRoot(), absl::Now() + absl::Seconds(5));
  REQUIRE(mesh.internal->ListLastBars(&context, request, &response).ok());
  REQUIRE(response.bars_size() == 2);
  CHECK(response.bars(0).start_time_us() == kTime);
  CHECK(response.bars(1).close_micros() == 1'000'000);
}

TEST_CASE("bars of a history that begins anew replace those from its beginning on") {
  Mesh mesh;
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  for (int64_t minute = 0; minute < 4; ++minute)
    mesh.Quote("AAPL", (minute + 1) * 1'000'000, kTime + minute * kMinuteUs);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL").size() == 4; }));
  RestartSymbol(mesh, "AAPL");
  mesh.Quote("AAPL", 20'000'000, kTime + kMinuteUs + 5);
  mesh.Quote("AAPL", 30'000'000, kTime + 2 * kMinuteUs);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"30 30 30 30", "20 20 20 20", "1 1 1 1"}; }));
}

TEST_CASE("the log read again, and by two instances, changes no bar") {
  Mesh mesh;
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  auto second = *TickerApp::Create(mesh.config);
  REQUIRE(second->Start().ok());
  const auto quote_many = [&](int64_t begin_us) {
    for (int64_t i = 0; i < 60; ++i) mesh.Quote("AAPL", (100 + i * 37 % 20) * 1'000'000, begin_us + i * 5'000'000);
  };
  quote_many(kTime + 10 * kMinuteUs);
  RestartSymbol(mesh, "AAPL");
  quote_many(kTime);
  AwaitOffsets(mesh, 121);
  const BarTexts bars = BarsOf(mesh, "AAPL");
  // Those of the history before are gone: the new one began earlier.
  CHECK(bars.size() == 5);
  CHECK(bars.back() == "100 119 100 107");
  second->Stop(absl::Now() + absl::Seconds(10));
  mesh.Stop();
  SECTION("the places are forgotten") {
    mesh.database.Execute("DELETE FROM stockalert_ticker.log_places");
    mesh.database.Execute("UPDATE stockalert_ticker.latest_prices SET log_offset = -1");
  }
  SECTION("it is another cluster's, as far as anybody knows") {
    mesh.database.Execute("UPDATE stockalert_ticker.log_identity SET cluster_id = 'another'");
  }
  mesh.Start();
  AwaitOffsets(mesh, 121);
  CHECK(BarsOf(mesh, "AAPL") == bars);
  mesh.Quote("AAPL", 1'000'000, kTime + 4 * kMinuteUs + 59'000'000);
  AwaitOffsets(mesh, 122);
  BarTexts with_last = bars;
  with_last.front() = "116 118 1 1";
  CHECK(BarsOf(mesh, "AAPL") == with_last);
}

// Publishes a split as the fetcher does.
void PublishSplits(Mesh& mesh, const std::function<void(const ipb::SplitRecord&)>& on_published = nullptr) {
  mesh.fakes.OnSplit([&mesh, on_published](const ipb::SplitRecord& split, ipb::LogPlace* place) -> ::grpc::Status {
    ipb::LogRecord record;
    *record.mutable_split() = split;
    const auto delivered = mesh.producer->ProduceAndWait(mesh.config.prices_topic, split.symbol(),
                                                         record.SerializeAsString(), {}, absl::Now() + kPatience);
    if (!delivered.ok()) return {::grpc::StatusCode::UNAVAILABLE, "the log is away"};
    place->set_partition(delivered->partition);
    place->set_offset(delivered->offset);
    if (on_published) on_published(split);
    return ::grpc::Status::OK;
  });
}

absl::StatusOr<v1::Split> Declare(Mesh& mesh, const std::string& request_id, int64_t numerator, int64_t denominator,
                                  const std::string& symbol = "AAPL") {
  v1::DeclareSplitRequest request;
  request.set_parent("tickers/" + symbol);
  request.set_numerator(numerator);
  request.set_denominator(denominator);
  *request.mutable_effective_time() = rpc::TimestampFromUs(kTime);
  request.set_request_id(request_id);
  v1::Split split;
  const auto context = Mesh::Context(kAdminKey);
  absl::Status status = rpc::FromGrpc(mesh.stub->DeclareSplit(context.get(), request, &split));
  if (!status.ok()) return status;
  return split;
}

std::vector<std::string> SplitsOf(Mesh& mesh) {
  v1::ListSplitsRequest request;
  request.set_parent("tickers/-");
  v1::ListSplitsResponse response;
  const auto context = Mesh::Context();
  (void)mesh.stub->ListSplits(context.get(), request, &response);
  std::vector<std::string> splits;
  for (const v1::Split& split : response.splits()) {
    splits.push_back(split.name() + " " + std::to_string(split.numerator()) + "/" +
                     std::to_string(split.denominator()) +
                     (split.state() == v1::Split::STATE_APPLIED ? "" : " pending"));
  }
  return splits;
}

TEST_CASE("a split is declared once, and prices and bars from before it are shown in new ones, over a restart too") {
  Mesh mesh;
  PublishSplits(mesh);
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.Quote("AAPL", 400'000'000, kTime);
  mesh.Quote("AAPL", 404'000'000, kTime + kMinuteUs);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL").size() == 2; }));
  const auto first = Declare(mesh, "r1", 4, 1);
  INFO(first.status());
  REQUIRE(first.ok());
  CHECK(first->state() == v1::Split::STATE_APPLIED);
  CHECK(first->number() == 1);
  // What is answered is what is shown.
  CHECK(mesh.Get("AAPL").latest_quote().price() == "101");
  CHECK(mesh.LastPrice("AAPL")->split_number() == 1);
  CHECK(mesh.LastPrice("AAPL")->regular_price_micros() == 101'000'000);
  CHECK(BarsOf(mesh, "AAPL") == BarTexts{"101 101 101 101", "100 100 100 100"});
  // Within the minute of the split, on both sides of it.
  mesh.Quote("AAPL", 99'000'000, kTime + kMinuteUs + 1);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"101 101 99 99", "100 100 100 100"}; }));
  const auto again = Declare(mesh, "r1", 4, 1);
  REQUIRE(again.ok());
  CHECK(again->number() == 1);
  CHECK(base::ReasonOf(Declare(mesh, "r1", 5, 1).status()) == "REQUEST_ID_REUSED");
  CHECK(base::ReasonOf(Declare(mesh, "r2", 5, 1, "NOBODY").status()) == "TICKER_NOT_FOUND");
  // In the log twice, as after a crash between: counted once.
  ipb::LogRecord repeated;
  ipb::SplitRecord& split = *repeated.mutable_split();
  split.set_symbol("AAPL");
  split.set_split_id("whatever");
  split.set_number(1);
  split.set_numerator(4);
  split.set_denominator(1);
  mesh.Produce(repeated, "AAPL");

  mesh.Stop();
  mesh.Start();
  CHECK(Eventually([&] { return mesh.LastPrice("AAPL").ok(); }));
  CHECK(mesh.LastPrice("AAPL")->regular_price_micros() == 99'000'000);
  CHECK(mesh.LastPrice("AAPL")->split_number() == 1);
  CHECK(BarsOf(mesh, "AAPL") == BarTexts{"101 101 99 99", "100 100 100 100"});
  // A reverse one; and one of a symbol without any price.
  REQUIRE(Declare(mesh, "r2", 1, 10).ok());
  CHECK(mesh.Get("AAPL").latest_quote().price() == "990");
  CHECK(BarsOf(mesh, "AAPL") == BarTexts{"1010 1010 990 990", "1000 1000 1000 1000"});
  REQUIRE(mesh.Register("MSFT").ok());
  REQUIRE(Declare(mesh, "r3", 3, 1, "MSFT").ok());
  CHECK(SplitsOf(mesh) == std::vector<std::string>{"tickers/AAPL/splits/2 1/10", "tickers/AAPL/splits/1 4/1",
                                                   "tickers/MSFT/splits/1 3/1"});
  ipb::RegisterTickerRequest request;
  request.set_symbol("AAPL");
  ipb::RegisterTickerResponse registered;
  ::grpc::ClientContext context;
  mesh.peer->Prepare(context, trace::NewRoot(), absl::Now() + absl::Seconds(5));
  REQUIRE(mesh.internal->RegisterTicker(&context, request, &registered).ok());
  CHECK(registered.split_number() == 2);
  // The whole log again changes nothing.
  mesh.Stop();
  mesh.database.Execute("DELETE FROM stockalert_ticker.log_places");
  mesh.database.Execute("UPDATE stockalert_ticker.latest_prices SET log_offset = -1");
  mesh.Start();
  AwaitOffsets(mesh, 7);
  CHECK(mesh.Get("AAPL").latest_quote().price() == "990");
  CHECK(BarsOf(mesh, "AAPL") == BarTexts{"1010 1010 990 990", "1000 1000 1000 1000"});
}

TEST_CASE("a split that could not be published is pending, and is published once it can be") {
  Mesh mesh;
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.Quote("AAPL", 400'000'000, kTime);
  CHECK(Eventually([&] { return mesh.Get("AAPL").has_latest_quote(); }));
  mesh.fakes.OnSplit(
      [](const ipb::SplitRecord&, ipb::LogPlace*) { return ::grpc::Status(::grpc::StatusCode::UNAVAILABLE, "away"); });
  CHECK(base::ReasonOf(Declare(mesh, "r1", 4, 1).status()) == "FETCHER_UNAVAILABLE");
  CHECK(base::ReasonOf(Declare(mesh, "r2", 2, 1).status()) == "SPLIT_PENDING");
  CHECK(SplitsOf(mesh) == std::vector<std::string>{"tickers/AAPL/splits/1 4/1 pending"});
  CHECK(mesh.Get("AAPL").latest_quote().price() == "400");
  mesh.Stop();
  // A crash between is the same: another process finds the row.
  PublishSplits(mesh);
  mesh.database.Execute("UPDATE stockalert_ticker.splits SET next_attempt_us = 0");
  mesh.Start();
  CHECK(Eventually([&] { return mesh.Get("AAPL").latest_quote().price() == "100"; }));
  CHECK(Eventually([&] { return SplitsOf(mesh) == std::vector<std::string>{"tickers/AAPL/splits/1 4/1"}; }));
  CHECK(Declare(mesh, "r1", 4, 1)->state() == v1::Split::STATE_APPLIED);
  CHECK(Declare(mesh, "r2", 2, 1)->number() == 2);
  CHECK(mesh.Get("AAPL").latest_quote().price() == "50");
}

TEST_CASE("where the log is another one, its splits are published again in their order, and change nothing here") {
  Mesh mesh;
  PublishSplits(mesh);
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  REQUIRE(mesh.Register("MSFT").ok());
  mesh.Quote("AAPL", 400'000'000, kTime);
  CHECK(Eventually([&] { return mesh.Get("AAPL").has_latest_quote(); }));
  REQUIRE(Declare(mesh, "r1", 4, 1).ok());
  REQUIRE(Declare(mesh, "r2", 1, 2).ok());
  REQUIRE(Declare(mesh, "m1", 3, 1, "MSFT").ok());
  AwaitOffsets(mesh, 4);
  const auto offsets = [&] { return mesh.database.Count("SELECT sum(log_offset) FROM stockalert_ticker.splits"); };
  const int64_t offsets_before = offsets();
  mesh.Stop();
  SECTION("another cluster") {
    mesh.database.Execute("UPDATE stockalert_ticker.log_identity SET cluster_id = 'another'");
  }
  SECTION("a topic that was made anew") {
    mesh.database.Execute("UPDATE stockalert_ticker.log_places SET next_offset = next_offset + 1000000");
  }
  std::atomic<int> tries = 0;
  mesh.fakes.OnSplit([&](const ipb::SplitRecord&, ipb::LogPlace*) {
    ++tries;
    return ::grpc::Status(::grpc::StatusCode::UNAVAILABLE, "away");
  });
  mesh.Start();
  REQUIRE(Eventually([&] { return tries > 0; }));
  CHECK(SplitsOf(mesh) == std::vector<std::string>{"tickers/AAPL/splits/2 1/2 pending",
                                                   "tickers/AAPL/splits/1 4/1 pending",
                                                   "tickers/MSFT/splits/1 3/1 pending"});
  CHECK(base::ReasonOf(Declare(mesh, "r3", 2, 1).status()) == "SPLIT_PENDING");
  std::vector<std::string> published;
  std::mutex mutex;
  PublishSplits(mesh, [&](const ipb::SplitRecord& split) {
    std::lock_guard lock(mutex);
    published.push_back(split.symbol() + " " + std::to_string(split.number()) + " " + split.split_id());
  });
  const std::vector<std::string> all = {"tickers/AAPL/splits/2 1/2", "tickers/AAPL/splits/1 4/1",
                                        "tickers/MSFT/splits/1 3/1"};
  CHECK(Eventually([&] { return SplitsOf(mesh) == all; }));
  CHECK(offsets() > offsets_before);
  // As they were, and numbers go on.
  CHECK(Declare(mesh, "r1", 4, 1)->number() == 1);
  CHECK(mesh.Get("AAPL").latest_quote().price() == "200");
  CHECK(BarsOf(mesh, "AAPL") == BarTexts{"200 200 200 200"});
  const auto next = Declare(mesh, "r3", 2, 1);
  REQUIRE(next.ok());
  CHECK(next->number() == 3);
  CHECK(mesh.Get("AAPL").latest_quote().price() == "100");
  mesh.Stop();
  std::lock_guard lock(mutex);
  std::vector<std::string> of_aapl;
  for (const std::string& one : published) {
    if (one.starts_with("AAPL")) of_aapl.push_back(one.substr(0, 6));
  }
  CHECK(of_aapl == std::vector<std::string>{"AAPL 1", "AAPL 2", "AAPL 3"});
  CHECK(published.size() == 4);
}

TEST_CASE("a log that takes no splits, and one that has another than was kept") {
  Mesh mesh;
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.fakes.OnSplit([](const ipb::SplitRecord&, ipb::LogPlace*) {
    return rpc::ToGrpc(base::FailedPrecondition("LOG_FORMAT_TOO_OLD", "raise it"));
  });
  CHECK(base::ReasonOf(Declare(mesh, "r1", 4, 1).status()) == "LOG_FORMAT_TOO_OLD");
  CHECK(SplitsOf(mesh).empty());
  // Kept, and then the log's reader finds that somebody else took the number.
  mesh.fakes.OnSplit(
      [](const ipb::SplitRecord&, ipb::LogPlace*) { return ::grpc::Status(::grpc::StatusCode::UNAVAILABLE, "away"); });
  CHECK_FALSE(Declare(mesh, "r1", 4, 1).ok());
  ipb::LogRecord other;
  ipb::SplitRecord& split = *other.mutable_split();
  split.set_symbol("AAPL");
  split.set_split_id("another's");
  split.set_number(1);
  split.set_numerator(7);
  split.set_denominator(1);
  mesh.Produce(other, "AAPL");
  CHECK(Eventually([&] { return SplitsOf(mesh) == std::vector<std::string>{"tickers/AAPL/splits/1 7/1"}; }));
  PublishSplits(mesh);
  const auto next = Declare(mesh, "r1", 4, 1);
  INFO(next.status());
  REQUIRE(next.ok());
  CHECK(next->number() == 2);
}

// Publishes holds as the fetcher does, in one order with the quotes.
void PublishHolds(Mesh& mesh) {
  mesh.fakes.OnHold([&](const ipb::PublishHoldRequest& request, ipb::LogPlace* place) -> ::grpc::Status {
    ipb::LogRecord record;
    const auto fill = [&](auto& filled) {
      filled.set_symbol(request.symbol());
      filled.set_publisher_epoch(1);
      filled.set_sequence(++mesh.sequence);
    };
    if (request.kind() == ipb::PublishHoldRequest::KIND_SUSPECTED) {
      fill(*record.mutable_split_suspected());
    } else {
      fill(*record.mutable_split_dismissed());
    }
    const auto delivered = mesh.producer->ProduceAndWait(mesh.config.prices_topic, request.symbol(),
                                                         record.SerializeAsString(), {}, absl::Now() + kPatience);
    if (!delivered.ok()) return {::grpc::StatusCode::UNAVAILABLE, "the log is away"};
    place->set_partition(delivered->partition);
    place->set_offset(delivered->offset);
    return ::grpc::Status::OK;
  });
}

absl::StatusOr<v1::Ticker> Hold(Mesh& mesh, const std::string& symbol = "AAPL") {
  v1::HoldSymbolRequest request;
  request.set_name("tickers/" + symbol);
  v1::Ticker ticker;
  const auto context = Mesh::Context(kAdminKey);
  absl::Status status = rpc::FromGrpc(mesh.stub->HoldSymbol(context.get(), request, &ticker));
  if (!status.ok()) return status;
  return ticker;
}

absl::StatusOr<v1::Ticker> Dismiss(Mesh& mesh, const std::string& symbol = "AAPL") {
  v1::DismissSplitRequest request;
  request.set_name("tickers/" + symbol);
  v1::Ticker ticker;
  const auto context = Mesh::Context(kAdminKey);
  absl::Status status = rpc::FromGrpc(mesh.stub->DismissSplit(context.get(), request, &ticker));
  if (!status.ok()) return status;
  return ticker;
}

TEST_CASE("a held ticker shows the prices of before, over a restart, until a split or a dismissal settles it") {
  Mesh mesh;
  PublishSplits(mesh);
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  REQUIRE(mesh.Register("MSFT").ok());
  // A fetcher of the version before knows no holds.
  CHECK(base::ReasonOf(Hold(mesh).status()) == "FETCHER_UNAVAILABLE");
  PublishHolds(mesh);
  CHECK(base::ReasonOf(Hold(mesh, "NOBODY").status()) == "TICKER_NOT_FOUND");
  mesh.Quote("AAPL", 400'000'000, kTime);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"400 400 400 400"}; }));
  const auto held = Hold(mesh);
  INFO(held.status());
  REQUIRE(held.ok());
  REQUIRE(held->has_hold());
  mesh.Quote("AAPL", 101'000'000, kTime + 1);
  mesh.Quote("MSFT", 50'000'000, kTime + 1);
  mesh.Quote("AAPL", 102'000'000, kTime + kMinuteUs);
  CHECK(Eventually([&] { return mesh.Get("AAPL").hold().kept_quote_count() == 2; }));
  CHECK(Eventually([&] { return mesh.LastPrice("MSFT")->regular_price_micros() == 50'000'000; }));
  const auto check_held = [&] {
    CHECK(mesh.Get("AAPL").latest_quote().price() == "400");
    CHECK(mesh.Get("AAPL").hold().start_time().seconds() == held->hold().start_time().seconds());
    CHECK(mesh.LastPrice("AAPL")->regular_price_micros() == 400'000'000);
    CHECK(BarsOf(mesh, "AAPL") == BarTexts{"400 400 400 400"});
  };
  check_held();
  for (int restart = 0; restart < 2; ++restart) {
    mesh.Stop();
    mesh.Start();
    CHECK(Eventually([&] { return mesh.Get("AAPL").hold().kept_quote_count() == 2 && mesh.LastPrice("AAPL").ok(); }));
    CHECK(mesh.Get("MSFT").latest_quote().price() == "50");
    check_held();
  }
  REQUIRE(Hold(mesh).ok());
  SECTION("a split") {
    const auto split = Declare(mesh, "r1", 4, 1);
    INFO(split.status());
    REQUIRE(split.ok());
    CHECK(split->state() == v1::Split::STATE_APPLIED);
    CHECK_FALSE(mesh.Get("AAPL").has_hold());
    CHECK(mesh.Get("AAPL").latest_quote().price() == "102");
    CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"102 102 102 102", "100 101 100 101"}; }));
  }
  SECTION("a dismissal") {
    const auto dismissed = Dismiss(mesh);
    INFO(dismissed.status());
    REQUIRE(dismissed.ok());
    CHECK_FALSE(dismissed->has_hold());
    CHECK(dismissed->latest_quote().price() == "102");
    CHECK(Dismiss(mesh)->latest_quote().price() == "102");
    CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"102 102 102 102", "400 400 101 101"}; }));
  }
  const BarTexts bars = BarsOf(mesh, "AAPL");
  mesh.Stop();
  mesh.Start();
  CHECK(Eventually([&] { return mesh.LastPrice("AAPL").ok(); }));
  CHECK(mesh.LastPrice("AAPL")->regular_price_micros() == 102'000'000);
  CHECK_FALSE(mesh.Get("AAPL").has_hold());
  CHECK(BarsOf(mesh, "AAPL") == bars);
  CHECK(Hold(mesh)->has_hold());
}

TEST_CASE("a hold of a log that is lost is settled in the next one") {
  Mesh mesh;
  PublishHolds(mesh);
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.Quote("AAPL", 400'000'000, kTime);
  REQUIRE(Hold(mesh).ok());
  CHECK(Eventually([&] {
    return mesh.database.Count("SELECT count(*) FROM stockalert_ticker.latest_prices WHERE held_since_us > 0") == 1;
  }));
  mesh.Stop();
  mesh.database.Execute("UPDATE stockalert_ticker.log_identity SET cluster_id = 'another'");
  mesh.Start();
  CHECK(Eventually([&] { return mesh.LastPrice("AAPL").ok(); }));
  CHECK(mesh.Get("AAPL").has_hold());
  CHECK(mesh.Get("AAPL").latest_quote().price() == "400");
  REQUIRE(Dismiss(mesh).ok());
  CHECK_FALSE(mesh.Get("AAPL").has_hold());
}

TEST_CASE("the log is read no further than the bars that may wait for the database") {
  Mesh mesh;
  testing::FlakyProxy proxy(mesh.database.port());
  mesh.config.postgres_url = mesh.database.UrlAtPort(proxy.port());
  mesh.config.unsaved_bars_max = 2;
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.Quote("AAPL", 1'000'000, kTime);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL").size() == 1; }));
  proxy.Cut();
  const auto last = [&] {
    const auto price = mesh.LastPrice("AAPL");
    return price.ok() ? price->regular_price_micros() : 0;
  };
  for (int64_t minute = 1; minute <= 2; ++minute)
    mesh.Quote("AAPL", (minute + 1) * 1'000'000, kTime + minute * kMinuteUs);
  CHECK(Eventually([&] { return last() == 3'000'000; }));
  mesh.Quote("AAPL", 4'000'000, kTime + 3 * kMinuteUs);
  // As long as several tries to save take.
  absl::SleepFor(absl::Seconds(1));
  CHECK(last() != 4'000'000);
  proxy.Mend();
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL").size() == 4; }));
}

TEST_CASE("the database away: bars are made meanwhile, and none is lost") {
  Mesh mesh;
  testing::FlakyProxy proxy(mesh.database.port());
  mesh.config.postgres_url = mesh.database.UrlAtPort(proxy.port());
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.Quote("AAPL", 3'000'000, kTime);
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL").size() == 1; }));
  proxy.Cut();
  mesh.Quote("AAPL", 2'000'000, kTime + 1);
  mesh.Quote("AAPL", 7'000'000, kTime + kMinuteUs);
  CHECK(Eventually([&] { return mesh.LastPrice("AAPL")->regular_price_micros() == 7'000'000; }));
  proxy.Mend();
  CHECK(Eventually([&] { return BarsOf(mesh, "AAPL") == BarTexts{"7 7 7 7", "3 3 2 2"}; }));
}

std::string KeyOf(int user) { return "sak_of_user_" + std::to_string(user) + "_0123456789"; }

void SetCaller(Mesh& mesh, int user) {
  const std::string number = std::to_string(user);
  mesh.fakes.SetCaller(
      KeyOf(user),
      {.user_id = "00000000-0000-4000-8000-" + std::string(12 - number.size(), '0') + number, .key_id = number});
}

double PercentileMs(std::vector<double> latencies_ms, double percentile) {
  std::sort(latencies_ms.begin(), latencies_ms.end());
  return latencies_ms.at(static_cast<size_t>(static_cast<double>(latencies_ms.size() - 1) * percentile));
}

// Reads a ticker so many times, each of which must succeed; answers how long each took.
std::vector<double> ReadMany(Mesh& mesh, const std::string& symbol, const std::string& key, int count) {
  std::vector<double> latencies_ms;
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    v1::GetTickerRequest request;
    request.set_name("tickers/" + symbol);
    v1::Ticker answer;
    const auto context = Mesh::Context(key, kPatience);
    const absl::Time begun = absl::Now();
    if (!mesh.stub->GetTicker(context.get(), request, &answer).ok()) ++failed;
    latencies_ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - begun));
  }
  CHECK(failed == 0);
  return latencies_ms;
}

TEST_CASE("registrations that wait for the source do not delay calls that only read") {
  Mesh mesh(/*with_kafka=*/false);
  mesh.config.lookup_timeout = absl::Seconds(20);
  std::latch release(1);
  std::atomic<int> waiting{0};
  constexpr int kQuiet = 3;
  for (int user = 0; user <= kQuiet; ++user) SetCaller(mesh, user);
  mesh.fakes.SetKnowledge("AAPL", ipb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  const std::vector<double> before_ms = ReadMany(mesh, "AAPL", KeyOf(kQuiet), 100);
  mesh.fakes.OnLookup([&](const std::string&) {
    ++waiting;
    release.wait();
  });
  std::vector<std::thread> slow;
  for (int i = 0; i < 30; ++i) {
    slow.emplace_back([&, i] {
      v1::RegisterTickerRequest request;
      request.set_symbol("SLOW" + std::to_string(i));
      v1::Ticker answer;
      const auto context = Mesh::Context(KeyOf(i % kQuiet), 2 * kPatience);
      (void)mesh.stub->RegisterTicker(context.get(), request, &answer);
    });
  }
  // A user's beyond their share are refused at once.
  const int shares = kQuiet * static_cast<int>(TickerLogicOptions().lookups_per_user_max);
  CHECK(Eventually([&] { return waiting >= shares; }));
  const std::vector<double> during_ms = ReadMany(mesh, "AAPL", KeyOf(kQuiet), 100);
  CHECK(waiting == shares);
  release.count_down();
  for (std::thread& thread : slow) thread.join();
  std::printf("GetTicker, p99 and worst: %.1f and %.1f ms alone, %.1f and %.1f ms beside 30 registrations that wait\n",
              PercentileMs(before_ms, 0.99), PercentileMs(before_ms, 1), PercentileMs(during_ms, 0.99),
              PercentileMs(during_ms, 1));
}

TEST_CASE("a key at full speed is told to slow down, and another one goes on as before") {
  Mesh mesh(/*with_kafka=*/false);
  constexpr int kNoisy = 0;
  constexpr int kQuiet = 1;
  for (const int user : {kNoisy, kQuiet}) SetCaller(mesh, user);
  mesh.fakes.SetKnowledge("AAPL", ipb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  const std::vector<double> before_ms = ReadMany(mesh, "AAPL", KeyOf(kQuiet), 200);
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> noise;
  for (int i = 0; i < 16; ++i) {
    noise.emplace_back([&] {
      while (!stop) {
        v1::GetTickerRequest request;
        request.set_name("tickers/AAPL");
        v1::Ticker answer;
        const auto context = Mesh::Context(KeyOf(kNoisy), kPatience);
        const absl::Status status = rpc::FromGrpc(mesh.stub->GetTicker(context.get(), request, &answer));
        if (status.ok()) ++answered;
        if (base::ReasonOf(status) == "RATE_LIMITED") ++refused;
      }
    });
  }
  CHECK(Eventually([&] { return refused > 0; }));
  const std::vector<double> during_ms = ReadMany(mesh, "AAPL", KeyOf(kQuiet), 200);
  stop = true;
  for (std::thread& thread : noise) thread.join();
  std::printf("GetTicker of a quiet key, p99: %.1f ms alone, %.1f ms beside a noisy one (%d answered, %d refused)\n",
              PercentileMs(before_ms, 0.99), PercentileMs(during_ms, 0.99), answered.load(), refused.load());
}

TEST_CASE("fifty accounts with all their streams cannot shut others out") {
  Mesh mesh;
  constexpr int kAccounts = 50;
  constexpr int kStreamsEach = 20;
  for (int user = 0; user <= kAccounts; ++user) SetCaller(mesh, user);
  mesh.fakes.SetKnowledge("AAPL", ipb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
  mesh.Start();
  REQUIRE(mesh.Register("AAPL").ok());
  mesh.Quote("AAPL", 150'000'000, kTime);
  REQUIRE(Eventually([&] { return mesh.Get("AAPL").has_latest_quote(); }));
  struct Watcher {
    std::unique_ptr<::grpc::ClientContext> context;
    std::unique_ptr<::grpc::ClientReader<v1::WatchQuotesResponse>> reader;
    v1::WatchQuotesResponse response;
  };
  std::vector<std::unique_ptr<v1::TickerService::Stub>> stubs;
  std::deque<Watcher> watchers;
  v1::WatchQuotesRequest request;
  request.add_names("tickers/AAPL");
  int opened = 0;
  for (int account = 0; account <= kAccounts; ++account) {
    ::grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection each.
    stubs.push_back(v1::TickerService::NewStub(::grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(mesh.app->public_port()), ::grpc::InsecureChannelCredentials(), arguments)));
    for (int i = 0; i < (account == kAccounts ? 1 : kStreamsEach); ++i) {
      Watcher& watcher = watchers.emplace_back();
      watcher.context = Mesh::Context(KeyOf(account), absl::Minutes(2));
      watcher.reader = stubs.back()->WatchQuotes(watcher.context.get(), request);
      opened += watcher.reader->Read(&watcher.response) ? 1 : 0;
    }
  }
  // The last one is the newcomer's.
  CHECK(opened == kAccounts * kStreamsEach + 1);
  CHECK_FALSE(watchers.back().response.quotes().empty());
  for (Watcher& watcher : watchers) watcher.context->TryCancel();
  int given_up = 0;
  for (Watcher& watcher : watchers) {
    while (watcher.reader->Read(&watcher.response)) {
    }
    given_up += base::ReasonOf(rpc::FromGrpc(watcher.reader->Finish())) == "STREAM_GIVEN_UP" ? 1 : 0;
  }
  CHECK(given_up <= 1);
}

}  // namespace
}  // namespace stockalert::ticker
