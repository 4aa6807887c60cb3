#include <catch2/catch.hpp>

#include "services/ticker/price_log_reader.h"

namespace stockalert::ticker {
namespace {

TEST_CASE("a record is a quote, a restart, a split, a suspicion, a dismissal, or nothing to the board") {
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

  internal::v1::SplitRecord& split = *record.mutable_split();
  split.set_symbol("AAPL");
  split.set_split_id(std::string("s\0", 2) + std::string(200, 'x'));
  split.set_number(2);
  split.set_numerator(4);
  split.set_denominator(1);
  split.set_effective_time_us(-5);
  entry = ToBoardRecord("AAPL", record.SerializeAsString(), {2, 7}, 0);
  CHECK(entry.kind == BoardRecord::Kind::kSplit);
  CHECK(entry.split.number == 2);
  CHECK(entry.split.ratio == price::SplitRatio{4, 1});
  // What is only shown is such as can be stored.
  CHECK(entry.split.split_id.size() <= 64);
  CHECK(entry.split.split_id.find('\0') == std::string::npos);
  CHECK(entry.split.effective_time_us == 0);

  record.mutable_split_suspected()->set_symbol("AAPL");
  record.mutable_split_suspected()->set_sequence(5);
  entry = ToBoardRecord("AAPL", record.SerializeAsString(), {2, 7}, 0);
  CHECK(entry.kind == BoardRecord::Kind::kSuspected);
  CHECK(entry.suspected == record::SplitSuspected{"AAPL", 0, 5});
  record.mutable_split_dismissed()->set_symbol("AAPL");
  record.mutable_split_dismissed()->set_publisher_epoch(6);
  entry = ToBoardRecord("AAPL", record.SerializeAsString(), {2, 7}, 0);
  CHECK(entry.kind == BoardRecord::Kind::kDismissed);
  CHECK(entry.dismissed == record::SplitDismissed{"AAPL", 6, 0});

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
