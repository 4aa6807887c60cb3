#include <catch2/catch.hpp>

#include <functional>
#include <string>
#include <vector>

#include "services/domain/record/definition_codec.h"
#include "services/domain/record/log_record.h"

namespace stockalert::record {
namespace {

using namespace condition;  // NOLINT(google-build-using-namespace): a test of nothing else.
namespace pb = ::stockalert::internal::v1;

Definition Watching(Condition condition) {
  Definition definition;
  definition.condition = condition;
  return definition;
}

std::vector<Definition> Definitions() {
  std::vector<Definition> all;
  for (const TargetOp op : {TargetOp::kAtOrAbove, TargetOp::kAtOrBelow, TargetOp::kCrosses}) {
    all.push_back(Watching(PriceTarget{op, 150'250'000}));
    all.back().hysteresis_micros = 5;
  }
  for (const PercentOp op : {PercentOp::kUp, PercentOp::kDown, PercentOp::kEither}) {
    all.push_back(Watching(PercentChange{op, 25'000, PercentReference::kArming, 0, 0}));
    all.push_back(Watching(PercentChange{op, 25'000, PercentReference::kPreviousClose, 0, 0}));
    all.push_back(Watching(PercentChange{op, 25'000, PercentReference::kDayOpen, 0, 0}));
    all.push_back(Watching(PercentChange{op, 25'000, PercentReference::kGiven, 99'000'000, 0}));
    all.push_back(Watching(PercentChange{op, 25'000, PercentReference::kWindow, 0, 60'000'000}));
  }
  for (const TrailingOp op : {TrailingOp::kFallsFromHigh, TrailingOp::kRisesFromLow}) {
    all.push_back(Watching(TrailingChange{op, 1'000'000, 0, std::nullopt}));
    all.push_back(Watching(TrailingChange{op, 0, 10'000, 120'000'000}));
  }
  all.push_back(Watching(Channel{ChannelOp::kEnters, 1, 2}));
  all.push_back({.condition = Channel{ChannelOp::kLeaves, 100, 200},
                 .trigger_policy = TriggerPolicy::kRepeat,
                 .cooldown_us = 7,
                 .hysteresis_micros = 3,
                 .creation_policy = CreationPolicy::kWaitForCross,
                 .sessions = Sessions::kExtended,
                 .expire_time_us = 1'700'000'000'000'000});
  return all;
}

TEST_CASE("every definition comes back as it went") {
  for (const Definition& definition : Definitions()) {
    const auto decoded = DecodeDefinition(EncodeDefinition(definition));
    REQUIRE(decoded.ok());
    CHECK(*decoded == definition);
  }
}

TEST_CASE("a definition that lacks or misuses a field is refused") {
  const pb::AlertDefinition sound = EncodeDefinition(Definitions().front());
  const std::vector<std::pair<const char*, std::function<void(pb::AlertDefinition&)>>> spoils = {
      {"no condition", [](auto& d) { d.clear_condition(); }},
      {"no op", [](auto& d) { d.mutable_price_target()->clear_op(); }},
      {"unknown op", [](auto& d) { d.mutable_price_target()->set_op(static_cast<pb::PriceTargetDefinition::Op>(9)); }},
      {"no trigger policy", [](auto& d) { d.clear_trigger_policy(); }},
      {"no creation policy", [](auto& d) { d.clear_creation_policy(); }},
      {"price 0", [](auto& d) { d.mutable_price_target()->set_price_micros(0); }},
      {"negative hysteresis", [](auto& d) { d.set_hysteresis_micros(-1); }},
      {"cooldown with ONCE", [](auto& d) { d.set_cooldown_us(1); }},
      {"an empty channel", [](auto& d) { d.mutable_channel(); }},
      {"an empty trailing change", [](auto& d) { d.mutable_trailing_change(); }},
      {"an empty percent change", [](auto& d) { d.mutable_percent_change(); }},
  };
  for (const auto& [name, spoil] : spoils) {
    INFO(name);
    pb::AlertDefinition spoilt = sound;
    spoil(spoilt);
    CHECK(absl::IsInvalidArgument(DecodeDefinition(spoilt).status()));
  }
}

pb::LogRecord SoundQuote() {
  pb::LogRecord record;
  record.mutable_quote()->set_symbol("AAPL");
  record.mutable_quote()->set_price_micros(1);
  record.mutable_quote()->set_session(pb::TRADING_SESSION_REGULAR);
  return record;
}

pb::LogRecord SoundChange() {
  pb::LogRecord record;
  auto& change = *record.mutable_alert_change();
  change.set_alert_id("0b8f8e0e-7c1f-4c39-9d3a-6f4f5f3f2a11");
  change.set_symbol("AAPL");
  change.set_revision(2);
  change.set_armed_revision(1);
  *change.mutable_definition() = EncodeDefinition(Definitions().front());
  return record;
}

pb::LogRecord QuoteOfRules(int32_t rules) {
  pb::LogRecord r = SoundQuote();
  r.mutable_quote()->set_rules(rules);
  return r;
}

pb::LogRecord SplitRecordOf(const std::function<void(pb::SplitRecord&)>& spoil) {
  pb::LogRecord r = EncodeRecord(Split{"AAPL", "s1", 1, {4, 1}, 5});
  if (spoil) spoil(*r.mutable_split());
  return r;
}

TEST_CASE("records of rules and splits come back as they went") {
  for (const Rules rules : {Rules::kFirst, Rules::kWithGaps}) {
    Quote quote;
    quote.symbol = "AAPL";
    quote.rules = rules;
    const ReadRecord read = ReadLogRecord("AAPL", EncodeRecord(quote).SerializeAsString());
    CHECK(std::get<Quote>(read.event).rules == rules);
  }
  CHECK(ReadLogRecord("AAPL", EncodeRecord(SplitSuspected{"AAPL", 3, 4}).SerializeAsString()).event ==
        Event(SplitSuspected{"AAPL", 3, 4}));
  CHECK(ReadLogRecord("AAPL", EncodeRecord(SplitDismissed{"AAPL", 3, 4}).SerializeAsString()).event ==
        Event(SplitDismissed{"AAPL", 3, 4}));
  const auto split =
      std::get<Split>(ReadLogRecord("AAPL", EncodeRecord(Split{"AAPL", "s1", 3, {7, 2}, 5}).SerializeAsString()).event);
  CHECK(split.split_id == "s1");
  CHECK(split.number == 3);
  CHECK(split.ratio == price::SplitRatio{7, 2});
  CHECK(split.effective_time_us == 5);
  AlertChange change;
  change.alert_id = "00000000-0000-4000-8000-000000000001";
  change.symbol = "AAPL";
  change.revision = change.armed_revision = 1;
  change.definition = Definitions().front();
  change.splits_applied = 4;
  const ReadRecord read = ReadLogRecord("AAPL", EncodeRecord(change).SerializeAsString());
  CHECK(std::get<AlertChange>(read.event).splits_applied == 4);
}

TEST_CASE("a record is sound, a quote to be skipped, or a reason to stop") {
  struct Row {
    const char* name;
    Soundness soundness;
    std::function<pb::LogRecord()> make;
    const char* key = "AAPL";
  };
  const std::vector<Row> rows = {
      {"quote", Soundness::kSound, SoundQuote},
      {"a price that the fold refuses is the fold's to count", Soundness::kSound,
       [] {
         auto r = SoundQuote();
         r.mutable_quote()->set_price_micros(-5);
         return r;
       }},
      {"change", Soundness::kSound, SoundChange},
      {"deletion without a definition", Soundness::kSound,
       [] {
         auto r = SoundChange();
         r.mutable_alert_change()->set_deleted(true);
         r.mutable_alert_change()->clear_definition();
         return r;
       }},
      {"quote of the newest rules", Soundness::kSound, [] { return QuoteOfRules(2); }},
      {"quote of unknown rules", Soundness::kUndecodable, [] { return QuoteOfRules(3); }},
      {"quote of negative rules", Soundness::kUndecodable, [] { return QuoteOfRules(-1); }},
      {"split", Soundness::kSound, [] { return SplitRecordOf({}); }},
      {"split under another key", Soundness::kUndecodable, [] { return SplitRecordOf({}); }, "MSFT"},
      {"split without an id", Soundness::kUndecodable,
       [] { return SplitRecordOf([](auto& s) { s.clear_split_id(); }); }},
      {"split without a number", Soundness::kUndecodable,
       [] { return SplitRecordOf([](auto& s) { s.clear_number(); }); }},
      {"split of nothing", Soundness::kUndecodable, [] { return SplitRecordOf([](auto& s) { s.set_numerator(0); }); }},
      {"split into nothing", Soundness::kUndecodable,
       [] { return SplitRecordOf([](auto& s) { s.set_denominator(-1); }); }},
      {"split beyond measure", Soundness::kUndecodable,
       [] { return SplitRecordOf([](auto& s) { s.set_numerator(kSplitSharesMax + 1); }); }},
      {"change with a negative number of splits", Soundness::kUndecodable,
       [] {
         auto r = SoundChange();
         r.mutable_alert_change()->set_splits_applied(-1);
         return r;
       }},
      {"suspicion", Soundness::kSound, [] { return EncodeRecord(SplitSuspected{"AAPL", 1, 2}); }},
      {"dismissal", Soundness::kSound, [] { return EncodeRecord(SplitDismissed{"AAPL", 1, 2}); }},
      {"suspicion under another key", Soundness::kUndecodable,
       [] { return EncodeRecord(SplitSuspected{"AAPL", 1, 2}); }, "MSFT"},
      {"dismissal under another key", Soundness::kUndecodable,
       [] { return EncodeRecord(SplitDismissed{"AAPL", 1, 2}); }, "MSFT"},
      {"suspicion with a negative epoch", Soundness::kUndecodable,
       [] { return EncodeRecord(SplitSuspected{"AAPL", -1, 2}); }},
      {"dismissal with a negative sequence", Soundness::kUndecodable,
       [] { return EncodeRecord(SplitDismissed{"AAPL", 1, -2}); }},
      {"restart", Soundness::kSound,
       [] {
         pb::LogRecord r;
         r.mutable_restart()->set_symbol("AAPL");
         return r;
       }},
      {"quote without symbol", Soundness::kMalformedQuote,
       [] {
         auto r = SoundQuote();
         r.mutable_quote()->clear_symbol();
         return r;
       }},
      {"quote under another key", Soundness::kMalformedQuote, SoundQuote, "MSFT"},
      {"quote without session", Soundness::kMalformedQuote,
       [] {
         auto r = SoundQuote();
         r.mutable_quote()->clear_session();
         return r;
       }},
      {"quote with a negative sequence", Soundness::kMalformedQuote,
       [] {
         auto r = SoundQuote();
         r.mutable_quote()->set_sequence(-1);
         return r;
       }},
      {"unknown kind", Soundness::kUndecodable, [] { return pb::LogRecord(); }},
      {"change without id", Soundness::kUndecodable,
       [] {
         auto r = SoundChange();
         r.mutable_alert_change()->clear_alert_id();
         return r;
       }},
      {"change of no UUID", Soundness::kUndecodable,
       [] {
         auto r = SoundChange();
         r.mutable_alert_change()->set_alert_id("a1");
         return r;
       }},
      {"change under another key", Soundness::kUndecodable, SoundChange, "MSFT"},
      {"change armed in its future", Soundness::kUndecodable,
       [] {
         auto r = SoundChange();
         r.mutable_alert_change()->set_armed_revision(3);
         return r;
       }},
      {"change without definition", Soundness::kUndecodable,
       [] {
         auto r = SoundChange();
         r.mutable_alert_change()->clear_definition();
         return r;
       }},
      {"restart of nothing", Soundness::kUndecodable,
       [] {
         pb::LogRecord r;
         r.mutable_restart();
         return r;
       }},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const ReadRecord read = ReadLogRecord(row.key, row.make().SerializeAsString());
    CHECK(static_cast<int>(read.soundness) == static_cast<int>(row.soundness));
    CHECK(read.problem.empty() == (row.soundness == Soundness::kSound));
    if (read.soundness == Soundness::kSound)
      CHECK(ReadLogRecord(row.key, EncodeRecord(read.event).SerializeAsString()).event.index() == read.event.index());
  }
  CHECK(ReadLogRecord("AAPL", "\xff\xff\xff garbage").soundness == Soundness::kUndecodable);
  CHECK(ReadLogRecord("AAPL", "").soundness == Soundness::kUndecodable);
}

}  // namespace
}  // namespace stockalert::record
