#include "services/domain/market/quote_order.h"

#include <catch2/catch.hpp>

namespace stockalert::market {
namespace {

TEST_CASE("a quote whose epoch and sequence do not rise is repeated, whatever its time") {
  QuoteOrder order;
  CHECK(order.RecordArrival(1, 5, 100) == Arrival::kInOrder);
  CHECK(order.RecordArrival(1, 5, 200) == Arrival::kRepeated);
  CHECK(order.RecordArrival(1, 4, 200) == Arrival::kRepeated);
  CHECK(order.RecordArrival(0, 9, 200) == Arrival::kRepeated);
  CHECK(order.last_event_time_us == 100);
  CHECK(order.RecordArrival(2, 1, 100) == Arrival::kInOrder);  // At the same time is not late.
}

TEST_CASE("a quote with a time before the last one's is late, and counts as seen") {
  QuoteOrder order;
  CHECK(order.RecordArrival(1, 1, 100) == Arrival::kInOrder);
  CHECK(order.RecordArrival(1, 2, 99) == Arrival::kLate);
  CHECK(order.last_event_time_us == 100);
  CHECK(order.RecordArrival(1, 2, 100) == Arrival::kRepeated);
  CHECK(order.RecordArrival(1, 3, 100) == Arrival::kInOrder);
}

TEST_CASE("a quote without a publisher is never repeated, and may be late") {
  QuoteOrder order;
  CHECK(order.RecordArrival(3, 3, 100) == Arrival::kInOrder);
  CHECK(order.RecordArrival(0, 0, 100) == Arrival::kInOrder);
  CHECK(order.RecordArrival(0, 0, 99) == Arrival::kLate);
  CHECK(order.publisher_epoch == 3);
}

TEST_CASE("a restart forgets the time and keeps epoch and sequence") {
  QuoteOrder order;
  CHECK(order.RecordArrival(1, 1, 100) == Arrival::kInOrder);
  order.Restart();
  CHECK(order.RecordArrival(1, 1, 50) == Arrival::kRepeated);
  CHECK(order.RecordArrival(1, 2, 50) == Arrival::kInOrder);
}

}  // namespace
}  // namespace stockalert::market
