// What a quote costs, in steps of the index rather than in time: with 100,000 alerts on its symbol, one that fires none
// of them may look at a few only.
#include <catch2/catch.hpp>

#include <string>

#include "services/domain/fold/fold.h"
#include "tests/unit/domain/fold/log_builder.h"

namespace stockalert::fold {
namespace {

using condition::Definition;
using condition::PercentOp;
using condition::PercentReference;
using market::Session;

constexpr int kAlerts = 100'000;
constexpr int64_t kStepsPerQuote = 60;

std::string Id(int i) { return "alert-" + std::to_string(i); }

// Quotes between 100 and 101, which fire none, and what each costs on the average.
int64_t StepsOfQuietQuotes(LogBuilder& log, int count = 1000) {
  const int64_t before = log.fold.index_steps();
  for (int i = 0; i < count; ++i) REQUIRE(log.Price(100 + (i * 7 % 11) / 10.0).empty());
  return (log.fold.index_steps() - before) / count;
}

TEST_CASE("targets that are not reached cost nothing") {
  LogBuilder log;
  log.Price(100.5);
  for (int i = 0; i < kAlerts; ++i) {
    const int64_t far = 1 + i % 1000;
    switch (i % 4) {
      case 0:
        log.Create(Id(i), Of(Above(101 + far)));
        break;
      case 1:
        log.Create(Id(i), Of(condition::PriceTarget{condition::TargetOp::kAtOrBelow, 99 * kUnit - i}));
        break;
      case 2:
        log.Create(Id(i), Of(Crosses(101 + far)));
        break;
      default:
        log.Create(Id(i), Of(Leaves(90, 101 + far)));
        break;
    }
  }
  CHECK(StepsOfQuietQuotes(log) < kStepsPerQuote);
}

TEST_CASE("between two quotes that need it the index is not looked at") {
  LogBuilder log;
  log.Price(100.5);
  const PercentReference references[] = {PercentReference::kArming, PercentReference::kGiven,
                                         PercentReference::kWindow};
  for (int i = 0; i < 1000; ++i) {
    const std::string id = std::to_string(i);
    log.Create("target-" + id, Of(Above(102 + i)));
    log.Create("leaves-" + id, Of(Leaves(90, 102 + i)));
    log.Create("percent-" + id,
               Of(Percent(PercentOp::kEither, 5 + i % 50, references[i % 3], 100, i % 3 == 2 ? 3600 * kSecondUs : 0)));
    log.Create("trailing-" + id, Of(Falls(5 + i % 50)));
  }
  log.Price(100.5);
  log.Price(100.5);
  // More than the ladders let wait.
  CHECK(StepsOfQuietQuotes(log, 5000) <= 2);
}

TEST_CASE("distances of more than the price leave quiet prices, too") {
  LogBuilder log;
  log.Price(100);
  for (const int64_t percent : {99, 101, 150, 199, 201, 1000}) {
    log.Create("window-" + std::to_string(percent),
               Of(Percent(PercentOp::kUp, percent, PercentReference::kWindow, 0, 3600 * kSecondUs)));
  }
  condition::TrailingChange rises{condition::TrailingOp::kRisesFromLow, 0, 1'500'000, std::nullopt};
  log.Create("rises", Of(rises));
  log.Price(100);
  CHECK(StepsOfQuietQuotes(log, 5000) <= 2);
}

TEST_CASE("channels that are jumped over cost nothing") {
  LogBuilder log;
  log.Price(100);
  for (int i = 0; i < kAlerts; ++i) {
    const int64_t low = 100'010'001 + int64_t{i} % 80'000;
    log.Create(Id(i), Of(condition::Channel{condition::ChannelOp::kEnters, low, low + 5}));
  }
  const int64_t before = log.fold.index_steps();
  for (int i = 0; i < 1000; ++i) REQUIRE(log.Price(i % 2 == 0 ? 101 : 100).empty());
  CHECK((log.fold.index_steps() - before) / 1000 < kStepsPerQuote);
}

TEST_CASE("percent alerts on every reference cost nothing until they are reached, nor does a new date") {
  LogBuilder log;
  log.Price(100, Session::kRegular, 100, 100);
  const PercentReference references[] = {PercentReference::kArming, PercentReference::kPreviousClose,
                                         PercentReference::kDayOpen, PercentReference::kGiven};
  for (int i = 0; i < kAlerts; ++i) {
    const int64_t percent = 5 + i % 50;
    log.Create(Id(i),
               Of(Percent(i % 2 == 0 ? PercentOp::kEither : PercentOp::kUp, percent, references[i / 2 % 4], 100)));
  }
  CHECK(StepsOfQuietQuotes(log) < kStepsPerQuote);
  log.At(kOpenUs + kDayUs);
  const int64_t before = log.fold.index_steps();
  REQUIRE(log.Price(100.5).empty());
  REQUIRE(log.Price(100.5, Session::kRegular, 101, 99).empty());
  CHECK(log.fold.index_steps() - before < 2 * kStepsPerQuote);
}

TEST_CASE("windows and trailing alerts armed all over the day cost their merges") {
  LogBuilder log;
  log.Price(100);
  for (int i = 0; i < kAlerts; ++i) {
    if (i % 10 == 0) REQUIRE(log.Price(100 + (i / 10 * 7 % 11) / 10.0).empty());
    const int64_t percent = 5 + i % 50;
    if (i % 2 == 0) {
      log.Create(Id(i), Of(Percent(PercentOp::kEither, percent, PercentReference::kWindow, 0,
                                   (i % 4 == 0 ? 600 : 3600) * kSecondUs)));
    } else {
      log.Create(Id(i), Of(Falls(percent, i % 3 == 0 ? std::optional<int64_t>(150) : std::nullopt)));
    }
  }
  CHECK(StepsOfQuietQuotes(log, 5000) < kStepsPerQuote);
}

TEST_CASE("windows with a pause behind them are looked at when their own price leaves, not with each quote") {
  LogBuilder log;
  constexpr int kPaused = 5000;
  log.Price(100);
  for (int i = 0; i < kPaused; ++i) {
    log.Create(Id(i), Of(Percent(PercentOp::kEither, 5 + i % 50, PercentReference::kWindow, 0, 3600 * kSecondUs)));
    log.Pause(Id(i));
  }
  // Not seen by them: the prices after it are less extreme than their own 100 only for the highs.
  log.Price(100.5);
  for (int i = 0; i < kPaused; ++i) log.Resume(Id(i));
  REQUIRE(log.Price(100.5).empty());
  const int64_t before = log.fold.index_steps();
  for (int i = 0; i < 1000; ++i) REQUIRE(log.Price(100.1 + i % 9 / 10.0).empty());
  CHECK((log.fold.index_steps() - before) / 1000 < kStepsPerQuote);
}

TEST_CASE("the cost of a quote grows with the alerts that it fires") {
  LogBuilder log;
  log.Price(100);
  for (int i = 0; i < kAlerts; ++i) {
    log.Create(Id(i), Of(condition::PriceTarget{condition::TargetOp::kAtOrAbove, 101 * kUnit + i}));
  }
  const int64_t before = log.fold.index_steps();
  CHECK(log.Price(101.000009).size() == 10);
  CHECK(log.fold.index_steps() - before < int64_t{200} + kStepsPerQuote);
}

TEST_CASE("an expiry costs its own alerts") {
  LogBuilder log;
  log.Price(100);
  for (int i = 0; i < kAlerts; ++i) {
    Definition definition = Of(Above(200));
    definition.expire_time_us = kOpenUs + kDayUs + i;
    log.Create(Id(i), definition);
  }
  log.At(kOpenUs + kDayUs + 9);
  const int64_t before = log.fold.index_steps();
  REQUIRE(log.Price(100).empty());
  CHECK(log.fold.index_steps() - before < 10 + kStepsPerQuote);
  CHECK(log.fold.FindAlert(Id(9))->expired);
  CHECK_FALSE(log.fold.FindAlert(Id(10))->expired);
}

}  // namespace
}  // namespace stockalert::fold
