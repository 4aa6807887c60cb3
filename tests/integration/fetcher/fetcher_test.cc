// The whole fetcher over librdkafka's mock cluster, a ticker service in memory and a Finnhub on the same machine.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "services/common/base/error.h"
#include "tests/integration/fetcher/mesh.h"

namespace stockalert::fetcher {
namespace {

TEST_CASE("published quotes are in the log when the call answers, stamped and traced") {
  Mesh mesh;
  Config config = mesh.BaseConfig();
  Running fetcher(config);
  REQUIRE(fetcher.Publish(OneQuote(150'000'000)).ok());
  pb::PublishQuotesResponse second;
  REQUIRE(fetcher.Publish(OneQuote(151'000'000), absl::Seconds(10), &second).ok());
  REQUIRE(second.places_size() == 1);
  CHECK(second.places(0).offset() == 1);
  const std::vector<Read> log = ReadLog(mesh.kafka);
  REQUIRE(log.size() == 2);
  CHECK(log[0].key == "AAPL");
  CHECK(log[0].record.quote().source() == "published");
  CHECK(log[0].record.quote().publisher_epoch() == 1);
  CHECK(log[1].record.quote().sequence() == 2);
  CHECK(log[0].record.quote().session() != pb::TRADING_SESSION_UNSPECIFIED);
  CHECK(log[0].traceparent.size() == 55);
  REQUIRE(fetcher.Fetch({"AAPL", "MSFT"}).size() == 1);
  const pb::QuoteRecord fetched = fetcher.Fetch({"AAPL"}).at(0);
  CHECK(fetched.price_micros() == 151'000'000);
  // By these a reader of the log knows that it has come to it.
  CHECK(fetched.publisher_epoch() == 1);
  CHECK(fetched.sequence() == 2);
  CHECK(fetcher.Lookup("AAPL") == pb::LookupSymbolResponse::KNOWLEDGE_CANNOT_TELL);
}

pb::PublishSplitRequest OneSplit(int64_t number) {
  pb::PublishSplitRequest request;
  pb::SplitRecord& split = *request.mutable_split();
  split.set_symbol("AAPL");
  split.set_split_id("6c1d7f0e-3f0a-4d6b-9f55-0d2b8f6f4a11");
  split.set_number(number);
  split.set_numerator(4);
  split.set_denominator(1);
  split.set_effective_time_us(1'767'366'000'000'000);
  return request;
}

TEST_CASE("a split comes into the log in the order of its symbol's quotes, unless the log's format is the first") {
  Mesh mesh;
  Config config = mesh.BaseConfig();
  {
    Running fetcher(config);
    REQUIRE(fetcher.Publish(OneQuote(400'000'000)).ok());
    pb::PublishSplitResponse response;
    REQUIRE(fetcher.Call(&pb::FetcherService::StubInterface::PublishSplit, OneSplit(1), &response).ok());
    CHECK(response.place().offset() == 1);
    REQUIRE(fetcher.Publish(OneQuote(100'000'000)).ok());
    const std::vector<Read> log = ReadLog(mesh.kafka);
    REQUIRE(log.size() == 3);
    CHECK(log[1].key == "AAPL");
    CHECK(log[1].record.split().number() == 1);
    CHECK(log[1].record.split().numerator() == 4);
    CHECK(log[1].traceparent.size() == 55);
    CHECK(log[2].record.quote().sequence() == 2);
    // What a source says again is still known by the price that it had.
    CHECK(fetcher.Fetch({"AAPL"}).at(0).price_micros() == 100'000'000);
    for (const auto& spoil : std::vector<std::function<void(pb::SplitRecord&)>>{
             [](auto& split) { split.set_symbol("no symbol"); }, [](auto& split) { split.set_split_id("1"); },
             [](auto& split) { split.set_number(0); }, [](auto& split) { split.set_numerator(0); },
             [](auto& split) { split.set_denominator(1'000'001); }, [](auto& split) { split.set_denominator(4); },
             [](auto& split) { split.set_effective_time_us(-1); }}) {
      pb::PublishSplitRequest bad = OneSplit(2);
      spoil(*bad.mutable_split());
      CHECK(absl::IsInvalidArgument(fetcher.Call(&pb::FetcherService::StubInterface::PublishSplit, bad, &response)));
    }
  }
  config.log_format = 1;
  Running old(config);
  pb::PublishSplitResponse response;
  const absl::Status refused = old.Call(&pb::FetcherService::StubInterface::PublishSplit, OneSplit(2), &response);
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK(base::ReasonOf(refused) == "LOG_FORMAT_TOO_OLD");
  CHECK(ReadLog(mesh.kafka).size() == 3);
}

TEST_CASE(
    "a suspected split and its dismissal come into the log as the symbol's quotes do, unless its format is the first") {
  Mesh mesh;
  Config config = mesh.BaseConfig();
  pb::PublishHoldRequest request;
  request.set_symbol("AAPL");
  request.set_kind(pb::PublishHoldRequest::KIND_SUSPECTED);
  pb::PublishHoldResponse response;
  {
    Running fetcher(config);
    const auto publish = [&] {
      return fetcher.Call(&pb::FetcherService::StubInterface::PublishHold, request, &response);
    };
    REQUIRE(fetcher.Publish(OneQuote(400'000'000)).ok());
    REQUIRE(publish().ok());
    CHECK(response.place().offset() == 1);
    request.set_kind(pb::PublishHoldRequest::KIND_DISMISSED);
    REQUIRE(publish().ok());
    REQUIRE(fetcher.Publish(OneQuote(401'000'000)).ok());
    const std::vector<Read> log = ReadLog(mesh.kafka);
    REQUIRE(log.size() == 4);
    CHECK(log[1].key == "AAPL");
    CHECK(log[1].record.split_suspected().symbol() == "AAPL");
    CHECK(log[1].record.split_suspected().publisher_epoch() == log[0].record.quote().publisher_epoch());
    CHECK(log[1].record.split_suspected().sequence() == 2);
    CHECK(log[1].traceparent.size() == 55);
    CHECK(log[2].record.split_dismissed().sequence() == 3);
    CHECK(log[3].record.quote().sequence() == 4);
    request.set_kind(pb::PublishHoldRequest::KIND_UNSPECIFIED);
    CHECK(absl::IsInvalidArgument(publish()));
    request.set_kind(pb::PublishHoldRequest::KIND_DISMISSED);
    request.set_symbol("no symbol");
    CHECK(absl::IsInvalidArgument(publish()));
  }
  config.log_format = 1;
  Running old(config);
  request.set_symbol("AAPL");
  const absl::Status refused = old.Call(&pb::FetcherService::StubInterface::PublishHold, request, &response);
  CHECK(base::ReasonOf(refused) == "LOG_FORMAT_TOO_OLD");
  CHECK(ReadLog(mesh.kafka).size() == 4);
}

TEST_CASE("bad quotes are refused as a whole, naming quote and field") {
  Mesh mesh;
  Running fetcher(mesh.BaseConfig());
  const int64_t now_us = absl::ToUnixMicros(absl::Now());
  pb::PublishQuotesRequest request = OneQuote(1'000'000);
  *request.add_quotes() = OneQuote(0).quotes(0);
  *request.add_quotes() = OneQuote(1'000'000, now_us + 60'000'000).quotes(0);
  const absl::Status refused = fetcher.Publish(request);
  REQUIRE(absl::IsInvalidArgument(refused));
  const auto details = base::FindErrorDetails(refused);
  REQUIRE(details.has_value());
  REQUIRE(details->violations.size() == 2);
  CHECK(details->violations[0].field == "quotes[1].price");
  CHECK(details->violations[1].field == "quotes[2].event_time");
  CHECK(absl::IsInvalidArgument(fetcher.Publish({})));
  CHECK(ReadLog(mesh.kafka).empty());
  ::grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  pb::PublishQuotesResponse response;
  CHECK(absl::IsUnauthenticated(rpc::FromGrpc(fetcher.stub->PublishQuotes(&context, OneQuote(1), &response))));
}

TEST_CASE("while the broker is away a call says so, and afterwards all is well") {
  Mesh mesh;
  Running fetcher(mesh.BaseConfig());
  REQUIRE(fetcher.Publish(OneQuote(1'000'000)).ok());
  mesh.kafka.SetDown();
  const absl::Time begin = absl::Now();
  CHECK(absl::IsUnavailable(fetcher.Publish(OneQuote(2'000'000), absl::Seconds(3))));
  CHECK(absl::Now() - begin < absl::Seconds(4));
  CHECK(absl::IsUnavailable(fetcher.Publish(OneQuote(3'000'000), absl::Seconds(3))));
  mesh.kafka.SetUp();
  REQUIRE(Eventually([&] { return fetcher.Publish(OneQuote(4'000'000), absl::Seconds(3)).ok(); }, absl::Seconds(60)));
  int64_t sequence = 0;
  for (const Read& read : ReadLog(mesh.kafka)) {
    CHECK(read.record.quote().sequence() > sequence);
    sequence = read.record.quote().sequence();
  }
}

TEST_CASE("a fetcher that is replaced in the middle of a replay goes on where the log is") {
  Mesh mesh;
  const std::string path = std::filesystem::temp_directory_path() / ("aapl-" + std::to_string(getpid()) + ".csv");
  {
    std::ofstream file(path);
    file << "time_ms,open,high,low,close\n";
    for (int i = 0; i < 300; ++i) file << 1'460'727'000'000 + i * int64_t{60'000} << ",112,114,111,113\n";
  }
  Config config = mesh.BaseConfig();
  config.source = "replay";
  config.file = path;
  config.speed = 1e9;
  config.quotes_per_s_max = 1'000;
  config.replay_run = "test";
  mesh.ticker.SetSymbols({"AAPL"});
  {
    Running first(config);
    REQUIRE(Eventually([&] { return !first.Fetch({"AAPL"}).empty(); }));
    CHECK(first.Lookup("AAPL") == pb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
    CHECK(first.Lookup("MSFT") == pb::LookupSymbolResponse::KNOWLEDGE_UNKNOWN);
    absl::SleepFor(absl::Milliseconds(200));
  }
  const size_t before = ReadLog(mesh.kafka).size();
  CHECK(before > 1);
  CHECK(before < 1'201);
  config.quotes_per_s_max = 100'000;
  const int64_t last_us = (1'460'727'000'000 + 299 * int64_t{60'000} + 45'000) * 1'000;
  for (int i = 0; i < 2; ++i) {
    Running again(config);
    REQUIRE(Eventually([&] {
      const auto quotes = again.Fetch({"AAPL"});
      return !quotes.empty() && quotes.front().event_time_us() == last_us;
    }));
  }
  std::filesystem::remove(path);
  int restarts = 0;
  int64_t time_us = 0;
  bool rises = true;
  size_t quotes = 0;
  std::set<int64_t> epochs;
  for (const Read& read : ReadLog(mesh.kafka)) {
    if (read.record.has_restart()) {
      ++restarts;
      continue;
    }
    ++quotes;
    rises = rises && read.record.quote().event_time_us() > time_us;
    time_us = read.record.quote().event_time_us();
    epochs.insert(read.record.quote().publisher_epoch());
  }
  CHECK(restarts == 1);
  CHECK(quotes == 1'200);
  CHECK(rises);
  CHECK(epochs.size() == 2);
}

// --- Finnhub
// ----------------------------------------------------------------------------------------------------------------

std::string TradeJson(const std::string& symbol, const std::string& price, int64_t time_ms) {
  return R"({"type":"trade","data":[{"c":["1"],"p":)" + price + R"(,"s":")" + symbol + R"(","t":)" +
         std::to_string(time_ms) + R"(,"v":10}]})";
}

TEST_CASE("polled and streamed prices of registered tickers come into the log") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  finnhub.SetQuote("AAPL", QuoteJson("261.74", NowSeconds() - 10));
  finnhub.SetQuote("ZERO", R"({"c":0,"d":0,"dp":0,"h":0,"l":0,"o":0,"pc":0,"t":0})");
  Running fetcher(FinnhubConfig(mesh, finnhub));
  mesh.ticker.SetSymbols({"AAPL", "ZERO"});
  REQUIRE(Eventually([&] { return finnhub.subscribed() == std::set<std::string>{"AAPL", "ZERO"}; }));
  REQUIRE(Eventually([&] { return finnhub.quoted().size() >= 4; }));
  finnhub.Send(R"({"type":"ping"})");
  finnhub.Send(TradeJson("AAPL", "261.800001", NowSeconds() * 1000 - 5'000));
  finnhub.Send(TradeJson("MSFT", "400", NowSeconds() * 1000));
  finnhub.Send("no json");
  const auto has = [&](const char* source, int64_t price_micros) {
    for (const Read& read : ReadLog(mesh.kafka)) {
      if (read.record.quote().source() == source && read.record.quote().price_micros() == price_micros) return true;
    }
    return false;
  };
  CHECK(Eventually([&] { return has("finnhub-rest", 261'740'000); }));
  CHECK(Eventually([&] { return has("finnhub-ws", 261'800'001); }));
  for (const Read& read : ReadLog(mesh.kafka)) CHECK(read.key == "AAPL");
  CHECK(finnhub.keys() == std::set<std::string>{"secret-key"});
  // An unsubscribed ticker leaves the stream.
  mesh.ticker.SetSymbols({"ZERO"});
  CHECK(Eventually([&] { return finnhub.subscribed() == std::set<std::string>{"ZERO"}; }));
}

TEST_CASE("the first price of a symbol that was looked up says how far its day had gone") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  const std::string symbol = "BINANCE:BTCUSDT";  // Has figures at any hour.
  finnhub.SetQuote(symbol, QuoteJson("261.74", NowSeconds()));
  Running fetcher(FinnhubConfig(mesh, finnhub));
  REQUIRE(fetcher.Lookup(symbol) == pb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
  finnhub.FailRest(500, "oops");
  mesh.ticker.SetSymbols({symbol});
  REQUIRE(Eventually([&] { return finnhub.subscribed() == std::set<std::string>{symbol}; }));
  finnhub.Send(TradeJson(symbol, "261.8", NowSeconds() * 1000));
  REQUIRE(Eventually([&] { return !ReadLog(mesh.kafka).empty(); }));
  CHECK(ReadLog(mesh.kafka).front().record.quote().source() == "finnhub-ws");
  CHECK(ReadLog(mesh.kafka).front().record.quote().has_day_high_micros());
}

TEST_CASE("fetching asks the source, publishes, and says when the budget is used up") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  finnhub.SetQuote("AAPL", QuoteJson("261.74", NowSeconds() - 10));
  finnhub.SetQuote("ZERO", R"({"c":0,"d":0,"dp":0,"h":0,"l":0,"o":0,"pc":0,"t":0})");
  Config config = FinnhubConfig(mesh, finnhub);
  config.finnhub_stream_symbols = 0;
  config.finnhub_calls_per_minute = 9;
  Running fetcher(config);
  absl::Status status;
  const auto quotes = fetcher.Fetch({"AAPL", "NOPE"}, &status);
  REQUIRE(status.ok());
  REQUIRE(quotes.size() == 1);
  CHECK(quotes[0].price_micros() == 261'740'000);
  CHECK(quotes[0].publisher_epoch() == 1);
  CHECK(quotes[0].sequence() == 1);
  CHECK(ReadLog(mesh.kafka).size() == 1);
  CHECK(fetcher.Lookup("AAPL") == pb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
  CHECK(fetcher.Lookup("NOPE") == pb::LookupSymbolResponse::KNOWLEDGE_UNKNOWN);
  CHECK(fetcher.Lookup("ZERO") == pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER);
  finnhub.SetSearch(R"({"count":1,"result":[{"symbol":"BRK.B","displaySymbol":"BRK.B"}]})");
  CHECK(fetcher.Lookup("BRK.B") == pb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
  // Nine calls are made: 2 to fetch, 1 + 2 + 2 + 2 to look up.
  CHECK(fetcher.Fetch({"MSFT"}, &status).empty());
  REQUIRE(absl::IsResourceExhausted(status));
  CHECK(base::FindErrorDetails(status)->retry_delay.has_value());
  CHECK(finnhub.rest_calls() == 9);
}

TEST_CASE("incidents of the source: refusals, a wrong key, errors, and back") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  finnhub.SetQuote("AAPL", QuoteJson("261.74", NowSeconds() - 10));
  Config config = FinnhubConfig(mesh, finnhub);
  config.finnhub_stream_symbols = 0;
  absl::Status status;
  for (const auto& [http, body] :
       std::map<int, std::string>{{500, "oops"},
                                  {429, "API limit reached. Please try again later. Remaining Limit: 0"},
                                  {401, "Invalid API key."},
                                  {200, "<html>"}}) {
    CAPTURE(http);
    // One each: a refusal pauses all calls of its fetcher.
    Running fetcher(config);
    finnhub.FailRest(http, body);
    CHECK(fetcher.Fetch({"AAPL"}, &status).empty());
    CHECK((http == 429 ? absl::IsResourceExhausted(status) : absl::IsUnavailable(status)));
    CHECK(std::string(status.message()).find("secret-key") == std::string::npos);
    CHECK(fetcher.Lookup("AAPL") == pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER);
    finnhub.FailRest(0, "");
    if (http != 429) CHECK(fetcher.Fetch({"AAPL"}, &status).size() == 1);
  }
  Running fetcher(config);
  finnhub.FailRest(429, "Please sign up for a free API key");
  CHECK(fetcher.Fetch({"AAPL"}, &status).empty());
  CHECK(absl::IsUnavailable(status));
}

TEST_CASE("the stream comes back after drops, refusals and silence, on one connection at a time") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  Config config = FinnhubConfig(mesh, finnhub);
  config.finnhub_silence = absl::Seconds(1);
  finnhub.DeclineHandshakes(524);
  mesh.ticker.SetSymbols({"AAPL"});
  Running fetcher(config);
  REQUIRE(Eventually([&] { return finnhub.handshakes() >= 1; }));
  finnhub.DeclineHandshakes(0);
  REQUIRE(Eventually([&] { return finnhub.connections() == 1 && finnhub.subscribed().count("AAPL") == 1; }));
  finnhub.Drop();
  const int dropped_at = finnhub.handshakes();
  REQUIRE(Eventually([&] { return finnhub.handshakes() > dropped_at && finnhub.subscribed().count("AAPL") == 1; }));
  // Nothing is said for more than a second: the connection is given up.
  const int silent_at = finnhub.handshakes();
  REQUIRE(Eventually([&] { return finnhub.handshakes() > silent_at; }, absl::Seconds(30)));
  CHECK(finnhub.connections_max() == 1);
}

TEST_CASE("where the key may stream fewer symbols, as many as it may are streamed") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  finnhub.SetSubscriptionsMax(3);
  mesh.ticker.SetSymbols({"A", "B", "C", "D", "E", "F"});
  Running fetcher(FinnhubConfig(mesh, finnhub));
  REQUIRE(Eventually([&] { return finnhub.subscribed().size() == 3; }));
  absl::SleepFor(absl::Milliseconds(500));
  const std::set<std::string> streamed = finnhub.subscribed();
  CHECK(streamed.size() == 3);
  // A slot that is freed is used.
  std::set<std::string> fewer = {"A", "B", "C", "D", "E", "F"};
  fewer.erase(*streamed.begin());
  mesh.ticker.SetSymbols(fewer);
  CHECK(Eventually(
      [&] { return finnhub.subscribed().size() == 3 && finnhub.subscribed().count(*streamed.begin()) == 0; }));
}

}  // namespace
}  // namespace stockalert::fetcher
