#include "services/fetcher/quote_rules.h"

#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "services/domain/price/decimal.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;
constexpr int64_t kNowUs = 1'767'366'000'000'000;

pb::QuoteRecord Good() {
  pb::QuoteRecord quote;
  quote.set_symbol("AAPL");
  quote.set_price_micros(150'000'000);
  quote.set_event_time_us(kNowUs);
  quote.set_session(pb::TRADING_SESSION_REGULAR);
  quote.set_day_open_micros(149'000'000);
  quote.set_day_high_micros(151'000'000);
  quote.set_day_low_micros(148'000'000);
  quote.set_previous_close_micros(147'000'000);
  return quote;
}

TEST_CASE("quotes that may not be evaluated are refused before the log") {
  CHECK_FALSE(FindRefusal(Good(), kNowUs).has_value());
  struct Case {
    const char* name;
    std::function<void(pb::QuoteRecord&)> spoil;
    Refusal refusal;
  };
  const std::vector<Case> table = {
      {"zero", [](auto& q) { q.set_price_micros(0); }, Refusal::kPrice},
      {"negative", [](auto& q) { q.set_price_micros(-1); }, Refusal::kPrice},
      {"too large", [](auto& q) { q.set_price_micros(price::kMaxPriceMicros + 1); }, Refusal::kPrice},
      {"no time", [](auto& q) { q.set_event_time_us(0); }, Refusal::kEventTimeMissing},
      {"ahead", [](auto& q) { q.set_event_time_us(kNowUs + 5'000'001); }, Refusal::kEventTimeAhead},
      {"no symbol", [](auto& q) { q.clear_symbol(); }, Refusal::kSymbol},
      {"lower case", [](auto& q) { q.set_symbol("aapl"); }, Refusal::kSymbol},
      {"no session", [](auto& q) { q.set_session(pb::TRADING_SESSION_UNSPECIFIED); }, Refusal::kSession},
      {"no session of its market",
       [](auto& q) {
         q.set_symbol("BINANCE:BTCUSDT");
         q.set_session(pb::TRADING_SESSION_POST);
       },
       Refusal::kSessionOfMarket},
      {"unknown session", [](auto& q) { q.set_session(static_cast<pb::TradingSession>(9)); }, Refusal::kSession},
  };
  for (const Case& c : table) {
    CAPTURE(c.name);
    pb::QuoteRecord quote = Good();
    c.spoil(quote);
    CHECK(FindRefusal(quote, kNowUs) == c.refusal);
  }
  pb::QuoteRecord just = Good();
  just.set_event_time_us(kNowUs + 5'000'000);
  just.set_price_micros(price::kMaxPriceMicros);
  CHECK_FALSE(FindRefusal(just, kNowUs).has_value());
}

TEST_CASE("a day figure that cannot be right goes, the quote stays") {
  pb::QuoteRecord quote = Good();
  CHECK(DropNonsense(quote) == 0);
  SECTION("before the open they are yesterday's") {
    quote.set_session(pb::TRADING_SESSION_PRE);
    CHECK(DropNonsense(quote) == 4);
    CHECK_FALSE(quote.has_previous_close_micros());
    CHECK(quote.price_micros() == 150'000'000);
  }
  SECTION("before half past nine, too, by rules that say so") {
    quote.set_event_time_us(kNowUs - kNowUs % (int64_t{24} * 3600 * 1'000'000) + int64_t{13} * 3600 * 1'000'000);
    CHECK(DropNonsense(quote) == 0);
    quote.set_rules(2);
    CHECK(DropNonsense(quote) == 4);
  }
  SECTION("zeros") {
    quote.set_day_open_micros(0);
    quote.set_day_high_micros(0);
    quote.set_day_low_micros(0);
    quote.set_previous_close_micros(0);
    CHECK(DropNonsense(quote) == 4);
  }
  SECTION("a high below the price") {
    quote.set_day_high_micros(149'999'999);
    CHECK(DropNonsense(quote) == 1);
    CHECK_FALSE(quote.has_day_high_micros());
    CHECK(quote.has_day_low_micros());
  }
  SECTION("a low above the price") {
    quote.set_day_low_micros(150'000'001);
    quote.set_day_open_micros(150'500'000);
    CHECK(DropNonsense(quote) == 1);
    CHECK_FALSE(quote.has_day_low_micros());
  }
  SECTION("an open outside of the day") {
    quote.set_day_open_micros(151'000'001);
    CHECK(DropNonsense(quote) == 1);
    CHECK_FALSE(quote.has_day_open_micros());
  }
}

}  // namespace
}  // namespace stockalert::fetcher
