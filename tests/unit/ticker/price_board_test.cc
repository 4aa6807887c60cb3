#include "services/ticker/price_board.h"

#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::ticker {
namespace {

struct Recorder final : QuoteWatcher {
  void Collect(const internal::v1::QuoteRecord& quote) override {
    collected.push_back(quote.symbol() + std::to_string(quote.price_micros()));
  }
  void Deliver() override { ++deliveries; }
  std::vector<std::string> collected;
  int deliveries = 0;
};

struct Fixture {
  BoardRecord Quote(const std::string& symbol, int64_t price, int32_t partition = 0) {
    BoardRecord entry;
    entry.kind = BoardRecord::Kind::kQuote;
    entry.place = {partition, next++};
    entry.log_time_us = clock.NowUs();
    entry.quote.set_symbol(symbol);
    entry.quote.set_price_micros(price);
    entry.quote.set_event_time_us(clock.NowUs());
    entry.quote.set_session(internal::v1::TRADING_SESSION_REGULAR);
    return entry;
  }
  testing::FakeClock clock;
  PriceBoard board{clock, clock.monotonic()};
  int64_t next = 0;
};

TEST_CASE("the latest prices are answered in the order asked, known or not") {
  Fixture f;
  const ApplyCounts counts =
      f.board.Apply({f.Quote("AAPL", 1), f.Quote("MSFT", 2), f.Quote("AAPL", 0), f.Quote("AAPL", 3)});
  CHECK(counts.accepted == 3);
  CHECK(counts.refused == 1);
  const auto prices = f.board.Get({"MSFT", "TSLA", "AAPL"});
  REQUIRE(prices.size() == 3);
  CHECK(prices[0].regular_price_micros == 2);
  CHECK(prices[1].symbol == "TSLA");
  CHECK(!prices[1].latest);
  CHECK(prices[2].regular_price_micros == 3);
}

TEST_CASE("watchers hear of their symbols from the latest known on") {
  Fixture f;
  f.board.Apply({f.Quote("AAPL", 1)});
  const auto watcher = std::make_shared<Recorder>();
  f.board.Watch({"AAPL", "MSFT"}, watcher);
  CHECK(watcher->collected == std::vector<std::string>{"AAPL1"});
  CHECK(watcher->deliveries == 1);
  f.board.Apply({f.Quote("TSLA", 9)});
  CHECK(watcher->deliveries == 1);
  f.board.Apply({f.Quote("AAPL", 2), f.Quote("MSFT", 3), f.Quote("AAPL", -1)});
  CHECK(watcher->collected == std::vector<std::string>{"AAPL1", "AAPL2", "MSFT3"});
  CHECK(watcher->deliveries == 2);
  CHECK(f.board.watchers() == 1);
  f.board.Unwatch(watcher);
  f.board.Unwatch(watcher);
  f.board.Apply({f.Quote("AAPL", 4)});
  CHECK(watcher->collected.size() == 3);
  CHECK(f.board.watchers() == 0);
}

TEST_CASE("what becomes of quotes is remembered while somebody wants to know, up to a bound") {
  Fixture f;
  f.board.Apply({f.Quote("AAPL", 1)});
  const auto soon = [] { return absl::Now() + absl::Seconds(30); };
  {
    const PriceBoard::OutcomeMemory memory(f.board);
    f.board.Apply({f.Quote("AAPL", 2), f.Quote("AAPL", 0)});
    const auto outcomes = memory.Await({{0, 2}, {0, 1}, {0, 0}}, soon());
    REQUIRE(outcomes.size() == 3);
    CHECK(outcomes[0]->verdict == QuoteVerdict::kRefused);
    CHECK(outcomes[1]->verdict == QuoteVerdict::kAccepted);
    CHECK(outcomes[1]->session == internal::v1::TRADING_SESSION_REGULAR);
    // Read before anybody wanted to know.
    CHECK(!outcomes[2]);
    // Nobody knows yet: the time ends the wait.
    CHECK(!memory.Await({{0, 3}}, absl::Now()).front());
    std::vector<BoardRecord> many;
    for (size_t i = 0; i < PriceBoard::kOutcomesMax; ++i) many.push_back(f.Quote("MSFT", 1));
    f.board.Apply(many);
    CHECK(!memory.Await({{0, 2}}, soon()).front());
    CHECK(memory.Await({{0, 3}}, soon()).front());
  }
  const PriceBoard::OutcomeMemory anew(f.board);
  CHECK(!anew.Await({{0, 3}}, soon()).front());
}

TEST_CASE("who waits for a place hears of it when it is read") {
  Fixture f;
  const PriceBoard::OutcomeMemory memory(f.board);
  const BoardRecord first = f.Quote("AAPL", 1);
  const BoardRecord second = f.Quote("AAPL", 2, 1);
  std::thread reader([&] {
    f.board.Apply({first});
    f.board.Apply({second});
  });
  const auto outcomes = memory.Await({{1, 1}, {0, 0}}, absl::Now() + absl::Seconds(30));
  reader.join();
  CHECK(outcomes[0]);
  CHECK(outcomes[1]);
}

TEST_CASE("a quote is read when its epoch and sequence are, or, where it has none, its time is") {
  Fixture f;
  internal::v1::QuoteRecord quote = f.Quote("AAPL", 1).quote;
  CHECK(!f.board.AwaitRead({quote}, absl::Now()));
  CHECK(f.board.AwaitRead({}, absl::Now()));
  BoardRecord entry = f.Quote("AAPL", 1);
  entry.quote.set_publisher_epoch(2);
  entry.quote.set_sequence(7);
  f.board.Apply({entry});
  CHECK(f.board.AwaitRead({quote}, absl::Now()));
  quote.set_event_time_us(quote.event_time_us() + 1);
  CHECK(!f.board.AwaitRead({quote}, absl::Now()));
  quote.set_publisher_epoch(2);
  quote.set_sequence(7);
  CHECK(f.board.AwaitRead({quote}, absl::Now()));
  internal::v1::QuoteRecord later = quote;
  later.set_sequence(8);
  CHECK(!f.board.AwaitRead({quote, later}, absl::Now()));
  // An epoch that is over brings nothing more.
  later.set_publisher_epoch(1);
  CHECK(f.board.AwaitRead({quote, later}, absl::Now()));
}

TEST_CASE("prices are fresh once every partition was read to its end") {
  Fixture f;
  const absl::Duration bound = absl::Seconds(2);
  CHECK(base::ReasonOf(f.board.CheckFresh(bound)) == "PRICES_NOT_READY");
  f.board.BeginReading({{0, 0}, {1, 0}});
  CHECK(!f.board.CheckFresh(bound).ok());
  f.board.MarkAtEnd(0);
  CHECK(!f.board.CheckFresh(bound).ok());
  f.board.MarkAtEnd(1);
  CHECK(f.board.CheckFresh(bound).ok());
  // Nothing more is said: nothing more is there.
  f.clock.Advance(absl::Hours(1));
  CHECK(f.board.CheckFresh(bound).ok());
}

TEST_CASE("a partition that is being read is as old as its last record") {
  Fixture f;
  const absl::Duration bound = absl::Seconds(2);
  f.board.BeginReading({{0, 0}});
  BoardRecord old = f.Quote("AAPL", 1);
  old.log_time_us -= 3'600'000'000;
  f.board.Apply({old});
  CHECK(!f.board.CheckFresh(bound).ok());
  f.board.Apply({f.Quote("AAPL", 2)});
  CHECK(f.board.CheckFresh(bound).ok());
  f.clock.Advance(absl::Seconds(3));
  CHECK(!f.board.CheckFresh(bound).ok());
  f.board.MarkAtEnd(0);
  // From the end on, an old record does not make it older than that.
  f.clock.Advance(absl::Seconds(10));
  old = f.Quote("AAPL", 3);
  old.log_time_us -= 3'600'000'000;
  f.board.Apply({old});
  CHECK(f.board.CheckFresh(bound).ok());
  // A broker whose clock is ahead makes nothing fresher.
  BoardRecord ahead = f.Quote("AAPL", 4);
  ahead.log_time_us += 3'600'000'000;
  f.board.Apply({ahead});
  f.clock.Advance(absl::Seconds(3));
  CHECK(!f.board.CheckFresh(bound).ok());
}

TEST_CASE("a date that is set makes prices neither fresh nor stale") {
  Fixture f;
  constexpr absl::Duration kBound = absl::Seconds(2);
  f.board.BeginReading({{0, 0}});
  f.board.Apply({f.Quote("AAPL", 1)});
  CHECK(f.board.CheckFresh(kBound).ok());
  f.clock.Set(f.clock.NowUs() + 3'600'000'000);
  CHECK(f.board.CheckFresh(kBound).ok());
  f.clock.Set(f.clock.NowUs() - 7'200'000'000);
  f.clock.Advance(absl::Seconds(3));
  CHECK(!f.board.CheckFresh(kBound).ok());
}

TEST_CASE("unsaved prices are taken once with their places, and again after a failure") {
  Fixture f;
  f.board.Load({{}, {{0, 0}}, {}});
  f.board.BeginReading({{0, 0}, {1, 5}});
  BoardRecord other;
  other.place = {1, 7};
  f.board.Apply({f.Quote("AAPL", 1), other});
  KeptPrices unsaved = f.board.TakeUnsaved();
  CHECK(unsaved.symbols.size() == 1);
  CHECK(unsaved.next_offsets == std::map<int32_t, int64_t>{{0, 1}, {1, 8}});
  CHECK(f.board.TakeUnsaved().next_offsets.empty());
  f.board.PutBackUnsaved(unsaved);
  unsaved = f.board.TakeUnsaved();
  CHECK(unsaved.symbols.size() == 1);
  CHECK(unsaved.next_offsets.size() == 2);
}

TEST_CASE("bars are made of accepted quotes that count, and taken with the prices") {
  Fixture f;
  const auto at = [&f](int64_t price, internal::v1::TradingSession session) {
    BoardRecord entry = f.Quote("AAPL", price);
    entry.quote.set_session(session);
    return entry;
  };
  f.board.Apply({at(2, internal::v1::TRADING_SESSION_PRE), at(9, internal::v1::TRADING_SESSION_CLOSED),
                 at(0, internal::v1::TRADING_SESSION_REGULAR), at(3, internal::v1::TRADING_SESSION_POST),
                 at(1, internal::v1::TRADING_SESSION_REGULAR)});
  BoardRecord late = f.Quote("AAPL", 77);
  late.quote.set_event_time_us(f.clock.NowUs() - 1);
  f.next = 0;
  BoardRecord repeated = f.Quote("AAPL", 88);
  f.next = 6;
  f.board.Apply({late, repeated});
  CHECK(f.board.unsaved_bars() == 1);
  KeptPrices unsaved = f.board.TakeUnsaved();
  CHECK(f.board.unsaved_bars() == 1);
  REQUIRE(unsaved.bars.size() == 1);
  REQUIRE(unsaved.bars[0].bars.size() == 1);
  const MinuteBar& bar = unsaved.bars[0].bars[0];
  CHECK(bar.start_us == MinuteOf(f.clock.NowUs()));
  CHECK(bar.open.price_micros == 2);
  CHECK(bar.high_micros == 3);
  CHECK(bar.low_micros == 1);
  CHECK(bar.close.price_micros == 1);
  f.board.PutBackUnsaved(unsaved);
  CHECK(f.board.unsaved_bars() == 1);
  CHECK(f.board.TakeUnsaved().bars == unsaved.bars);
  f.board.Apply({f.Quote("MSFT", 1)});
  CHECK(f.board.unsaved_bars() == 2);
  f.board.PutBackUnsaved({});
  CHECK(f.board.unsaved_bars() == 1);
}

TEST_CASE("a history begins with a symbol's first accepted quote, and after a restart") {
  Fixture f;
  const auto begins = [&f] { return f.board.TakeUnsaved().bars.at(0).forget_from_us; };
  f.board.Apply({f.Quote("AAPL", 1)});
  CHECK(begins() == MinuteOf(f.clock.NowUs()));
  f.board.Apply({f.Quote("AAPL", 2)});
  CHECK_FALSE(begins());
  BoardRecord restart;
  restart.kind = BoardRecord::Kind::kRestart;
  restart.place = {0, f.next++};
  restart.symbol = "AAPL";
  f.board.Apply({restart});
  CHECK(f.board.TakeUnsaved().bars.empty());
  f.clock.Set(f.clock.NowUs() - 7'200'000'000);
  BoardRecord closed = f.Quote("AAPL", 3);
  closed.quote.set_session(internal::v1::TRADING_SESSION_CLOSED);
  f.board.Apply({closed});
  CHECK(begins() == MinuteOf(f.clock.NowUs()));
  // What was kept goes on.
  PriceBoard next(f.clock, f.clock.monotonic());
  next.Load({f.board.Get({"AAPL"}), {}, {}});
  next.Apply({f.Quote("AAPL", 4)});
  CHECK_FALSE(next.TakeUnsaved().bars.at(0).forget_from_us);
}

TEST_CASE("forgotten places let an earlier one count again") {
  Fixture f;
  f.board.BeginReading({{0, 0}});
  f.board.Apply({f.Quote("AAPL", 1), f.Quote("AAPL", 2)});
  f.next = 0;
  CHECK(f.board.Apply({f.Quote("AAPL", 3)}).repeated == 1);
  f.board.ForgetAllPlaces();
  f.next = 0;
  CHECK(f.board.Apply({f.Quote("AAPL", 4)}).accepted == 1);
}

TEST_CASE("a split is taken into prices and bars, and is to be noted once") {
  Fixture f;
  f.board.Apply({f.Quote("AAPL", 400)});
  BoardRecord split;
  split.kind = BoardRecord::Kind::kSplit;
  split.place = {0, f.next++};
  split.split = {"AAPL", "s1", 1, {4, 1}, 7};
  CHECK(f.board.Apply({split}).splits == 1);
  split.place = {0, f.next++};
  CHECK(f.board.Apply({split}).splits == 0);
  CHECK(f.board.Get({"AAPL"})[0].regular_price_micros == 100);
  const KeptPrices unsaved = f.board.TakeUnsaved();
  REQUIRE(unsaved.splits.size() == 1);
  CHECK(unsaved.splits[0].split.number == 1);
  CHECK(unsaved.splits[0].place.offset == 1);
  CHECK(unsaved.symbols.at(0).split_number == 1);
  CHECK(unsaved.bars.at(0).bars.at(0).open.price_micros == 100);
  CHECK(f.board.TakeUnsaved().splits.empty());
  f.board.PutBackUnsaved(unsaved);
  CHECK(f.board.TakeUnsaved().splits.size() == 1);
}

BoardRecord Settling(BoardRecord::Kind kind, int64_t offset) {
  BoardRecord record;
  record.kind = kind;
  record.place = {0, offset};
  record.log_time_us = 77;
  record.suspected.symbol = record.dismissed.symbol = "AAPL";
  record.split = {"AAPL", "s1", 1, {4, 1}, 7};
  return record;
}

TEST_CASE("a held symbol: its price stands, its bars wait, and its place is not left before it is settled") {
  for (const BoardRecord::Kind how : {BoardRecord::Kind::kSplit, BoardRecord::Kind::kDismissed}) {
    const bool splits = how == BoardRecord::Kind::kSplit;
    CAPTURE(splits);
    Fixture f;
    const auto watcher = std::make_shared<Recorder>();
    f.board.Apply({f.Quote("AAPL", 400)});
    f.board.Watch({"AAPL"}, watcher);
    const ApplyCounts begun = f.board.Apply({Settling(BoardRecord::Kind::kSuspected, f.next++)});
    CHECK(begun.suspicions == 1);
    CHECK(f.board.held_symbols() == 1);
    const PriceBoard::OutcomeMemory memory(f.board);
    const BoardRecord kept = f.Quote("AAPL", 101);
    CHECK(f.board.Apply({kept, f.Quote("AAPL", 102), f.Quote("MSFT", 7)}).held == 2);
    CHECK(memory.Await({kept.place}, absl::Now())[0]->verdict == QuoteVerdict::kHeld);
    CHECK(f.board.AwaitRead({kept.quote}, absl::Now()));
    CHECK(f.board.Get({"AAPL"})[0].regular_price_micros == 400);
    CHECK(f.board.Get({"AAPL"})[0].hold == SymbolHold{77, 2});
    CHECK(watcher->collected == std::vector<std::string>{"AAPL400"});
    const KeptPrices held = f.board.TakeUnsaved();
    CHECK(held.next_offsets.at(0) == 2);
    REQUIRE(held.bars.size() == 2);
    CHECK(held.bars[0].bars.at(0).close.price_micros == 400);
    CHECK(f.board.unsaved_bars() == 2);
    // What could not be saved of before is still of before.
    f.board.PutBackUnsaved(held);

    CHECK(f.board.AwaitPlace({0, f.next - 1}, absl::Now()));
    CHECK_FALSE(f.board.AwaitPlace({0, f.next}, absl::Now()));
    const ApplyCounts ended = f.board.Apply({Settling(how, f.next++)});
    CHECK(ended.splits == (splits ? 1 : 0));
    CHECK(ended.dismissals == (splits ? 0 : 1));
    CHECK(f.board.held_symbols() == 0);
    CHECK(f.board.Get({"AAPL"})[0].regular_price_micros == 102);
    CHECK(watcher->collected == std::vector<std::string>{"AAPL400", "AAPL102"});
    const KeptPrices settled = f.board.TakeUnsaved();
    CHECK(settled.next_offsets.at(0) == f.next);
    const MinuteBar& bar = settled.bars.at(0).bars.at(0);
    CHECK(bar.open.price_micros == (splits ? 100 : 400));
    CHECK(bar.high_micros == (splits ? 102 : 400));
    CHECK(bar.low_micros == (splits ? 100 : 101));
    CHECK(bar.close.price_micros == 102);
  }
}

TEST_CASE("a restart in a hold forgets the bars when that is settled, and nothing is shown before") {
  Fixture f;
  f.board.Apply({f.Quote("AAPL", 400), Settling(BoardRecord::Kind::kSuspected, f.next++)});
  f.clock.Advance(absl::Minutes(1));
  f.board.Apply({f.Quote("AAPL", 101)});
  BoardRecord restart;
  restart.kind = BoardRecord::Kind::kRestart;
  restart.symbol = "AAPL";
  restart.place = {0, f.next++};
  BoardRecord again = f.Quote("AAPL", 90);
  again.quote.set_event_time_us(again.quote.event_time_us() - 60'000'000);
  f.board.Apply({restart, again});
  CHECK(f.board.TakeUnsaved().bars.at(0).bars.at(0).open.price_micros == 400);
  f.board.PutBackUnsaved({});
  f.board.Apply({Settling(BoardRecord::Kind::kDismissed, f.next++)});
  const SymbolBars bars = f.board.TakeUnsaved().bars.at(0);
  CHECK(bars.forget_from_us == MinuteOf(again.quote.event_time_us()));
  REQUIRE(bars.bars.size() == 1);
  CHECK(bars.bars[0].open.price_micros == 90);
}

TEST_CASE("the minutes that a held symbol keeps are bounded, and what is beyond is counted") {
  Fixture f;
  f.board.Apply({f.Quote("AAPL", 400), Settling(BoardRecord::Kind::kSuspected, f.next++)});
  std::vector<BoardRecord> many;
  for (size_t i = 0; i < PriceBoard::kHeldBarsMax + 2; ++i) {
    f.clock.Advance(absl::Minutes(1));
    many.push_back(f.Quote("AAPL", 100));
  }
  const ApplyCounts counts = f.board.Apply(many);
  CHECK(counts.bars_dropped == 2);
  CHECK(counts.held == static_cast<int64_t>(many.size()));
  // Reading does not wait for them.
  CHECK(f.board.unsaved_bars() == 1);
}

}  // namespace
}  // namespace stockalert::ticker
