#include <catch2/catch.hpp>

#include "services/ticker/price_log_reader.h"

namespace stockalert::ticker {
namespace {

TEST_CASE("a record is a quote, a restart, or nothing to the board") {
  internal::v1::LogRecord record;
  record.mutable_quote()->set_symbol("AAPL");
  record.mutable_quote()->set_price_micros(5);
  record.mutable_quote()->set_session(internal::v1::TRADING_SESSION_REGULAR);
  BoardRecord entry = ToBoardRecord("AAPL", record.SerializeAsString(), {2, 7}, 9);
  CHECK(entry.kind == BoardRecord::Kind::kQuote);
  CHECK(entry.quote.price_micros() == 5);
  CHECK(entry.place.partition == 2);
  CHECK(entry.place.offset == 7);
  CHECK(entry.log_time_us == 9);
  CHECK(ToBoardRecord("MSFT", record.SerializeAsString(), {}, 0).kind == BoardRecord::Kind::kOther);

  record.mutable_restart()->set_symbol("AAPL");
  entry = ToBoardRecord("AAPL", record.SerializeAsString(), {}, 0);
  CHECK(entry.kind == BoardRecord::Kind::kRestart);
  CHECK(entry.symbol == "AAPL");

  CHECK(ToBoardRecord("AAPL", "\xff\xff not a record", {}, 0).kind == BoardRecord::Kind::kOther);
  CHECK(ToBoardRecord("AAPL", "", {}, 0).kind == BoardRecord::Kind::kOther);
}

TEST_CASE("a quote whose source Postgres cannot hold counts, with what can be held of it") {
  internal::v1::LogRecord record;
  record.mutable_quote()->set_symbol("AAPL");
  record.mutable_quote()->set_price_micros(5);
  record.mutable_quote()->set_session(internal::v1::TRADING_SESSION_REGULAR);
  record.mutable_quote()->set_source(std::string("fin\0nhub", 8) + std::string(1000, 'x'));
  const BoardRecord entry = ToBoardRecord("AAPL", record.SerializeAsString(), {}, 0);
  CHECK(entry.kind == BoardRecord::Kind::kQuote);
  CHECK(entry.quote.source() == "finnhub" + std::string(57, 'x'));
}

}  // namespace
}  // namespace stockalert::ticker
