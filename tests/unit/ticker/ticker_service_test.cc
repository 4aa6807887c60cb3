// TickerService and TickerInternalService over a real server, with stores and peers in memory.
#include "services/ticker/ticker_service.h"

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <memory>
#include <set>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/grpc/time_convert.h"
#include "services/ticker/split_convert.h"
#include "services/ticker/ticker_internal_service.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/ticker_store/in_memory_split_store.h"
#include "tests/support/ticker_store/in_memory_ticker_store.h"
#include "tests/unit/ticker/fakes.h"

namespace stockalert::ticker {
namespace {

namespace ipb = ::stockalert::internal::v1;

class Keys final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Caller> Authenticate(std::string_view key, const trace::Context&, absl::Time) override {
    if (key == "user") return rpc::Caller{.user_id = "u", .key_id = "1"};
    if (key == "reader")
      return rpc::Caller{.user_id = "u", .key_id = "2", .is_administrator = false, .read_only = true};
    if (key == "admin") return rpc::Caller{.user_id = {}, .key_id = "a", .is_administrator = true};
    return base::Unauthenticated("API_KEY_INVALID", "no such key");
  }
};

// The log and its reader at once.
struct MemorySplitPublisher final : SplitPublisher {
  MemorySplitPublisher(PriceBoard& of, testing::InMemorySplitStore& noted) : board(of), store(noted) {}
  absl::StatusOr<LogPlace> PublishSplit(const record::Split& split, const trace::Context&, absl::Time) override {
    BoardRecord record;
    record.kind = BoardRecord::Kind::kSplit;
    record.place = {0, 1'000 + published++};
    record.split = split;
    board.Apply({record});
    store.NoteInLog(split.symbol, split.number);
    return record.place;
  }
  PriceBoard& board;
  testing::InMemorySplitStore& store;
  int64_t published = 0;
};

struct MemoryHoldPublisher final : HoldPublisher {
  explicit MemoryHoldPublisher(PriceBoard& of) : board(of) {}
  absl::StatusOr<LogPlace> PublishHold(const std::string& symbol, Kind kind, const trace::Context&,
                                       absl::Time) override {
    if (!failure.ok()) return failure;
    BoardRecord record;
    record.kind = kind == Kind::kSuspected ? BoardRecord::Kind::kSuspected : BoardRecord::Kind::kDismissed;
    record.place = {0, 500 + published++};
    record.log_time_us = 1'767'366'000'000'000;
    record.suspected.symbol = record.dismissed.symbol = symbol;
    record.suspected.publisher_epoch = record.dismissed.publisher_epoch = epoch;
    record.suspected.sequence = record.dismissed.sequence = epoch == 0 ? 0 : published;
    if (is_read) board.Apply({record});
    return record.place;
  }
  PriceBoard& board;
  absl::Status failure;
  bool is_read = true;
  int64_t published = 0;
  int64_t epoch = 0;  // 0: it has no publisher to be known again by.
};

struct Fixture {
  Fixture() {
    fetcher.board = &board;
    auto started = rpc::Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {&service, &internal_service},
                                       .service_names = {}});
    REQUIRE(started.ok());
    server = *std::move(started);
    const auto channel = server->InProcessChannel();
    stub = v1::TickerService::NewStub(channel);
    internal_stub = ipb::TickerInternalService::NewStub(channel);
  }
  ~Fixture() {
    runner.EndStreams();
    server->Shutdown(absl::Now() + absl::Seconds(5));
    runner.Stop(absl::Now() + absl::Seconds(5));
    server.reset();
  }
  static std::unique_ptr<::grpc::ClientContext> Context(const std::string& key) {
    auto context = std::make_unique<::grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
    return context;
  }
  static std::unique_ptr<::grpc::ClientContext> MeshContext() {
    auto context = Context("");
    context->AddMetadata(rpc::kMeshTokenMetadata, "token");
    return context;
  }
  // Calls a method of the public stub.
  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, const Request& request, Response& response, const std::string& key = "user") {
    const auto context = Context(key);
    return rpc::FromGrpc((stub.get()->*method)(context.get(), request, &response));
  }
  absl::Status Register(const std::string& symbol, const std::string& key = "user") {
    v1::RegisterTickerRequest request;
    request.set_symbol(symbol);
    v1::Ticker response;
    return Call(&v1::TickerService::Stub::RegisterTicker, request, response, key);
  }
  void Quote(const std::string& symbol, int64_t price) {
    BoardRecord entry;
    entry.kind = BoardRecord::Kind::kQuote;
    entry.place.offset = next++;
    entry.quote.set_symbol(symbol);
    entry.quote.set_price_micros(price);
    entry.quote.set_event_time_us(clock.NowUs());
    entry.quote.set_session(ipb::TRADING_SESSION_REGULAR);
    board.Apply({entry});
  }

  // Minutes that follow each other from kMinute on, a bar in each: opening at 1, closing at the minute's number.
  void StoreBars(const std::string& symbol, int64_t count) {
    SymbolBars bars{symbol, {}, {}};
    for (int64_t i = 0; i < count; ++i) {
      const int64_t start_us = kMinute + i * kMinuteUs;
      bars.bars.push_back({start_us, {1'000'000, start_us}, 5'250'000, 500'000, {(i + 1) * 1'000'000, start_us + 1}});
    }
    SymbolPrices prices;
    prices.symbol = symbol;
    prices.offset = 1;
    REQUIRE(price_store.Save({{prices}, {}, {bars}}).ok());
  }

  static constexpr int64_t kMinute = 1'767'366'000'000'000;
  testing::FakeClock clock;
  testing::FakeMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  testing::InMemoryTickerStore store;
  testing::InMemoryPriceStore price_store;
  PriceBoard board{clock, monotonic_clock};
  MemoryFetcher fetcher;
  MemoryTickerUse use;
  TickerLogic logic{TickerLogicOptions{}, store, price_store, board, fetcher, use, clock, monotonic_clock, ids};
  Keys keys;
  rpc::CallRunner runner{{.name = "public", .threads = 4, .mesh_token = "token", .authenticator = &keys}};
  testing::InMemorySplitStore split_store;
  MemorySplitPublisher split_publisher{board, split_store};
  SplitLogic split_logic{{.read_timeout = absl::Milliseconds(200)}, split_store, board, split_publisher, clock};
  MemoryHoldPublisher hold_publisher{board};
  HoldLogic hold_logic{{.read_timeout = absl::Milliseconds(100)}, logic, board, hold_publisher};
  TickerServiceImpl service{runner, runner, logic, split_logic, hold_logic, board, clock};
  TickerInternalServiceImpl internal_service{runner, logic};
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<v1::TickerService::Stub> stub;
  std::unique_ptr<ipb::TickerInternalService::Stub> internal_stub;
  int64_t next = 0;
};

std::string FieldOf(const absl::Status& status) {
  const auto details = base::FindErrorDetails(status);
  return details && !details->violations.empty() ? details->violations[0].field : "";
}

TEST_CASE("tickers are registered, read, listed in pages and deleted") {
  Fixture f;
  v1::BatchRegisterTickersRequest batch;
  for (const char* symbol : {"msft", "AAPL", "brk.b", "aapl"}) batch.add_symbols(symbol);
  v1::BatchRegisterTickersResponse registered;
  REQUIRE(f.Call(&v1::TickerService::Stub::BatchRegisterTickers, batch, registered).ok());
  REQUIRE(registered.tickers_size() == 4);
  CHECK(registered.tickers(0).name() == "tickers/MSFT");
  CHECK(registered.tickers(3).symbol() == "AAPL");
  CHECK(rpc::TimestampToUs(registered.tickers(0).create_time(), "t").value() == f.clock.NowUs());
  f.Quote("AAPL", 150'250'000);

  v1::GetTickerRequest get;
  get.set_name("tickers/aapl");
  v1::Ticker ticker;
  REQUIRE(f.Call(&v1::TickerService::Stub::GetTicker, get, ticker, "reader").ok());
  CHECK(ticker.latest_quote().price() == "150.25");

  v1::ListTickersRequest list;
  list.set_page_size(2);
  v1::ListTickersResponse page;
  REQUIRE(f.Call(&v1::TickerService::Stub::ListTickers, list, page, "reader").ok());
  REQUIRE(page.tickers_size() == 2);
  CHECK(page.tickers(0).symbol() == "AAPL");
  CHECK(!page.next_page_token().empty());
  list.set_page_token(page.next_page_token());
  REQUIRE(f.Call(&v1::TickerService::Stub::ListTickers, list, page, "reader").ok());
  REQUIRE(page.tickers_size() == 1);
  CHECK(page.tickers(0).symbol() == "MSFT");
  CHECK(page.next_page_token().empty());
  // A page that has just room for all is the last.
  list.clear_page_token();
  list.set_page_size(3);
  REQUIRE(f.Call(&v1::TickerService::Stub::ListTickers, list, page, "reader").ok());
  CHECK(page.tickers_size() == 3);
  CHECK(page.next_page_token().empty());

  v1::DeleteTickerRequest remove;
  remove.set_name("tickers/MSFT");
  google::protobuf::Empty empty;
  CHECK(f.Call(&v1::TickerService::Stub::DeleteTicker, remove, empty).code() == absl::StatusCode::kPermissionDenied);
  f.use.followers = 3;
  CHECK(base::ReasonOf(f.Call(&v1::TickerService::Stub::DeleteTicker, remove, empty, "admin")) == "TICKER_IN_USE");
  f.use.followers = 0;
  CHECK(f.Call(&v1::TickerService::Stub::DeleteTicker, remove, empty, "admin").ok());
  CHECK(base::ReasonOf(f.Call(&v1::TickerService::Stub::DeleteTicker, remove, empty, "admin")) == "TICKER_NOT_FOUND");
}

TEST_CASE("bad requests name the field, and nothing is stored") {
  Fixture f;
  f.fetcher.unknown = {"NOPE"};
  for (const char* symbol : {"", "A B", "A/B", "ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567", "nope"}) {
    CAPTURE(symbol);
    const absl::Status refused = f.Register(symbol);
    CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
    CHECK(FieldOf(refused) == "symbol");
  }
  CHECK(base::ReasonOf(f.Register("nope")) == "UNKNOWN_SYMBOL");
  CHECK(f.Register("AAPL", "reader").code() == absl::StatusCode::kPermissionDenied);
  CHECK(f.Register("AAPL", "wrong").code() == absl::StatusCode::kUnauthenticated);
  CHECK(f.Register("AAPL", "").code() == absl::StatusCode::kUnauthenticated);
  CHECK(f.store.List("", 10)->empty());

  v1::BatchRegisterTickersRequest batch;
  v1::BatchRegisterTickersResponse registered;
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::BatchRegisterTickers, batch, registered)) == "symbols");
  for (int i = 0; i < 101; ++i) batch.add_symbols("S" + std::to_string(i));
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::BatchRegisterTickers, batch, registered)) == "symbols");

  v1::Ticker ticker;
  for (const char* name : {"", "AAPL", "tickers/", "tickers/A/B", "tickers/!", "users/AAPL"}) {
    CAPTURE(name);
    v1::GetTickerRequest get;
    get.set_name(name);
    CHECK(FieldOf(f.Call(&v1::TickerService::Stub::GetTicker, get, ticker)) == "name");
  }
  v1::GetTickerRequest get;
  get.set_name("tickers/TSLA");
  CHECK(f.Call(&v1::TickerService::Stub::GetTicker, get, ticker).code() == absl::StatusCode::kNotFound);

  v1::ListTickersRequest list;
  v1::ListTickersResponse page;
  list.set_page_size(-1);
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::ListTickers, list, page)) == "page_size");
  list.set_page_size(0);
  list.set_page_token("from elsewhere");
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::ListTickers, list, page)) == "page_token");
}

TEST_CASE("quotes are returned for one symbol or many") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  REQUIRE(f.Register("MSFT").ok());
  v1::GetQuoteRequest get;
  get.set_name("tickers/AAPL");
  quote::v1::Quote quote;
  const absl::Status none = f.Call(&v1::TickerService::Stub::GetQuote, get, quote, "reader");
  CHECK(none.code() == absl::StatusCode::kNotFound);
  CHECK(base::ReasonOf(none) == "NO_QUOTE_YET");
  f.fetcher.SetQuote("AAPL", 150'000'000);
  REQUIRE(f.Call(&v1::TickerService::Stub::GetQuote, get, quote, "reader").ok());
  CHECK(quote.price() == "150");
  v1::BatchGetQuotesRequest batch;
  batch.add_names("tickers/MSFT");
  batch.add_names("tickers/AAPL");
  v1::BatchGetQuotesResponse quotes;
  REQUIRE(f.Call(&v1::TickerService::Stub::BatchGetQuotes, batch, quotes).ok());
  CHECK(quotes.quotes_size() == 1);
  batch.add_names("x");
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::BatchGetQuotes, batch, quotes)) == "names[2]");
  batch.clear_names();
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::BatchGetQuotes, batch, quotes)) == "names");
  for (size_t i = 0; i < kBatchSymbolsMax; ++i) batch.add_names("tickers/AAPL");
  REQUIRE(f.Call(&v1::TickerService::Stub::BatchGetQuotes, batch, quotes).ok());
  CHECK(quotes.quotes_size() == static_cast<int>(kBatchSymbolsMax));
  batch.add_names("tickers/AAPL");
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::BatchGetQuotes, batch, quotes)) == "names");
  f.fetcher.failure = base::ResourceExhausted("SOURCE_RATE_LIMIT", "slow down", absl::Seconds(3));
  const absl::Status limited = f.Call(&v1::TickerService::Stub::GetQuote, get, quote);
  CHECK(limited.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::FindErrorDetails(limited)->retry_delay == absl::Seconds(3));
}

TEST_CASE("quotes are published by administrators") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  v1::PublishQuotesRequest publish;
  quote::v1::Quote& quote = *publish.add_quotes();
  quote.set_symbol("AAPL");
  quote.set_price("NaN");
  *quote.mutable_event_time() = rpc::TimestampFromUs(f.clock.NowUs());
  v1::PublishQuotesResponse published;
  CHECK(f.Call(&v1::TickerService::Stub::PublishQuotes, publish, published).code() ==
        absl::StatusCode::kPermissionDenied);
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::PublishQuotes, publish, published, "admin")) == "quotes[0].price");
  publish.mutable_quotes(0)->set_price("150.5");
  REQUIRE(f.Call(&v1::TickerService::Stub::PublishQuotes, publish, published, "admin").ok());
  CHECK(published.published_count() == 1);
  CHECK(f.fetcher.published.at(0).price_micros() == 150'500'000);
  REQUIRE(published.outcomes_size() == 1);
  CHECK(published.outcomes(0).verdict() == v1::QuoteOutcome::VERDICT_ACCEPTED);
  CHECK(!published.outcomes(0).counts_for_no_alert());
  publish.mutable_quotes(0)->set_session(quote::v1::SESSION_CLOSED);
  *publish.add_quotes() = publish.quotes(0);
  *publish.mutable_quotes(1)->mutable_event_time() = rpc::TimestampFromUs(f.clock.NowUs() - 1);
  REQUIRE(f.Call(&v1::TickerService::Stub::PublishQuotes, publish, published, "admin").ok());
  REQUIRE(published.outcomes_size() == 2);
  CHECK(published.outcomes(0).verdict() == v1::QuoteOutcome::VERDICT_ACCEPTED);
  CHECK(published.outcomes(0).session() == quote::v1::SESSION_CLOSED);
  CHECK(published.outcomes(0).counts_for_no_alert());
  CHECK(published.outcomes(1).verdict() == v1::QuoteOutcome::VERDICT_LATE);
  CHECK(!published.outcomes(1).counts_for_no_alert());
  f.fetcher.says_places = false;
  REQUIRE(f.Call(&v1::TickerService::Stub::PublishQuotes, publish, published, "admin").ok());
  CHECK(published.outcomes(0).verdict() == v1::QuoteOutcome::VERDICT_UNKNOWN);
  CHECK(published.outcomes(0).session() == quote::v1::SESSION_UNSPECIFIED);
}

TEST_CASE("a watch shows the latest known, then what comes, and ends with its client") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  REQUIRE(f.Register("MSFT").ok());
  f.Quote("AAPL", 1'000'000);
  v1::WatchQuotesRequest watch;
  watch.add_names("tickers/AAPL");
  watch.add_names("tickers/MSFT");
  watch.add_names("tickers/aapl");
  v1::WatchQuotesResponse response;
  {
    const auto context = Fixture::Context("reader");
    const auto stream = f.stub->WatchQuotes(context.get(), watch);
    REQUIRE(stream->Read(&response));
    REQUIRE(response.quotes_size() == 1);
    CHECK(response.quotes(0).price() == "1");
    for (int64_t i = 2; i <= 500; ++i) f.Quote(i % 2 == 0 ? "AAPL" : "MSFT", i * 1'000'000);
    std::string aapl;
    std::string msft;
    while (aapl != "500" || msft != "499") {
      REQUIRE(stream->Read(&response));
      for (const quote::v1::Quote& quote : response.quotes()) (quote.symbol() == "AAPL" ? aapl : msft) = quote.price();
    }
    context->TryCancel();
    while (stream->Read(&response)) {
    }
    CHECK(stream->Finish().error_code() == ::grpc::StatusCode::CANCELLED);
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (f.board.watchers() > 0 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  CHECK(f.board.watchers() == 0);

  watch.add_names("tickers/TSLA");
  const auto context = Fixture::Context("user");
  const auto stream = f.stub->WatchQuotes(context.get(), watch);
  CHECK(!stream->Read(&response));
  CHECK(base::ReasonOf(rpc::FromGrpc(stream->Finish())) == "TICKER_NOT_FOUND");
}

v1::ListBarsRequest BarsOf(const std::string& parent, int page_size = 0) {
  v1::ListBarsRequest request;
  request.set_parent(parent);
  request.set_page_size(page_size);
  return request;
}

TEST_CASE("bars are listed newest first, in pages, within a range") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  f.StoreBars("AAPL", 5);
  v1::ListBarsResponse page;
  REQUIRE(f.Call(&v1::TickerService::Stub::ListBars, BarsOf("tickers/aapl"), page, "reader").ok());
  REQUIRE(page.bars_size() == 5);
  CHECK(page.next_page_token().empty());
  CHECK(*rpc::TimestampToUs(page.bars(0).start_time(), "") == Fixture::kMinute + 4 * kMinuteUs);
  CHECK(page.bars(0).open() == "1");
  CHECK(page.bars(0).high() == "5.25");
  CHECK(page.bars(0).low() == "0.5");
  CHECK(page.bars(0).close() == "5");

  v1::ListBarsRequest request = BarsOf("tickers/AAPL", 2);
  *request.mutable_start_time() = rpc::TimestampFromUs(Fixture::kMinute + 1);
  *request.mutable_end_time() = rpc::TimestampFromUs(Fixture::kMinute + 4 * kMinuteUs);
  std::vector<std::string> closes;
  int pages = 0;
  do {
    REQUIRE(f.Call(&v1::TickerService::Stub::ListBars, request, page).ok());
    for (const v1::Bar& bar : page.bars()) closes.push_back(bar.close());
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!page.next_page_token().empty() && pages < 5);
  CHECK(closes == std::vector<std::string>{"4", "3", "2"});
  CHECK(pages == 2);
}

TEST_CASE("a page of bars has 500 where nothing is said, and 1,000 at most") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  f.StoreBars("AAPL", 1001);
  v1::ListBarsResponse page;
  REQUIRE(f.Call(&v1::TickerService::Stub::ListBars, BarsOf("tickers/AAPL"), page).ok());
  CHECK(page.bars_size() == 500);
  REQUIRE(f.Call(&v1::TickerService::Stub::ListBars, BarsOf("tickers/AAPL", 5000), page).ok());
  CHECK(page.bars_size() == 1000);
  CHECK_FALSE(page.next_page_token().empty());
}

TEST_CASE("bars that cannot be listed: whose ticker is unknown, and requests that name the field") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  f.StoreBars("AAPL", 3);
  v1::ListBarsResponse page;
  const auto list = [&](const v1::ListBarsRequest& request) {
    return f.Call(&v1::TickerService::Stub::ListBars, request, page);
  };
  CHECK(base::ReasonOf(list(BarsOf("tickers/MSFT"))) == "TICKER_NOT_FOUND");
  CHECK(list(BarsOf("tickers/MSFT")).code() == absl::StatusCode::kNotFound);
  CHECK(f.Call(&v1::TickerService::Stub::ListBars, BarsOf("tickers/AAPL"), page, "").code() ==
        absl::StatusCode::kUnauthenticated);
  for (const char* parent : {"", "AAPL", "tickers/A/B", "users/AAPL"}) CHECK(FieldOf(list(BarsOf(parent))) == "parent");
  CHECK(FieldOf(list(BarsOf("tickers/AAPL", -1))) == "page_size");
  v1::ListBarsRequest request = BarsOf("tickers/AAPL", 1);
  request.mutable_start_time()->set_seconds(-1);
  CHECK(FieldOf(list(request)) == "start_time");
  request.clear_start_time();
  request.mutable_end_time()->set_nanos(-1);
  CHECK(FieldOf(list(request)) == "end_time");
  *request.mutable_start_time() = rpc::TimestampFromUs(5);
  *request.mutable_end_time() = rpc::TimestampFromUs(5);
  CHECK(FieldOf(list(request)) == "end_time");
  // A token is bound to its list.
  request = BarsOf("tickers/AAPL", 1);
  REQUIRE(list(request).ok());
  v1::ListBarsRequest other = request;
  other.set_page_token(page.next_page_token());
  CHECK(list(other).ok());
  *other.mutable_start_time() = rpc::TimestampFromUs(5);
  CHECK(FieldOf(list(other)) == "page_token");
  request.set_page_token("from elsewhere");
  CHECK(FieldOf(list(request)) == "page_token");
}

TEST_CASE("the last bars are answered to the mesh, oldest first") {
  Fixture f;
  f.StoreBars("AAPL", 5);
  ipb::ListLastBarsRequest request;
  request.set_symbol("aapl");
  request.set_start_time_us(Fixture::kMinute);
  request.set_end_time_us(Fixture::kMinute + 4 * kMinuteUs);
  request.set_bar_count_max(3);
  ipb::ListLastBarsResponse response;
  const auto ask = [&] {
    return rpc::FromGrpc(f.internal_stub->ListLastBars(Fixture::MeshContext().get(), request, &response));
  };
  REQUIRE(ask().ok());
  REQUIRE(response.bars_size() == 3);
  CHECK(response.bars(0).start_time_us() == Fixture::kMinute + kMinuteUs);
  CHECK(response.bars(2).start_time_us() == Fixture::kMinute + 3 * kMinuteUs);
  CHECK(response.bars(2).open_micros() == 1'000'000);
  CHECK(response.bars(2).high_micros() == 5'250'000);
  CHECK(response.bars(2).low_micros() == 500'000);
  CHECK(response.bars(2).close_micros() == 4'000'000);
  request.set_symbol("MSFT");
  REQUIRE(ask().ok());
  CHECK(response.bars().empty());

  request.set_symbol("A B");
  CHECK(FieldOf(ask()) == "symbol");
  request.set_symbol("AAPL");
  for (const int count : {0, -1, 1001}) {
    request.set_bar_count_max(count);
    CHECK(FieldOf(ask()) == "bar_count_max");
  }
  request.set_bar_count_max(1000);
  CHECK(ask().ok());
  request.set_end_time_us(request.start_time_us());
  CHECK(FieldOf(ask()) == "end_time_us");
  CHECK_FALSE(f.internal_stub->ListLastBars(Fixture::Context("user").get(), request, &response).ok());
}

TEST_CASE("the internal port takes the mesh token only") {
  Fixture f;
  ipb::RegisterTickerRequest request;
  request.set_symbol("brk.b");
  request.set_hold_ms(1000);
  ipb::RegisterTickerResponse response;
  const auto as_user = Fixture::Context("admin");
  CHECK(!f.internal_stub->RegisterTicker(as_user.get(), request, &response).ok());
  REQUIRE(f.internal_stub->RegisterTicker(Fixture::MeshContext().get(), request, &response).ok());
  CHECK(response.symbol() == "BRK.B");
  request.set_hold_ms(60'001);
  CHECK(FieldOf(rpc::FromGrpc(f.internal_stub->RegisterTicker(Fixture::MeshContext().get(), request, &response))) ==
        "hold_ms");
  request.set_hold_ms(-1);
  CHECK(FieldOf(rpc::FromGrpc(f.internal_stub->RegisterTicker(Fixture::MeshContext().get(), request, &response))) ==
        "hold_ms");
  request.set_hold_ms(0);
  CHECK(f.internal_stub->RegisterTicker(Fixture::MeshContext().get(), request, &response).ok());
  // Only checked.
  ipb::RegisterTickerRequest checked;
  checked.set_symbol("goog");
  checked.set_validate_only(true);
  CHECK(f.internal_stub->RegisterTicker(Fixture::MeshContext().get(), checked, &response).ok());
  CHECK(response.symbol() == "GOOG");
  CHECK(f.store.Find({"GOOG"})->empty());
  // Whose share it takes; a peer of another version may say what it likes, within bounds.
  request.set_hold_ms(1000);
  request.set_user_id(std::string(100, 'u'));
  CHECK(f.internal_stub->RegisterTicker(Fixture::MeshContext().get(), request, &response).ok());
  request.set_user_id(std::string(101, 'u'));
  CHECK(FieldOf(rpc::FromGrpc(f.internal_stub->RegisterTicker(Fixture::MeshContext().get(), request, &response))) ==
        "user_id");
}

TEST_CASE("last prices, symbols and epochs are answered to the mesh") {
  Fixture f;
  ipb::GetLastPricesRequest last;
  last.add_symbols("AAPL");
  last.add_symbols("MSFT");
  ipb::GetLastPricesResponse prices;
  CHECK(base::ReasonOf(rpc::FromGrpc(f.internal_stub->GetLastPrices(Fixture::MeshContext().get(), last, &prices))) ==
        "PRICES_NOT_READY");
  f.board.BeginReading({{0, 0}});
  f.board.MarkAtEnd(0);
  f.Quote("AAPL", 5);
  REQUIRE(f.internal_stub->GetLastPrices(Fixture::MeshContext().get(), last, &prices).ok());
  REQUIRE(prices.prices_size() == 2);
  CHECK(prices.prices(0).regular_price_micros() == 5);
  CHECK(prices.prices(0).last_event_time_us() == f.clock.NowUs());
  CHECK(prices.prices(1).symbol() == "MSFT");
  CHECK(!prices.prices(1).has_extended_price_micros());

  REQUIRE(f.Register("AAPL").ok());
  ipb::ListSymbolsRequest list;
  ipb::ListSymbolsResponse symbols;
  REQUIRE(f.internal_stub->ListSymbols(Fixture::MeshContext().get(), list, &symbols).ok());
  CHECK(symbols.symbols_size() == 1);
  list.set_known_version(symbols.version());
  REQUIRE(f.internal_stub->ListSymbols(Fixture::MeshContext().get(), list, &symbols).ok());
  CHECK(symbols.unchanged());
  CHECK(symbols.symbols().empty());

  ipb::AcquirePublisherEpochResponse one;
  ipb::AcquirePublisherEpochResponse two;
  REQUIRE(f.internal_stub->AcquirePublisherEpoch(Fixture::MeshContext().get(), {}, &one).ok());
  REQUIRE(f.internal_stub->AcquirePublisherEpoch(Fixture::MeshContext().get(), {}, &two).ok());
  CHECK(one.epoch() > 0);
  CHECK(two.epoch() > one.epoch());
}

TEST_CASE("splits are declared by administrators, refused by field, and listed in pages") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  for (const char* symbol : {"AAPL", "MSFT"}) f.split_store.Register(symbol);
  f.Quote("AAPL", 400'000'000);
  v1::DeclareSplitRequest request;
  v1::Split split;
  const auto declare = [&](const std::string& key = "admin") {
    return f.Call(&v1::TickerService::Stub::DeclareSplit, request, split, key);
  };
  const absl::Status empty = declare();
  CHECK(absl::IsInvalidArgument(empty));
  const auto details = base::FindErrorDetails(empty);
  REQUIRE(details.has_value());
  std::set<std::string> fields;
  for (const auto& violation : details->violations) fields.insert(violation.field);
  CHECK(fields == std::set<std::string>{"parent", "numerator", "denominator", "effective_time", "request_id"});
  request.set_parent("tickers/aapl");
  request.set_numerator(4);
  request.set_denominator(4);
  request.set_request_id("r1");
  *request.mutable_effective_time() = rpc::TimestampFromUs(f.clock.NowUs() + kSplitAheadMaxUs + 1);
  CHECK(FieldOf(declare()) == "denominator");
  request.set_denominator(1);
  CHECK(FieldOf(declare()) == "effective_time");
  *request.mutable_effective_time() = rpc::TimestampFromUs(f.clock.NowUs() + kSplitAheadMaxUs);
  request.set_request_id("no good id");
  CHECK(FieldOf(declare()) == "request_id");
  request.set_request_id("r1");
  CHECK(absl::IsPermissionDenied(declare("user")));
  CHECK(f.split_publisher.published == 0);

  REQUIRE(declare().ok());
  CHECK(split.name() == "tickers/AAPL/splits/1");
  CHECK(split.symbol() == "AAPL");
  CHECK(split.number() == 1);
  CHECK(split.numerator() == 4);
  CHECK(split.denominator() == 1);
  CHECK(split.state() == v1::Split::STATE_APPLIED);
  CHECK(*rpc::TimestampToUs(split.effective_time(), "") == f.clock.NowUs() + kSplitAheadMaxUs);
  v1::GetTickerRequest get;
  get.set_name("tickers/AAPL");
  v1::Ticker ticker;
  REQUIRE(f.Call(&v1::TickerService::Stub::GetTicker, get, ticker).ok());
  CHECK(ticker.latest_quote().price() == "100");

  request.set_request_id("r2");
  REQUIRE(declare().ok());
  request.set_parent("tickers/MSFT");
  request.set_request_id("r3");
  REQUIRE(declare().ok());
  v1::ListSplitsRequest list;
  v1::ListSplitsResponse page;
  list.set_parent("tickers/AAPL");
  REQUIRE(f.Call(&v1::TickerService::Stub::ListSplits, list, page).ok());
  REQUIRE(page.splits_size() == 2);
  CHECK(page.splits(0).number() == 2);
  list.set_parent("tickers/-");
  list.set_page_size(2);
  REQUIRE(f.Call(&v1::TickerService::Stub::ListSplits, list, page).ok());
  CHECK(page.splits_size() == 2);
  list.set_page_token(page.next_page_token());
  REQUIRE(f.Call(&v1::TickerService::Stub::ListSplits, list, page).ok());
  REQUIRE(page.splits_size() == 1);
  CHECK(page.splits(0).name() == "tickers/MSFT/splits/1");
  CHECK(page.splits(0).state() == v1::Split::STATE_APPLIED);
  // Where the log is another one, it has not got it yet.
  f.split_store.LoseLog();
  REQUIRE(f.Call(&v1::TickerService::Stub::ListSplits, list, page).ok());
  CHECK(page.splits(0).state() == v1::Split::STATE_PENDING);
  CHECK(page.next_page_token().empty());
  list.set_parent("tickers/AAPL");
  CHECK(FieldOf(f.Call(&v1::TickerService::Stub::ListSplits, list, page)) == "page_token");
}

TEST_CASE("tickers are held and dismissed by administrators, and show since when") {
  Fixture f;
  REQUIRE(f.Register("AAPL").ok());
  f.Quote("AAPL", 400'000'000);
  v1::HoldSymbolRequest hold;
  v1::DismissSplitRequest dismiss;
  v1::Ticker ticker;
  const auto held = [&](const std::string& key = "admin") {
    return f.Call(&v1::TickerService::Stub::HoldSymbol, hold, ticker, key);
  };
  const auto dismissed = [&](const std::string& key = "admin") {
    return f.Call(&v1::TickerService::Stub::DismissSplit, dismiss, ticker, key);
  };
  CHECK(FieldOf(held()) == "name");
  CHECK(FieldOf(dismissed()) == "name");
  hold.set_name("tickers/NOBODY");
  dismiss.set_name("tickers/NOBODY");
  CHECK(base::ReasonOf(held()) == "TICKER_NOT_FOUND");
  CHECK(base::ReasonOf(dismissed()) == "TICKER_NOT_FOUND");
  hold.set_name("tickers/aapl");
  dismiss.set_name("tickers/aapl");
  for (const char* key : {"user", "reader"}) {
    CHECK(absl::IsPermissionDenied(held(key)));
    CHECK(absl::IsPermissionDenied(dismissed(key)));
  }
  CHECK(f.hold_publisher.published == 0);

  // What is not held stays so.
  REQUIRE(dismissed().ok());
  CHECK_FALSE(ticker.has_hold());
  REQUIRE(held().ok());
  REQUIRE(ticker.has_hold());
  CHECK(*rpc::TimestampToUs(ticker.hold().start_time(), "") == 1'767'366'000'000'000);
  CHECK(ticker.hold().kept_quote_count() == 0);
  f.next = 600;
  f.Quote("AAPL", 100'000'000);
  f.hold_publisher.published = 200;
  REQUIRE(held().ok());
  CHECK(ticker.hold().kept_quote_count() == 1);
  CHECK(ticker.latest_quote().price() == "400");
  v1::GetQuoteRequest get;
  get.set_name("tickers/AAPL");
  quote::v1::Quote quote;
  REQUIRE(f.Call(&v1::TickerService::Stub::GetQuote, get, quote).ok());
  CHECK(quote.price() == "400");
  REQUIRE(dismissed().ok());
  CHECK_FALSE(ticker.has_hold());
  CHECK(ticker.latest_quote().price() == "100");

  // A fetcher of before, whose records are passed over.
  f.hold_publisher.epoch = 8;
  REQUIRE(held().ok());
  v1::DeleteTickerRequest remove;
  remove.set_name("tickers/AAPL");
  google::protobuf::Empty empty;
  CHECK(base::ReasonOf(f.Call(&v1::TickerService::Stub::DeleteTicker, remove, empty, "admin")) == "TICKER_IN_USE");
  f.hold_publisher.epoch = 7;
  CHECK(base::ReasonOf(dismissed()) == "HOLD_NOT_TAKEN");
  f.hold_publisher.epoch = 9;
  REQUIRE(dismissed().ok());
  f.hold_publisher.epoch = 7;
  CHECK(base::ReasonOf(held()) == "HOLD_NOT_TAKEN");

  f.hold_publisher.is_read = false;
  CHECK(base::ReasonOf(held()) == "PRICES_NOT_READY");
  f.hold_publisher.failure = base::FailedPrecondition("LOG_FORMAT_TOO_OLD", "raise it");
  CHECK(base::ReasonOf(held()) == "LOG_FORMAT_TOO_OLD");
}

}  // namespace
}  // namespace stockalert::ticker
