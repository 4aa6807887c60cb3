// Gaps. What each kind makes of one is in docs/semantics/vectors.jsonl, and random ones are compared with the auditor;
// here is what a log does not show, and the cost.
#include <catch2/catch.hpp>

#include "tests/unit/domain/fold/log_builder.h"

namespace stockalert::fold {
namespace {

using condition::PercentOp;
using condition::PercentReference;
using market::Session;
using Fired = std::vector<std::string>;

const Fired kNone;

Fired SendRange(LogBuilder& log, double units, std::optional<int64_t> high, std::optional<int64_t> low,
                record::Rules rules = record::kNewestRules) {
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = static_cast<int64_t>(units * kUnit);
  quote.event_time_us = log.time_us();
  if (high.has_value()) quote.day_high_micros = *high * kUnit;
  if (low.has_value()) quote.day_low_micros = *low * kUnit;
  quote.rules = rules;
  log.At(log.time_us() + kSecondUs);
  return log.Send(quote);
}

TEST_CASE("a new high of the day triggers what it reached, late, with the bounds of its time") {
  LogBuilder log;
  log.Create("a", Of(Above(110)));
  CHECK(log.Price(100) == kNone);
  log.At(kOpenUs + 60 * kSecondUs);
  CHECK(SendRange(log, 105, 111, {}) == Fired{"a#1"});
  const record::Trigger& trigger = log.outcome.triggers[0];
  CHECK(trigger.late);
  CHECK(trigger.late_from_us == kOpenUs);
  CHECK(trigger.event_time_us == kOpenUs + 60 * kSecondUs);
  CHECK(trigger.price_micros == 111 * kUnit);
  CHECK(trigger.price_before_micros == 100 * kUnit);
  CHECK(trigger.reference_micros == 110 * kUnit);
  CHECK(SendRange(log, 105, 111, {}) == kNone);  // Known.
  CHECK(log.Price(112) == Fired{"a#2"});
  CHECK_FALSE(log.outcome.triggers[0].late);
  CHECK_FALSE(log.outcome.triggers[0].late_from_us.has_value());
  CHECK(SendRange(log, 105, 112, {}) == kNone);  // The price was there.
  CHECK(SendRange(log, 105, 113, {}) == Fired{"a#3"});
}

TEST_CASE("quotes of rules without gaps tell of none, nor does the first one after them or the rest of their date") {
  LogBuilder log;
  log.Create("a", Of(Above(110)));
  CHECK(SendRange(log, 100, {}, {}, record::Rules::kFirst) == kNone);
  CHECK(SendRange(log, 100, 111, {}, record::Rules::kFirst) == kNone);
  CHECK(SendRange(log, 100, 112, {}) == kNone);
  CHECK(SendRange(log, 100, 113, {}) == kNone);
  log.At(kOpenUs + kDayUs);
  CHECK(SendRange(log, 100, 114, {}) == Fired{"a#1"});
}

TEST_CASE("the first quote of a date after one of older rules tells of no gap") {
  LogBuilder log;
  log.Create("a", Of(Above(110)));
  CHECK(SendRange(log, 100, {}, {}, record::Rules::kFirst) == kNone);
  log.At(kOpenUs + kDayUs);
  CHECK(SendRange(log, 100, 114, {}) == kNone);
  CHECK(SendRange(log, 100, 115, {}) == Fired{"a#1"});
}

TEST_CASE("what a quote of older rules says of the day is not known to later ones") {
  LogBuilder log;
  log.Create("a", Of(Above(110)));
  CHECK(SendRange(log, 100, {}, {}) == kNone);
  CHECK(SendRange(log, 100, 111, {}, record::Rules::kFirst) == kNone);
  CHECK(SendRange(log, 100, {}, {}) == kNone);
  CHECK(SendRange(log, 100, 111, {}) == Fired{"a#1"});
}

TEST_CASE("what was armed or resumed since the last quote sees no gap, whatever becomes of its place") {
  LogBuilder log;
  log.Create("old", Of(Above(110)));
  log.Create("paused", Of(Above(110)));
  CHECK(log.Price(100) == kNone);
  log.Pause("paused");
  CHECK(log.Price(100) == kNone);
  log.Resume("paused");
  log.Create("deleted", Of(Above(110)));
  log.Delete("deleted");
  log.Create("new", Of(Above(110)));
  // A checkpoint in between forgets none of that.
  log.fold = Fold::Restore(log.fold.Snapshot()).value();
  CHECK(SendRange(log, 100, 111, {}) == Fired{"old#1"});
  CHECK(SendRange(log, 100, 112, {}) == Fired{"new#1", "old#2", "paused#1"});
}

TEST_CASE("a high and a low in one quote: extremes rise before a fall is looked for, but a fall from there is none") {
  LogBuilder log;
  log.Create("falls", Of(Falls(10)));
  CHECK(log.Price(100) == kNone);
  CHECK(SendRange(log, 104, 110, 95) == kNone);  // 95 is less than 10 % below 100.
  CHECK(log.Price(99) == Fired{"falls#1"});      // 10 % below 110.
}

TEST_CASE("a low is no extreme of a fall, even where it is above all prices before it") {
  LogBuilder log;
  CHECK(log.Price(100) == kNone);
  log.Create("falls", Of(Falls(5), condition::TriggerPolicy::kRepeat, 60 * kSecondUs));
  CHECK(log.Price(95) == Fired{"falls#1"});
  CHECK(log.Price(90) == kNone);  // Swallowed.
  log.At(kOpenUs + kDayUs);
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = 110 * kUnit;
  quote.event_time_us = log.time_us();
  quote.session = Session::kPost;
  quote.day_low_micros = 105 * kUnit;
  CHECK(log.Send(quote) == kNone);
  log.At(kOpenUs + kDayUs + kSecondUs);
  CHECK(log.Price(99) == kNone);  // Above the highest that counted since the trigger: 95.
}

// Resumed out of hours, so that the quotes since do not count for it.
LogBuilder ResumedAtNight() {
  LogBuilder log;
  log.Create("up", Of(Percent(PercentOp::kUp, 10, PercentReference::kPreviousClose)));
  CHECK(log.Price(100, Session::kRegular, 100) == kNone);
  CHECK(log.Price(110) == Fired{"up#1"});
  log.Pause("up");
  log.Resume("up");
  CHECK(log.Price(110, Session::kClosed) == kNone);
  log.At(kOpenUs + kDayUs);
  return log;
}

Fired SendClosed(LogBuilder& log, int64_t high, std::optional<int64_t> previous_close) {
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = 100 * kUnit;
  quote.event_time_us = log.time_us();
  quote.session = Session::kClosed;
  quote.day_high_micros = high * kUnit;
  if (previous_close.has_value()) quote.previous_close_micros = *previous_close * kUnit;
  return log.Send(quote);
}

TEST_CASE("an alert that no price has counted for since it was resumed sees a gap by its date's reference, or waits") {
  SECTION("that comes with the quote") {
    LogBuilder log = ResumedAtNight();
    CHECK(SendClosed(log, 111, 100) == Fired{"up#2"});
    CHECK(log.outcome.triggers[0].reference_micros == 100 * kUnit);
  }
  SECTION("that is not known yet") {
    LogBuilder log = ResumedAtNight();
    CHECK(SendClosed(log, 111, {}) == kNone);
    CHECK(SendClosed(log, 111, 100) == kNone);  // The high is known.
    CHECK(SendClosed(log, 112, 100) == Fired{"up#2"});
  }
}

TEST_CASE("a gap costs what it finds, however many alerts there are") {
  LogBuilder log;
  log.Price(100);
  constexpr int kAlerts = 4000;
  for (int i = 0; i < kAlerts; ++i) {
    log.Create("up" + std::to_string(i), Of(Above(200 + i)));
    log.Create("falls" + std::to_string(i), Of(Falls(90)));
    log.Create("enters" + std::to_string(i), Of(Enters(300 + i, 301 + i)));
    log.Create("open" + std::to_string(i), Of(Percent(PercentOp::kUp, 500, PercentReference::kDayOpen)));
  }
  log.Price(100, Session::kRegular, 100, 100);
  const int64_t before = log.fold.index_steps();
  for (int i = 1; i <= 50; ++i) CHECK(SendRange(log, 100, 100 + i, 100 - i) == kNone);
  CHECK(log.fold.index_steps() - before < 50 * 400);
}

}  // namespace
}  // namespace stockalert::fold
