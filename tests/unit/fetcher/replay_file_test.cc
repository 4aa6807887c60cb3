#include "services/fetcher/replay_file.h"

#include <catch2/catch.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

absl::StatusOr<ReplayFile> Read(const std::string& text, const std::string& name = "aapl-1m.csv",
                                const std::string& symbol = "") {
  std::istringstream in(text);
  return ReadReplayStream(in, name, symbol);
}

std::vector<int64_t> Prices(const ReplayFile& file) {
  std::vector<int64_t> prices;
  prices.reserve(file.ticks.size());
  for (const ReplayTick& tick : file.ticks) prices.push_back(tick.price_micros);
  return prices;
}

int64_t Us(const std::string& text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) throw std::runtime_error(error);
  return absl::ToUnixMicros(time);
}

TEST_CASE("bars become quotes, low first where they close up, high first where they close down") {
  const auto file = Read(
      "time_ms,open,high,low,close,volume\n"
      "1460727000000,112,114,111,113,5\n"
      "1460727060000,113,115,110,112.5,5\n");
  REQUIRE(file.ok());
  CHECK(file->symbols == std::vector<std::string>{"AAPL"});
  CHECK(Prices(*file) == std::vector<int64_t>{112'000'000, 111'000'000, 114'000'000, 113'000'000, 113'000'000,
                                              115'000'000, 110'000'000, 112'500'000});
  CHECK(file->ticks[0].event_time_us == 1'460'727'000'000'000);
  CHECK(file->ticks[1].event_time_us == 1'460'727'015'000'000);
  CHECK(file->ticks[3].event_time_us == 1'460'727'045'000'000);
  CHECK(file->ticks[4].event_time_us == 1'460'727'060'000'000);
  const pb::QuoteRecord quote = file->QuoteOf(file->ticks[5]);
  CHECK(quote.session() == pb::TRADING_SESSION_REGULAR);
  CHECK(quote.day_open_micros() == 112'000'000);
  CHECK_FALSE(quote.has_previous_close_micros());
  CHECK(quote.source() == "replay");
}

TEST_CASE("daily bars lie within the regular session and know the close before") {
  const auto file = Read(
      "Date,Open,High,Low,Close,Adj Close,Volume\r\n"
      "2013-11-27,76.5,78,76,77.994286,70.1,1\r\n"
      "2013-11-29,78.5,79.7,78.4,79.438568,71.2,1\r\n",
      "shipped/aapl.csv");
  REQUIRE(file.ok());
  REQUIRE(file->ticks.size() == 8);
  CHECK(file->ticks[0].event_time_us == Us("2013-11-27T14:30:00Z"));
  CHECK(file->ticks[3].event_time_us == Us("2013-11-27T21:00:00Z"));
  CHECK(file->ticks[3].price_micros == 77'994'286);
  // A short day.
  CHECK(file->ticks[7].event_time_us == Us("2013-11-29T18:00:00Z"));
  const pb::QuoteRecord last = file->QuoteOf(file->ticks[7]);
  CHECK(last.session() == pb::TRADING_SESSION_REGULAR);
  CHECK(last.previous_close_micros() == 77'994'286);
  CHECK(last.day_open_micros() == 78'500'000);
}

TEST_CASE("ticks are put in order and never share a time") {
  const auto file = Read(
      "time,symbol,price\n"
      "2026-01-02T15:00:01Z,MSFT,400\n"
      "1767366000,aapl,150\n"
      "2026-01-02T15:00:00Z,AAPL,151\n"
      "1767366000000,BRK.B,500\n"
      "1767366000000,AAPL,152\n");
  REQUIRE(file.ok());
  REQUIRE(file->ticks.size() == 5);
  std::vector<int64_t> aapl;
  for (const ReplayTick& tick : file->ticks) {
    if (file->symbols[tick.symbol] == "AAPL") aapl.push_back(tick.event_time_us);
  }
  CHECK(aapl == std::vector<int64_t>{1'767'366'000'000'000, 1'767'366'000'000'001, 1'767'366'000'000'002});
  CHECK(file->symbols[file->ticks.back().symbol] == "MSFT");
}

TEST_CASE("quotes before the open carry no figures of the day") {
  const auto file = Read(
      "time,symbol,price\n"
      "2026-01-02T20:00:00Z,AAPL,150\n"
      "2026-01-05T13:00:00Z,AAPL,151\n"
      "2026-01-05T14:30:00Z,AAPL,152\n"
      "2026-01-05T22:00:00Z,AAPL,153\n"
      "2026-01-06T02:00:00Z,AAPL,154\n");
  REQUIRE(file.ok());
  const pb::QuoteRecord pre = file->QuoteOf(file->ticks[1]);
  CHECK(pre.session() == pb::TRADING_SESSION_PRE);
  CHECK_FALSE(pre.has_day_open_micros());
  CHECK_FALSE(pre.has_previous_close_micros());
  const pb::QuoteRecord open = file->QuoteOf(file->ticks[2]);
  CHECK(open.day_open_micros() == 152'000'000);
  CHECK(open.previous_close_micros() == 150'000'000);
  const pb::QuoteRecord post = file->QuoteOf(file->ticks[3]);
  CHECK(post.session() == pb::TRADING_SESSION_POST);
  CHECK(post.day_open_micros() == 152'000'000);
  CHECK_FALSE(file->QuoteOf(file->ticks[4]).has_day_open_micros());
}

TEST_CASE("rows that are no prices are left out and counted") {
  const auto file = Read(
      "time_ms,open,high,low,close\n"
      "1460727000000,112,114,111,113\n"
      "yesterday,112,114,111,113\n"
      "1460727060000,0,114,111,113\n"
      "1460727120000,112,-1,111,113\n"
      "1460727180000,112,111,114,113\n"
      "1460727240000,112,114,111\n"
      "1460727300000,112,114,111,113,9\n"
      "1460727360000,112.1234567,114,111,113\n"
      "1460727420000,NaN,114,111,113\n");
  REQUIRE(file.ok());
  CHECK(file->ticks.size() == 4);
  CHECK(file->rows_refused == 8);
}

TEST_CASE("a file that is no replay is refused with what to do") {
  for (const char* text : {"", "a,b,c\n1,2,3\n", "time_ms,open,high,low\n1460727000000,1,1,1\n", "time,symbol,price\n",
                           "price,symbol\n1,A\n", "time,Time,price\n1460727000000,1460727000000,1\n"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(Read(text).status()));
  }
  CHECK(absl::IsNotFound(ReadReplayFile("/nowhere/at/all.csv", "").status()));
  CHECK(Read("time,price\n1460727000000,1\n", "x.csv", "msft")->symbols.front() == "MSFT");
}

}  // namespace
}  // namespace stockalert::fetcher
