// What becomes of prices that the store cannot take.
#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "services/common/base/failure_kind.h"
#include "services/domain/record/log_record.h"
#include "services/ticker/price_log_reader.h"
#include "tests/support/memory_dead_letters/memory_dead_letters.h"

namespace stockalert::ticker {
namespace {

// Takes no prices of one symbol.
class PickyStore final : public PriceStore {
 public:
  absl::StatusOr<KeptPrices> Load() override { return KeptPrices(); }
  absl::Status Save(const KeptPrices& prices) override {
    if (unavailable) return base::Unavailable("DATABASE_UNAVAILABLE", "the database is away");
    for (const SymbolPrices& one : prices.symbols) {
      if (one.symbol == refused)
        return base::WithFailureKind(absl::InternalError("bytes that no text can hold"), base::FailureKind::kOfRecord);
    }
    for (const SymbolPrices& one : prices.symbols) saved.push_back(one.symbol);
    for (const SymbolBars& one : prices.bars) saved_bars.push_back(one.symbol);
    for (const auto& [partition, next_offset] : prices.next_offsets) next_offsets[partition] = next_offset;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<MinuteBar>> LastBars(const std::string&, int64_t, int64_t, int) override {
    return std::vector<MinuteBar>();
  }
  absl::StatusOr<bool> AdoptLog(const std::string&) override { return false; }
  absl::Status ForgetPlaces(int32_t) override { return absl::OkStatus(); }
  std::string refused;
  bool unavailable = false;
  std::vector<std::string> saved;
  std::vector<std::string> saved_bars;
  std::map<int32_t, int64_t> next_offsets;
};

SymbolPrices Prices(const std::string& symbol, int64_t offset) {
  SymbolPrices prices;
  prices.symbol = symbol;
  prices.publisher_epoch = 3;
  prices.sequence = 77;
  internal::v1::QuoteRecord quote;
  quote.set_symbol(symbol);
  quote.set_price_micros(150'000'000);
  quote.set_event_time_us(5);
  quote.set_session(internal::v1::TRADING_SESSION_REGULAR);
  quote.set_source("replay");
  prices.latest = quote;
  prices.partition = 2;
  prices.offset = offset;
  return prices;
}

TEST_CASE("prices that the store accepts are saved once") {
  PickyStore store;
  testing::MemoryDeadLetters letters;
  const SaveOutcome outcome =
      SavePrices("prices", {{Prices("AAPL", 8), Prices("MSFT", 9)}, {{2, 10}}, {}}, store, letters, 1);
  CHECK(outcome.status.ok());
  CHECK(outcome.again.symbols.empty());
  CHECK(outcome.again.next_offsets.empty());
  CHECK(store.saved == std::vector<std::string>{"AAPL", "MSFT"});
  CHECK(letters.letters().empty());
}

TEST_CASE("bars go with their symbol's prices, one by one too") {
  PickyStore store;
  store.refused = "BAD";
  testing::MemoryDeadLetters letters;
  const auto bars = [](const std::string& symbol) {
    return SymbolBars{symbol, {}, {BarOf(*Prices(symbol, 1).latest)}};
  };
  const SaveOutcome outcome = SavePrices(
      "prices",
      {{Prices("AAPL", 7), Prices("BAD", 8), Prices("MSFT", 9)}, {{2, 10}}, {bars("AAPL"), bars("BAD"), bars("MSFT")}},
      store, letters, 1);
  CHECK(outcome.status.ok());
  CHECK(outcome.again.bars.empty());
  CHECK(store.saved_bars == std::vector<std::string>{"AAPL", "MSFT"});

  store.unavailable = true;
  const SaveOutcome failed = SavePrices("prices", {{Prices("AAPL", 11)}, {{2, 12}}, {bars("AAPL")}}, store, letters, 1);
  CHECK_FALSE(failed.status.ok());
  CHECK(failed.again.bars == std::vector<SymbolBars>{bars("AAPL")});
}

TEST_CASE("prices that can never be saved are a dead letter that says what they were, and the others are saved") {
  PickyStore store;
  store.refused = "BAD";
  testing::MemoryDeadLetters letters;
  const SaveOutcome outcome =
      SavePrices("prices", {{Prices("AAPL", 8), Prices("BAD", 9)}, {{2, 10}}, {}}, store, letters, 1);
  CHECK(outcome.status.ok());
  CHECK(outcome.again.symbols.empty());
  CHECK(store.saved == std::vector<std::string>{"AAPL"});
  CHECK(store.next_offsets == std::map<int32_t, int64_t>{{2, 10}});
  REQUIRE(letters.letters().size() == 1);
  const dead_letter::DeadLetter letter = letters.letters()[0];
  CHECK(letter.place.topic == "prices");
  CHECK(letter.place.partition == 2);
  CHECK(letter.offset == 9);
  CHECK(letter.key == "BAD");
  CHECK_FALSE(letter.cause.empty());
  // A record of the log like any other.
  const record::ReadRecord read = record::ReadLogRecord(letter.key, letter.value);
  REQUIRE(read.soundness == record::Soundness::kSound);
  internal::v1::QuoteRecord quote = *Prices("BAD", 9).latest;
  quote.set_publisher_epoch(3);
  quote.set_sequence(77);
  CHECK(read.record.quote().SerializeAsString() == quote.SerializeAsString());
}

}  // namespace
}  // namespace stockalert::ticker
