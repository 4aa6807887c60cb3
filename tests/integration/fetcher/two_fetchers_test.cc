// Two fetchers at once, and long lists of tickers.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "services/fetcher/symbol_watch.h"
#include "tests/integration/fetcher/mesh.h"

namespace stockalert::fetcher {
namespace {

TEST_CASE("must show 7: the older of two fetchers stands by, and is accepted again when the newer ends") {
  Mesh mesh;
  testing::FinnhubDouble finnhub;
  finnhub.SetQuote("AAPL", QuoteJson("261.74", NowSeconds() - 10));
  mesh.ticker.SetSymbols({"AAPL"});
  Config config = FinnhubConfig(mesh, finnhub);
  Running older(config);
  REQUIRE(Eventually([&] { return older.Publish(OneQuote(1'000'000)).ok(); }));
  const auto epochs = [&] {
    std::set<int64_t> found;
    for (const Read& read : ReadLog(mesh.kafka)) found.insert(read.record.quote().publisher_epoch());
    return found;
  };
  {
    Running newer(config);
    REQUIRE(Eventually([&] { return absl::IsUnavailable(older.Publish(OneQuote(2'000'000))); }));
    CHECK(newer.Publish(OneQuote(3'000'000)).ok());
    // One connection to the source, as a key has one.
    CHECK(Eventually([&] { return finnhub.connections() == 1; }));
    absl::Status status;
    CHECK(older.Fetch({"AAPL"}, &status).empty());
    CHECK(absl::IsUnavailable(status));
  }
  const absl::Time ended = absl::Now();
  REQUIRE(Eventually([&] { return older.Publish(OneQuote(4'000'000)).ok(); }));
  const absl::Duration again = absl::Now() - ended;
  std::printf("MUST SHOW 7: the older fetcher is accepted again %.1f s after the newer ended\n",
              absl::ToDoubleSeconds(again));
  CHECK(again < absl::Seconds(5));
  CHECK(epochs() == std::set<int64_t>{1, 2, 3});
}

TEST_CASE("a newer fetcher that vanishes without a word is followed, too") {
  Mesh mesh;
  Running older(mesh.BaseConfig());
  // Somebody takes an epoch and is never heard of again.
  pb::AcquirePublisherEpochRequest request;
  pb::AcquirePublisherEpochResponse response;
  REQUIRE(mesh.ticker.AcquirePublisherEpoch(nullptr, &request, &response).ok());
  const absl::Time ended = absl::Now();
  REQUIRE(Eventually([&] { return mesh.ticker.epoch() == 3; }));
  REQUIRE(Eventually([&] { return older.Publish(OneQuote(1'000'000)).ok(); }));
  const absl::Duration again = absl::Now() - ended;
  std::printf("MUST SHOW 7: and %.1f s after one that vanished was last heard of\n", absl::ToDoubleSeconds(again));
  CHECK(again < absl::Seconds(5));
  CHECK(ReadLog(mesh.kafka).back().record.quote().publisher_epoch() == 3);
}

TEST_CASE("an epoch below the log's is given up for one above it; a ticker service without leases changes nothing") {
  Mesh mesh;
  Running fetcher(mesh.BaseConfig());
  mesh.ticker.SetLogEpoch(40);
  REQUIRE(Eventually([&] { return mesh.ticker.epoch() == 41; }));
  REQUIRE(Eventually([&] {
    return fetcher.Publish(OneQuote(1'000'000)).ok() &&
           ReadLog(mesh.kafka).back().record.quote().publisher_epoch() == 41;
  }));
  mesh.ticker.SetOld(true);
  absl::SleepFor(absl::Seconds(1));
  CHECK(fetcher.Publish(OneQuote(2'000'000)).ok());
}

TEST_CASE("a list of tickers comes in pages, whole, and again when it changed meanwhile") {
  testing::FakeTicker ticker;
  std::set<std::string> all;
  for (int i = 0; i < 1'000; ++i) all.insert(absl::StrCat("T", i));
  ticker.SetSymbols(all);
  const rpc::Peer peer(rpc::PeerOptions{
      .address = ticker.address(), .credentials = ::grpc::InsecureChannelCredentials(), .mesh_token = "mesh"});
  std::mutex mutex;
  std::set<std::string> heard;
  SymbolWatch watch(
      peer, absl::Milliseconds(20),
      [&](const std::set<std::string>& symbols) {
        std::lock_guard lock(mutex);
        heard = symbols;
      },
      7);
  watch.Start();
  const auto hears = [&](const std::set<std::string>& symbols) {
    return Eventually([&] {
      std::lock_guard lock(mutex);
      return heard == symbols;
    });
  };
  CHECK(hears(all));
  CHECK(ticker.lists() >= 1'000 / 7);
  all.insert("A");
  all.erase("T500");
  ticker.SetSymbols(all);
  CHECK(hears(all));
  ticker.SetSymbols({});
  CHECK(hears({}));
  watch.Stop();
}

}  // namespace
}  // namespace stockalert::fetcher
