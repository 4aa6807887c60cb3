#include "services/ticker/ticker_logic.h"

#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "services/common/postgres/store_failure.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/ticker_store/in_memory_ticker_store.h"
#include "tests/unit/ticker/fakes.h"

namespace stockalert::ticker {
namespace {

struct Fixture {
  Fixture() { fetcher.board = &board; }
  absl::StatusOr<std::vector<TickerView>> Register(const std::vector<std::string>& symbols, int32_t hold_ms = 0) {
    std::vector<std::string> fields;
    fields.reserve(symbols.size());
    for (size_t i = 0; i < symbols.size(); ++i) fields.push_back("symbols[" + std::to_string(i) + "]");
    return logic.Register(symbols, fields, hold_ms, "u", trace::NewRoot(), Soon());
  }
  absl::Status Delete(const std::string& symbol) { return logic.Delete(symbol, trace::NewRoot(), Soon()); }
  absl::StatusOr<Quotes> Quote(const std::vector<std::string>& symbols, bool administrator = false) {
    return logic.GetQuotes(symbols, {.user_id = "u", .key_id = {}, .is_administrator = administrator}, trace::NewRoot(),
                           Soon());
  }
  static absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

  testing::FakeClock clock;
  testing::FakeMonotonicClock monotonic_clock;
  base::SystemIdSource ids;
  testing::InMemoryTickerStore store;
  testing::InMemoryPriceStore price_store;
  PriceBoard board{clock, monotonic_clock};
  MemoryFetcher fetcher;
  MemoryTickerUse use;
  TickerLogic logic{TickerLogicOptions{.quotes_per_user_per_minute = 10, .read_timeout = absl::Milliseconds(50)},
                    store,
                    price_store,
                    board,
                    fetcher,
                    use,
                    clock,
                    monotonic_clock,
                    ids};
};

TEST_CASE("registering brings symbols into their normal form and asks the source for new ones alone") {
  Fixture f;
  const auto first = f.Register({"aapl", " BRK.b", "AAPL"});
  REQUIRE(first.ok());
  REQUIRE(first->size() == 3);
  CHECK((*first)[0].ticker.symbol == "AAPL");
  CHECK((*first)[1].ticker.symbol == "BRK.B");
  CHECK((*first)[2].ticker.symbol == "AAPL");
  CHECK(f.fetcher.lookups == std::vector<std::string>{"AAPL", "BRK.B"});
  f.fetcher.failure = base::Unavailable(kReasonFetcherUnavailable, "down");
  CHECK(f.Register({"AAPL"}).ok());
  CHECK(f.fetcher.lookups.size() == 2);
  const auto refused = f.Register({"AAPL", "MSFT"});
  CHECK(refused.status().code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(refused.status()) == kReasonFetcherUnavailable);
  CHECK(f.store.Find({"MSFT"})->empty());
}

TEST_CASE("a registration that is only checked asks as one does, and registers and holds nothing") {
  Fixture f;
  const auto check = [&](const std::string& symbol) {
    return f.logic.CheckRegistration({symbol}, {"symbol"}, "u", trace::NewRoot(), Fixture::Soon());
  };
  REQUIRE(check(" brk.b").ok());
  CHECK(check(" brk.b")->front() == "BRK.B");
  CHECK(f.fetcher.lookups == std::vector<std::string>{"BRK.B", "BRK.B"});
  CHECK(f.store.Find({"BRK.B"})->empty());
  REQUIRE(f.Register({"AAPL"}).ok());
  CHECK(check("AAPL").ok());
  CHECK(f.Delete("AAPL").ok());  // Nobody holds it.
  CHECK(base::FindErrorDetails(check("A B").status())->violations.front().field == "symbol");
  f.fetcher.unknown = {"NOPE"};
  CHECK(base::ReasonOf(check("nope").status()) == "UNKNOWN_SYMBOL");
  f.fetcher.failure = base::Unavailable(kReasonFetcherUnavailable, "down");
  CHECK(base::ReasonOf(check("MSFT").status()) == kReasonFetcherUnavailable);
}

TEST_CASE("unknown and malformed symbols are refused by field, all or none") {
  Fixture f;
  f.fetcher.unknown = {"NOPE", "NADA"};
  const auto unknown = f.Register({"AAPL", "nope", "nada"});
  CHECK(unknown.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::ReasonOf(unknown.status()) == "UNKNOWN_SYMBOL");
  const auto details = base::FindErrorDetails(unknown.status());
  REQUIRE(details->violations.size() == 2);
  CHECK(details->violations[0].field == "symbols[1]");
  CHECK(details->violations[1].field == "symbols[2]");
  CHECK(f.store.Find({"AAPL"})->empty());
  const auto bad = f.Register({"A B", "AAPL", ""});
  CHECK(base::FindErrorDetails(bad.status())->violations.size() == 2);
}

TEST_CASE(
    "what the source cannot tell is refused with a retry time, and what the plan does not include with its field") {
  Fixture f;
  f.fetcher.ask_later = {{"LATER", absl::Seconds(7)}, {"ODD", absl::ZeroDuration()}};
  f.fetcher.not_in_plan = {"PAID"};
  const auto later = f.Register({"AAPL", "LATER", "MSFT"});
  CHECK(later.status().code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(later.status()) == kReasonSymbolUnverified);
  CHECK(base::FindErrorDetails(later.status())->retry_delay == absl::Seconds(7));
  CHECK(base::FindErrorDetails(later.status())->metadata.at("field") == "symbols[1]");
  // The others are not asked for: none can be registered.
  CHECK(f.fetcher.lookups == std::vector<std::string>{"AAPL", "LATER"});
  CHECK(base::FindErrorDetails(f.Register({"ODD"}).status())->retry_delay == absl::Seconds(1));
  const auto paid = f.Register({"AAPL", "PAID", "LATER"});
  CHECK(paid.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::ReasonOf(paid.status()) == kReasonNotInPlan);
  CHECK(base::FindErrorDetails(paid.status())->violations.front().field == "symbols[1]");
  for (const char* symbol : {"AAPL", "LATER", "MSFT", "PAID"}) CHECK(f.store.Find({symbol})->empty());
  CHECK(f.fetcher.users.front() == "u");
}

TEST_CASE("registrations that wait for the source leave the known tickers alone, and one user's the others'") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}).ok());
  f.fetcher.HoldLookups(true);
  std::vector<std::thread> waiting;
  for (int i = 0; i < 2; ++i) waiting.emplace_back([&f, i] { (void)f.Register({"SLOW" + std::to_string(i)}); });
  f.fetcher.AwaitLookups(3);
  CHECK(f.Register({"AAPL"}).ok());
  CHECK(f.Register({"AAPL"}, 1000).ok());
  const auto busy = f.Register({"THIRD"});
  CHECK(base::ReasonOf(busy.status()) == "SOURCE_BUSY");
  CHECK(base::FindErrorDetails(busy.status())->retry_delay);
  std::thread other(
      [&f] { (void)f.logic.Register({"OTHER"}, {"symbol"}, 0, "other", trace::NewRoot(), Fixture::Soon()); });
  f.fetcher.AwaitLookups(4);
  f.fetcher.HoldLookups(false);
  for (std::thread& thread : waiting) thread.join();
  other.join();
  CHECK(f.Register({"THIRD"}).ok());
  CHECK(f.store.Find({"OTHER", "SLOW0", "SLOW1"})->size() == 3);
}

TEST_CASE("a symbol outside the plan and one without an answer are told apart") {
  Fixture f;
  REQUIRE(f.Register({"PAID"}).ok());
  f.fetcher.problems = {{"PAID", true, absl::Minutes(1)}};
  const auto found = f.Quote({"PAID"});
  REQUIRE(found.ok());
  REQUIRE(found->quotes.empty());
  CHECK(ToStatus(found->problems.at(0)).code() == absl::StatusCode::kFailedPrecondition);
  CHECK(base::ReasonOf(ToStatus(found->problems.at(0))) == kReasonNotInPlan);
  const absl::Status silent = ToStatus(SymbolProblem{"SLOW", false, absl::Seconds(9)});
  CHECK(silent.code() == absl::StatusCode::kUnavailable);
  CHECK(base::FindErrorDetails(silent)->retry_delay == absl::Seconds(9));
}

TEST_CASE("holds: the database is written once in a while, not with each call") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}, 5000).ok());
  CHECK(f.store.registrations() == 1);
  for (int i = 0; i < 10; ++i) REQUIRE(f.Register({"AAPL"}, 5000).ok());
  CHECK(f.store.registrations() == 1);
  // Within the slack the hold that there is lasts long enough; a shorter one always does.
  f.clock.Advance(absl::Seconds(2));
  REQUIRE(f.Register({"AAPL"}, 5000).ok());
  CHECK(f.store.registrations() == 1);
  f.clock.Advance(absl::Milliseconds(1));
  REQUIRE(f.Register({"AAPL"}, 5000).ok());
  CHECK(f.store.registrations() == 2);
  REQUIRE(f.Register({"AAPL"}, 60'000).ok());
  CHECK(f.store.registrations() == 3);
}

TEST_CASE("a held ticker, a followed one and one with alerts are not deleted") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}, 5000).ok());
  CHECK(base::ReasonOf(f.Delete("AAPL")) == kReasonTickerInUse);
  f.clock.Advance(absl::Seconds(8));
  f.use.followers = 1;
  const absl::Status followed = f.Delete("AAPL");
  CHECK(followed.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(base::FindErrorDetails(followed)->metadata.at("followers") == "1");
  f.use.followers = 0;
  f.use.alerts = 2;
  CHECK(f.Delete("AAPL").code() == absl::StatusCode::kFailedPrecondition);
  // The mark was taken back each time.
  CHECK(f.Register({"AAPL"}, 1000).ok());
  f.clock.Advance(absl::Seconds(8));
  f.use.alerts = 0;
  CHECK(f.Delete("AAPL").ok());
  CHECK(f.Delete("AAPL").code() == absl::StatusCode::kNotFound);
  CHECK(f.store.Find({"AAPL"})->empty());
  // And can be registered again, for which a hold of before counts nothing.
  CHECK(f.Register({"AAPL"}, 1000).ok());
  CHECK(f.store.Find({"AAPL"})->size() == 1);
}

TEST_CASE("without an answer from those who use tickers nothing is deleted") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}).ok());
  f.use.followers = base::Unavailable("USER_SERVICE_UNAVAILABLE", "down");
  CHECK(f.Delete("AAPL").code() == absl::StatusCode::kUnavailable);
  f.use.followers = 0;
  f.use.alerts = base::Unavailable("ALERT_SERVICE_UNAVAILABLE", "down");
  CHECK(f.Delete("AAPL").code() == absl::StatusCode::kUnavailable);
  CHECK(f.Register({"AAPL"}, 1000).ok());
}

TEST_CASE("a registration while a deletion asks is told to try again; one after its mark ran out wins") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}).ok());
  absl::Status meanwhile;
  f.use.while_asked = [&] { meanwhile = f.Register({"AAPL"}, 1000).status(); };
  CHECK(f.Delete("AAPL").ok());
  CHECK(base::ReasonOf(meanwhile) == kReasonTickerBeingDeleted);

  REQUIRE(f.Register({"AAPL"}).ok());
  f.use.while_asked = [&] {
    f.clock.Advance(absl::Seconds(11));
    meanwhile = f.Register({"AAPL"}, 1000).status();
  };
  CHECK(f.Delete("AAPL").code() == absl::StatusCode::kAborted);
  CHECK(meanwhile.ok());
  CHECK(f.store.Find({"AAPL"})->size() == 1);
}

TEST_CASE("quotes: registered ones, limited a user, from the log where the source has none") {
  Fixture f;
  REQUIRE(f.Register({"AAPL", "MSFT", "TSLA"}).ok());
  CHECK(base::ReasonOf(f.Quote({"AAPL", "NOPE"}).status()) == kReasonTickerNotFound);
  f.fetcher.SetQuote("AAPL", 150);
  BoardRecord entry;
  entry.kind = BoardRecord::Kind::kQuote;
  entry.quote.set_symbol("MSFT");
  entry.quote.set_price_micros(7);
  f.board.Apply({entry});
  const auto quotes = f.Quote({"TSLA", "MSFT", "AAPL", "MSFT"});
  REQUIRE(quotes.ok());
  REQUIRE(quotes->quotes.size() == 3);
  CHECK(quotes->quotes[0].price_micros() == 7);
  CHECK(quotes->quotes[1].price_micros() == 150);
  CHECK(quotes->quotes[2].price_micros() == 7);
  CHECK(f.fetcher.fetches.back().size() == 3);

  for (int i = 0; i < 7; ++i) CHECK(f.Quote({"AAPL"}).ok());
  const auto limited = f.Quote({"AAPL"});
  CHECK(limited.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::FindErrorDetails(limited.status())->retry_delay);
  CHECK(f.Quote({"AAPL"}, true).ok());
  f.monotonic_clock.Advance(absl::Seconds(6));
  CHECK(f.Quote({"AAPL"}).ok());
}

TEST_CASE("quotes are published for registered tickers only") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}).ok());
  std::vector<internal::v1::QuoteRecord> quotes(3);
  quotes[0].set_symbol("AAPL");
  quotes[1].set_symbol("MSFT");
  quotes[2].set_symbol("MSFT");
  const auto refused = f.logic.Publish(quotes, trace::NewRoot(), Fixture::Soon());
  CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::FindErrorDetails(refused.status())->violations.front().field == "quotes[1].symbol");
  CHECK(f.fetcher.published.empty());
  quotes.resize(1);
  CHECK(f.logic.Publish(quotes, trace::NewRoot(), Fixture::Soon())->size() == 1);
  CHECK(f.fetcher.published.size() == 1);
}

internal::v1::QuoteRecord QuoteAt(int64_t time_us, int64_t price_micros, int64_t sequence,
                                  internal::v1::TradingSession session = internal::v1::TRADING_SESSION_REGULAR) {
  internal::v1::QuoteRecord quote;
  quote.set_symbol("AAPL");
  quote.set_event_time_us(time_us);
  quote.set_price_micros(price_micros);
  quote.set_publisher_epoch(1);
  quote.set_sequence(sequence);
  quote.set_session(session);
  return quote;
}

TEST_CASE("who publishes hears what became of each quote, and a late one is nobody's current price") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}).ok());
  const auto outcomes = f.logic.Publish({QuoteAt(100, 5, 1), QuoteAt(99, 6, 2), QuoteAt(101, 7, 2), QuoteAt(102, 0, 3),
                                         QuoteAt(103, 8, 4, internal::v1::TRADING_SESSION_CLOSED)},
                                        trace::NewRoot(), Fixture::Soon());
  REQUIRE(outcomes.ok());
  REQUIRE(outcomes->size() == 5);
  CHECK((*outcomes)[0]->verdict == QuoteVerdict::kAccepted);
  CHECK((*outcomes)[1]->verdict == QuoteVerdict::kLate);
  CHECK((*outcomes)[2]->verdict == QuoteVerdict::kRepeated);
  CHECK((*outcomes)[3]->verdict == QuoteVerdict::kRefused);
  CHECK((*outcomes)[4]->verdict == QuoteVerdict::kAccepted);
  CHECK((*outcomes)[4]->session == internal::v1::TRADING_SESSION_CLOSED);
  // The fetcher answers what it published last, whatever became of it.
  f.fetcher.quotes["AAPL"] = QuoteAt(50, 9, 5);
  const auto now = f.Quote({"AAPL"});
  REQUIRE(now.ok());
  REQUIRE(now->quotes.size() == 1);
  CHECK(now->quotes[0].price_micros() == 8);
}

TEST_CASE("an outcome is UNKNOWN if an old fetcher does not tell the place, or the reader is too slow") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}).ok());
  f.fetcher.says_places = false;
  const auto unsaid = f.logic.Publish({QuoteAt(100, 5, 1)}, trace::NewRoot(), Fixture::Soon());
  REQUIRE(unsaid.ok());
  REQUIRE(unsaid->size() == 1);
  CHECK(!unsaid->front().has_value());
  f.fetcher.says_places = true;
  f.fetcher.board = nullptr;
  const auto unseen = f.logic.Publish({QuoteAt(100, 5, 1)}, trace::NewRoot(), absl::Now() + absl::Milliseconds(60));
  REQUIRE(unseen.ok());
  CHECK(!unseen->front().has_value());
}

TEST_CASE("a price that the board does not come to is no current price, unless the board is known to be up to date") {
  Fixture f;
  REQUIRE(f.Register({"AAPL"}).ok());
  f.fetcher.Append(QuoteAt(100, 5, 1));
  f.fetcher.board = nullptr;
  f.fetcher.quotes["AAPL"] = QuoteAt(101, 6, 2);
  CHECK(base::ReasonOf(f.Quote({"AAPL"}, true).status()) == "PRICES_NOT_READY");
  f.board.BeginReading({{1, 1}});
  f.board.MarkAtEnd(1);
  const auto latest = f.Quote({"AAPL"}, true);
  REQUIRE(latest.ok());
  CHECK(latest->quotes.front().price_micros() == 5);
}

TEST_CASE("failures of the store are returned unchanged") {
  Fixture f;
  f.store.Fail(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  CHECK(f.Register({"AAPL"}).status().code() == absl::StatusCode::kUnavailable);
  CHECK(f.logic.Get("AAPL").status().code() == absl::StatusCode::kUnavailable);
  CHECK(f.logic.List("", 1).status().code() == absl::StatusCode::kUnavailable);
  CHECK(f.Delete("AAPL").code() == absl::StatusCode::kUnavailable);
  CHECK(f.Quote({"AAPL"}).status().code() == absl::StatusCode::kUnavailable);
}

constexpr char kAnn[] = "00000000-0000-4000-8000-00000000000a";

struct QuotaFixture : Fixture {
  absl::Status RegisterAs(const std::string& user, const std::vector<std::string>& symbols) {
    return quota
        .Register(symbols, std::vector<std::string>(symbols.size(), "symbol"), 0, user, trace::NewRoot(), Soon())
        .status();
  }
  TickerLogic quota{TickerLogicOptions{.unused_per_user_max = 3, .new_per_user_per_day = 5},
                    store,
                    price_store,
                    board,
                    fetcher,
                    use,
                    clock,
                    monotonic_clock,
                    ids};
};

TEST_CASE("only unused tickers that the user registered count for the quota") {
  QuotaFixture f;
  REQUIRE(f.RegisterAs(kAnn, {"A", "B", "C"}).ok());
  const absl::Status refused = f.RegisterAs(kAnn, {"D"});
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::ReasonOf(refused) == kReasonTickerQuota);
  CHECK(base::FindErrorDetails(refused)->metadata.at("limit") == "3");
  CHECK(f.store.Find({"D"})->empty());
  // The source is not asked in vain.
  CHECK(f.fetcher.lookups.size() == 3);
  CHECK(
      base::ReasonOf(f.quota.CheckRegistration({"D"}, {"symbol"}, kAnn, trace::NewRoot(), Fixture::Soon()).status()) ==
      kReasonTickerQuota);
  CHECK(f.RegisterAs(kAnn, {"A", "B", "C"}).ok());
  CHECK(f.RegisterAs("00000000-0000-4000-8000-00000000000b", {"D"}).ok());
  CHECK(f.RegisterAs("", {"E", "F", "G", "H"}).ok());
  CHECK(f.RegisterAs(kAnn, {"D", "E"}).ok());
  f.use.followed = {"B"};
  CHECK(f.RegisterAs(kAnn, {"I"}).ok());
  CHECK_FALSE(f.RegisterAs(kAnn, {"J"}).ok());
}

TEST_CASE("repeated registrations beyond the quota do not ask the other services each time") {
  QuotaFixture f;
  REQUIRE(f.RegisterAs(kAnn, {"A", "B", "C"}).ok());
  for (int i = 0; i < 50; ++i) CHECK_FALSE(f.RegisterAs(kAnn, {"D"}).ok());
  CHECK(f.use.asked == 6 * 3);
  f.monotonic_clock.Advance(absl::Minutes(1));
  f.use.followed = {"A"};
  CHECK(f.RegisterAs(kAnn, {"D"}).ok());
  // Where they do not answer, nothing is registered, and the user hears why.
  f.use.followers = base::Unavailable("USER_SERVICE_UNAVAILABLE", "down");
  CHECK(base::ReasonOf(f.RegisterAs(kAnn, {"X"})) == "USER_SERVICE_UNAVAILABLE");
}

TEST_CASE("the number of new tickers a day is limited, used or not") {
  QuotaFixture f;
  f.use.followers = 1;
  REQUIRE(f.RegisterAs(kAnn, {"A", "B", "C"}).ok());
  REQUIRE(f.RegisterAs(kAnn, {"D", "E"}).ok());
  CHECK(base::ReasonOf(f.RegisterAs(kAnn, {"F"})) == kReasonTickerQuota);
  f.clock.Advance(absl::Hours(24));
  CHECK(f.RegisterAs(kAnn, {"F"}).ok());
}

TEST_CASE("what nobody uses is forgotten after its time, what is used or held stays") {
  QuotaFixture f;
  REQUIRE(f.RegisterAs(kAnn, {"A", "B"}).ok());
  const auto forget = [&] { return f.quota.ForgetUnused(trace::NewRoot(), Fixture::Soon()); };
  f.clock.Advance(absl::Hours(24) - absl::Microseconds(1));
  CHECK(*forget() == 0);
  f.clock.Advance(absl::Microseconds(1));
  f.use.followed = {"B"};
  f.use.alerts = base::Unavailable("ALERT_SERVICE_UNAVAILABLE", "down");
  CHECK_FALSE(forget().ok());
  CHECK(f.store.Find({"A", "B"})->size() == 2);
  f.use.alerts = 0;
  CHECK(*forget() == 2);
  CHECK(f.store.Find({"A"})->empty());
  CHECK(f.store.Find({"B"})->size() == 1);
  // Looked at again a day later, not before.
  CHECK(*forget() == 0);
  f.use.followed.clear();
  f.clock.Advance(absl::Hours(24));
  REQUIRE(f.Register({"B"}, 5000).ok());
  CHECK(*forget() == 0);
  f.clock.Advance(absl::Seconds(10));
  CHECK(*forget() == 1);
  CHECK(f.store.Find({"B"})->empty());
}

}  // namespace
}  // namespace stockalert::ticker
