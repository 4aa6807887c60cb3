#include "services/domain/fold/fold.h"

#include <catch2/catch.hpp>

#include "tests/unit/domain/fold/log_builder.h"

namespace stockalert::fold {
namespace {

using condition::CreationPolicy;
using condition::Definition;
using condition::PercentOp;
using condition::PercentReference;
using condition::Sessions;
using condition::TriggerPolicy;
using market::Session;
using Fired = std::vector<std::string>;

const Fired kNone;

TEST_CASE("an exact touch triggers, once, until the price has come back") {
  LogBuilder log;
  log.Create("up", Of(Above(100)));
  log.Create("down", Of(Below(90)));
  CHECK(log.Price(95) == kNone);
  CHECK(log.Price(100) == Fired{"up#1"});
  CHECK(log.outcome.triggers[0].price_before_micros == 95 * kUnit);
  CHECK(log.outcome.triggers[0].reference_micros == 100 * kUnit);
  CHECK(log.outcome.triggers[0].event_time_us == kOpenUs + kSecondUs);
  CHECK_FALSE(log.outcome.triggers[0].late);
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(104) == kNone);
  CHECK(log.Price(99.999999) == kNone);
  CHECK(log.Price(100) == Fired{"up#2"});
  CHECK(log.Price(90) == Fired{"down#1"});
}

TEST_CASE("triggers of one quote come by alert id") {
  LogBuilder log;
  for (const char* id : {"c", "a", "b"}) log.Create(id, Of(Above(100)));
  CHECK(log.Price(101) == Fired{"a#1", "b#1", "c#1"});
}

TEST_CASE("the price must come back by the hysteresis before the next trigger") {
  LogBuilder log;
  Definition definition = Of(Above(100));
  definition.hysteresis_micros = 2 * kUnit;
  log.Create("a", definition);
  CHECK(log.Price(100) == Fired{"a#1"});
  CHECK(log.Price(98.5) == kNone);
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(98) == kNone);
  CHECK(log.Price(100) == Fired{"a#2"});
}

TEST_CASE("CROSSES triggers when the price changes sides") {
  LogBuilder log;
  log.Create("a", Of(Crosses(100)));
  CHECK(log.Price(99) == kNone);
  CHECK(log.Price(100) == Fired{"a#1"});
  CHECK(log.Price(101) == kNone);
  CHECK(log.Price(98) == Fired{"a#2"});
  CHECK(log.Price(101) == Fired{"a#3"});
  log.Create("b", Of(Crosses(101)));
  CHECK(log.Price(102) == kNone);
  CHECK(log.Price(101) == Fired{"b#1"});
}

TEST_CASE("moves need a price before: a first price triggers none of them") {
  LogBuilder log;
  log.Create("crosses", Of(Crosses(100)));
  log.Create("enters", Of(Enters(99, 101)));
  log.Create("leaves", Of(Leaves(110, 120)));
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(115) == kNone);
  CHECK(log.Price(100) == Fired{"crosses#1", "enters#1", "leaves#1"});
}

TEST_CASE("a channel jumped over is not entered, and one left is left on either side") {
  LogBuilder log;
  log.Create("enters", Of(Enters(99, 101)));
  CHECK(log.Price(90) == kNone);
  CHECK(log.Price(110) == kNone);
  CHECK(log.Price(101) == Fired{"enters#1"});
  log.Create("leaves", Of(Leaves(99, 101)));
  CHECK(log.Price(98) == Fired{"leaves#1"});
  CHECK(log.Price(97) == kNone);
  CHECK(log.Price(99) == Fired{"enters#2"});
  CHECK(log.Price(102) == Fired{"leaves#2"});
}

TEST_CASE("creation policies: at a price from before, and at a first one") {
  LogBuilder log;
  Definition waits = Of(Above(100));
  waits.creation_policy = CreationPolicy::kWaitForCross;
  log.Create("first-waits", waits);
  log.Create("first-fires", Of(Above(100)));
  CHECK(log.Price(101) == Fired{"first-fires#1"});
  CHECK(log.outcome.triggers[0].price_before_micros == 101 * kUnit);
  log.Create("before-waits", waits);
  log.Create("before-fires", Of(Above(100)));
  CHECK(log.Price(102) == Fired{"before-fires#1"});
  CHECK(log.Price(99) == kNone);
  CHECK(log.Price(100) == Fired{"before-fires#2", "before-waits#1", "first-fires#2", "first-waits#1"});
}

TEST_CASE("a percent alert measures from the price that triggered it") {
  LogBuilder log;
  CHECK(log.Price(100) == kNone);
  log.Create("a", Of(Percent(PercentOp::kEither, 10, PercentReference::kArming)));
  CHECK(log.Price(109.999999) == kNone);
  CHECK(log.Price(110) == Fired{"a#1"});
  CHECK(log.Price(120) == kNone);
  CHECK(log.Price(121) == Fired{"a#2"});
  CHECK(log.Price(108.9) == Fired{"a#3"});
}

TEST_CASE("a window forgets what is older than its length") {
  LogBuilder log;
  CHECK(log.Price(100) == kNone);
  log.Create("a", Of(Percent(PercentOp::kUp, 10, PercentReference::kWindow, 0, 3 * kSecondUs)));
  CHECK(log.Price(105) == kNone);
  CHECK(log.Price(106) == kNone);
  CHECK(log.Price(110) == Fired{"a#1"});  // 3 s after the 100.
  CHECK(log.Price(109) == kNone);
  log.Create("b", Of(Percent(PercentOp::kUp, 10, PercentReference::kWindow, 0, 3 * kSecondUs)));
  log.At(log.time_us() + 3 * kSecondUs);
  CHECK(log.Price(120) == Fired{});  // 4 s after the 109.
}

TEST_CASE("a window has a hole where its alert was paused") {
  LogBuilder log;
  CHECK(log.Price(100) == kNone);
  log.Create("a", Of(Percent(PercentOp::kUp, 10, PercentReference::kWindow, 0, 5 * kSecondUs)));
  log.Pause("a");
  CHECK(log.Price(50) == kNone);
  log.Resume("a");
  CHECK(log.Price(109) == kNone);
  CHECK(log.Price(110) == Fired{"a#1"});
  CHECK(log.outcome.triggers[0].reference_micros == 100 * kUnit);
}

TEST_CASE("a trailing alert follows the high and restarts there") {
  LogBuilder log;
  log.Create("a", Of(Falls(10)));
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(200) == kNone);
  CHECK(log.Price(180) == Fired{"a#1"});
  CHECK(log.outcome.triggers[0].reference_micros == 200 * kUnit);
  CHECK(log.Price(170) == kNone);
  CHECK(log.Price(162) == Fired{"a#2"});
}

TEST_CASE("an activation price has to be seen first") {
  LogBuilder log;
  log.Create("a", Of(Falls(10, 150)));
  CHECK(log.Price(140) == kNone);
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(150) == kNone);
  CHECK(log.Price(135) == Fired{"a#1"});
  CHECK(log.Price(121.5) == Fired{"a#2"});
}

TEST_CASE("a cooldown swallows an edge, which has to be left before the next") {
  LogBuilder log;
  log.Create("a", Of(Above(100), TriggerPolicy::kRepeat, 10 * kSecondUs));
  CHECK(log.Price(100) == Fired{"a#1"});
  CHECK(log.Price(99) == kNone);
  CHECK(log.Price(100) == kNone);
  CHECK(log.fold.counters().edges_swallowed == 1);
  log.At(kOpenUs + 10 * kSecondUs);
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(99) == kNone);
  CHECK(log.Price(100) == Fired{"a#2"});
}

TEST_CASE("a cooldown ends at its time") {
  LogBuilder log;
  log.Create("a", Of(Above(100), TriggerPolicy::kRepeat, 10 * kSecondUs));
  CHECK(log.Price(100) == Fired{"a#1"});
  CHECK(log.Price(99) == kNone);
  log.At(kOpenUs + 10 * kSecondUs);
  CHECK(log.Price(100) == Fired{"a#2"});
}

TEST_CASE("ONCE ends, ONCE_A_DAY goes by New York's date") {
  LogBuilder log;
  log.Create("once", Of(Above(100), TriggerPolicy::kOnce));
  log.Create("daily", Of(Above(100), TriggerPolicy::kOnceADay));
  CHECK(log.Price(100) == Fired{"daily#1", "once#1"});
  CHECK(log.outcome.triggers[1].ends_alert);
  CHECK(log.fold.FindAlert("once")->ended);
  CHECK(log.Price(99) == kNone);
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(99) == kNone);
  log.At(kOpenUs + kDayUs);
  CHECK(log.Price(100) == Fired{"daily#2"});
  log.Rearm("once");
  CHECK(log.Price(101) == Fired{"once#2"});
}

TEST_CASE("a REGULAR alert ignores other sessions, and CLOSED counts for no alert") {
  LogBuilder log;
  Definition extended = Of(Above(100));
  extended.sessions = Sessions::kExtended;
  log.Create("extended", extended);
  log.Create("regular", Of(Above(100)));
  CHECK(log.Price(101, Session::kClosed) == kNone);
  CHECK(log.Price(101, Session::kPre) == Fired{"extended#1"});
  CHECK(log.Price(99, Session::kPost) == kNone);
  CHECK(log.Price(101) == Fired{"extended#2", "regular#1"});
  CHECK(log.outcome.triggers[0].price_before_micros == 99 * kUnit);
  CHECK(log.outcome.triggers[1].price_before_micros == 101 * kUnit);
}

TEST_CASE("refused, late and repeated quotes leave no trace") {
  LogBuilder log;
  log.Create("a", Of(Above(100)));
  CHECK(log.Price(0) == kNone);
  CHECK(log.Price(-5) == kNone);
  CHECK(log.Price(1e12 + 1) == kNone);
  CHECK_FALSE(log.fold.FindSymbol("AAPL")->last_event_time_us.has_value());
  CHECK(log.fold.counters().quotes_refused == 3);
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = 99 * kUnit;
  quote.event_time_us = kOpenUs;
  quote.publisher_epoch = 5;
  quote.sequence = 1;
  CHECK(log.Send(quote) == kNone);
  quote.price_micros = 101 * kUnit;
  CHECK(log.Send(quote) == kNone);
  quote.publisher_epoch = 4;
  quote.sequence = 9;
  CHECK(log.Send(quote) == kNone);
  CHECK(log.fold.counters().quotes_repeated == 2);
  quote.publisher_epoch = 5;
  quote.sequence = 2;
  quote.event_time_us = kOpenUs - 1;
  CHECK(log.Send(quote) == kNone);
  CHECK(log.fold.counters().quotes_late == 1);
  quote.sequence = 3;
  quote.event_time_us = kOpenUs;
  CHECK(log.Send(quote) == Fired{"a#1"});
  CHECK(log.fold.counters().quotes_accepted == 2);
  quote.publisher_epoch = 6;
  quote.sequence = 1;
  quote.price_micros = 99 * kUnit;
  CHECK(log.Send(quote) == kNone);
  CHECK(log.fold.counters().quotes_accepted == 3);
}

TEST_CASE("a refused quote of a new symbol is not even heard of") {
  LogBuilder log;
  log.Price(0);
  CHECK(log.fold.symbol_count() == 0);
}

TEST_CASE("the date's reference: waited for, visibly, kept for the date, renewed with the next") {
  LogBuilder log;
  log.Create("a", Of(Percent(PercentOp::kUp, 10, PercentReference::kPreviousClose)));
  CHECK(log.fold.FindAlert("a")->waiting);
  CHECK(log.Price(200) == kNone);
  CHECK(log.Price(200, Session::kRegular, 190) == kNone);
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK(log.outcome.statuses[0].previous_close_known);
  CHECK_FALSE(log.outcome.statuses[0].day_open_known);
  CHECK_FALSE(log.fold.FindAlert("a")->waiting);
  CHECK(log.Price(200, Session::kRegular, 100) == kNone);  // Armed before the correction.
  CHECK(log.outcome.statuses.empty());
  log.Create("b", Of(Percent(PercentOp::kUp, 10, PercentReference::kPreviousClose)));
  CHECK(log.Price(201) == Fired{"b#1"});
  CHECK(log.outcome.triggers[0].reference_micros == 100 * kUnit);
  CHECK(log.Price(221.1) == Fired{"a#1", "b#2"});
  log.At(kOpenUs + kDayUs);
  CHECK(log.Price(300) == kNone);
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK_FALSE(log.outcome.statuses[0].previous_close_known);
  CHECK(log.fold.FindAlert("b")->waiting);
  CHECK(log.Price(300, Session::kClosed, 200) == kNone);
  CHECK_FALSE(log.fold.FindAlert("b")->waiting);
  CHECK(log.Price(300) == Fired{"a#2", "b#3"});
}

TEST_CASE("a nonsensical reference is dropped and the quote stays") {
  LogBuilder log;
  CHECK(log.Price(100, Session::kRegular, 0, -1) == kNone);
  CHECK(log.outcome.statuses.empty());
  CHECK(log.fold.counters().quotes_accepted == 1);
}

TEST_CASE("a swallowed edge is forgotten with the date, in a pause too") {
  for (bool paused : {false, true}) {
    CAPTURE(paused);
    LogBuilder log;
    log.Create("a", Of(Percent(PercentOp::kUp, 10, PercentReference::kDayOpen), TriggerPolicy::kOnceADay));
    CHECK(log.Price(110, Session::kRegular, std::nullopt, 100) == Fired{"a#1"});
    CHECK(log.Price(121) == kNone);
    if (paused) log.Pause("a");
    log.At(kOpenUs + kDayUs);
    CHECK(log.Price(100, Session::kRegular, std::nullopt, 100) == kNone);
    if (paused) log.Resume("a");
    CHECK(log.Price(110) == Fired{"a#2"});
  }
}

TEST_CASE("a pause keeps an alert's state, and the first price after it may be an edge") {
  LogBuilder log;
  log.Create("crosses", Of(Crosses(100)));
  log.Create("falls", Of(Falls(10)));
  CHECK(log.Price(99) == kNone);
  log.Pause("crosses");
  log.Pause("falls");
  CHECK(log.Price(101) == kNone);
  CHECK(log.Price(500) == kNone);
  log.Resume("crosses");
  log.Resume("falls");
  CHECK(log.Price(101) == Fired{"crosses#1"});
  CHECK(log.outcome.triggers[0].price_before_micros == 99 * kUnit);
  CHECK(log.Price(95) == Fired{"crosses#2"});
  CHECK(log.Price(90) == Fired{"falls#1"});
}

TEST_CASE("an alert armed in a pause takes the last price, of the pause too; without one, the first after it") {
  LogBuilder log;
  log.Create("a", Of(Percent(PercentOp::kUp, 10, PercentReference::kArming)), true);
  CHECK(log.Price(100) == kNone);
  log.Resume("a");
  CHECK(log.Price(200) == kNone);
  CHECK(log.Price(219) == kNone);
  CHECK(log.Price(220) == Fired{"a#1"});
  CHECK(log.outcome.triggers[0].reference_micros == 200 * kUnit);
  log.Pause("a");
  CHECK(log.Price(300) == kNone);
  log.Rearm("a");
  CHECK(log.Price(1) == kNone);
  log.Resume("a");
  CHECK(log.Price(330) == Fired{"a#2"});
  CHECK(log.outcome.triggers[0].reference_micros == 300 * kUnit);
  CHECK(log.outcome.triggers[0].price_before_micros == 300 * kUnit);
}

TEST_CASE("arming forgets the cooldown and the extreme, and numbers go on") {
  LogBuilder log;
  log.Create("target", Of(Above(100), TriggerPolicy::kRepeat, 3600 * kSecondUs));
  log.Create("falls", Of(Falls(10)));
  CHECK(log.Price(100) == Fired{"target#1"});
  CHECK(log.Price(95) == kNone);
  log.Rearm("target");
  log.Rearm("falls");
  CHECK(log.Price(100) == Fired{"target#2"});
  CHECK(log.Price(90) == Fired{"falls#1"});
}

TEST_CASE("a change that does not arm leaves the definition alone but for the expiry") {
  LogBuilder log;
  log.Create("a", Of(Above(100)));
  log.Change("a", [](record::AlertChange& change) { change.definition.condition = Above(50); });
  CHECK(log.Price(60) == kNone);
  CHECK(log.Price(100) == Fired{"a#1"});
  CHECK(log.outcome.triggers[0].revision == 2);
}

TEST_CASE("changes overtaken or published again are skipped, and confirmed") {
  LogBuilder log;
  log.Create("a", Of(Above(100)));
  const record::AlertChange first = log.Last("a");
  log.Change("a", [](record::AlertChange& change) {
    change.definition.condition = Above(200);
    change.armed_revision = change.revision;
  });
  REQUIRE(log.outcome.confirmations.size() == 1);
  CHECK(log.outcome.confirmations[0].revision == 2);
  log.Send(first);
  REQUIRE(log.outcome.confirmations.size() == 1);
  CHECK(log.outcome.confirmations[0].revision == 2);
  CHECK(log.fold.counters().changes_skipped == 1);
  CHECK(log.Price(150) == kNone);
  record::AlertChange elsewhere = log.Last("a");
  elsewhere.symbol = "MSFT";
  elsewhere.revision = 9;
  log.Send(elsewhere);
  CHECK(log.fold.counters().changes_skipped == 2);
  CHECK(log.fold.FindAlert("a")->revision == 2);
}

TEST_CASE("a change of the known revision is not applied again, whatever it says") {
  LogBuilder log;
  log.Create("a", Of(Above(100)));
  const int64_t applied = log.fold.counters().changes_applied;
  record::AlertChange again = log.Last("a");
  SECTION("as it was") {}
  SECTION("paused") { again.paused = true; }
  SECTION("deleted") { again.deleted = true; }
  SECTION("with another condition, armed") {
    again.definition.condition = Above(500);
    again.armed_revision = 7;
  }
  log.Send(again);
  CHECK(log.fold.counters().changes_applied == applied);
  CHECK(log.fold.counters().changes_skipped == 1);
  REQUIRE(log.outcome.confirmations.size() == 1);
  CHECK(log.outcome.confirmations[0].revision == 1);
  CHECK(log.Price(100) == Fired{"a#1"});
}

TEST_CASE("a published again change does not wake an alert that has ended") {
  LogBuilder log;
  log.Create("a", Of(Above(100), TriggerPolicy::kOnce));
  CHECK(log.Price(100) == Fired{"a#1"});
  log.Send(log.Last("a"));
  CHECK(log.Price(99) == kNone);
  CHECK(log.Price(100) == kNone);
  log.Pause("a");
  log.Resume("a");
  CHECK(log.Price(101) == kNone);
}

TEST_CASE("a deleted id stays deleted for a week of the log, an unknown one too") {
  LogBuilder log;
  log.Create("a", Of(Above(100)));
  record::AlertChange never_seen = log.Last("a");
  never_seen.alert_id = "b";
  never_seen.revision = 7;
  never_seen.deleted = true;
  log.Send(never_seen);
  CHECK(log.outcome.confirmations[0].revision == 7);
  log.Delete("a");
  CHECK_FALSE(log.fold.FindAlert("a").has_value());
  CHECK(log.Price(100) == kNone);
  for (const char* id : {"a", "b"}) {
    record::AlertChange again = log.Last("a");
    again.alert_id = id;
    again.deleted = false;
    again.revision = again.armed_revision = 2;
    log.Send(again);
    again.revision = again.armed_revision = 20;
    log.Send(again);
    CHECK_FALSE(log.fold.FindAlert(id).has_value());
  }
  log.place().log_time_us = 7 * kDayUs - 1;
  record::AlertChange again = log.Last("a");
  again.deleted = false;
  log.Send(again);
  CHECK_FALSE(log.fold.FindAlert("a").has_value());
  log.place().log_time_us = 7 * kDayUs;
  CHECK(log.Price(99) == kNone);
  CHECK(log.fold.Snapshot().tombstones.empty());
  log.Send(again);
  CHECK(log.fold.FindAlert("a").has_value());
}

TEST_CASE("nothing triggers at or after the expiry; moving it arms") {
  LogBuilder log;
  Definition definition = Of(Above(100));
  definition.expire_time_us = kOpenUs + 5 * kSecondUs;
  log.Create("a", definition);
  CHECK(log.Price(99) == kNone);
  log.At(kOpenUs + 5 * kSecondUs - 1);
  CHECK(log.Price(100) == Fired{"a#1"});
  CHECK(log.Price(99) == kNone);
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK(log.outcome.statuses[0].last_event_time_us >= *definition.expire_time_us);
  CHECK(log.fold.FindAlert("a")->expired);
  CHECK(log.Price(100) == kNone);
  log.Change("a", [](record::AlertChange& change) { change.definition.expire_time_us = kOpenUs + 100 * kSecondUs; });
  CHECK_FALSE(log.fold.FindAlert("a")->expired);
  CHECK(log.Price(101) == Fired{"a#2"});  // Armed anew, FIRE_IF_MET.
  log.Change("a", [](record::AlertChange& change) { change.definition.expire_time_us = kOpenUs; });
  CHECK(log.fold.FindAlert("a")->expired);
  CHECK(log.outcome.statuses.size() == 1);
}

TEST_CASE("moving an expiry that has not come does not arm") {
  LogBuilder log;
  Definition definition = Of(Above(100));
  definition.expire_time_us = kOpenUs + 50 * kSecondUs;
  log.Create("a", definition);
  CHECK(log.Price(100) == Fired{"a#1"});
  log.Change("a", [](record::AlertChange& change) { change.definition.expire_time_us.reset(); });
  CHECK(log.Price(101) == kNone);
}

TEST_CASE("a restart begins the symbol's history anew, but not its alerts' numbers") {
  LogBuilder log;
  Definition expiring = Of(Above(100));
  expiring.expire_time_us = kOpenUs + 3 * kSecondUs;
  log.Create("a", expiring);
  log.Create("ended", Of(Above(100), TriggerPolicy::kOnce));
  log.Create("paused", Of(Above(100)), true);
  log.Create("close", Of(Percent(PercentOp::kUp, 10, PercentReference::kPreviousClose)));
  CHECK(log.Price(100, Session::kRegular, 100) == Fired{"a#1", "ended#1"});
  log.At(kOpenUs + kDayUs);
  CHECK(log.Price(99) == kNone);
  log.Send(record::Restart{"AAPL"});
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK(log.outcome.statuses[0].last_event_time_us == 0);
  CHECK_FALSE(log.fold.FindSymbol("AAPL")->last_regular_price_micros.has_value());
  CHECK_FALSE(log.fold.FindAlert("a")->expired);
  CHECK(log.fold.FindAlert("close")->waiting);
  log.At(kOpenUs);
  CHECK(log.Price(101) == Fired{"a#2"});
  CHECK(log.outcome.triggers[0].price_before_micros == 101 * kUnit);
  log.Resume("paused");
  CHECK(log.Price(101) == Fired{"paused#1"});
}

TEST_CASE("a restart of an unknown symbol does nothing") {
  LogBuilder log;
  log.Send(record::Restart{"AAPL"});
  CHECK(log.outcome.statuses.empty());
  CHECK(log.fold.symbol_count() == 0);
}

TEST_CASE("however many quiet prices come in a row, their extremes are taken in") {
  const int64_t window_us = 3600 * kSecondUs;
  const auto watch = [window_us](LogBuilder& log) {
    log.Price(100);
    log.Create("window",
               Of(Percent(condition::PercentOp::kEither, 50, condition::PercentReference::kWindow, 0, window_us)));
    log.Create("trailing", Of(Falls(50)));
  };
  LogBuilder put_off;
  LogBuilder eager;
  watch(put_off);
  watch(eager);
  // Each a new high, and each the lowest that came after all before it; then the same downwards.
  for (int i = 0; i < 1000; ++i) {
    const double price = i < 500 ? 100 + i / 100.0 : 105 - (i - 500) / 100.0;
    REQUIRE(put_off.Price(price) == kNone);
    REQUIRE(eager.Price(price) == kNone);
    eager.fold.Snapshot();
  }
  CHECK(put_off.fold.Snapshot() == eager.fold.Snapshot());
  CHECK(put_off.Price(52.49) == Fired{"trailing#1", "window#1"});
  CHECK(put_off.outcome.triggers[0].reference_micros == 105 * kUnit);
}

TEST_CASE("a window begins anew with an alert that is armed after the last one ended") {
  LogBuilder log;
  log.Price(95);
  log.Create("a", Of(Percent(condition::PercentOp::kUp, 5, condition::PercentReference::kWindow, 0, 60 * kSecondUs),
                     condition::TriggerPolicy::kOnce));
  log.At(kOpenUs + 10 * kSecondUs);
  CHECK(log.Price(100) == Fired{"a#1"});
  // The price that the first window ended with is the first one of the second.
  log.At(kOpenUs + 110 * kSecondUs);
  CHECK(log.Price(100) == kNone);
  log.Rearm("a");
  CHECK(log.Price(105) == Fired{"a#2"});
}

TEST_CASE("symbols have nothing to do with each other") {
  LogBuilder log;
  log.Create("a", Of(Above(100)));
  record::Quote quote;
  quote.symbol = "MSFT";
  quote.price_micros = 200 * kUnit;
  quote.event_time_us = kOpenUs + kDayUs;
  CHECK(log.Send(quote) == kNone);
  CHECK(log.Price(100) == Fired{"a#1"});
}

}  // namespace
}  // namespace stockalert::fold
