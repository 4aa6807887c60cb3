#include "services/ticker/minute_bars.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

namespace stockalert::ticker {
namespace {

using internal::v1::QuoteRecord;

constexpr int64_t kMinute = 1'767'366'000'000'000;  // 2026-01-02 10:00 in New York.

QuoteRecord Quote(int64_t price, int64_t time_us, int64_t sequence, const std::string& symbol = "AAPL") {
  QuoteRecord quote;
  quote.set_symbol(symbol);
  quote.set_price_micros(price);
  quote.set_event_time_us(time_us);
  quote.set_session(internal::v1::TRADING_SESSION_REGULAR);
  quote.set_publisher_epoch(1);
  quote.set_sequence(sequence);
  return quote;
}

// Stores as a PriceStore does.
using Stored = std::map<std::string, std::map<int64_t, MinuteBar>>;
void Store(const std::vector<SymbolBars>& saved, Stored& stored) {
  for (const SymbolBars& one : saved) {
    auto& bars = stored[one.symbol];
    if (one.forget_from_us) bars.erase(bars.lower_bound(*one.forget_from_us), bars.end());
    for (const MinuteBar& bar : one.bars) {
      const auto [found, is_new] = bars.try_emplace(bar.start_us, bar);
      if (!is_new) MergeBar(bar, found->second);
    }
  }
}

TEST_CASE("a minute begins where its first microsecond is, before 1970 too") {
  CHECK(MinuteOf(kMinute) == kMinute);
  CHECK(MinuteOf(kMinute + kMinuteUs - 1) == kMinute);
  CHECK(MinuteOf(kMinute + kMinuteUs) == kMinute + kMinuteUs);
  CHECK(MinuteOf(0) == 0);
  CHECK(MinuteOf(-1) == -kMinuteUs);
  CHECK(MinuteOf(-kMinuteUs) == -kMinuteUs);
}

TEST_CASE("a bar has the first, the highest, the lowest and the last price of its minute") {
  UnsavedBars bars;
  bars.Add(Quote(100, kMinute, 1));
  bars.Add(Quote(103, kMinute + 1, 2));
  bars.Add(Quote(97, kMinute + 1, 3));
  bars.Add(Quote(101, kMinute + kMinuteUs - 1, 4));
  bars.Add(Quote(55, kMinute + kMinuteUs, 5));
  bars.Add(Quote(7, kMinute, 1, "MSFT"));
  CHECK(bars.size() == 3);
  const std::vector<SymbolBars> taken = bars.Take();
  CHECK(bars.size() == 0);
  REQUIRE(taken.size() == 2);
  CHECK(taken[0].symbol == "AAPL");
  CHECK_FALSE(taken[0].forget_from_us);
  REQUIRE(taken[0].bars.size() == 2);
  const MinuteBar& bar = taken[0].bars[0];
  CHECK(bar.start_us == kMinute);
  CHECK(bar.open.price_micros == 100);
  CHECK(bar.high_micros == 103);
  CHECK(bar.low_micros == 97);
  CHECK(bar.close.price_micros == 101);
  CHECK(bar.close == BarEdge{101, kMinute + kMinuteUs - 1, 1, 4});
  CHECK(taken[0].bars[1] == BarOf(Quote(55, kMinute + kMinuteUs, 5)));
  CHECK(taken[1].bars[0].open.price_micros == 7);
  CHECK(bars.Take().empty());
}

TEST_CASE("of one time, the publisher's order opens and closes; without a publisher the order of coming does") {
  MinuteBar bar = BarOf(Quote(2, kMinute, 5));
  MergeBar(BarOf(Quote(1, kMinute, 4)), bar);
  CHECK(bar.open.price_micros == 1);
  CHECK(bar.close.price_micros == 2);
  QuoteRecord next_epoch = Quote(3, kMinute, 1);
  next_epoch.set_publisher_epoch(2);
  MergeBar(BarOf(next_epoch), bar);
  CHECK(bar.open.price_micros == 1);
  CHECK(bar.close.price_micros == 3);
  const auto nameless = [](int64_t price) {
    QuoteRecord quote = Quote(price, kMinute, 0);
    quote.set_publisher_epoch(0);
    return quote;
  };
  bar = BarOf(nameless(1));
  MergeBar(BarOf(nameless(2)), bar);
  MergeBar(BarOf(nameless(3)), bar);
  CHECK(bar.open.price_micros == 1);
  CHECK(bar.close.price_micros == 3);
}

TEST_CASE("what could not be stored is taken again with what has come since") {
  UnsavedBars bars;
  bars.Add(Quote(100, kMinute, 1));
  bars.Add(Quote(100, kMinute, 1, "MSFT"));
  const std::vector<SymbolBars> taken = bars.Take();
  bars.Add(Quote(90, kMinute + 5, 2));
  bars.Add(Quote(80, kMinute + kMinuteUs, 3));
  bars.PutBack(taken);
  CHECK(bars.size() == 3);
  const std::vector<SymbolBars> again = bars.Take();
  REQUIRE(again.size() == 2);
  REQUIRE(again[0].bars.size() == 2);
  CHECK(again[0].bars[0].open.price_micros == 100);
  CHECK(again[0].bars[0].close.price_micros == 90);
  CHECK(again[1] == taken[1]);
}

TEST_CASE("a new history forgets the bars from its first minute on, also those that are stored already") {
  Stored stored;
  UnsavedBars bars;
  for (int64_t minute = 0; minute < 4; ++minute)
    bars.Add(Quote(100 + minute, kMinute + minute * kMinuteUs, minute + 1));
  Store(bars.Take(), stored);
  bars.Add(Quote(104, kMinute + 4 * kMinuteUs, 5));
  bars.BeginHistory("AAPL", kMinute + 2 * kMinuteUs + 30'000'000);
  CHECK(bars.size() == 0);
  bars.Add(Quote(200, kMinute + 2 * kMinuteUs + 30'000'000, 6));
  SECTION("it is stored") { Store(bars.Take(), stored); }
  SECTION("it cannot be stored at first") {
    const auto taken = bars.Take();
    bars.Add(Quote(201, kMinute + 2 * kMinuteUs + 31'000'000, 7));
    bars.PutBack(taken);
    Store(bars.Take(), stored);
    CHECK(stored["AAPL"].at(kMinute + 2 * kMinuteUs).close.price_micros == 201);
  }
  CHECK(stored["AAPL"].size() == 3);
  CHECK(stored["AAPL"].at(kMinute + kMinuteUs).open.price_micros == 101);
  CHECK(stored["AAPL"].at(kMinute + 2 * kMinuteUs).open.price_micros == 200);
}

TEST_CASE("histories that begin before the first is stored forget what any of them forgot") {
  const auto minute = [](int64_t n) { return kMinute + n * kMinuteUs; };
  for (const bool between_tries : {false, true}) {
    Stored stored;
    UnsavedBars bars;
    for (int64_t n = 0; n < 6; ++n) bars.Add(Quote(100 + n, minute(n), n + 1));
    Store(bars.Take(), stored);
    bars.BeginHistory("AAPL", minute(1));
    for (int64_t n = 1; n < 5; ++n) bars.Add(Quote(200 + n, minute(n), 10 + n));
    std::vector<SymbolBars> taken;
    if (between_tries) taken = bars.Take();
    bars.BeginHistory("AAPL", minute(3));
    bars.Add(Quote(303, minute(3), 20));
    bars.PutBack(taken);
    CHECK(bars.size() == 3);
    Store(bars.Take(), stored);
    std::vector<int64_t> opens;
    for (const auto& [start_us, bar] : stored["AAPL"]) opens.push_back(bar.open.price_micros);
    CHECK(opens == std::vector<int64_t>{100, 201, 202, 303});
  }
}

// By the book: all quotes of a minute, in their order.
std::map<int64_t, MinuteBar> Expected(const std::vector<QuoteRecord>& quotes) {
  std::map<int64_t, MinuteBar> bars;
  for (const QuoteRecord& quote : quotes) {
    const MinuteBar one = BarOf(quote);
    MinuteBar& bar = bars.try_emplace(one.start_us, one).first->second;
    bar.close = one.close;
    bar.high_micros = std::max(bar.high_micros, quote.price_micros());
    bar.low_micros = std::min(bar.low_micros, quote.price_micros());
  }
  return bars;
}

TEST_CASE("quotes in any order, twice, and split between several who store give the same bars") {
  const auto seed = GENERATE(take(200, random(0, 1'000'000'000)));
  INFO("seed " << seed);
  std::mt19937 random(static_cast<unsigned>(seed));
  const auto below = [&random](int bound) { return static_cast<int64_t>(random() % static_cast<unsigned>(bound)); };
  // As a log has them: times never fall, and many are equal.
  std::vector<QuoteRecord> log;
  int64_t time_us = kMinute;
  for (int64_t sequence = 1; sequence <= 60; ++sequence) {
    time_us += below(3) * below(20'000'000);
    log.push_back(Quote(1 + below(30), time_us, sequence));
  }
  std::vector<QuoteRecord> given = log;
  for (int i = 0; i < 20; ++i) given.push_back(log[static_cast<size_t>(below(60))]);
  std::shuffle(given.begin(), given.end(), random);

  Stored stored;
  std::vector<UnsavedBars> instances(3);
  for (const QuoteRecord& quote : given) {
    UnsavedBars& instance = instances[static_cast<size_t>(below(3))];
    instance.Add(quote);
    if (below(5) != 0) continue;
    const auto taken = instance.Take();
    // Stored, not stored, or stored without its knowing so.
    const int64_t fate = below(3);
    if (fate != 0) Store(taken, stored);
    if (fate != 1) instance.PutBack(taken);
  }
  for (UnsavedBars& instance : instances) Store(instance.Take(), stored);
  CHECK(stored["AAPL"] == Expected(log));
}

TEST_CASE("a split scales the bars that are not stored yet, those that are put back too") {
  UnsavedBars bars;
  bars.Add(Quote(400, kMinute, 1));
  bars.Add(Quote(80, kMinute, 1, "MSFT"));
  std::vector<SymbolBars> taken = bars.Take();
  bars.Add(Quote(408, kMinute + 1, 2));
  bars.ApplySplit("AAPL", {4, 1});
  bars.Add(Quote(99, kMinute + 2, 3));
  bars.PutBack(taken);
  taken = bars.Take();
  REQUIRE(taken.size() == 2);
  REQUIRE(taken[0].bars.size() == 1);
  const MinuteBar& bar = taken[0].bars[0];
  CHECK(bar.open.price_micros == 100);
  CHECK(bar.high_micros == 102);
  CHECK(bar.low_micros == 99);
  CHECK(bar.close.price_micros == 99);
  CHECK(taken[1].bars[0].open.price_micros == 80);
  // What was taken after the split is not scaled by it when it comes back.
  bars.PutBack(taken);
  CHECK(bars.Take()[0].bars[0] == bar);
}

}  // namespace
}  // namespace stockalert::ticker
