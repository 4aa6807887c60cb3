// Quotes that are taken without a look at their symbol: what they may not pass over, and what is seen of them.
#include <catch2/catch.hpp>

#include <optional>
#include <string>
#include <vector>

#include "services/domain/fold/fold.h"
#include "tests/unit/domain/fold/log_builder.h"

namespace stockalert::fold {
namespace {

using condition::PercentOp;
using condition::PercentReference;
using Fired = std::vector<std::string>;

constexpr char kSymbol[] = "AAPL";

record::Quote QuoteOf(const LogBuilder& log, int64_t units, int64_t sequence, std::string symbol = kSymbol) {
  record::Quote quote;
  quote.symbol = std::move(symbol);
  quote.price_micros = units * kUnit;
  quote.event_time_us = log.time_us();
  quote.publisher_epoch = 1;
  quote.sequence = sequence;
  return quote;
}

// Far from all that could happen, and the quotes to begin with.
LogBuilder Quiet() {
  LogBuilder log;
  log.Create("a", Of(Above(200)));
  for (int64_t i = 1; i <= 3; ++i) log.Send(QuoteOf(log, 100, i));
  return log;
}

}  // namespace

TEST_CASE("What quiet quotes did is seen") {
  LogBuilder log = Quiet();
  record::Quote quote = QuoteOf(log, 104, 4);
  quote.event_time_us += 5 * kSecondUs;
  log.Send(quote);
  const SymbolView view = log.fold.FindSymbol(kSymbol).value();
  CHECK(view.last_event_time_us == quote.event_time_us);
  CHECK(view.last_regular_price_micros == 104 * kUnit);
  CHECK(view.last_extended_price_micros == 104 * kUnit);
  CHECK(log.fold.counters().quotes_accepted == 4);
  CHECK(log.fold.Snapshot().symbols.at(0).sequence == 4);
  CHECK(log.fold.Snapshot().symbols.at(0).range == market::DateRange{104 * kUnit, 100 * kUnit});
}

TEST_CASE("A quote that is late, repeated or impossible is so for a quiet symbol, too") {
  LogBuilder log = Quiet();
  record::Quote quote = QuoteOf(log, 101, 4);
  quote.event_time_us += kSecondUs;
  log.Send(quote);
  log.Send(quote);
  CHECK(log.fold.counters().quotes_repeated == 1);
  quote.sequence = 5;
  quote.event_time_us -= 1;
  log.Send(quote);
  CHECK(log.fold.counters().quotes_late == 1);
  quote.price_micros = 0;
  log.Send(quote);
  CHECK(log.fold.counters().quotes_refused == 1);
  CHECK(log.fold.FindSymbol(kSymbol)->last_event_time_us == quote.event_time_us + 1);
  // The late one counts as seen.
  CHECK(log.fold.Snapshot().symbols.at(0).sequence == 5);
}

TEST_CASE("A day's high that quiet quotes have not reached is a gap") {
  LogBuilder log = Quiet();
  record::Quote quote = QuoteOf(log, 101, 4);
  quote.day_high_micros = 250 * kUnit;
  CHECK(log.Send(quote) == Fired{"a#1"});
  CHECK(log.outcome.triggers.at(0).late);
}

TEST_CASE("A day's high and low that quiet quotes have reached are none") {
  LogBuilder log = Quiet();
  log.Create("below", Of(Below(50)));
  for (int64_t i = 4; i <= 6; ++i) log.Send(QuoteOf(log, 100, i));
  log.Send(QuoteOf(log, 190, 7));
  log.Send(QuoteOf(log, 60, 8));
  record::Quote quote = QuoteOf(log, 100, 9);
  quote.day_high_micros = 190 * kUnit;
  quote.day_low_micros = 60 * kUnit;
  CHECK(log.Send(quote).empty());
  CHECK(log.fold.Snapshot().symbols.at(0).range == market::DateRange{190 * kUnit, 60 * kUnit});
}

TEST_CASE("An alert expires while its symbol is quiet") {
  LogBuilder log = Quiet();
  condition::Definition definition = Of(Above(300));
  definition.expire_time_us = log.time_us() + 60 * kSecondUs;
  log.Create("expires", definition);
  for (int64_t i = 4; i <= 6; ++i) log.Send(QuoteOf(log, 100, i));
  record::Quote quote = QuoteOf(log, 100, 7);
  quote.event_time_us = *definition.expire_time_us - 1;
  log.Send(quote);
  CHECK_FALSE(log.fold.FindAlert("expires")->expired);
  quote.sequence = 8;
  log.Send(quote);  // It is quiet again.
  quote.sequence = 9;
  quote.event_time_us += 1;
  log.Send(quote);
  CHECK(log.outcome.statuses.size() == 1);
  CHECK(log.fold.FindAlert("expires")->expired);
}

TEST_CASE("A quiet symbol learns a figure, and of a new date") {
  LogBuilder log = Quiet();
  record::Quote quote = QuoteOf(log, 100, 4);
  quote.previous_close_micros = 99 * kUnit;
  log.Send(quote);
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK(log.outcome.statuses.at(0).previous_close_known);
  quote.sequence = 5;
  log.Send(quote);
  quote.sequence = 6;
  quote.day_open_micros = 98 * kUnit;
  log.Send(quote);
  CHECK(log.fold.FindSymbol(kSymbol)->day_open_micros == 98 * kUnit);
  log.At(kOpenUs + kDayUs).Send(QuoteOf(log, 100, 7));
  CHECK_FALSE(log.fold.FindSymbol(kSymbol)->day_open_micros.has_value());
}

TEST_CASE("A quiet symbol tells sessions apart") {
  LogBuilder log = Quiet();
  for (int64_t i = 4; i <= 6; ++i) {
    record::Quote quote = QuoteOf(log, 100 + i, i);
    quote.session = market::Session::kPost;
    log.Send(quote);
  }
  CHECK(log.fold.FindSymbol(kSymbol)->last_regular_price_micros == 100 * kUnit);
  CHECK(log.fold.FindSymbol(kSymbol)->last_extended_price_micros == 106 * kUnit);
}

TEST_CASE("A window has all prices of more quiet quotes than are kept apart") {
  LogBuilder log;
  log.Create("w", Of(Percent(PercentOp::kUp, 50, PercentReference::kWindow, 0, 30 * kSecondUs)));
  for (int64_t i = 0; i < 100; ++i) {
    log.Price(i == 75 ? 96 : 100 + static_cast<double>(i % 7) / 10);
  }
  // The low is 25 s old: from it, but from no other price, this is a rise by half.
  CHECK(log.Price(144.5) == Fired{"w#1"});
  CHECK(log.outcome.triggers.at(0).reference_micros == 96 * kUnit);
}

TEST_CASE("A snapshot has nothing of a quiet symbol's quotes after its beginning") {
  LogBuilder log = Quiet();
  log.Send(QuoteOf(log, 101, 4));
  const FoldState expected = log.fold.Snapshot();
  // The same again, but the symbol is quiet now.
  LogBuilder quiet = Quiet();
  quiet.Send(QuoteOf(quiet, 101, 4));
  quiet.fold.BeginSnapshot();
  for (int64_t i = 5; i <= 7; ++i) quiet.Send(QuoteOf(quiet, 120, i));
  while (!quiet.fold.ContinueSnapshot(1)) quiet.Send(QuoteOf(quiet, 130, 8));
  FoldState taken = quiet.fold.TakeSnapshot();
  PutInOrder(&taken);
  CHECK(taken == expected);
}

TEST_CASE("Names are told apart whatever their length") {
  LogBuilder log;
  const std::vector<std::string> names = {"A", "AA", "FIFTEENLETTERS1", "SIXTEEN.LETTERS1", "SIXTEEN.LETTERS2"};
  for (int64_t round = 1; round <= 4; ++round) {
    for (size_t i = 0; i < names.size(); ++i) {
      log.Send(QuoteOf(log, 10 * round + static_cast<int64_t>(i), round, names[i]));
    }
  }
  for (size_t i = 0; i < names.size(); ++i) {
    CHECK(log.fold.FindSymbol(names[i])->last_regular_price_micros == (40 + static_cast<int64_t>(i)) * kUnit);
  }
}

TEST_CASE("What was held settles with quotes that are quiet") {
  LogBuilder log = Quiet();
  log.Send(record::SplitSuspected{kSymbol, 1, 4});
  record::Quote last;
  for (int64_t i = 5; i <= 9; ++i) {
    last = QuoteOf(log, 100, i);
    last.event_time_us += i * kSecondUs;
    log.Send(last);
  }
  log.Send(record::SplitDismissed{kSymbol, 1, 10});
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK(log.outcome.statuses.at(0).last_event_time_us == last.event_time_us);
}

}  // namespace stockalert::fold
