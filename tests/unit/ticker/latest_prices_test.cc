#include "services/ticker/latest_prices.h"

#include <catch2/catch.hpp>
#include <limits>

#include "services/domain/price/decimal.h"

namespace stockalert::ticker {
namespace {

using internal::v1::QuoteRecord;
using internal::v1::TradingSession;

constexpr int64_t kTime = 1'767'366'000'000'000;  // 2026-01-02 10:00 in New York.
constexpr int64_t kDayUs = int64_t{24} * 3600 * 1'000'000;

// Feeds one symbol's records at rising places.
struct Log {
  QuoteVerdict Quote(int64_t price, int64_t time_us = kTime,
                     TradingSession session = internal::v1::TRADING_SESSION_REGULAR) {
    return Apply(Make(price, time_us, session));
  }
  QuoteRecord Make(int64_t price, int64_t time_us, TradingSession session = internal::v1::TRADING_SESSION_REGULAR) {
    QuoteRecord quote;
    quote.set_symbol("AAPL");
    quote.set_price_micros(price);
    quote.set_event_time_us(time_us);
    quote.set_session(session);
    quote.set_publisher_epoch(1);
    quote.set_sequence(++sequence);
    return quote;
  }
  QuoteVerdict Apply(const QuoteRecord& quote) { return prices.ApplyQuote(quote, {3, offset++}); }
  void Restart() { prices.ApplyRestart("AAPL", {3, offset++}); }
  const SymbolPrices& now() const { return *prices.Find("AAPL"); }

  LatestPrices prices;
  int64_t offset = 0;
  int64_t sequence = 0;
};

TEST_CASE("the highest epoch of the log is known, also of quotes that are dropped, and nonsense is not believed") {
  Log log;
  CHECK(log.prices.highest_epoch() == 0);
  QuoteRecord quote = log.Make(1, kTime);
  quote.set_publisher_epoch(7);
  CHECK(log.Apply(quote) == QuoteVerdict::kAccepted);
  CHECK(log.Quote(2) == QuoteVerdict::kRepeated);
  CHECK(log.prices.highest_epoch() == 7);
  quote = log.Make(3, kTime - 1);
  quote.set_publisher_epoch(9);
  CHECK(log.Apply(quote) == QuoteVerdict::kLate);
  CHECK(log.prices.highest_epoch() == 9);
  quote.set_publisher_epoch(std::numeric_limits<int64_t>::max());
  (void)log.Apply(quote);
  CHECK(log.prices.highest_epoch() == 9);
  LatestPrices loaded;
  SymbolPrices kept;
  kept.symbol = "MSFT";
  kept.publisher_epoch = 12;
  loaded.Load({kept});
  CHECK(loaded.highest_epoch() == 12);
}

TEST_CASE("prices that no quote can have leave no trace") {
  for (const int64_t price : {int64_t{0}, int64_t{-1}, price::kMaxPriceMicros + 1, std::numeric_limits<int64_t>::max(),
                              std::numeric_limits<int64_t>::min()}) {
    CAPTURE(price);
    Log log;
    CHECK(log.Quote(price) == QuoteVerdict::kRefused);
    CHECK(log.prices.Find("AAPL") == nullptr);
    CHECK(log.prices.TakeChanged().empty());
    // Not even its sequence counts.
    log.sequence = 0;
    CHECK(log.Quote(150) == QuoteVerdict::kAccepted);
  }
}

TEST_CASE("the smallest and the largest price are accepted") {
  Log log;
  CHECK(log.Quote(1) == QuoteVerdict::kAccepted);
  CHECK(log.Quote(price::kMaxPriceMicros) == QuoteVerdict::kAccepted);
  CHECK(log.now().regular_price_micros == price::kMaxPriceMicros);
}

TEST_CASE("a quote of each session moves the prices that it counts for") {
  Log log;
  log.Quote(1, kTime, internal::v1::TRADING_SESSION_PRE);
  CHECK(!log.now().regular_price_micros);
  CHECK(log.now().extended_price_micros == 1);
  log.Quote(2);
  log.Quote(3, kTime, internal::v1::TRADING_SESSION_POST);
  log.Quote(4, kTime, internal::v1::TRADING_SESSION_CLOSED);
  CHECK(log.now().regular_price_micros == 2);
  CHECK(log.now().extended_price_micros == 3);
  CHECK(log.now().latest->price_micros() == 4);
}

TEST_CASE("late ones are dropped, whatever their session; equal times are not") {
  Log log;
  log.Quote(1, kTime, internal::v1::TRADING_SESSION_CLOSED);
  CHECK(log.Quote(2, kTime - 1) == QuoteVerdict::kLate);
  CHECK(log.Quote(3, kTime) == QuoteVerdict::kAccepted);
  CHECK(log.now().latest->price_micros() == 3);
  CHECK(log.now().regular_price_micros == 3);
}

TEST_CASE("repeated ones are skipped by epoch and sequence; a late one has been seen") {
  Log log;
  const QuoteRecord first = log.Make(1, kTime);
  CHECK(log.Apply(first) == QuoteVerdict::kAccepted);
  CHECK(log.Apply(first) == QuoteVerdict::kRepeated);
  QuoteRecord late = log.Make(2, kTime - 1);
  CHECK(log.Apply(late) == QuoteVerdict::kLate);
  late.set_event_time_us(kTime + 1);
  CHECK(log.Apply(late) == QuoteVerdict::kRepeated);
  QuoteRecord other_epoch = log.Make(3, kTime + 1);
  other_epoch.set_publisher_epoch(2);
  other_epoch.set_sequence(1);
  CHECK(log.Apply(other_epoch) == QuoteVerdict::kAccepted);
  QuoteRecord old_epoch = log.Make(4, kTime + 2);
  old_epoch.set_sequence(1000);
  CHECK(log.Apply(old_epoch) == QuoteVerdict::kRepeated);
  // Without a publisher there is nothing to know a repeat by.
  QuoteRecord nameless = log.Make(5, kTime + 2);
  nameless.clear_publisher_epoch();
  nameless.clear_sequence();
  CHECK(log.Apply(nameless) == QuoteVerdict::kAccepted);
  CHECK(log.Apply(nameless) == QuoteVerdict::kAccepted);
}

TEST_CASE("a place that has been counted in is not counted again") {
  Log log;
  log.Quote(1);
  log.Quote(2);
  CHECK(log.prices.ApplyQuote(log.Make(9, kTime), {3, 1}) == QuoteVerdict::kRepeated);
  log.prices.ApplyRestart("AAPL", {3, 0});
  CHECK(log.now().regular_price_micros == 2);
  log.prices.ForgetPlaces(4);
  CHECK(log.prices.ApplyQuote(log.Make(9, kTime), {3, 1}) == QuoteVerdict::kRepeated);
  log.prices.ForgetPlaces(3);
  CHECK(log.prices.ApplyQuote(log.Make(9, kTime), {3, 0}) == QuoteVerdict::kAccepted);
}

TEST_CASE("a restart forgets prices and times, not the publisher") {
  Log log;
  QuoteRecord quote = log.Make(1, kTime);
  quote.set_previous_close_micros(7);
  log.Apply(quote);
  log.Restart();
  CHECK(!log.now().latest);
  CHECK(!log.now().regular_price_micros);
  CHECK(!log.now().extended_price_micros);
  CHECK(!log.now().previous_close_micros);
  CHECK(log.Apply(quote) == QuoteVerdict::kRepeated);
  CHECK(log.Quote(2, kTime - 100 * kDayUs) == QuoteVerdict::kAccepted);
  CHECK(log.now().regular_price_micros == 2);
  LatestPrices empty;
  empty.ApplyRestart("AAPL", {0, 0});
  CHECK(empty.Find("AAPL") == nullptr);
}

TEST_CASE("a restart that is read again forgets nothing of what came after it") {
  Log log;
  log.Quote(1);
  const int64_t restart_at = log.offset;
  log.Restart();
  QuoteRecord after = log.Make(2, kTime - kDayUs);
  after.set_previous_close_micros(7);
  log.Apply(after);
  const int64_t before_last = log.offset;
  QuoteRecord last = log.Make(3, kTime - kDayUs + 1);
  log.Apply(last);
  for (const bool from_store : {false, true}) {
    LatestPrices kept;
    kept.Load({log.now()});
    if (from_store) {
      SymbolPrices forgotten = log.now();
      forgotten.offset = -1;
      kept.Load({forgotten});
    } else {
      kept.ForgetPlaces(3);
    }
    kept.ApplyRestart("AAPL", {3, restart_at});
    kept.ApplyRestart("AAPL", {3, restart_at + 1});
    CHECK(kept.ApplyQuote(last, {3, before_last}) == QuoteVerdict::kRepeated);
    REQUIRE(kept.Find("AAPL")->latest);
    CHECK(kept.Find("AAPL")->regular_price_micros == 3);
    CHECK(kept.Find("AAPL")->previous_close_micros == 7);
    CHECK(kept.Find("AAPL")->offset == before_last);
    CHECK(kept.TakeChanged().size() == 1);
    // What comes next is new, and so is the restart after it.
    CHECK(kept.ApplyQuote(log.Make(4, kTime - kDayUs), {3, before_last + 1}) == QuoteVerdict::kLate);
    kept.ApplyRestart("AAPL", {3, before_last + 2});
    CHECK(kept.ApplyQuote(last, {3, before_last + 3}) == QuoteVerdict::kRepeated);
    CHECK_FALSE(kept.Find("AAPL")->latest);
  }
}

TEST_CASE("day values: the latest of the date, nonsense dropped, forgotten with the date") {
  Log log;
  QuoteRecord quote = log.Make(100, kTime);
  quote.set_previous_close_micros(90);
  quote.set_day_open_micros(0);
  quote.set_day_high_micros(-1);
  quote.set_day_low_micros(95);
  CHECK(log.Apply(quote) == QuoteVerdict::kAccepted);
  CHECK(log.now().previous_close_micros == 90);
  CHECK(!log.now().day_open_micros);
  CHECK(!log.now().latest->has_day_open_micros());
  CHECK(!log.now().latest->has_day_high_micros());
  CHECK(log.now().latest->day_low_micros() == 95);
  quote = log.Make(101, kTime + 1);
  quote.set_previous_close_micros(91);
  quote.set_day_open_micros(98);
  log.Apply(quote);
  CHECK(log.now().previous_close_micros == 91);
  CHECK(log.now().day_open_micros == 98);
  // A quote that says nothing leaves the date's values.
  log.Quote(102, kTime + 2);
  CHECK(log.now().previous_close_micros == 91);
  CHECK(!log.now().latest->has_previous_close_micros());
  // A late one teaches nothing.
  quote = log.Make(101, kTime);
  quote.set_previous_close_micros(1);
  CHECK(log.Apply(quote) == QuoteVerdict::kLate);
  CHECK(log.now().previous_close_micros == 91);
  log.Quote(103, kTime + kDayUs);
  CHECK(!log.now().previous_close_micros);
  CHECK(!log.now().day_open_micros);
  CHECK(log.now().regular_price_micros == 103);
}

TEST_CASE("day values: a quote from before the open brings none") {
  Log log;
  QuoteRecord quote = log.Make(100, kTime, internal::v1::TRADING_SESSION_PRE);
  quote.set_previous_close_micros(90);
  quote.set_day_open_micros(95);
  CHECK(log.Apply(quote) == QuoteVerdict::kAccepted);
  CHECK(!log.now().previous_close_micros);
  CHECK(!log.now().day_open_micros);
  CHECK(!log.now().latest->has_previous_close_micros());
}

TEST_CASE("what changed is taken once, put back on failure, and loaded as it was") {
  Log log;
  log.Quote(1);
  const std::vector<SymbolPrices> changed = log.prices.TakeChanged();
  REQUIRE(changed.size() == 1);
  CHECK(changed[0].offset == 0);
  CHECK(log.prices.TakeChanged().empty());
  log.prices.PutBackChanged(changed);
  log.Quote(2, kTime + 1);
  const std::vector<SymbolPrices> again = log.prices.TakeChanged();
  REQUIRE(again.size() == 1);
  CHECK(again[0].regular_price_micros == 2);

  LatestPrices loaded;
  loaded.Load(again);
  CHECK(loaded.TakeChanged().empty());
  CHECK(loaded.ApplyQuote(log.Make(3, kTime), {3, 5}) == QuoteVerdict::kLate);
  QuoteRecord same_date = log.Make(3, kTime + 2);
  CHECK(loaded.ApplyQuote(same_date, {3, 6}) == QuoteVerdict::kAccepted);
  CHECK(loaded.Find("AAPL")->regular_price_micros == 3);
}

record::Split SplitOf(int64_t number, price::SplitRatio ratio, const std::string& symbol = "AAPL") {
  return {symbol, "s", number, ratio, kTime};
}

TEST_CASE("a split scales every price that is known, once a number") {
  Log log;
  QuoteRecord quote = log.Make(400, kTime);
  quote.set_day_open_micros(396);
  quote.set_day_high_micros(404);
  quote.set_day_low_micros(392);
  quote.set_previous_close_micros(388);
  REQUIRE(log.Apply(quote) == QuoteVerdict::kAccepted);
  REQUIRE(log.Quote(408, kTime + 1, internal::v1::TRADING_SESSION_POST) == QuoteVerdict::kAccepted);
  (void)log.prices.TakeChanged();
  CHECK(log.prices.ApplySplit(SplitOf(1, {4, 1}), {3, log.offset++}));
  CHECK_FALSE(log.prices.ApplySplit(SplitOf(1, {4, 1}), {3, log.offset++}));
  CHECK(log.now().split_number == 1);
  CHECK(log.now().regular_price_micros == 100);
  CHECK(log.now().extended_price_micros == 102);
  CHECK(log.now().latest->price_micros() == 102);
  CHECK(log.now().previous_close_micros == 97);
  CHECK(log.now().day_open_micros == 99);
  CHECK(log.prices.TakeChanged().size() == 1);
  // The date's figures go on in the new prices.
  REQUIRE(log.Quote(101, kTime + 2) == QuoteVerdict::kAccepted);
  CHECK(log.now().previous_close_micros == 97);

  // A place that has been counted in is not counted again; a symbol without prices remembers it; restarts forget none.
  CHECK_FALSE(log.prices.ApplySplit(SplitOf(2, {2, 1}), {3, 0}));
  CHECK(log.prices.ApplySplit(SplitOf(1, {2, 1}, "MSFT"), {3, log.offset++}));
  CHECK(log.prices.Find("MSFT")->split_number == 1);
  log.Restart();
  CHECK(log.now().split_number == 1);
  CHECK_FALSE(log.now().latest);
}

TEST_CASE("a split that is read again scales nothing again") {
  Log log;
  REQUIRE(log.Quote(400) == QuoteVerdict::kAccepted);
  log.Restart();
  const QuoteRecord after = log.Make(800, kTime);
  REQUIRE(log.Apply(after) == QuoteVerdict::kAccepted);
  REQUIRE(log.prices.ApplySplit(SplitOf(1, {4, 1}), {3, log.offset++}));
  const std::vector<SymbolPrices> kept = log.prices.TakeChanged();
  REQUIRE(kept.size() == 1);
  LatestPrices loaded;
  loaded.Load(kept);
  loaded.ForgetPlaces(3);
  loaded.ApplyRestart("AAPL", {3, 1});
  CHECK(loaded.ApplyQuote(after, {3, 2}) == QuoteVerdict::kRepeated);
  CHECK_FALSE(loaded.ApplySplit(SplitOf(1, {4, 1}), {3, 3}));
  CHECK(loaded.Find("AAPL")->regular_price_micros == 200);
  CHECK(loaded.Find("AAPL")->split_number == 1);
}

}  // namespace
}  // namespace stockalert::ticker
