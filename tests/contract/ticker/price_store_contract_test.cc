// What a PriceStore promises, held against the in-memory store and, where STOCKALERT_TEST_POSTGRES names a server,
// against Postgres.
#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "services/ticker/postgres_price_store.h"
#include "tests/support/test_environment/test_environment.h"
#include "tests/support/ticker_store/in_memory_ticker_store.h"

namespace stockalert::ticker {
namespace {

void ForEachStore(const std::function<void(PriceStore&)>& test) {
  SECTION("in memory") {
    testing::InMemoryPriceStore store;
    test(store);
  }
  if (std::getenv("STOCKALERT_TEST_POSTGRES") == nullptr) {
    std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
    return;
  }
  SECTION("postgres") {
    const testing::TestDatabase database;
    database.Migrate("ticker");
    const auto pool = database.NewPool();
    PostgresPriceStore store(*pool);
    test(store);
  }
}

SymbolPrices Full(const std::string& symbol, int32_t partition, int64_t offset) {
  SymbolPrices prices;
  prices.symbol = symbol;
  prices.publisher_epoch = 3;
  prices.sequence = 77;
  internal::v1::QuoteRecord quote;
  quote.set_symbol(symbol);
  quote.set_price_micros(1'000'000'000'000'000'000);
  quote.set_event_time_us(0);
  quote.set_session(internal::v1::TRADING_SESSION_POST);
  quote.set_source("it's \"quoted\", {x}\\");
  quote.set_day_open_micros(1);
  quote.set_day_high_micros(2);
  quote.set_day_low_micros(3);
  quote.set_previous_close_micros(4);
  prices.latest = quote;
  prices.regular_price_micros = 5;
  prices.extended_price_micros = 6;
  prices.previous_close_micros = 7;
  prices.day_open_micros = 8;
  prices.partition = partition;
  prices.offset = offset;
  return prices;
}

bool Same(const SymbolPrices& a, const SymbolPrices& b) {
  return a.symbol == b.symbol && a.publisher_epoch == b.publisher_epoch && a.sequence == b.sequence &&
         a.latest.has_value() == b.latest.has_value() &&
         (!a.latest || a.latest->SerializeAsString() == b.latest->SerializeAsString()) &&
         a.regular_price_micros == b.regular_price_micros && a.extended_price_micros == b.extended_price_micros &&
         a.previous_close_micros == b.previous_close_micros && a.day_open_micros == b.day_open_micros &&
         a.partition == b.partition && a.offset == b.offset;
}

SymbolPrices LoadOne(PriceStore& store, const std::string& symbol) {
  const auto kept = store.Load();
  REQUIRE(kept.ok());
  const auto found = std::find_if(kept->symbols.begin(), kept->symbols.end(),
                                  [&](const SymbolPrices& s) { return s.symbol == symbol; });
  REQUIRE(found != kept->symbols.end());
  return *found;
}

TEST_CASE("what is saved is loaded, every field, present or absent") {
  ForEachStore([](PriceStore& store) {
    CHECK(store.Load()->symbols.empty());
    SymbolPrices forgotten;
    forgotten.symbol = "MSFT";
    forgotten.publisher_epoch = 1;
    forgotten.sequence = 2;
    forgotten.offset = 9;
    SymbolPrices plain = Full("TSLA", 2, 5);
    plain.latest->clear_day_open_micros();
    plain.latest->clear_day_high_micros();
    plain.latest->clear_day_low_micros();
    plain.latest->clear_previous_close_micros();
    plain.regular_price_micros.reset();
    plain.day_open_micros.reset();
    plain.previous_close_micros.reset();
    REQUIRE(store.Save({{Full("AAPL", 1, 10), forgotten, plain}, {{1, 11}, {0, 10}}, {}}).ok());
    CHECK(Same(LoadOne(store, "AAPL"), Full("AAPL", 1, 10)));
    CHECK(Same(LoadOne(store, "MSFT"), forgotten));
    CHECK(Same(LoadOne(store, "TSLA"), plain));
    CHECK(store.Load()->next_offsets == std::map<int32_t, int64_t>{{0, 10}, {1, 11}});
    CHECK(store.Save({}).ok());
  });
}

TEST_CASE("a hold is kept with its symbol's row, over another log too, and goes with what settles it") {
  ForEachStore([](PriceStore& store) {
    SymbolPrices held = Full("AAPL", 1, 10);
    held.hold.emplace(SymbolHold{1'767'366'000'000'000, 0});
    REQUIRE(store.Save({{held, Full("MSFT", 1, 9)}, {{1, 11}}, {}}).ok());
    CHECK(LoadOne(store, "AAPL").hold == held.hold);
    CHECK(Same(LoadOne(store, "AAPL"), held));
    CHECK_FALSE(LoadOne(store, "MSFT").hold.has_value());
    (void)store.AdoptLog("one");
    REQUIRE(store.AdoptLog("two").ok());
    REQUIRE(store.ForgetPlaces(1).ok());
    CHECK(LoadOne(store, "AAPL").hold == held.hold);
    REQUIRE(store.Save({{Full("AAPL", 1, 12)}, {}, {}}).ok());
    CHECK_FALSE(LoadOne(store, "AAPL").hold.has_value());
  });
}

TEST_CASE("rows and places only move forward") {
  ForEachStore([](PriceStore& store) {
    REQUIRE(store.Save({{Full("AAPL", 1, 10)}, {{1, 11}}, {}}).ok());
    SymbolPrices older = Full("AAPL", 1, 9);
    older.regular_price_micros = 1;
    REQUIRE(store.Save({{older}, {{1, 10}}, {}}).ok());
    CHECK(Same(LoadOne(store, "AAPL"), Full("AAPL", 1, 10)));
    CHECK(store.Load()->next_offsets.at(1) == 11);
    SymbolPrices newer = Full("AAPL", 1, 12);
    newer.regular_price_micros = 2;
    REQUIRE(store.Save({{newer}, {{1, 13}}, {}}).ok());
    CHECK(Same(LoadOne(store, "AAPL"), newer));
    CHECK(store.Load()->next_offsets.at(1) == 13);
  });
}

TEST_CASE("another log's places are forgotten, its prices and epochs stay") {
  ForEachStore([](PriceStore& store) {
    CHECK(*store.AdoptLog("one") == false);
    REQUIRE(store.Save({{Full("AAPL", 1, 10)}, {{1, 11}}, {}}).ok());
    CHECK(*store.AdoptLog("one") == false);
    CHECK(store.Load()->next_offsets.size() == 1);
    CHECK(*store.AdoptLog("two") == true);
    CHECK(store.Load()->next_offsets.empty());
    CHECK(Same(LoadOne(store, "AAPL"), Full("AAPL", 1, -1)));
    // So the new log's first record is taken.
    REQUIRE(store.Save({{Full("AAPL", 1, 0)}, {{1, 1}}, {}}).ok());
    CHECK(LoadOne(store, "AAPL").offset == 0);
    // While a symbol is held there may be prices with a place, and no place of their partition.
    CHECK(*store.AdoptLog("three") == true);
    REQUIRE(store.Save({{Full("AAPL", 1, 5)}, {}, {}}).ok());
    CHECK(*store.AdoptLog("four") == true);
    CHECK(*store.AdoptLog("five") == false);
  });
}

TEST_CASE("one partition's places are forgotten alone") {
  ForEachStore([](PriceStore& store) {
    REQUIRE(store.Save({{Full("AAPL", 1, 10), Full("MSFT", 2, 20)}, {{1, 11}, {2, 21}}, {}}).ok());
    REQUIRE(store.ForgetPlaces(1).ok());
    CHECK(store.Load()->next_offsets == std::map<int32_t, int64_t>{{2, 21}});
    CHECK(LoadOne(store, "AAPL").offset == -1);
    CHECK(LoadOne(store, "MSFT").offset == 20);
  });
}

constexpr int64_t kMinute = 1'767'366'000'000'000;
constexpr int64_t kLastUs = kMinute + 1'000 * kMinuteUs;

// The bar of a quote in the minute that is so many after kMinute.
MinuteBar Bar(int64_t minute, int64_t price, int64_t sequence, int64_t second = 0) {
  internal::v1::QuoteRecord quote;
  quote.set_price_micros(price);
  quote.set_event_time_us(kMinute + minute * kMinuteUs + second * 1'000'000);
  quote.set_publisher_epoch(1);
  quote.set_sequence(sequence);
  return BarOf(quote);
}

KeptPrices WithBars(const std::string& symbol, int64_t offset, std::vector<MinuteBar> bars,
                    std::optional<int64_t> forget_from_us = std::nullopt) {
  return {{Full(symbol, 1, offset)}, {}, {{symbol, forget_from_us, std::move(bars)}}};
}

std::vector<MinuteBar> AllBars(PriceStore& store, const std::string& symbol) {
  const auto bars = store.LastBars(symbol, 0, kLastUs, 1000);
  REQUIRE(bars.ok());
  return *bars;
}

TEST_CASE("bars: the last ones of a range, newest first") {
  ForEachStore([](PriceStore& store) {
    CHECK(AllBars(store, "AAPL").empty());
    MinuteBar full = Bar(2, 12, 3);
    full.open = {1, kMinute + 2 * kMinuteUs, 2, 3};
    full.high_micros = 1'000'000'000'000'000'000;
    full.low_micros = 4;
    full.close = {5, kMinute + 3 * kMinuteUs - 1, 6, 7};
    REQUIRE(store.Save(WithBars("AAPL", 10, {Bar(0, 10, 1), Bar(1, 11, 2), full})).ok());
    REQUIRE(store.Save(WithBars("AAP", 10, {Bar(7, 1, 1)})).ok());
    CHECK(AllBars(store, "AAPL") == std::vector<MinuteBar>{full, Bar(1, 11, 2), Bar(0, 10, 1)});
    CHECK(*store.LastBars("AAPL", 0, kLastUs, 2) == std::vector<MinuteBar>{full, Bar(1, 11, 2)});
    CHECK(*store.LastBars("AAPL", kMinute + kMinuteUs, kMinute + 2 * kMinuteUs, 9) ==
          std::vector<MinuteBar>{Bar(1, 11, 2)});
    CHECK(store.LastBars("AAPL", kMinute + 1, kMinute + kMinuteUs, 9)->empty());
  });
}

TEST_CASE("bars are merged: an earlier open, a later close, the highest and the lowest") {
  ForEachStore([](PriceStore& store) {
    REQUIRE(store.Save(WithBars("AAPL", 10, {Bar(0, 50, 5, 30)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 11, {Bar(0, 60, 4, 20)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 12, {Bar(0, 40, 6, 40)})).ok());
    // In between, and what is there.
    REQUIRE(store.Save(WithBars("AAPL", 13, {Bar(0, 55, 5, 25)})).ok());
    for (int i = 0; i < 2; ++i) REQUIRE(store.Save(WithBars("AAPL", 13, {Bar(0, 40, 6, 40)})).ok());
    const std::vector<MinuteBar> bars = AllBars(store, "AAPL");
    REQUIRE(bars.size() == 1);
    CHECK(bars[0].open == Bar(0, 60, 4, 20).open);
    CHECK(bars[0].high_micros == 60);
    CHECK(bars[0].low_micros == 40);
    CHECK(bars[0].close == Bar(0, 40, 6, 40).close);
    // Of one time, by epoch and sequence; of one order, the first and the last that came.
    REQUIRE(store.Save(WithBars("AAPL", 14, {Bar(1, 2, 2)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 15, {Bar(1, 1, 1)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 16, {Bar(1, 3, 3)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 17, {Bar(1, 4, 3)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 18, {Bar(1, 5, 1)})).ok());
    CHECK(AllBars(store, "AAPL")[0].open.price_micros == 1);
    CHECK(AllBars(store, "AAPL")[0].close.price_micros == 4);
  });
}

TEST_CASE("bars of a symbol that another instance has read further stay as they are") {
  ForEachStore([](PriceStore& store) {
    REQUIRE(store.Save(WithBars("AAPL", 10, {Bar(0, 50, 5), Bar(1, 51, 6)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 9, {Bar(0, 99, 9), Bar(2, 99, 9)}, kMinute)).ok());
    CHECK(AllBars(store, "AAPL") == std::vector<MinuteBar>{Bar(1, 51, 6), Bar(0, 50, 5)});
    // Forgotten places let go of that.
    REQUIRE(store.ForgetPlaces(1).ok());
    REQUIRE(store.Save(WithBars("AAPL", -1, {Bar(2, 52, 7)})).ok());
    REQUIRE(store.Save(WithBars("AAPL", 0, {Bar(3, 53, 8)})).ok());
    CHECK(AllBars(store, "AAPL").size() == 4);
  });
}

TEST_CASE("a new history replaces the bars from its beginning on, of its symbol alone") {
  ForEachStore([](PriceStore& store) {
    REQUIRE(store.Save(WithBars("AAPL", 10, {Bar(0, 50, 1), Bar(1, 51, 2), Bar(2, 52, 3), Bar(9, 59, 4)})).ok());
    REQUIRE(store.Save(WithBars("MSFT", 10, {Bar(2, 7, 1)})).ok());
    for (int i = 0; i < 2; ++i) {
      REQUIRE(store.Save(WithBars("AAPL", 20, {Bar(1, 61, 5), Bar(3, 63, 6)}, kMinute + kMinuteUs)).ok());
      CHECK(AllBars(store, "AAPL") == std::vector<MinuteBar>{Bar(3, 63, 6), Bar(1, 61, 5), Bar(0, 50, 1)});
    }
    CHECK(AllBars(store, "MSFT").size() == 1);
    // One whose first quotes make no bar.
    REQUIRE(store.Save(WithBars("AAPL", 21, {}, kMinute + 2 * kMinuteUs)).ok());
    CHECK(AllBars(store, "AAPL").size() == 2);
  });
}

TEST_CASE("many bars are saved at once") {
  ForEachStore([](PriceStore& store) {
    std::vector<MinuteBar> many;
    for (int i = 0; i < 2500; ++i) many.push_back(Bar(i, 100 + i, i + 1));
    REQUIRE(store.Save(WithBars("AAPL", 10, many)).ok());
    CHECK(store.LastBars("AAPL", 0, kMinute + 10'000 * kMinuteUs, 10'000)->size() == 2500);
  });
}

// By hand: contract_ticker_store_test "[throughput]".
TEST_CASE("how many prices a second are saved, with and without their bars", "[.][throughput]") {
  const testing::TestDatabase database;
  database.Migrate("ticker");
  const auto pool = database.NewPool();
  PostgresPriceStore store(*pool);
  constexpr int kSymbols = 1000, kSaves = 120;
  for (const bool with_bars : {false, true}) {
    const auto begun = std::chrono::steady_clock::now();
    for (int save = 0; save < kSaves; ++save) {
      KeptPrices prices;
      for (int i = 0; i < kSymbols; ++i) {
        const std::string symbol = "S" + std::to_string(i);
        prices.symbols.push_back(Full(symbol, i % 64, (with_bars ? kSaves : 0) + save));
        // A save a second.
        if (with_bars) prices.bars.push_back({symbol, {}, {Bar(save / 60, 100 + save % 7, save + 1, save % 60)}});
      }
      REQUIRE(store.Save(prices).ok());
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::cout << kSymbols << " symbols" << (with_bars ? " with a bar each: " : ": ") << took.count() / kSaves * 1000
              << " ms a save, " << kSymbols * kSaves / took.count() << " symbols a second\n";
  }
  std::cout << database.Count(
                   "SELECT pg_total_relation_size('stockalert_ticker.bars') / count(*) FROM "
                   "stockalert_ticker.bars")
            << " bytes a bar\n";
}

TEST_CASE("many symbols are saved at once") {
  ForEachStore([](PriceStore& store) {
    KeptPrices many;
    for (int i = 0; i < 2500; ++i) many.symbols.push_back(Full("S" + std::to_string(i), i % 64, i));
    REQUIRE(store.Save(many).ok());
    CHECK(store.Load()->symbols.size() == 2500);
  });
}

}  // namespace
}  // namespace stockalert::ticker
