// The fetcher against a Finnhub that drips, denies, fails and lies, and against users who ask too much: what one reply,
// one symbol or one user may not do to all the others.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "tests/integration/fetcher/mesh.h"

namespace stockalert::fetcher {
namespace {

constexpr char kNoAccess[] = R"({"error":"You don't have access to this resource."})";
constexpr int kSymbols = 32;

// Registered tickers with prices, and a fetcher that polls them eight times a second.
struct Feed {
  Feed() {
    for (int i = 0; i < kSymbols; ++i) {
      const std::string symbol = absl::StrCat("S", i);
      finnhub.SetQuote(symbol, QuoteJson("261.74", NowSeconds() - 10));
      symbols.insert(symbol);
    }
  }
  void Start() {
    Config config = FinnhubConfig(mesh, finnhub);
    config.finnhub_stream_symbols = 0;
    config.finnhub_calls_per_minute = 600;
    mesh.ticker.SetSymbols(symbols);
    fetcher = std::make_unique<Running>(config);
    REQUIRE(Eventually([&] { return finnhub.quoted().size() >= 8; }));
  }
  // Calls to the source within `window` for symbols other than `hostile`.
  int CallsForOthers(absl::Duration window, const std::string& hostile) const {
    const size_t before = finnhub.quoted().size();
    absl::SleepFor(window);
    const std::vector<std::string> quoted = finnhub.quoted();
    return static_cast<int>(std::count_if(quoted.begin() + static_cast<std::ptrdiff_t>(before), quoted.end(),
                                          [&](const std::string& symbol) { return symbol != hostile; }));
  }

  Mesh mesh;
  testing::FinnhubDouble finnhub;
  std::set<std::string> symbols;
  std::unique_ptr<Running> fetcher;
};

TEST_CASE(
    "must show 7: the other symbols are polled on under a dripping reply, a denied symbol, a user who asks and asks") {
  const absl::Duration window = absl::Seconds(12);
  int quiet = 0;
  {
    Feed feed;
    feed.Start();
    quiet = feed.CallsForOthers(window, "");
  }
  int dripping = 0;
  {
    Feed feed;
    feed.symbols.insert("DRIP");
    feed.finnhub.Drip("DRIP", 2000);
    feed.Start();
    dripping = feed.CallsForOthers(window, "DRIP");
  }
  int denied = 0;
  {
    Feed feed;
    feed.symbols.insert("PAID");
    feed.finnhub.FailQuote("PAID", 403, kNoAccess);
    feed.Start();
    denied = feed.CallsForOthers(window, "PAID");
  }
  int asked = 0;
  int answered = 0;
  int refused = 0;
  {
    // Ten times a second under ten times the free plan's budget; of a symbol that nobody polls, so that each answer is
    // a call.
    Feed feed;
    feed.finnhub.SetQuote("MINE", QuoteJson("1.5", NowSeconds() - 10));
    feed.Start();
    std::atomic<bool> enough{false};
    std::thread user([&] {
      while (!enough) {
        absl::Status status;
        feed.fetcher->Fetch({"MINE"}, &status, "greedy");
        ++(status.ok() ? answered : refused);
        absl::SleepFor(absl::Milliseconds(100));
      }
    });
    asked = feed.CallsForOthers(window, "MINE");
    enough = true;
    user.join();
  }
  const auto ratio = [&](int calls) { return static_cast<double>(calls) / quiet; };
  std::printf(
      "MUST SHOW 7: calls for the other symbols within %d s: %d in quiet; dripping reply %d (%.2f); 403 symbol %d "
      "(%.2f); "
      "user who asks without end %d (%.2f; %d answers, %d refusals)\n",
      static_cast<int>(absl::ToInt64Seconds(window)), quiet, dripping, ratio(dripping), denied, ratio(denied), asked,
      ratio(asked), answered, refused);
  CHECK(quiet >= 60);
  CHECK(ratio(dripping) >= 0.9);
  CHECK(ratio(denied) >= 0.9);
  CHECK(ratio(asked) >= 0.8);
  CHECK(answered > 0);
}

TEST_CASE("a reply that only trickles in times out, and delays no other") {
  Feed feed;
  feed.finnhub.Drip("DRIP", 500);
  feed.finnhub.SetQuote("AAPL", QuoteJson("261.74", NowSeconds() - 10));
  feed.Start();
  std::vector<std::thread> stuck;
  std::atomic<int> failed{0};
  // Each of another user.
  stuck.reserve(4);
  for (int i = 0; i < 4; ++i) {
    stuck.emplace_back([&, i] {
      absl::Status status;
      const absl::Time begin = absl::Now();
      feed.fetcher->Fetch({"DRIP"}, &status, absl::StrCat("user", i));
      // Its own deadline is 10 s.
      if (absl::IsUnavailable(status) && absl::Now() - begin < absl::Seconds(9)) ++failed;
    });
  }
  const auto drips = [&] {
    const std::vector<std::string> quoted = feed.finnhub.quoted();
    return std::count(quoted.begin(), quoted.end(), "DRIP");
  };
  REQUIRE(Eventually([&] { return drips() >= 4; }));
  absl::Status status;
  CHECK(feed.fetcher->Fetch({"AAPL"}, &status, "other").size() == 1);
  CHECK(status.ok());
  CHECK(feed.fetcher->Lookup("AAPL", "other") == pb::LookupSymbolResponse::KNOWLEDGE_KNOWN);
  CHECK(feed.fetcher->Publish(OneQuote(150'000'000)).ok());
  // Before any of the others is given up.
  CHECK(failed == 0);
  for (std::thread& thread : stuck) thread.join();
  CHECK(failed == 4);
}

TEST_CASE("replies without end, and headers without end, are cut off") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  Config config = FinnhubConfig(mesh, finnhub);
  config.finnhub_stream_symbols = 0;
  finnhub.SetQuote("HUGE", R"({"c":1,"x":")" + std::string(3'000'000, 'x') + R"("})");
  Running fetcher(config);
  absl::Status status;
  CHECK(fetcher.Fetch({"HUGE"}, &status).empty());
  CHECK(absl::IsUnavailable(status));
  // A redirect is no answer, and is not followed.
  finnhub.FailQuote("MOVED", 302, "");
  CHECK(fetcher.Fetch({"MOVED"}, &status).empty());
  CHECK(absl::IsUnavailable(status));
  CHECK(fetcher.Lookup("MOVED") == pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER);
}

TEST_CASE(
    "a symbol outside the plan is refused, set aside and said so; a key that is good for nothing is not taken for "
    "that") {
  Feed feed;
  feed.finnhub.FailQuote("PAID", 403, kNoAccess);
  feed.finnhub.FailQuote("ODD", 403, "<html>forbidden</html>");
  feed.symbols.insert("PAID");
  feed.Start();
  CHECK(feed.fetcher->Lookup("PAID") == pb::LookupSymbolResponse::KNOWLEDGE_NOT_IN_PLAN);
  CHECK(feed.fetcher->Lookup("ODD") == pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER);
  const auto asked = [&] {
    const std::vector<std::string> quoted = feed.finnhub.quoted();
    return std::count(quoted.begin(), quoted.end(), "PAID");
  };
  REQUIRE(Eventually([&] { return asked() >= 2; }));
  const auto before = asked();
  absl::Status status;
  pb::FetchQuotesResponse whole;
  CHECK(feed.fetcher->Fetch({"PAID", "S1"}, &status, "u", &whole).size() == 1);
  REQUIRE(status.ok());
  REQUIRE(whole.problems_size() == 1);
  CHECK(whole.problems(0).kind() == pb::SymbolProblem::KIND_NOT_IN_PLAN);
  CHECK(whole.problems(0).retry_after_ms() > 0);
  // The answer is known: it took no call.
  CHECK(asked() == before);
  // Everything is denied: it is the key's fault, and no symbol is refused for good.
  feed.finnhub.FailRest(403, kNoAccess);
  CHECK(Eventually([&] {
    return feed.fetcher->Lookup(absl::StrCat("N", feed.finnhub.rest_calls())) ==
           pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER;
  }));
  feed.finnhub.FailRest(0, "");
  feed.finnhub.SetQuote("GOOD", QuoteJson("1.5", NowSeconds() - 10));
  CHECK(Eventually([&] { return feed.fetcher->Lookup("GOOD") == pb::LookupSymbolResponse::KNOWLEDGE_KNOWN; }));
}

TEST_CASE("what the source cannot tell is no permission, and is asked again") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  Config config = FinnhubConfig(mesh, finnhub);
  config.finnhub_stream_symbols = 0;
  Running fetcher(config);
  for (const auto& [status, body] :
       std::vector<std::pair<int, std::string>>{{500, "oops"}, {200, "<html>"}, {502, ""}, {204, ""}}) {
    CAPTURE(status);
    finnhub.FailRest(status, body);
    CHECK(fetcher.Lookup("NONSENSE") == pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER);
  }
  finnhub.FailRest(0, "");
  CHECK(fetcher.Lookup("NONSENSE") == pb::LookupSymbolResponse::KNOWLEDGE_UNKNOWN);
  // An answer holds: registering many symbols in calls that the budget cuts off comes to an end.
  const int calls = finnhub.rest_calls();
  CHECK(fetcher.Lookup("NONSENSE") == pb::LookupSymbolResponse::KNOWLEDGE_UNKNOWN);
  CHECK(finnhub.rest_calls() == calls);
}

TEST_CASE("a price that was published a moment ago answers without a call") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  finnhub.SetQuote("AAPL", QuoteJson("261.74", NowSeconds() - 10));
  Config config = FinnhubConfig(mesh, finnhub);
  config.finnhub_stream_symbols = 0;
  Running fetcher(config);
  REQUIRE(fetcher.Fetch({"AAPL"}).size() == 1);
  const absl::Time fetched = absl::Now();
  const int calls = finnhub.rest_calls();
  REQUIRE(fetcher.Fetch({"AAPL"}).size() == 1);
  if (absl::Now() - fetched < absl::Seconds(1)) CHECK(finnhub.rest_calls() == calls);
  CHECK(Eventually([&] {
    fetcher.Fetch({"AAPL"});
    return finnhub.rest_calls() > calls;
  }));
}

TEST_CASE("a source that is down is tried now and then, and all symbols are back once it answers") {
  Feed feed;
  feed.Start();
  feed.finnhub.FailRest(500, "oops");
  absl::SleepFor(absl::Seconds(4));
  feed.finnhub.FailRest(0, "");
  const absl::Time back = absl::Now();
  const size_t before = feed.finnhub.quoted().size();
  REQUIRE(Eventually([&] {
    const std::vector<std::string> quoted = feed.finnhub.quoted();
    return std::set<std::string>(quoted.begin() + static_cast<std::ptrdiff_t>(before), quoted.end()).size() ==
           feed.symbols.size();
  }));
  // A round of 32 symbols at eight a second, and the pause that was under way.
  CHECK(absl::Now() - back < absl::Seconds(12));
}

}  // namespace
}  // namespace stockalert::fetcher
