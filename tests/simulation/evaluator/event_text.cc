#include "tests/simulation/evaluator/event_text.h"

#include <optional>
#include <variant>

#include <nlohmann/json.hpp>

#include "tests/support/auditor/stream.h"

namespace stockalert::simulation {

using auditor::MicrosText;
using condition::Definition;
using nlohmann::ordered_json;

namespace {

ordered_json ConditionJson(const condition::Condition& condition) {
  static constexpr const char* kTargetOps[] = {"AT_OR_ABOVE", "AT_OR_BELOW", "CROSSES"};
  static constexpr const char* kPercentOps[] = {"UP", "DOWN", "EITHER"};
  static constexpr const char* kReferences[] = {"ARMING", "PREV_CLOSE", "DAY_OPEN", "GIVEN", "WINDOW"};
  static constexpr const char* kTrailingOps[] = {"FALLS_FROM_HIGH", "RISES_FROM_LOW"};
  static constexpr const char* kChannelOps[] = {"ENTERS", "LEAVES"};
  // A percentage has four decimals, a price six.
  const auto percent_text = [](int64_t percent_e4) { return MicrosText(percent_e4 * 100); };
  ordered_json text;
  if (const auto* target = std::get_if<condition::PriceTarget>(&condition)) {
    text = {{"kind", "target"},
            {"op", kTargetOps[static_cast<int>(target->op)]},
            {"price", MicrosText(target->price_micros)}};
  } else if (const auto* change = std::get_if<condition::PercentChange>(&condition)) {
    text = {{"kind", "percent"},
            {"op", kPercentOps[static_cast<int>(change->op)]},
            {"percent", percent_text(change->percent_e4)},
            {"reference", kReferences[static_cast<int>(change->reference)]}};
    if (change->reference == condition::PercentReference::kGiven)
      text["given"] = MicrosText(change->given_price_micros);
    if (change->reference == condition::PercentReference::kWindow) text["window_us"] = change->window_us;
  } else if (const auto* trailing = std::get_if<condition::TrailingChange>(&condition)) {
    text = {{"kind", "trailing"}, {"op", kTrailingOps[static_cast<int>(trailing->op)]}};
    if (trailing->percent_e4 > 0) {
      text["percent"] = percent_text(trailing->percent_e4);
    } else {
      text["amount"] = MicrosText(trailing->amount_micros);
    }
    if (trailing->activation_price_micros.has_value())
      text["activation"] = MicrosText(*trailing->activation_price_micros);
  } else {
    const auto& channel = std::get<condition::Channel>(condition);
    text = {{"kind", "channel"},
            {"op", kChannelOps[static_cast<int>(channel.op)]},
            {"low", MicrosText(channel.low_micros)},
            {"high", MicrosText(channel.high_micros)}};
  }
  return text;
}

ordered_json TimeOrNull(std::optional<int64_t> time_us) {
  return time_us.has_value() ? ordered_json(*time_us) : ordered_json();
}

template <typename Record>
ordered_json SuspicionJson(const char* op, const Record& record, int64_t offset) {
  return {{"op", op},
          {"symbol", record.symbol},
          {"epoch", record.publisher_epoch},
          {"sequence", record.sequence},
          {"offset", offset}};
}

}  // namespace

std::string EventLine(const PlacedEvent& placed) {
  static constexpr const char* kSessions[] = {"PRE", "REGULAR", "POST", "CLOSED"};
  static constexpr const char* kPolicies[] = {"ONCE", "REPEAT", "ONCE_A_DAY"};
  static constexpr const char* kCreations[] = {"FIRE_IF_MET", "WAIT_FOR_CROSS", "REJECT_IF_MET"};
  static constexpr const char* kCounted[] = {"REGULAR", "EXTENDED"};
  ordered_json line;
  if (const auto* quote = std::get_if<record::Quote>(&placed.event)) {
    line = {{"op", "quote"},
            {"symbol", quote->symbol},
            {"price", MicrosText(quote->price_micros)},
            {"time", quote->event_time_us},
            {"session", kSessions[static_cast<int>(quote->session)]},
            {"offset", placed.place.offset}};
    if (quote->previous_close_micros.has_value()) line["prev_close"] = MicrosText(*quote->previous_close_micros);
    if (quote->day_open_micros.has_value()) line["day_open"] = MicrosText(*quote->day_open_micros);
    if (quote->day_high_micros.has_value()) line["day_high"] = MicrosText(*quote->day_high_micros);
    if (quote->day_low_micros.has_value()) line["day_low"] = MicrosText(*quote->day_low_micros);
    if (quote->rules != record::kNewestRules) line["rules"] = static_cast<int>(quote->rules);
    if (quote->publisher_epoch != 0) {
      line["epoch"] = quote->publisher_epoch;
      line["sequence"] = quote->sequence;
    }
  } else if (const auto* change = std::get_if<record::AlertChange>(&placed.event)) {
    const Definition& definition = change->definition;
    line = {{"op", "alert"},
            {"id", change->alert_id},
            {"symbol", change->symbol},
            {"revision", change->revision},
            {"armed_revision", change->armed_revision},
            {"paused", change->paused},
            {"deleted", change->deleted},
            {"condition", ConditionJson(definition.condition)},
            {"policy", kPolicies[static_cast<int>(definition.trigger_policy)]},
            {"cooldown_us", definition.cooldown_us},
            {"hysteresis", MicrosText(definition.hysteresis_micros)},
            {"creation", kCreations[static_cast<int>(definition.creation_policy)]},
            {"sessions", kCounted[static_cast<int>(definition.sessions)]},
            {"expire_time", TimeOrNull(definition.expire_time_us)},
            {"splits_applied", change->splits_applied}};
  } else if (const auto* split = std::get_if<record::Split>(&placed.event)) {
    line = {{"op", "split"},
            {"symbol", split->symbol},
            {"ratio", std::to_string(split->ratio.numerator) + "/" + std::to_string(split->ratio.denominator)},
            {"time", split->effective_time_us},
            {"number", split->number},
            {"offset", placed.place.offset}};
  } else if (const auto* suspected = std::get_if<record::SplitSuspected>(&placed.event)) {
    line = SuspicionJson("split_suspected", *suspected, placed.place.offset);
  } else if (const auto* dismissed = std::get_if<record::SplitDismissed>(&placed.event)) {
    line = SuspicionJson("split_dismissed", *dismissed, placed.place.offset);
  } else {
    line = {
        {"op", "restart"}, {"symbol", std::get<record::Restart>(placed.event).symbol}, {"offset", placed.place.offset}};
  }
  return line.dump();
}

std::string StreamText(const std::vector<PlacedEvent>& events) {
  std::string text;
  for (const PlacedEvent& placed : events) text += EventLine(placed) + "\n";
  return text;
}

}  // namespace stockalert::simulation
