#include "services/ticker/quote_convert.h"

#include <catch2/catch.hpp>
#include <functional>

#include "services/common/base/error.h"
#include "services/common/grpc/time_convert.h"

namespace stockalert::ticker {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;

quote::v1::Quote Good() {
  quote::v1::Quote quote;
  quote.set_symbol(" aapl");
  quote.set_price("150.250000");
  *quote.mutable_event_time() = rpc::TimestampFromUs(kNow + 5'000'000);
  quote.set_session(quote::v1::SESSION_PRE);
  quote.set_source("mine");
  quote.set_day_open("1");
  quote.set_day_high("2");
  quote.set_day_low("0.000001");
  quote.set_previous_close("1000000000000");
  return quote;
}

absl::StatusOr<std::vector<internal::v1::QuoteRecord>> Convert(const std::vector<quote::v1::Quote>& quotes) {
  google::protobuf::RepeatedPtrField<quote::v1::Quote> field(quotes.begin(), quotes.end());
  return FromQuotes(field, kNow);
}

TEST_CASE("a valid quote becomes a record, and a record a quote") {
  quote::v1::Quote bare;
  bare.set_symbol("MSFT");
  bare.set_price("7");
  *bare.mutable_event_time() = rpc::TimestampFromUs(0);
  const auto records = Convert({Good(), bare});
  REQUIRE(records.ok());
  const internal::v1::QuoteRecord& record = records->at(0);
  CHECK(record.symbol() == "AAPL");
  CHECK(record.price_micros() == 150'250'000);
  CHECK(record.event_time_us() == kNow + 5'000'000);
  CHECK(record.session() == internal::v1::TRADING_SESSION_PRE);
  CHECK(record.source().empty());
  CHECK(record.publisher_epoch() == 0);
  CHECK(record.day_low_micros() == 1);
  CHECK(records->at(1).session() == internal::v1::TRADING_SESSION_UNSPECIFIED);
  CHECK(!records->at(1).has_day_open_micros());
  const quote::v1::Quote shown = ToQuote(record);
  CHECK(shown.price() == "150.25");
  CHECK(shown.previous_close() == "1000000000000");
  CHECK(shown.session() == quote::v1::SESSION_PRE);
  CHECK(rpc::TimestampToUs(shown.event_time(), "t").value() == kNow + 5'000'000);
  CHECK(ToQuote(records->at(1)).day_high().empty());
}

TEST_CASE("what is wrong with a quote is said by field and place") {
  using Break = std::function<void(quote::v1::Quote&)>;
  const struct {
    const char* field;
    Break break_it;
  } cases[] = {
      {"symbol", [](auto& q) { q.set_symbol(""); }},
      {"symbol", [](auto& q) { q.set_symbol("A B"); }},
      {"price", [](auto& q) { q.set_price(""); }},
      {"price", [](auto& q) { q.set_price("NaN"); }},
      {"price", [](auto& q) { q.set_price("-1"); }},
      {"price", [](auto& q) { q.set_price("0"); }},
      {"price", [](auto& q) { q.set_price("0.0000001"); }},
      {"price", [](auto& q) { q.set_price("1000000000000.000001"); }},
      {"price", [](auto& q) { q.set_price("1e3"); }},
      {"price", [](auto& q) { q.set_price("1,5"); }},
      {"price", [](auto& q) { q.set_price(" 1"); }},
      {"price", [](auto& q) { q.set_price("inf"); }},
      {"event_time", [](auto& q) { q.clear_event_time(); }},
      {"event_time", [](auto& q) { *q.mutable_event_time() = rpc::TimestampFromUs(kNow + 5'000'001); }},
      {"event_time", [](auto& q) { q.mutable_event_time()->set_seconds(-1); }},
      {"event_time", [](auto& q) { q.mutable_event_time()->set_nanos(1'000'000'000); }},
      {"session", [](auto& q) { q.set_session(static_cast<quote::v1::Session>(9)); }},
      {"day_open", [](auto& q) { q.set_day_open("x"); }},
      {"day_high", [](auto& q) { q.set_day_high("0"); }},
      {"day_low", [](auto& q) { q.set_day_low("-0.5"); }},
      {"previous_close", [](auto& q) { q.set_previous_close("1.0000001"); }},
  };
  for (const auto& one : cases) {
    quote::v1::Quote bad = Good();
    one.break_it(bad);
    CAPTURE(one.field, bad.ShortDebugString());
    const auto refused = Convert({Good(), bad});
    CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
    const auto details = base::FindErrorDetails(refused.status());
    REQUIRE(details);
    REQUIRE(details->violations.size() == 1);
    CHECK(details->violations[0].field == std::string("quotes[1].") + one.field);
  }
}

TEST_CASE("the number of quotes and of violations is bounded") {
  CHECK(base::FindErrorDetails(Convert({}).status())->violations[0].field == "quotes");
  CHECK(Convert(std::vector<quote::v1::Quote>(1000, Good())).ok());
  CHECK(!Convert(std::vector<quote::v1::Quote>(1001, Good())).ok());
  CHECK(base::FindErrorDetails(Convert(std::vector<quote::v1::Quote>(1000)).status())->violations.size() <= 60);
}

}  // namespace
}  // namespace stockalert::ticker
