// The auditor where a stream cannot reach: decimals, publishers' sequences, changes out of order, and lines that are no
// events.
#include "tests/support/auditor/auditor.h"

#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/auditor/stream.h"

namespace stockalert::auditor {
namespace {

using condition::PriceTarget;
using condition::TargetOp;
using condition::TriggerPolicy;
using record::AlertChange;
using record::Quote;
using record::Restart;
using record::SplitDismissed;
using record::SplitSuspected;

constexpr int64_t kUnit = 1'000'000;

Quote QuoteOf(int64_t price, int64_t time_us, int64_t epoch = 0, int64_t sequence = 0) {
  Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = price * kUnit;
  quote.event_time_us = time_us;
  quote.publisher_epoch = epoch;
  quote.sequence = sequence;
  return quote;
}

AlertChange Crossing(int64_t revision, int64_t armed_revision) {
  AlertChange change;
  change.alert_id = "a1";
  change.symbol = "AAPL";
  change.revision = revision;
  change.armed_revision = armed_revision;
  change.definition.condition = PriceTarget{TargetOp::kCrosses, 100 * kUnit};
  change.definition.trigger_policy = TriggerPolicy::kRepeat;
  return change;
}

TEST_CASE("decimals are read exactly, and malformed ones are refused", "[auditor]") {
  struct Row {
    const char* text;
    std::optional<int64_t> micros;
  };
  const std::vector<Row> rows = {
      {"150.25", 150'250'000},
      {"0.000001", 1},
      {"-3", -3'000'000},
      {"100.0000000000", 100'000'000},
      {"007", 7'000'000},
      {"1000000000000", 1'000'000'000'000'000'000},
      {"1000000000000.000001", std::nullopt},
      {"99999999999999999999999999999999999999999999999999", std::nullopt},
      {"0.0000001", std::nullopt},
      {"", std::nullopt},
      {"-", std::nullopt},
      {".5", std::nullopt},
      {"5.", std::nullopt},
      {"1e3", std::nullopt},
      {"NaN", std::nullopt},
      {"+1", std::nullopt},
      {" 1", std::nullopt},
      {"1,5", std::nullopt},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK(DecimalCount(row.text, 6) == row.micros);
  }
  CHECK(MicrosText(150'250'000) == "150.25");
  CHECK(MicrosText(1) == "0.000001");
  CHECK(MicrosText(-500'000) == "-0.5");
  CHECK(MicrosText(96'000'000) == "96");
  CHECK(MicrosText(0) == "0");
}

TEST_CASE("a quote that its publisher sends again is skipped", "[auditor]") {
  Auditor auditor;
  auditor.Apply(1, Crossing(1, 1));
  CHECK(auditor.Apply(2, QuoteOf(99, 10, 1, 1)).empty());
  CHECK(auditor.Apply(3, QuoteOf(101, 20, 1, 2)).size() == 1);
  // All three at equal event time: without the sequence the two would be new crossings.
  CHECK(auditor.Apply(4, QuoteOf(98, 20, 1, 3)).size() == 1);
  CHECK(auditor.Apply(5, QuoteOf(101, 20, 1, 2)).empty());
  CHECK(auditor.Apply(6, QuoteOf(98, 20, 1, 3)).empty());
  // A new publisher counts its own sequence; the old one is not heard any more.
  CHECK(auditor.Apply(7, QuoteOf(101, 20, 2, 1)).size() == 1);
  CHECK(auditor.Apply(8, QuoteOf(98, 30, 1, 9)).empty());
  CHECK(auditor.Apply(9, QuoteOf(98, 30, 2, 2)).size() == 1);
}

TEST_CASE("a late quote counts as seen, also beyond a restart", "[auditor]") {
  Auditor auditor;
  auditor.Apply(1, Crossing(1, 1));
  auditor.Apply(2, QuoteOf(99, 100, 1, 1));
  CHECK(auditor.Apply(3, QuoteOf(101, 50, 1, 2)).empty());
  auditor.Apply(4, Restart{"AAPL"});
  CHECK(auditor.Apply(5, QuoteOf(101, 50, 1, 2)).empty());
  CHECK_FALSE(auditor.LastEventTime("AAPL").has_value());
  auditor.Apply(6, QuoteOf(99, 50, 1, 3));
  CHECK(auditor.LastEventTime("AAPL") == 50);
}

TEST_CASE("a deleted alert stays deleted", "[auditor]") {
  Auditor auditor;
  AlertChange deletion = Crossing(5, 1);
  deletion.deleted = true;
  auditor.Apply(1, deletion);
  auditor.Apply(2, Crossing(4, 4));
  CHECK(auditor.AlertIds().empty());
  CHECK_FALSE(auditor.StateOf("a1", std::nullopt).has_value());
  auditor.Apply(3, QuoteOf(99, 10));
  CHECK(auditor.Apply(4, QuoteOf(101, 20)).empty());
}

TEST_CASE("in a hold the auditor knows what was evaluated before it", "[auditor]") {
  Auditor auditor;
  auditor.Apply(1, QuoteOf(99, 10));
  auditor.Apply(2, Crossing(1, 1));
  auditor.Apply(3, SplitSuspected{"AAPL", 0, 0});
  CHECK(auditor.IsHeld("AAPL"));
  CHECK(auditor.StateOf("a1", std::nullopt) == Shown::kHeld);
  CHECK(auditor.Apply(4, QuoteOf(101, 20)).empty());
  CHECK(auditor.LastEventTime("AAPL") == 10);
  AlertChange created = Crossing(1, 1);
  created.alert_id = "a2";
  auditor.Apply(5, created);
  CHECK_FALSE(auditor.StateOf("a2", std::nullopt).has_value());
  CHECK(auditor.ArmedRevisionOf("a2") == 0);
  AlertChange deletion = Crossing(2, 1);
  deletion.deleted = true;
  auditor.Apply(6, deletion);
  CHECK(auditor.AlertIds() == std::vector<std::string>{"a1"});

  const auto triggers = auditor.Apply(7, SplitDismissed{"AAPL", 0, 0});
  REQUIRE(triggers.size() == 1);
  CHECK(triggers.front().alert_id == "a1");
  CHECK(triggers.front().offset == 7);
  CHECK(triggers.front().event_time_us == 20);
  CHECK_FALSE(auditor.IsHeld("AAPL"));
  CHECK(auditor.AlertIds() == std::vector<std::string>{"a2"});
}

TEST_CASE("a change that names another symbol than its alert's is about no alert, held or not", "[auditor]") {
  Auditor auditor;
  auditor.Apply(1, Crossing(1, 1));
  AlertChange stray = Crossing(2, 2);
  stray.symbol = "MSFT";
  stray.paused = true;
  auditor.Apply(2, stray);
  auditor.Apply(3, SplitSuspected{"MSFT", 0, 0});
  stray.revision = 3;
  auditor.Apply(4, stray);
  auditor.Apply(5, SplitDismissed{"MSFT", 0, 0});
  CHECK(auditor.StateOf("a1", std::nullopt) == Shown::kActive);
  auditor.Apply(6, QuoteOf(99, 10));
  CHECK(auditor.Apply(7, QuoteOf(101, 20)).front().revision == 1);
}

TEST_CASE("a trigger says what it was measured against", "[auditor]") {
  Auditor auditor;
  auditor.Apply(1, QuoteOf(99, 10));
  AlertChange channel = Crossing(1, 1);
  channel.definition.condition = condition::Channel{condition::ChannelOp::kEnters, 100 * kUnit, 105 * kUnit};
  auditor.Apply(2, channel);
  const auto from_below = auditor.Apply(3, QuoteOf(102, 20));
  REQUIRE(from_below.size() == 1);
  CHECK(from_below.front().reference_micros == 100 * kUnit);
  auditor.Apply(4, QuoteOf(107, 30));
  const auto from_above = auditor.Apply(5, QuoteOf(103, 40));
  REQUIRE(from_above.size() == 1);
  CHECK(from_above.front().reference_micros == 105 * kUnit);
  CHECK(from_above.front().trigger_number == 2);
  CHECK_FALSE(from_above.front().ends_alert);
}

TEST_CASE("lines that are no events are faults of the stream", "[auditor]") {
  using nlohmann::json;
  const std::vector<const char*> lines = {
      R"({"op":"buy","id":"a1"})",
      R"({"op":"quote","symbol":"AAPL","price":"1","time":1,"session":"NIGHT","offset":1})",
      R"({"op":"create","id":"a1","symbol":"AAPL","condition":{"kind":"moon"},)"
      R"("policy":"ONCE","creation":"FIRE_IF_MET","sessions":"REGULAR"})",
      R"({"op":"create","id":"a1","symbol":"AAPL","condition":{"kind":"target","op":"AT",)"
      R"("price":"1"},"policy":"ONCE","creation":"FIRE_IF_MET","sessions":"REGULAR"})",
  };
  for (const char* line : lines) {
    INFO(line);
    StreamAuditor auditor;
    // An unknown op is met only by the id of an alert that exists.
    auditor.Apply(
        json::parse(R"({"op":"create","id":"a0","symbol":"AAPL","condition":{"kind":"target",)"
                    R"("op":"CROSSES","price":"1"},"policy":"ONCE","creation":"FIRE_IF_MET","sessions":"REGULAR"})"));
    json event = json::parse(line);
    if (event.at("op") == "buy") event["id"] = "a0";
    CHECK_THROWS_AS(auditor.Apply(event), BadStream);
  }
}

}  // namespace
}  // namespace stockalert::auditor
