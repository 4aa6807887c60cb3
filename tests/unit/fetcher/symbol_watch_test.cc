// What the watch asks the ticker service for, and what it tells the source: over a real channel, by answers that the
// test sets.
#include "services/fetcher/symbol_watch.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/grpc/channel.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "tests/support/eventually/eventually.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;
using testing::Eventually;
using Symbols = std::set<std::string>;

constexpr char kToken[] = "the mesh's token";
constexpr absl::Duration kOften = absl::Milliseconds(1);

// One call, as it came and as it was answered.
struct Asked {
  pb::ListSymbolsRequest request;
  std::string mesh_token;
  bool has_deadline = false;
  absl::Time begun;
  absl::Time answered;
};

// Answers by what the test sets. Thread-safe.
class ScriptedTicker final : public pb::TickerInternalService::Service {
 public:
  using Answer = std::function<::grpc::Status(const pb::ListSymbolsRequest&, pb::ListSymbolsResponse&)>;

  explicit ScriptedTicker(Answer answer) : answer_(std::move(answer)) {
    ::grpc::ServerBuilder builder;
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    peer = std::make_unique<rpc::Peer>(server_->InProcessChannel(::grpc::ChannelArguments()), kToken);
  }
  ~ScriptedTicker() override { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1)); }

  ::grpc::Status ListSymbols(::grpc::ServerContext* context, const pb::ListSymbolsRequest* request,
                             pb::ListSymbolsResponse* response) override {
    Asked asked;
    asked.begun = absl::Now();
    asked.request = *request;
    const auto token = context->client_metadata().find(rpc::kMeshTokenMetadata);
    if (token != context->client_metadata().end()) asked.mesh_token.assign(token->second.data(), token->second.size());
    asked.has_deadline = context->deadline() < std::chrono::system_clock::now() + std::chrono::seconds(10);
    Answer answer;
    {
      std::lock_guard lock(mutex_);
      answer = answer_;
    }
    const ::grpc::Status status = answer(*request, *response);
    std::lock_guard lock(mutex_);
    asked.answered = absl::Now();
    asked_.push_back(std::move(asked));
    return status;
  }

  void Set(Answer answer) {
    std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  std::vector<Asked> asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }
  // Whether it is asked so many times more.
  bool AwaitMore(size_t calls) const {
    const size_t before = asked().size();
    return Eventually([&] { return asked().size() >= before + calls; });
  }

  std::unique_ptr<rpc::Peer> peer;

 private:
  mutable std::mutex mutex_;
  Answer answer_;             // Guarded by mutex_.
  std::vector<Asked> asked_;  // Guarded by mutex_.
  std::unique_ptr<::grpc::Server> server_;
};

// A ticker service that keeps to its contract: `symbols` in pages, at one version.
ScriptedTicker::Answer Listing(const Symbols& symbols, int64_t version) {
  return [symbols, version](const pb::ListSymbolsRequest& request, pb::ListSymbolsResponse& response) {
    response.set_version(version);
    response.set_unchanged(request.after().empty() && request.known_version() == version);
    if (response.unchanged()) return ::grpc::Status::OK;
    for (auto symbol = symbols.upper_bound(request.after()); symbol != symbols.end(); ++symbol) {
      if (response.symbols_size() == request.page_size()) {
        response.set_more(true);
        break;
      }
      response.add_symbols(*symbol);
    }
    return ::grpc::Status::OK;
  };
}

// What the source was told. Thread-safe.
class Told {
 public:
  std::function<void(const Symbols&)> Hearer() {
    return [this](const Symbols& symbols) {
      std::lock_guard lock(mutex_);
      told_.push_back(symbols);
    };
  }
  std::vector<Symbols> all() const {
    std::lock_guard lock(mutex_);
    return told_;
  }
  bool Await(size_t times) const {
    return Eventually([&] { return all().size() >= times; });
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Symbols> told_;  // Guarded by mutex_.
};

double Failures() {
  return metrics::GetCounter("stockalert_fetcher_symbol_list_failures_total",
                             "Times that the ticker service did not list its symbols")
      .Value();
}
double Count() { return metrics::GetGauge("stockalert_fetcher_symbols", "Registered tickers, as last heard").Value(); }

TEST_CASE("the source is told the first list, and then what changes") {
  ScriptedTicker ticker(Listing({"AAPL", "MSFT"}, 7));
  Told told;
  const double failures = Failures();
  SymbolWatch watch(*ticker.peer, kOften, told.Hearer());
  watch.Start();
  REQUIRE(told.Await(1));
  CHECK(told.all()[0] == Symbols{"AAPL", "MSFT"});
  // What is the same is not told again.
  REQUIRE(ticker.AwaitMore(5));
  CHECK(told.all().size() == 1);
  CHECK(Count() == 2);

  ticker.Set(Listing({"MSFT"}, 8));
  REQUIRE(told.Await(2));
  CHECK(told.all()[1] == Symbols{"MSFT"});
  // No ticker at all is a list, too.
  ticker.Set(Listing({}, 9));
  REQUIRE(told.Await(3));
  CHECK(told.all()[2].empty());
  REQUIRE(ticker.AwaitMore(2));
  watch.Stop();
  CHECK(Count() == 0);
  CHECK(Failures() == failures);

  const std::vector<Asked> asked = ticker.asked();
  CHECK(asked[0].request.known_version() == 0);
  CHECK(asked[1].request.known_version() == 7);
  CHECK(asked.back().request.known_version() == 9);
  CHECK(std::all_of(asked.begin(), asked.end(), [](const Asked& call) {
    return call.mesh_token == kToken && call.has_deadline && call.request.after().empty() &&
           call.request.page_size() == 10'000;
  }));
}

TEST_CASE("a long list comes page by page, and is told as one") {
  ScriptedTicker ticker(Listing({"A", "B", "C", "D", "E"}, 3));
  Told told;
  SymbolWatch watch(*ticker.peer, kOften, told.Hearer(), 2);
  watch.Start();
  REQUIRE(told.Await(1));
  REQUIRE(ticker.AwaitMore(1));
  watch.Stop();
  CHECK(told.all() == std::vector{Symbols{"A", "B", "C", "D", "E"}});
  const std::vector<Asked> asked = ticker.asked();
  REQUIRE(asked.size() >= 4);
  std::vector<std::string> after;
  for (size_t i = 0; i < 4; ++i) {
    after.push_back(asked[i].request.after());
    CHECK(asked[i].request.page_size() == 2);
    CHECK(asked[i].request.known_version() == (i < 3 ? 0 : 3));
  }
  CHECK(after == std::vector<std::string>{"", "B", "D", ""});
}

TEST_CASE("what is registered while the pages come is asked for by the next list") {
  // The second page is of a later version, which has a symbol that the first page would have had.
  ScriptedTicker ticker([](const pb::ListSymbolsRequest& request, pb::ListSymbolsResponse& response) {
    if (request.after().empty() && request.known_version() == 0) return Listing({"B", "C"}, 4)(request, response);
    return Listing({"A", "B", "C"}, 5)(request, response);
  });
  Told told;
  SymbolWatch watch(*ticker.peer, kOften, told.Hearer(), 1);
  watch.Start();
  REQUIRE(told.Await(2));
  watch.Stop();
  CHECK(told.all()[0] == Symbols{"B", "C"});
  CHECK(told.all()[1] == Symbols{"A", "B", "C"});
}

TEST_CASE("while the ticker service is away the last list stays") {
  ScriptedTicker ticker(Listing({"AAPL"}, 2));
  Told told;
  SymbolWatch watch(*ticker.peer, kOften, told.Hearer());
  watch.Start();
  REQUIRE(told.Await(1));
  const double failures = Failures();
  ticker.Set([](const pb::ListSymbolsRequest&, pb::ListSymbolsResponse& response) {
    response.set_version(3);
    return ::grpc::Status(::grpc::StatusCode::UNAVAILABLE, "away");
  });
  REQUIRE(Eventually([&] { return Failures() >= failures + 2; }));
  CHECK(told.all().size() == 1);
  CHECK(Count() == 1);
  // It comes back with what was known, which is not told again; then with something new.
  ticker.Set(Listing({"AAPL"}, 2));
  REQUIRE(ticker.AwaitMore(3));
  CHECK(told.all().size() == 1);
  CHECK(ticker.asked().back().request.known_version() == 2);
  ticker.Set(Listing({"AAPL", "IBM"}, 3));
  REQUIRE(told.Await(2));
  watch.Stop();
  CHECK(told.all()[1] == Symbols{"AAPL", "IBM"});
}

TEST_CASE("a list that breaks off between its pages is none") {
  ScriptedTicker ticker([](const pb::ListSymbolsRequest& request, pb::ListSymbolsResponse& response) {
    if (!request.after().empty()) return ::grpc::Status(::grpc::StatusCode::UNAVAILABLE, "away");
    return Listing({"A", "B"}, 2)(request, response);
  });
  Told told;
  const double failures = Failures();
  SymbolWatch watch(*ticker.peer, kOften, told.Hearer(), 1);
  watch.Start();
  REQUIRE(Eventually([&] { return Failures() >= failures + 2; }));
  CHECK(told.all().empty());
  // Nothing is known: the next list is asked for from its beginning.
  CHECK(ticker.asked().back().request.known_version() == 0);
  ticker.Set(Listing({"A", "B"}, 2));
  REQUIRE(told.Await(1));
  watch.Stop();
  CHECK(told.all()[0] == Symbols{"A", "B"});
}

TEST_CASE("pages that do not go on are no list") {
  const auto page = [](const std::vector<std::string>& first, const std::vector<std::string>& later) {
    return [first, later](const pb::ListSymbolsRequest& request, pb::ListSymbolsResponse& response) {
      response.set_version(1);
      response.set_more(true);
      for (const std::string& symbol : request.after().empty() ? first : later) response.add_symbols(symbol);
      return ::grpc::Status::OK;
    };
  };
  const std::vector<ScriptedTicker::Answer> rows = {
      page({}, {}),              // More, and nothing.
      page({"A", "B"}, {}),      // Nothing from the second page on.
      page({"A", "B"}, {"B"}),   // The same once more.
      page({"A", "B"}, {"AA"}),  // What lies before.
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(i);
    ScriptedTicker ticker(rows[i]);
    Told told;
    const double failures = Failures();
    SymbolWatch watch(*ticker.peer, kOften, told.Hearer(), 2);
    watch.Start();
    CHECK(Eventually([&] { return Failures() >= failures + 2; }));
    watch.Stop();
    CHECK(told.all().empty());
  }
}

TEST_CASE("a list of more symbols than there can be is dropped") {
  ScriptedTicker ticker(Listing({"A", "B", "C", "D"}, 2));
  Told told;
  const double failures = Failures();
  SymbolWatch watch(*ticker.peer, kOften, told.Hearer(), 2, 3);
  watch.Start();
  REQUIRE(Eventually([&] { return Failures() >= failures + 2; }));
  CHECK(told.all().empty());
  ticker.Set(Listing({"A", "B", "C"}, 3));
  REQUIRE(told.Await(1));
  watch.Stop();
  CHECK(told.all()[0] == Symbols{"A", "B", "C"});
}

TEST_CASE("a list that takes long is asked for the less often") {
  constexpr absl::Duration kTakes = absl::Milliseconds(30);
  ScriptedTicker ticker([&](const pb::ListSymbolsRequest& request, pb::ListSymbolsResponse& response) {
    absl::SleepFor(kTakes);
    return Listing({"A"}, 1)(request, response);
  });
  Told told;
  SymbolWatch watch(*ticker.peer, kOften, told.Hearer());
  watch.Start();
  REQUIRE(Eventually([&] { return ticker.asked().size() >= 3; }));
  watch.Stop();
  const std::vector<Asked> asked = ticker.asked();
  for (size_t i = 1; i < asked.size(); ++i) CHECK(asked[i].begun - asked[i - 1].answered >= 4 * kTakes);
}

TEST_CASE("it stops at once, in a pause and in the middle of a list") {
  Told told;
  {
    // Without having begun.
    ScriptedTicker ticker(Listing({"A"}, 1));
    SymbolWatch watch(*ticker.peer, absl::Hours(1), told.Hearer());
    watch.Stop();
    CHECK(ticker.asked().empty());
  }
  {
    ScriptedTicker ticker(Listing({"A"}, 1));
    SymbolWatch watch(*ticker.peer, absl::Hours(1), told.Hearer());
    watch.Start();
    REQUIRE(told.Await(1));
    watch.Stop();
    watch.Stop();
    CHECK(ticker.asked().size() == 1);
  }
  {
    // A list of ever more pages: the stop ends it, long before its end would.
    constexpr int kFirst = 100'000;
    ScriptedTicker ticker([](const pb::ListSymbolsRequest& request, pb::ListSymbolsResponse& response) {
      const int page = request.after().empty() ? kFirst : std::stoi(request.after()) + 1;
      response.set_more(page < kFirst + 20'000);
      response.add_symbols(std::to_string(page));
      return ::grpc::Status::OK;
    });
    SymbolWatch watch(*ticker.peer, kOften, told.Hearer(), 1);
    watch.Start();
    REQUIRE(ticker.AwaitMore(3));
    watch.Stop();
    CHECK(told.all().size() == 1);  // Of the one before.
  }
  {
    // Its end is a stop.
    ScriptedTicker ticker(Listing({"B"}, 1));
    SymbolWatch watch(*ticker.peer, absl::Hours(1), told.Hearer());
    watch.Start();
    REQUIRE(told.Await(2));
  }
}

}  // namespace
}  // namespace stockalert::fetcher
