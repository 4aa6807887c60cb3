// Prices while a split is suspected: by hand, and against the evaluators' fold.
#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "services/domain/fold/fold.h"
#include "services/domain/record/log_record.h"
#include "services/ticker/latest_prices.h"
#include "tests/unit/domain/fold/random_log.h"

namespace stockalert::ticker {
namespace {

using internal::v1::QuoteRecord;

constexpr int64_t kTime = 1'767'366'000'000'000;  // 2026-01-02 10:00 in New York.

// What a process reads of one partition, and what the database has of it.
struct Reader {
  void Apply(const record::Event& event, int64_t offset) {
    const LogPlace place{3, offset};
    if (const auto* quote = std::get_if<record::Quote>(&event)) {
      last_verdict = prices.ApplyQuote(record::EncodeRecord(*quote).quote(), place);
    } else if (const auto* restart = std::get_if<record::Restart>(&event)) {
      prices.ApplyRestart(restart->symbol, place);
    } else if (const auto* split = std::get_if<record::Split>(&event)) {
      last_is_new = prices.ApplySplit(*split, place);
    } else if (const auto* suspected = std::get_if<record::SplitSuspected>(&event)) {
      last_is_new = prices.ApplySuspicion(*suspected, place, 1000 + offset);
    } else if (const auto* dismissed = std::get_if<record::SplitDismissed>(&event)) {
      last_is_new = prices.ApplyDismissal(*dismissed, place);
    }
  }
  void Send(const record::Event& event) {
    log.push_back(event);
    Apply(event, static_cast<int64_t>(log.size()) - 1);
  }
  // As TakeUnsaved and the store.
  void Save() {
    for (const SymbolPrices& changed : prices.TakeChanged()) {
      const auto kept = rows.find(changed.symbol);
      if (kept == rows.end() || kept->second.offset < changed.offset) rows[changed.symbol] = changed;
    }
    const auto next = static_cast<int64_t>(log.size());
    saved_place = std::max(saved_place, std::min(next, prices.ReadAgainFrom(3).value_or(next)));
  }
  // A crash: only what is in the database is left, and the log.
  void Restart() {
    prices = LatestPrices();
    std::vector<SymbolPrices> kept;
    for (auto [symbol, row] : rows) {
      row.last_event_time_us.reset();  // This, and what is kept, is not stored.
      if (row.hold.has_value()) row.hold->kept_quotes = 0;
      kept.push_back(row);
    }
    prices.Load(kept);
    for (auto offset = saved_place; offset < static_cast<int64_t>(log.size()); ++offset)
      Apply(log[static_cast<size_t>(offset)], offset);
  }
  const SymbolPrices& now() const { return *prices.Find("AAPL"); }

  LatestPrices prices;
  std::vector<record::Event> log;
  std::map<std::string, SymbolPrices> rows;
  int64_t saved_place = 0;
  QuoteVerdict last_verdict = QuoteVerdict::kAccepted;
  bool last_is_new = false;
};

record::Quote QuoteOf(int64_t price, int64_t sequence, int64_t after_us = 0) {
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = price;
  quote.event_time_us = kTime + after_us;
  quote.session = market::Session::kRegular;
  quote.publisher_epoch = 1;
  quote.sequence = sequence;
  return quote;
}
record::SplitSuspected Suspected(int64_t sequence) { return {"AAPL", 1, sequence}; }
record::SplitDismissed Dismissed(int64_t sequence) { return {"AAPL", 1, sequence}; }
record::Split SplitOf(int64_t number) { return {"AAPL", "s" + std::to_string(number), number, {4, 1}, kTime}; }

TEST_CASE("while it is held, a symbol's prices are those of before; then those that were kept count, in their order") {
  Reader reader;
  record::Quote before = QuoteOf(400, 1);
  before.previous_close_micros = 388;
  before.day_open_micros = 396;
  reader.Send(before);
  record::Quote pre = QuoteOf(404, 2);
  pre.session = market::Session::kPost;
  reader.Send(pre);
  reader.Send(Suspected(3));
  CHECK(reader.last_is_new);
  REQUIRE(reader.now().hold.has_value());
  CHECK(reader.now().hold->start_time_us == 1002);
  CHECK(reader.prices.held_count() == 1);
  (void)reader.prices.TakeChanged();

  record::Quote kept = QuoteOf(101, 4, 10);
  kept.day_open_micros = 98;
  reader.Send(kept);
  CHECK(reader.last_verdict == QuoteVerdict::kHeld);
  reader.Send(QuoteOf(102, 4, 20));
  CHECK(reader.last_verdict == QuoteVerdict::kRepeated);
  reader.Send(QuoteOf(102, 5, 9));
  CHECK(reader.last_verdict == QuoteVerdict::kLate);
  reader.Send(QuoteOf(0, 6, 30));
  CHECK(reader.last_verdict == QuoteVerdict::kRefused);
  CHECK(reader.now().latest->price_micros() == 404);
  CHECK(reader.now().regular_price_micros == 400);
  CHECK(reader.now().day_open_micros == 396);
  CHECK(reader.now().hold->kept_quotes == 1);
  CHECK(reader.prices.FindRead("AAPL")->sequence == 5);
  CHECK(reader.prices.TakeChanged().empty());

  SECTION("a dismissal: all as it came") {
    reader.Send(Dismissed(7));
    CHECK(reader.last_is_new);
    CHECK(reader.now().latest->price_micros() == 101);
    CHECK(reader.now().regular_price_micros == 101);
    CHECK(reader.now().extended_price_micros == 101);
    CHECK(reader.now().day_open_micros == 98);
    CHECK(reader.now().previous_close_micros == 388);
    CHECK(reader.now().split_number == 0);
  }
  SECTION("a split: what is from before is scaled, what was kept is not") {
    reader.Send(SplitOf(1));
    CHECK(reader.last_is_new);
    CHECK(reader.now().latest->price_micros() == 101);
    CHECK(reader.now().regular_price_micros == 101);
    CHECK(reader.now().day_open_micros == 98);
    CHECK(reader.now().previous_close_micros == 97);
    CHECK(reader.now().split_number == 1);
  }
  CHECK_FALSE(reader.now().hold.has_value());
  CHECK(reader.prices.held_count() == 0);
  CHECK(reader.prices.TakeChanged().size() == 1);
  // The order of quotes goes on from the kept ones.
  reader.Send(QuoteOf(103, 5, 40));
  CHECK(reader.last_verdict == QuoteVerdict::kRepeated);
  reader.Send(QuoteOf(103, 8, 9));
  CHECK(reader.last_verdict == QuoteVerdict::kLate);
  reader.Send(QuoteOf(103, 9, 40));
  CHECK(reader.last_verdict == QuoteVerdict::kAccepted);
}

TEST_CASE("a hold in which nothing came: a split scales all, a dismissal nothing") {
  for (const bool splits : {true, false}) {
    Reader reader;
    reader.Send(QuoteOf(400, 1));
    reader.Send(Suspected(2));
    if (splits) {
      reader.Send(SplitOf(1));
    } else {
      reader.Send(Dismissed(3));
    }
    CHECK(reader.now().latest->price_micros() == (splits ? 100 : 400));
    CHECK(reader.now().regular_price_micros == (splits ? 100 : 400));
  }
}

TEST_CASE("what is known, or settles nothing, changes nothing") {
  Reader reader;
  reader.Send(Dismissed(1));
  CHECK_FALSE(reader.last_is_new);
  CHECK(reader.prices.Find("AAPL") == nullptr);
  reader.Send(QuoteOf(400, 2));
  reader.Send(Dismissed(3));
  CHECK_FALSE(reader.last_is_new);
  reader.Send(SplitOf(1));
  reader.Send(Suspected(2));  // Not above the quote's.
  CHECK_FALSE(reader.last_is_new);
  CHECK_FALSE(reader.now().hold.has_value());
  reader.Send(Suspected(5));
  reader.Send(Suspected(9));  // Held already: not seen.
  CHECK_FALSE(reader.last_is_new);
  reader.Send(QuoteOf(100, 6, 1));
  CHECK(reader.last_verdict == QuoteVerdict::kHeld);
  reader.Send(SplitOf(1));  // Known.
  CHECK_FALSE(reader.last_is_new);
  reader.Send(Dismissed(5));  // Of the suspicion before, or this one's own number.
  CHECK_FALSE(reader.last_is_new);
  REQUIRE(reader.now().hold.has_value());
  // Judged by what was seen up to the suspicion: not by the quotes that are kept.
  reader.Send(Dismissed(6));
  CHECK(reader.last_is_new);
  CHECK(reader.now().latest->price_micros() == 100);
  // The same suspicion again holds nothing; the next one does.
  reader.Send(Suspected(5));
  CHECK_FALSE(reader.now().hold.has_value());
  reader.Send(Suspected(7));
  CHECK(reader.now().hold.has_value());
}

TEST_CASE("a restart in a hold does not end it, and what it forgets is not scaled back") {
  for (const bool splits : {true, false}) {
    Reader reader;
    reader.Send(QuoteOf(400, 1, 100));
    reader.Send(Suspected(2));
    reader.Send(QuoteOf(101, 3, 200));
    reader.Send(record::Restart{"AAPL"});
    CHECK(reader.now().latest->price_micros() == 400);
    record::Quote later = QuoteOf(90, 4, 0);  // Not late: the history began anew.
    later.session = market::Session::kPre;
    reader.Send(later);
    CHECK(reader.last_verdict == QuoteVerdict::kHeld);
    if (splits) {
      reader.Send(SplitOf(1));
    } else {
      reader.Send(Dismissed(5));
    }
    CHECK(reader.now().latest->price_micros() == 90);
    CHECK_FALSE(reader.now().regular_price_micros.has_value());
    CHECK(reader.now().extended_price_micros == 90);
  }
}

TEST_CASE("a process that dies in a hold reads again what it kept") {
  Reader reader;
  reader.Send(QuoteOf(400, 1));
  reader.Send(Suspected(2));
  reader.Send(QuoteOf(100, 3, 1));
  reader.Save();
  CHECK(reader.saved_place == 2);
  reader.Send(QuoteOf(101, 4, 2));
  reader.Save();
  CHECK(reader.saved_place == 2);
  CHECK(reader.rows.at("AAPL").hold.has_value());
  CHECK(reader.rows.at("AAPL").latest->price_micros() == 400);
  reader.Restart();
  REQUIRE(reader.now().hold.has_value());
  CHECK(reader.now().hold->kept_quotes == 2);
  CHECK(reader.now().latest->price_micros() == 400);
  reader.Send(SplitOf(1));
  CHECK(reader.now().latest->price_micros() == 101);
  reader.Save();
  CHECK(reader.saved_place == 5);
  CHECK_FALSE(reader.rows.at("AAPL").hold.has_value());
}

TEST_CASE("another log, or one without its beginning: what is held stays held until that is settled there") {
  Reader reader;
  reader.Send(QuoteOf(400, 1));
  reader.Send(Suspected(2));
  reader.Send(QuoteOf(100, 3, 1));
  reader.Save();
  SECTION("with what it kept, while the process lives") {
    reader.prices.ForgetPlaces(3);
    CHECK(reader.prices.ReadAgainFrom(3) == 0);
    reader.Apply(QuoteOf(100, 3, 1), 0);
    CHECK(reader.last_verdict == QuoteVerdict::kRepeated);
    reader.Apply(Dismissed(4), 1);
    CHECK(reader.now().latest->price_micros() == 100);
  }
  SECTION("with what the log still has, afterwards") {
    reader.rows.at("AAPL").offset = -1;
    reader.saved_place = 0;
    reader.log = {QuoteOf(102, 5, 7)};
    reader.Restart();
    REQUIRE(reader.now().hold.has_value());
    CHECK(reader.now().latest->price_micros() == 400);
    reader.Apply(Suspected(9), 1);
    CHECK_FALSE(reader.last_is_new);
    reader.Apply(SplitOf(1), 2);
    CHECK(reader.now().latest->price_micros() == 102);
  }
  SECTION("a whole log again") {
    reader.rows.at("AAPL").offset = -1;
    reader.saved_place = 0;
    reader.Restart();
    CHECK(reader.now().latest->price_micros() == 400);
    CHECK(reader.now().hold->kept_quotes == 1);
    reader.Send(Dismissed(4));
    CHECK(reader.now().latest->price_micros() == 100);
  }
  CHECK_FALSE(reader.now().hold.has_value());
}

TEST_CASE("the first of the symbols that are held says from where a partition is read again") {
  Reader reader;
  CHECK_FALSE(reader.prices.ReadAgainFrom(3).has_value());
  reader.Send(QuoteOf(400, 1));
  reader.Send(record::SplitSuspected{"MSFT", 1, 1});
  reader.Send(Suspected(2));
  CHECK(reader.prices.ReadAgainFrom(3) == 2);
  CHECK_FALSE(reader.prices.ReadAgainFrom(4).has_value());
  reader.Send(record::SplitDismissed{"MSFT", 1, 2});
  CHECK(reader.prices.ReadAgainFrom(3) == 3);
}

// What both know of a symbol.
void CheckSame(const fold::Fold& fold, const LatestPrices& prices, const std::string& symbol) {
  const auto expected = fold.FindSymbol(symbol);
  const SymbolPrices* const found = prices.Find(symbol);
  if (!expected.has_value() || found == nullptr) {
    CHECK((found == nullptr || !found->latest.has_value()));
    return;
  }
  CHECK(found->regular_price_micros == expected->last_regular_price_micros);
  CHECK(found->extended_price_micros == expected->last_extended_price_micros);
  CHECK(found->last_event_time_us == expected->last_event_time_us);
  CHECK(found->previous_close_micros == expected->previous_close_micros);
  CHECK(found->day_open_micros == expected->day_open_micros);
  CHECK(found->hold.has_value() == expected->held_records.has_value());
}

TEST_CASE("the prices shown are those that the fold knows, whatever comes and whenever the process dies") {
  int held = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    fold::RandomLog random(seed);
    fold::Fold fold;
    fold::Outcome outcome;
    Reader reader;
    for (int64_t i = 0; i < 400; ++i) {
      CAPTURE(i);
      record::Event event = random.Next();
      // Of a date that older rules began only the newest are remembered over a restart.
      if (auto* quote = std::get_if<record::Quote>(&event)) quote->rules = market::kNewestRules;
      fold.Apply(event, {3, i}, &outcome);
      reader.Send(event);
      if (i % 7 == static_cast<int64_t>(seed % 7)) reader.Save();
      if (i % 41 == 40) reader.Restart();
      for (const char* symbol : {"AAPL", "MSFT"}) CheckSame(fold, reader.prices, symbol);
    }
    for (const char* symbol : {"AAPL", "MSFT"}) {
      const SymbolPrices* const found = reader.prices.Find(symbol);
      held += static_cast<int>(found != nullptr && found->hold.has_value());
    }
  }
  CHECK(held > 0);
}

}  // namespace
}  // namespace stockalert::ticker
