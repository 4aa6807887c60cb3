// What a PriceStore promises, held against the in-memory store and, where STOCKALERT_TEST_POSTGRES names a server,
// against Postgres.
#include <catch2/catch.hpp>

#include <algorithm>
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
    REQUIRE(store.Save({{Full("AAPL", 1, 10), forgotten, plain}, {{1, 11}, {0, 10}}}).ok());
    CHECK(Same(LoadOne(store, "AAPL"), Full("AAPL", 1, 10)));
    CHECK(Same(LoadOne(store, "MSFT"), forgotten));
    CHECK(Same(LoadOne(store, "TSLA"), plain));
    CHECK(store.Load()->next_offsets == std::map<int32_t, int64_t>{{0, 10}, {1, 11}});
    CHECK(store.Save({}).ok());
  });
}

TEST_CASE("rows and places only move forward") {
  ForEachStore([](PriceStore& store) {
    REQUIRE(store.Save({{Full("AAPL", 1, 10)}, {{1, 11}}}).ok());
    SymbolPrices older = Full("AAPL", 1, 9);
    older.regular_price_micros = 1;
    REQUIRE(store.Save({{older}, {{1, 10}}}).ok());
    CHECK(Same(LoadOne(store, "AAPL"), Full("AAPL", 1, 10)));
    CHECK(store.Load()->next_offsets.at(1) == 11);
    SymbolPrices newer = Full("AAPL", 1, 12);
    newer.regular_price_micros = 2;
    REQUIRE(store.Save({{newer}, {{1, 13}}}).ok());
    CHECK(Same(LoadOne(store, "AAPL"), newer));
    CHECK(store.Load()->next_offsets.at(1) == 13);
  });
}

TEST_CASE("another log's places are forgotten, its prices and epochs stay") {
  ForEachStore([](PriceStore& store) {
    CHECK(*store.AdoptLog("one") == false);
    REQUIRE(store.Save({{Full("AAPL", 1, 10)}, {{1, 11}}}).ok());
    CHECK(*store.AdoptLog("one") == false);
    CHECK(store.Load()->next_offsets.size() == 1);
    CHECK(*store.AdoptLog("two") == true);
    CHECK(store.Load()->next_offsets.empty());
    CHECK(Same(LoadOne(store, "AAPL"), Full("AAPL", 1, -1)));
    // So the new log's first record is taken.
    REQUIRE(store.Save({{Full("AAPL", 1, 0)}, {{1, 1}}}).ok());
    CHECK(LoadOne(store, "AAPL").offset == 0);
  });
}

TEST_CASE("one partition's places are forgotten alone") {
  ForEachStore([](PriceStore& store) {
    REQUIRE(store.Save({{Full("AAPL", 1, 10), Full("MSFT", 2, 20)}, {{1, 11}, {2, 21}}}).ok());
    REQUIRE(store.ForgetPlaces(1).ok());
    CHECK(store.Load()->next_offsets == std::map<int32_t, int64_t>{{2, 21}});
    CHECK(LoadOne(store, "AAPL").offset == -1);
    CHECK(LoadOne(store, "MSFT").offset == 20);
  });
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
