#include "services/fetcher/replay_file.h"

#include <catch2/catch.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr int64_t kDayUs = int64_t{24} * 3600 * 1'000'000;

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

std::vector<int64_t> PricesOf(const ReplayFile& file, const std::string& symbol) {
  std::vector<int64_t> prices;
  for (const ReplayTick& tick : file.ticks) {
    if (file.symbols[tick.symbol] == symbol) prices.push_back(tick.price_micros);
  }
  return prices;
}

std::vector<int64_t> TimesOf(const ReplayFile& file, const std::string& symbol) {
  std::vector<int64_t> times;
  for (const ReplayTick& tick : file.ticks) {
    if (file.symbols[tick.symbol] == symbol) times.push_back(tick.event_time_us);
  }
  return times;
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

TEST_CASE("ticks are put in order, and those of one time keep theirs") {
  const auto file = Read(
      "time,symbol,price\n"
      "2026-01-02T15:00:01Z,MSFT,400\n"
      "1767366000,aapl,150\n"
      "2026-01-02T15:00:00Z,AAPL,151\n"
      "1767366000000,BRK.B,500\n"
      "1767366000000,AAPL,152\n");
  REQUIRE(file.ok());
  CHECK(PricesOf(*file, "AAPL") == std::vector<int64_t>{150'000'000, 151'000'000, 152'000'000});
  CHECK(TimesOf(*file, "AAPL") == std::vector<int64_t>(3, 1'767'366'000'000'000));
  CHECK(file->symbols[file->ticks.back().symbol] == "MSFT");
}

TEST_CASE("trades of one time at the close are all regular, and the last is the next date's previous close") {
  const auto file = Read(
      "timestamp,symbol,price\n"
      "2024-01-02T21:00:00Z,AAPL,185.60\n"
      "2024-01-02T21:00:00Z,AAPL,185.64\n"
      "2024-01-02T21:00:00Z,AAPL,186.20\n"
      "2024-01-03T14:30:00Z,AAPL,184.22\n");
  REQUIRE(file.ok());
  for (const ReplayTick& tick : file->ticks) CHECK(file->QuoteOf(tick).session() == pb::TRADING_SESSION_REGULAR);
  CHECK(file->QuoteOf(file->ticks.back()).previous_close_micros() == 186'200'000);
}

TEST_CASE("every form of a time is read, and what could mean two things is refused with the forms") {
  for (const auto& [text, want] :
       std::vector<std::pair<std::string, std::string>>{{"1704205800", "2024-01-02T14:30:00Z"},
                                                        {"1704205800.25", "2024-01-02T14:30:00.25Z"},
                                                        {"1704205800.1234567", "2024-01-02T14:30:00.123456Z"},
                                                        {"1704205800000", "2024-01-02T14:30:00Z"},
                                                        {"1704205800000000", "2024-01-02T14:30:00Z"},
                                                        {"1704205800000000999", "2024-01-02T14:30:00Z"},
                                                        {"951782400", "2000-02-29T00:00:00Z"},
                                                        {"951782400000", "2000-02-29T00:00:00Z"},
                                                        {"951782400000000", "2000-02-29T00:00:00Z"},
                                                        {"951782400000000000", "2000-02-29T00:00:00Z"},
                                                        {"2024-01-02 09:30:00-05:00", "2024-01-02T14:30:00Z"},
                                                        {"2024/01/02 14:30:00Z", "2024-01-02T14:30:00Z"},
                                                        {"2024-01-02", "2024-01-02T14:30:00Z"},
                                                        {"2024/01/02", "2024-01-02T14:30:00Z"},
                                                        {"20240102", "2024-01-02T14:30:00Z"},
                                                        {"2024-01-02 00:00:00", "2024-01-02T14:30:00Z"},
                                                        {"2024-01-02T00:00:00", "2024-01-02T14:30:00Z"}}) {
    CAPTURE(text);
    const auto file = Read("time,symbol,price\n" + text + ",AAPL,1\n");
    REQUIRE(file.ok());
    CHECK(file->ticks.front().event_time_us == Us(want));
  }
  for (const std::string text : {"01/02/2024",
                                 "02.01.2024",
                                 "2024-01-02 09:30:00",
                                 "2024-01-02T09:30:00",
                                 "20240231",
                                 "20241301",
                                 "1704205",
                                 "17042058000",
                                 "20240102093000",
                                 "202401020930",
                                 "17042058000000",
                                 "09:30:00",
                                 "1704205800.",
                                 "1704205800000.5",
                                 "1.7e9",
                                 "-1704205800",
                                 "2024-13-01",
                                 "2024-01/02",
                                 "Jan 2, 2024",
                                 "infinite-future",
                                 "now",
                                 "",
                                 "2024-01-02T09:30:00+99:00"}) {
    CAPTURE(text);
    const absl::Status refused = Read("time,symbol,price\n\"" + text + "\",AAPL,1\n").status();
    REQUIRE(absl::IsInvalidArgument(refused));
    const std::string message(refused.message());
    CHECK_THAT(message, Catch::Contains("line 2") && Catch::Contains("\"" + text + "\"") &&
                            Catch::Contains("2024-01-31T14:30:00Z") && Catch::Contains("microseconds"));
  }
  CHECK_THAT(std::string(Read("date,symbol,price\n1969-12-31,AAPL,1\n").status().message()),
             Catch::Contains("1970 or later"));
}

TEST_CASE("midnights without a zone are dates only where no other time lacks one") {
  CHECK(Read("time,symbol,price\n2024-01-02 00:00:00,AAPL,1\n2024-01-03 00:00:00,AAPL,2\n").ok());
  const absl::Status refused =
      Read("time,symbol,price\n2024-01-02 00:00:00,AAPL,1\n2024-01-02 01:00:00,AAPL,2\n").status();
  CHECK_THAT(std::string(refused.message()), Catch::Contains("line 3") && Catch::Contains("line 2 is no date"));
}

TEST_CASE("a bar a date is a daily bar, whatever time it is stamped with") {
  // The open, midnight in UTC, in New York, as written in another zone, the close, and anything.
  for (const auto& stamps : std::vector<std::vector<std::string>>{
           {"1704205800", "1704292200", "1704378600"},
           {"1704153600", "1704240000", "1704326400"},
           {"2024-01-02T00:00:00Z", "2024-01-03T00:00:00.000Z", "2024-01-04T00:00:00Z"},
           {"1704171600000", "1704258000000", "1704344400000"},
           {"2024-01-02 00:00:00+01:00", "2024-01-03 00:00:00+01:00", "2024-01-04 00:00:00+01:00"},
           {"2024-01-02T21:00:00Z", "2024-01-03T21:00:00Z", "2024-01-04T21:00:00Z"},
           {"2024-01-02T15:12:00Z", "2024-01-03T18:00:00Z", "2024-01-04T16:30:11Z"}}) {
    CAPTURE(stamps.front());
    std::string text = "time,open,high,low,close\n";
    for (const std::string& stamp : stamps) text += stamp + ",112,114,111,113\n";
    const auto file = Read(text);
    REQUIRE(file.ok());
    REQUIRE(file->ticks.size() == 12);
    for (int64_t i = 0; i < 3; ++i) {
      const auto first = static_cast<size_t>(i * 4);
      CHECK(file->ticks[first].event_time_us == Us("2024-01-02T14:30:00Z") + i * kDayUs);
      CHECK(file->ticks[first + 3].event_time_us == Us("2024-01-02T21:00:00Z") + i * kDayUs);
    }
  }
}

TEST_CASE("daily bars over short days, over changes of the clock, and with a row of the moment of fetching") {
  const auto closes = Read(
      "time,open,high,low,close\n"
      "2013-11-27T21:00:00Z,112,114,111,113\n"
      "2013-11-29T18:00:00Z,112,114,111,113\n"
      "2013-12-02T21:00:00Z,112,114,111,113\n");
  REQUIRE(closes.ok());
  CHECK(closes->ticks[7].event_time_us == Us("2013-11-29T18:00:00Z"));
  CHECK(closes->ticks[8].event_time_us == Us("2013-12-02T14:30:00Z"));
  const auto fetched = Read(
      "time,open,high,low,close\n"
      "2024-03-08T14:30:00Z,112,114,111,113\n"
      "2024-03-11T13:30:00Z,112,114,111,113\n"
      "2024-03-12T13:30:00Z,112,114,111,113\n"
      "2024-03-13T13:30:00Z,112,114,111,113\n"
      "2024-03-13T18:22:31Z,113,113,113,113\n");
  REQUIRE(fetched.ok());
  CHECK(fetched->ticks[3].event_time_us == Us("2024-03-08T21:00:00Z"));
  CHECK(fetched->ticks[7].event_time_us == Us("2024-03-11T20:00:00Z"));
  for (const ReplayTick& tick : fetched->ticks) CHECK(fetched->QuoteOf(tick).session() == pb::TRADING_SESSION_REGULAR);
}

TEST_CASE("daily bars of a market that trades round the clock last from midnight to midnight") {
  for (const char* dates : {"2024-01-06,1,1,1,1\n2024-01-07,1,1,1,1\n", "1704499200,1,1,1,1\n1704585600,1,1,1,1\n"}) {
    const auto file = Read(std::string("time,open,high,low,close\n") + dates, "x.csv", "BINANCE:BTCUSDT");
    REQUIRE(file.ok());
    CHECK(file->ticks[0].event_time_us == Us("2024-01-06T00:00:00Z"));
    CHECK(file->ticks[3].event_time_us == Us("2024-01-06T23:59:59.999999Z"));
    CHECK(file->ticks[4].event_time_us == Us("2024-01-07T00:00:00Z"));
  }
}

TEST_CASE("the last bar of a date ends at the close") {
  const auto file = Read(
      "datetime,open,high,low,close\n"
      "2025-02-14T19:30:00Z,610.15,610.30,609.59,609.67\n"
      "2025-02-14T20:30:00Z,609.66,610.29,609.54,609.70\n"
      "2025-02-18T14:30:00Z,610.88,611.49,610.00,610.10\n"
      "2025-02-18T15:30:00Z,610.10,610.80,609.90,610.50\n");
  REQUIRE(file.ok());
  CHECK(file->ticks[3].event_time_us == Us("2025-02-14T20:15:00Z"));
  CHECK(file->ticks[7].event_time_us == Us("2025-02-14T20:52:30Z"));
  CHECK(file->QuoteOf(file->ticks[7]).session() == pb::TRADING_SESSION_REGULAR);
  CHECK(file->QuoteOf(file->ticks[8]).previous_close_micros() == 609'700'000);
}

TEST_CASE("bars end with the late session and with the date, and round the clock with the date in UTC") {
  const std::string bars =
      ",1,1,1,1\n2025-02-14T21:00:00Z,1,1,1,1\n2025-02-14T23:00:00Z,1,1,1,1\n2025-02-15T03:00:00Z,1,1,1,1\n";
  const auto late = Read("time,open,high,low,close\n2025-02-14T19:00:00Z" + bars);
  REQUIRE(late.ok());
  CHECK(late->ticks[7].event_time_us == Us("2025-02-14T22:30:00Z"));
  // Until 20:00, and until midnight in New York.
  CHECK(late->ticks[11].event_time_us == Us("2025-02-15T00:30:00Z"));
  CHECK(late->ticks[15].event_time_us == Us("2025-02-15T04:30:00Z"));
  const auto clock = Read("time,open,high,low,close\n2025-02-14T19:00:00Z" + bars, "x.csv", "OANDA:EUR_USD");
  REQUIRE(clock.ok());
  CHECK(clock->ticks[11].event_time_us == Us("2025-02-14T23:45:00Z"));
}

TEST_CASE("an irregular row shortens the bar before it alone") {
  const auto file = Read(
      "time,open,high,low,close\n"
      "2024-01-02T15:00:00Z,1,1,1,1\n"
      "2024-01-02T15:01:00Z,1,1,1,1\n"
      "2024-01-02T15:01:01Z,1,1,1,1\n"
      "2024-01-02T15:02:00Z,1,1,1,1\n"
      "2024-01-02T15:09:00Z,1,1,1,1\n");
  REQUIRE(file.ok());
  CHECK(file->ticks[3].event_time_us == Us("2024-01-02T15:00:45Z"));
  CHECK(file->ticks[7].event_time_us == Us("2024-01-02T15:01:00.75Z"));
  CHECK(file->ticks[11].event_time_us == Us("2024-01-02T15:01:45.25Z"));
  // Not over the minutes without a trade.
  CHECK(file->ticks[15].event_time_us == Us("2024-01-02T15:02:45Z"));
  CHECK(file->ticks[19].event_time_us == Us("2024-01-02T15:09:45Z"));
}

TEST_CASE("bars of seconds around midnight in UTC are no daily ones") {
  const auto two = Read(
      "time,open,high,low,close\n"
      "1735689600000000,1,1,1,1\n"
      "1735689601000000,1,2,1,2\n");
  REQUIRE(two.ok());
  CHECK(two->ticks[3].event_time_us == Us("2025-01-01T00:00:00.75Z"));
  CHECK(two->QuoteOf(two->ticks[7]).session() == pb::TRADING_SESSION_POST);
}

TEST_CASE("the column of symbols has four names, and a byte-order mark belongs to none") {
  for (const char* header :
       {"Symbol,Date", "\xEF\xBB\xBFSymbol,Date", "\xEF\xBB\xBF\"Ticker\",\"Date\"", "CODE,Date", "Name,date",
        "\xEF\xBB\xBF"
        "Code,Date"}) {
    CAPTURE(header);
    const auto file =
        Read(std::string(header) + ",Open,High,Low,Close\r\nAAPL,2024-01-02,1,1,1,1\r\nMSFT,2024-01-02,2,2,2,2\r\n");
    REQUIRE(file.ok());
    CHECK(file->symbols == std::vector<std::string>{"AAPL", "MSFT"});
    CHECK(file->rows == 2);
    CHECK(file->rows_refused == 0);
  }
  // Where both are there, the name is a company's.
  CHECK(Read("Name,Symbol,date,price\nApple Inc.,AAPL,2024-01-02,1\n")->symbols.front() == "AAPL");
  CHECK_THAT(std::string(Read("Name,date,price\nApple Inc.,2024-01-02,1\n").status().message()),
             Catch::Contains("line 2") && Catch::Contains("Apple Inc."));
}

TEST_CASE("prices with binary noise are refused with a hint, or rounded half to even") {
  const std::string text =
      "date,symbol,price\n2024-01-02,A,104.30000000000001\n2024-01-03,A,609.9400024414062\n2024-01-04,A,1.00005\n"
      "2024-01-05,A,0.00004\n2024-01-08,A,$1.00000000000001\n";
  const auto exact = Read(text);
  REQUIRE(exact.ok());
  CHECK(Prices(*exact) == std::vector<int64_t>{1'000'050, 40});
  CHECK_THAT(std::string(Read("date,symbol,price\n2024-01-02,A,104.30000000000001\n").status().message()),
             Catch::Contains("line 2") && Catch::Contains("--replay_decimals=4"));
  CHECK_THAT(std::string(Read("date,symbol,price\n2024-01-02,A,$104.30\n").status().message()),
             !Catch::Contains("--replay_decimals"));
  std::istringstream in(text);
  const auto rounded = ReadReplayStream(in, "a.csv", "", 4);
  REQUIRE(rounded.ok());
  CHECK(Prices(*rounded) == std::vector<int64_t>{104'300'000, 609'940'000, 1'000'000});
  CHECK(rounded->rows_refused == 2);
  CHECK(rounded->prices_rounded == 3);
  CHECK(rounded->checksum != exact->checksum);
}

TEST_CASE("two bars of one time are no bars of one symbol") {
  const std::string bars = ",Open,High,Low,Close\nAAPL,2024-01-02,1,1,1,1\nMSFT,2024-01-02,2,2,2,2\n";
  CHECK_THAT(std::string(Read("Company,Date" + bars).status().message()),
             Catch::Contains("lines 2 and 3") && Catch::Contains("ticker, code or name"));
  const auto twice = Read("Date,Open,High,Low,Close\n2024-01-02,1,1,1,1\n2024-01-02,1,1,1,1\n");
  REQUIRE(twice.ok());
  CHECK(twice->ticks.size() == 4);
  CHECK(twice->rows == 2);
  CHECK(twice->rows_refused == 1);
  const auto named = Read("Symbol,Date,Open,High,Low,Close\nA,2024-01-02,1,1,1,1\nA,2024-01-02,1,2,1,1\n");
  REQUIRE(named.ok());
  CHECK(named->rows_refused == 1);
}

TEST_CASE("a price beside open, high and low is the close") {
  const auto file = Read(
      "\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Vol.\",\"Change %\"\n"
      "\"2024-01-02\",\"185.64\",\"187.15\",\"188.44\",\"183.89\",\"82.49M\",\"-3.58%\"\n");
  REQUIRE(file.ok());
  CHECK(Prices(*file) == std::vector<int64_t>{187'150'000, 188'440'000, 183'890'000, 185'640'000});
  CHECK(Prices(*Read("Date,Close/Last,Open,High,Low\n2024-01-02,4,1,5,1\n")).back() == 4'000'000);
  CHECK(Prices(*Read("Date,Price,Close,Open,High,Low\n2024-01-02,9,4,1,5,1\n")).back() == 4'000'000);
  CHECK_THAT(
      std::string(Read("\"Date\",\"Price\",\"Open\",\"High\",\"Low\"\n\"01/02/2024\",2,2,2,2\n").status().message()),
      Catch::Contains("line 2") && Catch::Contains("01/02/2024") && Catch::Contains("20240131"));
  for (const char* header : {"Date,Price,Open", "Date,Price,Open,High", "Date,Open,High,Low", "Date,High,Low,Close"}) {
    CAPTURE(header);
    CHECK_THAT(std::string(Read(std::string(header) + "\n2024-01-02,1,1,1\n").status().message()),
               Catch::Contains("line 1") && Catch::Contains("part of a bar"));
  }
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
  CHECK(file->rows == 9);
  CHECK(file->rows_refused == 8);
}

TEST_CASE("a file that is no replay is refused with what to do") {
  for (const char* text : {"", "a,b,c\n1,2,3\n", "time_ms,open,high,low\n1460727000000,1,1,1\n", "time,symbol,price\n",
                           "price,symbol\n1,A\n", "date;price\n2024-01-02;1\n",
                           "\xFF\xFE"
                           "d,p\n",
                           "time,Time,price\n1460727000000,1460727000000,1\n"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(Read(text).status()));
  }
  CHECK(absl::IsNotFound(ReadReplayFile("/nowhere/at/all.csv", "").status()));
  CHECK(Read("time,price\n1460727000000,1\n", "x.csv", "msft")->symbols.front() == "MSFT");
}

}  // namespace
}  // namespace stockalert::fetcher
