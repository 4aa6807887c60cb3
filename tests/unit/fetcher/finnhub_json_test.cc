#include "services/fetcher/finnhub_json.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "services/fetcher/live_quotes.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

// Monday 2026-11-23, 15:00 UTC: 10:00 in New York.
constexpr int64_t kTenOClockUs = 1'795'446'000'000'000;
constexpr int64_t kDayUs = int64_t{24} * 3600 * 1'000'000;

TEST_CASE("a quote's digits become an exact decimal") {
  struct Case {
    const char* json;
    std::optional<int64_t> current;
    bool looks_unknown;
  };
  const std::vector<Case> table = {
      {R"({"c":261.74,"d":1.2,"dp":0.4,"h":263.31,"l":260.68,"o":261.07,"pc":259.45,"t":1582641000})", 261'740'000,
       false},
      {R"({"c":261,"d":1,"h":263,"l":260,"o":261,"pc":259,"t":1582641000})", 261'000'000, false},
      {R"({"c":0.1,"d":1,"t":1})", 100'000, false},
      {R"({"c":1.5e2,"d":1,"t":1})", 150'000'000, false},
      {R"({"c":0.000001,"d":1,"t":1})", 1, false},
      // A double would have made 4503599627.370497 of it.
      {R"({"c":4503599627.370498,"d":1,"t":1})", 4'503'599'627'370'498, false},
      // No prices: zeros of a good symbol, an unknown symbol, null, negative, too fine, too large, a word.
      {R"({"c":0,"d":0,"dp":0,"h":0,"l":0,"o":0,"pc":0,"t":0})", std::nullopt, false},
      {R"({"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0})", std::nullopt, true},
      {R"({"c":0.0,"d":null,"t":0})", std::nullopt, true},
      {R"({"c":null,"d":null})", std::nullopt, true},
      {R"({"c":-1,"d":1,"t":1})", std::nullopt, false},
      {R"({"c":1.0000001,"d":1,"t":1})", std::nullopt, false},
      {R"({"c":1000000000000.1,"d":1,"t":1})", std::nullopt, false},
      {R"({"c":1e400,"d":1,"t":1})", std::nullopt, false},
      {R"({"c":"abc","d":1,"t":1})", std::nullopt, false},
      {R"({"c":true,"d":1,"t":1})", std::nullopt, false},
  };
  for (const Case& c : table) {
    CAPTURE(c.json);
    const auto quote = ParseRestQuote(c.json);
    if (std::string(c.json).find("1e400") != std::string::npos && !quote.ok())
      continue;  // Out of range is no JSON to the reader: as good.
    REQUIRE(quote.ok());
    CHECK(quote->current_micros == c.current);
    CHECK(quote->looks_unknown == c.looks_unknown);
  }
  const auto partial = ParseRestQuote(R"({"c":150.25,"d":0.1,"h":0,"l":0,"o":0,"pc":0,"t":1795446000})");
  REQUIRE(partial.ok());
  CHECK(partial->current_micros == 150'250'000);
  CHECK_FALSE(partial->open_micros.has_value());
  CHECK_FALSE(partial->previous_close_micros.has_value());
  CHECK(partial->time_us == kTenOClockUs);
}

TEST_CASE("text that is not a reply is refused") {
  for (const char* text :
       {"", "{", "[]", "null", "<html>524</html>", "{\"error\":\"API limit reached.\"}", "{\"c\":NaN}", "{\"c\":1}x"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseRestQuote(text).ok());
  }
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"c\":";
  CHECK_FALSE(ParseRestQuote(deep).ok());
  CHECK_FALSE(ParseSearch(R"({"count":1})").ok());
  CHECK(
      *ParseSearch(
          R"({"count":1,"result":[{"description":"X","displaySymbol":"BRK.B","symbol":"BRK.B","type":"Common Stock"},7]})") ==
      std::vector<std::string>{"BRK.B", "BRK.B"});
}

TEST_CASE("trades, pings and errors of the stream are told apart") {
  const auto trades = ParseStreamMessage(
      R"({"data":[{"c":[],"p":7296.89,"s":"AAPL","t":1575526691134,"v":0},{"c":["1"],"p":0,"s":"AAPL","t":1575526691135,"v":1},{"s":"X"}],"type":"trade"})");
  REQUIRE(trades.ok());
  REQUIRE(trades->kind == StreamMessage::Kind::kTrades);
  REQUIRE(trades->trades.size() == 3);
  CHECK(trades->trades[0].price_micros == 7'296'890'000);
  CHECK(trades->trades[0].time_us == 1'575'526'691'134'000);
  CHECK_FALSE(trades->trades[1].price_micros.has_value());
  CHECK(ParseStreamMessage(R"({"type":"ping"})")->kind == StreamMessage::Kind::kPing);
  const auto error = ParseStreamMessage(R"({"type":"error","msg":"Subscribing to too many symbols"})");
  CHECK(error->kind == StreamMessage::Kind::kError);
  CHECK(error->error == "Subscribing to too many symbols");
  CHECK(ParseStreamMessage(R"({"type":"news","data":[]})")->kind == StreamMessage::Kind::kOther);
  CHECK_FALSE(ParseStreamMessage("pong").ok());
}

RestQuote Reply(int64_t time_us) {
  RestQuote reply;
  reply.current_micros = 150'000'000;
  reply.open_micros = 149'000'000;
  reply.high_micros = 151'000'000;
  reply.low_micros = 148'000'000;
  reply.previous_close_micros = 147'000'000;
  reply.time_us = time_us;
  return reply;
}

TEST_CASE("round the clock figures belong to the date in UTC, at any hour of any day") {
  constexpr int64_t kSecondUs = 1'000'000;
  constexpr int64_t kMidnightUs = int64_t{1741392000} * kSecondUs;  // 2025-03-08 00:00 UTC, a Saturday.
  const std::string symbol = "BINANCE:BTCUSDT";
  LiveQuotes live;
  const auto before = live.FromRest(symbol, Reply(kMidnightUs - 10 * kSecondUs));
  CHECK(before->session() == pb::TRADING_SESSION_REGULAR);
  CHECK(before->has_day_high_micros());
  CHECK(live.FromStream({symbol, 150'000'000, kMidnightUs - 1})->has_day_high_micros());
  const auto after = live.FromStream({symbol, 150'000'000, kMidnightUs});
  CHECK(after->session() == pb::TRADING_SESSION_REGULAR);
  CHECK_FALSE(after->has_day_high_micros());
  CHECK_FALSE(after->has_previous_close_micros());
  RestQuote reply = Reply(kMidnightUs + 3600 * kSecondUs);
  *reply.high_micros += 1;
  CHECK(live.FromRest(symbol, reply)->has_day_high_micros());
}

TEST_CASE("figures belong to the trading date of the price, or are left out") {
  LiveQuotes live;
  const auto regular = live.FromRest("AAPL", Reply(kTenOClockUs));
  REQUIRE(regular.has_value());
  CHECK(regular->session() == pb::TRADING_SESSION_REGULAR);
  CHECK(regular->previous_close_micros() == 147'000'000);
  CHECK(regular->source() == "finnhub-rest");
  SECTION("before the open they may be yesterday's") {
    const auto pre = live.FromRest("AAPL", Reply(kTenOClockUs + kDayUs - int64_t{3600} * 1'000'000));
    CHECK(pre->session() == pb::TRADING_SESSION_PRE);
    CHECK_FALSE(pre->has_day_open_micros());
  }
  SECTION("the same to the last digit a day later are yesterday's") {
    CHECK_FALSE(live.FromRest("AAPL", Reply(kTenOClockUs + kDayUs))->has_previous_close_micros());
    RestQuote fresh = Reply(kTenOClockUs + kDayUs);
    fresh.open_micros = 150'100'000;
    CHECK(live.FromRest("AAPL", fresh)->day_open_micros() == 150'100'000);
  }
  SECTION("the stream's prices carry the date's figures") {
    const auto trade = live.FromStream({"AAPL", 150'500'000, kTenOClockUs + 1});
    REQUIRE(trade.has_value());
    CHECK(trade->previous_close_micros() == 147'000'000);
    CHECK(trade->source() == "finnhub-ws");
    CHECK_FALSE(live.FromStream({"AAPL", 150'500'000, kTenOClockUs + kDayUs})->has_previous_close_micros());
    CHECK_FALSE(live.FromStream({"MSFT", 1, kTenOClockUs})->has_previous_close_micros());
  }
  SECTION("a Saturday has no figures") {
    const auto closed = live.FromRest("AAPL", Reply(kTenOClockUs + 5 * kDayUs));
    CHECK(closed->session() == pb::TRADING_SESSION_CLOSED);
    CHECK_FALSE(closed->has_day_high_micros());
  }
  SECTION("no price, no time: no quote") {
    RestQuote zero = Reply(kTenOClockUs);
    zero.current_micros.reset();
    CHECK_FALSE(live.FromRest("AAPL", zero).has_value());
    CHECK_FALSE(live.FromRest("AAPL", Reply(0)).has_value());
    CHECK_FALSE(live.FromStream({"AAPL", std::nullopt, kTenOClockUs}).has_value());
    CHECK_FALSE(live.FromStream({"", 5, kTenOClockUs}).has_value());
  }
}

}  // namespace
}  // namespace stockalert::fetcher
