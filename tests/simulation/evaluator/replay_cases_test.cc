// Files of the forms that people really have, replayed whole: the case directory beside the checkout, where it is
// there. Each line of its cases.jsonl names a file and the triggers that its alerts must make, or that it must be
// refused.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "services/domain/condition/definition.h"
#include "services/domain/fold/fold.h"
#include "services/domain/market/exchange_date.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/log_record.h"
#include "services/fetcher/replay_file.h"

namespace stockalert::simulation {
namespace {

using condition::Condition;
using condition::PercentChange;
using condition::PercentOp;
using condition::PercentReference;
using condition::PriceTarget;
using condition::TargetOp;
using nlohmann::json;

int64_t Micros(const json& text) { return price::ParsePrice(text.get<std::string>()).value(); }

// Of the API's JSON. Throws for what the cases have not had yet.
Condition ConditionOf(const json& condition) {
  if (condition.contains("price_target")) {
    static const std::map<std::string, TargetOp> kOps = {{"COMPARISON_AT_OR_ABOVE", TargetOp::kAtOrAbove},
                                                         {"COMPARISON_AT_OR_BELOW", TargetOp::kAtOrBelow},
                                                         {"COMPARISON_CROSSES", TargetOp::kCrosses}};
    const json& target = condition.at("price_target");
    return PriceTarget{kOps.at(target.at("comparison")), Micros(target.at("price"))};
  }
  static const std::map<std::string, PercentOp> kOps = {
      {"DIRECTION_UP", PercentOp::kUp}, {"DIRECTION_DOWN", PercentOp::kDown}, {"DIRECTION_EITHER", PercentOp::kEither}};
  static const std::map<std::string, PercentReference> kReferences = {
      {"REFERENCE_ARMING_PRICE", PercentReference::kArming},
      {"REFERENCE_PREVIOUS_CLOSE", PercentReference::kPreviousClose},
      {"REFERENCE_DAY_OPEN", PercentReference::kDayOpen}};
  const json& change = condition.at("percent_change");
  return PercentChange{kOps.at(change.at("direction")),
                       price::ParseDecimal(change.at("percent").get<std::string>(), 4).value(),
                       kReferences.at(change.at("reference")), 0, 0};
}

record::Event AlertOf(const std::string& id, const std::string& symbol, const json& alert) {
  record::AlertChange change;
  change.alert_id = id;
  change.symbol = symbol;
  change.revision = change.armed_revision = 1;
  change.definition.condition = ConditionOf(alert.at("condition"));
  change.definition.trigger_policy = condition::TriggerPolicy::kOnce;
  if (alert.value("sessions", "") == "SESSIONS_EXTENDED") change.definition.sessions = condition::Sessions::kExtended;
  return change;
}

std::string DateOf(int64_t event_time_us) {
  const int32_t date = market::ExchangeDayOf(event_time_us).date;
  return absl::FormatCivilTime(absl::CivilDay(1970, 1, 1) + date);
}

std::map<std::string, std::vector<json>> TriggersOf(const fetcher::ReplayFile& file,
                                                    const std::vector<record::Event>& alerts) {
  std::map<std::string, std::vector<json>> triggers;
  fold::Fold fold;
  int64_t offset = 0;
  const auto apply = [&](const record::Event& event) {
    fold::Outcome outcome;
    fold.Apply(event, {offset++, 0}, &outcome);
    for (const auto& trigger : outcome.triggers) {
      triggers[trigger.alert_id].push_back(
          {{"price", price::FormatMicros(trigger.price_micros)},
           {"date", DateOf(trigger.event_time_us)},
           {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", absl::FromUnixMicros(trigger.event_time_us),
                                     absl::UTCTimeZone())}});
    }
  };
  for (const record::Event& alert : alerts) apply(alert);
  for (const fetcher::ReplayTick& tick : file.ticks) {
    internal::v1::LogRecord log_record;
    *log_record.mutable_quote() = file.QuoteOf(tick);
    log_record.mutable_quote()->set_publisher_epoch(1);
    log_record.mutable_quote()->set_sequence(offset + 1);
    apply(record::ReadLogRecord(log_record.quote().symbol(), log_record.SerializeAsString()).event);
  }
  return triggers;
}

void RunCase(const std::filesystem::path& directory, const json& wanted) {
  INFO(wanted.dump());
  const std::filesystem::path path = directory / wanted.at("file").get<std::string>();
  REQUIRE(std::filesystem::exists(path));
  const std::string symbol = wanted.value("symbol", "");
  const auto file = fetcher::ReadReplayFile(path, symbol);
  if (wanted.value("refused", false)) {
    CHECK_FALSE(file.ok());
    CHECK_THAT(std::string(file.status().message()), Catch::Contains("line "));
    return;
  }
  INFO(file.status());
  REQUIRE(file.ok());
  std::vector<record::Event> alerts;
  for (const json& alert : wanted.at("alerts"))
    alerts.push_back(AlertOf("a" + std::to_string(alerts.size()), alert.value("symbol", symbol), alert));
  const auto triggers = TriggersOf(*file, alerts);
  for (size_t i = 0; i < alerts.size(); ++i) {
    const auto found = triggers.find("a" + std::to_string(i));
    const std::vector<json> got = found == triggers.end() ? std::vector<json>() : found->second;
    const json& want = wanted.at("alerts")[i].at("triggers");
    INFO("got " << json(got).dump() << ", wanted " << want.dump());
    REQUIRE(got.size() == want.size());
    for (size_t n = 0; n < got.size(); ++n) {
      for (const auto& [field, value] : want[n].items()) CHECK(got[n].at(field) == value);
    }
  }
}

TEST_CASE("files from the field, replayed whole", "[simulation]") {
  const char* given = std::getenv("STOCKALERT_REPLAY_CASES");
  const std::filesystem::path directory = given != nullptr ? given : STOCKALERT_REPLAY_CASES;
  std::ifstream cases(directory / "cases.jsonl");
  if (!cases) {
    std::cout << directory << " is not there: skipped\n";
    return;
  }
  int count = 0;
  for (std::string line; std::getline(cases, line); ++count) RunCase(directory, json::parse(line));
  std::cout << directory << ": " << count << " cases\n";
  CHECK(count > 0);
}

}  // namespace
}  // namespace stockalert::simulation
