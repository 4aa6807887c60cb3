// One symbol's prices that Postgres can never hold do not keep the others from being saved.
#include <catch2/catch.hpp>
#include <string>

#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/ticker/postgres_price_store.h"
#include "services/ticker/price_log_reader.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::ticker {
namespace {

SymbolPrices Prices(const std::string& symbol, const std::string& source, int32_t partition, int64_t offset) {
  SymbolPrices prices;
  prices.symbol = symbol;
  internal::v1::QuoteRecord quote;
  quote.set_symbol(symbol);
  quote.set_source(source);
  quote.set_event_time_us(1);
  quote.set_price_micros(150'000'000);
  quote.set_session(internal::v1::TRADING_SESSION_REGULAR);
  prices.latest = quote;
  prices.partition = partition;
  prices.offset = offset;
  return prices;
}

struct Bench {
  Bench() { database.Migrate("ticker"); }
  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool();
  PostgresPriceStore store{*pool};
  dead_letter::PostgresDeadLetterStore letters{*pool, "stockalert_ticker", "test"};
};

KeptPrices Batch() {
  KeptPrices unsaved;
  for (int i = 0; i < 50; ++i)
    unsaved.symbols.push_back(
        Prices("S" + std::to_string(i), i == 17 ? std::string("\xff") : "replay", i % 4, 100 + i));
  for (int32_t partition = 0; partition < 4; ++partition) unsaved.next_offsets[partition] = 200;
  return unsaved;
}

TEST_CASE("the others are saved, the places move on, and what cannot be held is a dead letter") {
  Bench bench;
  const SaveOutcome outcome = SavePrices("prices", Batch(), bench.store, bench.letters, 5);
  INFO(outcome.status);
  CHECK(outcome.status.ok());
  CHECK(outcome.again.symbols.empty());
  CHECK(outcome.again.next_offsets.empty());
  CHECK(outcome.letters.size() == 1);
  CHECK(bench.database.Count("SELECT count(*) FROM stockalert_ticker.latest_prices") == 49);
  CHECK(bench.database.Count("SELECT sum(next_offset) FROM stockalert_ticker.log_places") == 800);
  CHECK(bench.database.Count("SELECT count(*) FROM stockalert_ticker.dead_letters WHERE topic = 'prices' AND partition "
                             "= 1 AND log_offset = 117"
                             " AND key = 'S17'") == 1);
}

TEST_CASE("where there is no room for it, its partition alone is saved again later") {
  Bench bench;
  dead_letter::PostgresDeadLetterStore full(*bench.pool, "stockalert_ticker", "test",
                                            {.letters_max = 0, .bytes_max = 0});
  const SaveOutcome outcome = SavePrices("prices", Batch(), bench.store, full, 5);
  CHECK_FALSE(outcome.status.ok());
  CHECK(outcome.again.next_offsets == std::map<int32_t, int64_t>{{1, 200}});
  CHECK(outcome.again.symbols.size() == 13);
  CHECK(bench.database.Count("SELECT count(*) FROM stockalert_ticker.latest_prices WHERE log_partition <> 1") == 37);
  CHECK(bench.database.Count("SELECT count(*) FROM stockalert_ticker.log_places") == 3);
}

TEST_CASE("while the database is away all is saved again later, and nothing is put aside") {
  Bench bench;
  const auto nowhere = testing::TestDatabase::NewPoolAt("postgresql://nobody@127.0.0.1:1/none");
  PostgresPriceStore away(*nowhere);
  const SaveOutcome outcome = SavePrices("prices", Batch(), away, bench.letters, 5);
  CHECK(absl::IsUnavailable(outcome.status));
  CHECK(outcome.again.symbols.size() == 50);
  CHECK(outcome.again.next_offsets.size() == 4);
  CHECK(*bench.letters.CountOpen() == 0);
}

}  // namespace
}  // namespace stockalert::ticker
