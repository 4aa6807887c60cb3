#include "services/notifier/notification_store.h"

#include <catch2/catch.hpp>

namespace stockalert::notifier {
namespace {

StoredNotification Throttled(int64_t number, const std::string& symbol, int64_t event_time_us) {
  StoredNotification stored;
  stored.user_id = "11111111-1111-4111-8111-111111111111";
  stored.alert_id = "33333333-3333-4333-8333-333333333333";
  stored.trigger_number = number;
  stored.symbol = symbol;
  stored.event_time_us = event_time_us;
  stored.throttled = true;
  stored.note = "mine";
  stored.traceparent = "trace of " + std::to_string(number);
  return stored;
}

TEST_CASE(
    "what stands for throttled triggers has their number, the latest of their times, and the trace and key of the "
    "last") {
  NewNotification expected;
  expected.kind = Kind::kThrottled;
  expected.id = "the id";
  expected.user_id = "11111111-1111-4111-8111-111111111111";
  expected.key = "33333333-3333-4333-8333-333333333333/8";
  expected.symbol = "AAPL";
  expected.event_time_us = 50;
  expected.folded_count = 3;
  expected.summary = "AAPL: 3 triggers throttled";
  expected.traceparent = "trace of 8";
  CHECK(Fold({Throttled(6, "AAPL", 30), Throttled(7, "AAPL", 50), Throttled(8, "AAPL", 40)}, "the id") == expected);
}

TEST_CASE("a summary of throttled triggers has the right plural, and no symbol if there are several") {
  CHECK(Fold({Throttled(1, "AAPL", 1)}, "id").summary == "AAPL: 1 trigger throttled");
  const NewNotification several = Fold({Throttled(1, "MSFT", 1), Throttled(2, "AAPL", 2)}, "id");
  CHECK(several.symbol.empty());
  CHECK(several.summary == "2 triggers throttled");
}

TEST_CASE("what stands for throttled triggers goes to the defaults, unless none of them was to go anywhere") {
  StoredNotification named = Throttled(1, "AAPL", 1), quiet = Throttled(2, "AAPL", 2);
  named.routing = {message::Route::kNamed, {"44444444-4444-4444-8444-444444444444"}, true};
  quiet.routing.route = message::Route::kNone;
  CHECK(Fold({quiet, named}, "id").routing == message::Routing{message::Route::kDefaults, {}, true});
  CHECK(Fold({quiet, quiet}, "id").routing == message::Routing{message::Route::kNone, {}, false});
}

}  // namespace
}  // namespace stockalert::notifier
