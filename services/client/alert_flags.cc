#include "services/client/alert_flags.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/client/values.h"
#include "services/common/base/status_macros.h"

namespace stockalert::client {

namespace pb = ::stockalert::alert::v1;

namespace {

// The number of "5%", or empty.
std::string PercentOf(const std::string& text) {
  return !text.empty() && text.back() == '%' ? text.substr(0, text.size() - 1) : std::string();
}

std::string WithoutPercent(const std::string& text) { return PercentOf(text).empty() ? text : PercentOf(text); }

absl::StatusOr<std::pair<std::string, std::string>> BoundsOf(const char* flag, const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat(flag, " takes LOW:HIGH, as in 140:160"));
  return std::pair(text.substr(0, colon), text.substr(colon + 1));
}

}  // namespace

void AlertFlags::Declare(CLI::App& command) {
  command.add_option("symbol", symbol, "what to watch, as in AAPL")->required();
  command.add_option("--at_or_above", at_or_above, "price >= this")->group("Condition (one of)");
  command.add_option("--at_or_below", at_or_below, "price <= this")->group("Condition (one of)");
  command.add_option("--crosses", crosses, "the price comes to this, or passes it")->group("Condition (one of)");
  command.add_option("--up", up, "percent up")->group("Condition (one of)");
  command.add_option("--down", down, "percent down")->group("Condition (one of)");
  command.add_option("--either", either, "percent up or down")->group("Condition (one of)");
  command.add_option("--falls_from_high", falls_from_high, "an amount, or a percent (5%), below the highest price")
      ->group("Condition (one of)");
  command.add_option("--rises_from_low", rises_from_low, "an amount, or a percent (5%), above the lowest price")
      ->group("Condition (one of)");
  command.add_option("--enters", enters, "comes between LOW:HIGH")->group("Condition (one of)");
  command.add_option("--leaves", leaves, "leaves LOW:HIGH")->group("Condition (one of)");
  command.add_option("--from", from, "what percent is measured from")
      ->check(CLI::IsMember({"arming", "previous_close", "day_open", "given", "window"}))
      ->capture_default_str();
  command.add_option("--given", given, "the price for --from given");
  command.add_option("--window", window, "the length for --from window, as in 5m");
  command.add_option("--activation", activation, "the high (low) counts from this price on");
  command.add_option("--policy", policy, "how often it triggers")
      ->check(CLI::IsMember({"once", "repeat", "once_a_day"}))
      ->capture_default_str();
  command.add_option("--cooldown", cooldown, "with repeat: at least so long between triggers, as in 1h");
  command.add_option("--hysteresis", hysteresis, "how far the price must come back before it triggers again");
  command.add_option("--creation", creation, "what happens where the condition is met already")
      ->check(CLI::IsMember({"fire_if_met", "wait_for_cross", "reject_if_met"}))
      ->capture_default_str();
  command.add_option("--sessions", sessions, "which prices count")
      ->check(CLI::IsMember({"regular", "extended"}))
      ->capture_default_str();
  command.add_option("--expires", expires, "a time (2026-12-31T21:00:00Z) or +7d");
  command.add_option("--note", note, "your own words, sent with each notification");
}

absl::StatusOr<pb::Alert> AlertFlags::Make(absl::Time now) const {
  pb::Alert alert;
  alert.set_symbol(symbol);
  int conditions = 0;
  const auto given_one = [&](const std::string& value) { return !value.empty() && ++conditions > 0; };
  const auto target = [&](const std::string& value, pb::PriceTarget::Comparison comparison) {
    if (!given_one(value)) return;
    alert.mutable_condition()->mutable_price_target()->set_comparison(comparison);
    alert.mutable_condition()->mutable_price_target()->set_price(value);
  };
  target(at_or_above, pb::PriceTarget::COMPARISON_AT_OR_ABOVE);
  target(at_or_below, pb::PriceTarget::COMPARISON_AT_OR_BELOW);
  target(crosses, pb::PriceTarget::COMPARISON_CROSSES);
  const auto percent = [&](const std::string& value, pb::PercentChange::Direction direction) {
    if (!given_one(value)) return;
    pb::PercentChange& change = *alert.mutable_condition()->mutable_percent_change();
    change.set_direction(direction);
    change.set_percent(WithoutPercent(value));
    const std::string reference = window.empty() ? (given.empty() ? from : "given") : "window";
    pb::PercentChange::Reference parsed = pb::PercentChange::REFERENCE_UNSPECIFIED;
    pb::PercentChange::Reference_Parse("REFERENCE_" + absl::AsciiStrToUpper(reference), &parsed);
    change.set_reference(parsed);
    change.set_given_price(given);
  };
  percent(up, pb::PercentChange::DIRECTION_UP);
  percent(down, pb::PercentChange::DIRECTION_DOWN);
  percent(either, pb::PercentChange::DIRECTION_EITHER);
  const auto trailing = [&](const std::string& value, pb::TrailingChange::Direction direction) {
    if (!given_one(value)) return;
    pb::TrailingChange& change = *alert.mutable_condition()->mutable_trailing_change();
    change.set_direction(direction);
    if (const std::string share = PercentOf(value); !share.empty()) {
      change.set_percent(share);
    } else {
      change.set_amount(value);
    }
    change.set_activation_price(activation);
  };
  trailing(falls_from_high, pb::TrailingChange::DIRECTION_FALLS_FROM_HIGH);
  trailing(rises_from_low, pb::TrailingChange::DIRECTION_RISES_FROM_LOW);
  for (const auto& [flag, value, transition] : {std::tuple("--enters", &enters, pb::Channel::TRANSITION_ENTERS),
                                                std::tuple("--leaves", &leaves, pb::Channel::TRANSITION_LEAVES)}) {
    if (!given_one(*value)) continue;
    STOCKALERT_ASSIGN_OR_RETURN(const auto bounds, BoundsOf(flag, *value));
    pb::Channel& channel = *alert.mutable_condition()->mutable_channel();
    channel.set_transition(transition);
    channel.set_low(bounds.first);
    channel.set_high(bounds.second);
  }
  if (conditions != 1) {
    return absl::InvalidArgumentError(
        "give exactly one condition, as in --at_or_above 200 or --up 5 --from previous_close; see --help");
  }
  const bool is_percent = alert.condition().has_percent_change();
  if (!is_percent && (!given.empty() || !window.empty() || from != "arming")) {
    return absl::InvalidArgumentError("--from, --given and --window go with --up, --down and --either");
  }
  if (!activation.empty() && !alert.condition().has_trailing_change()) {
    return absl::InvalidArgumentError("--activation goes with --falls_from_high and --rises_from_low");
  }
  if (!given.empty() && !window.empty()) return absl::InvalidArgumentError("--given and --window exclude each other");
  if (!window.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_condition()->mutable_percent_change()->mutable_window(),
                                ParseDuration(window));
  }
  pb::Alert::TriggerPolicy trigger_policy = pb::Alert::TRIGGER_POLICY_UNSPECIFIED;
  pb::Alert::TriggerPolicy_Parse("TRIGGER_POLICY_" + absl::AsciiStrToUpper(policy), &trigger_policy);
  alert.set_trigger_policy(trigger_policy);
  pb::Alert::CreationPolicy creation_policy = pb::Alert::CREATION_POLICY_UNSPECIFIED;
  pb::Alert::CreationPolicy_Parse("CREATION_POLICY_" + absl::AsciiStrToUpper(creation), &creation_policy);
  alert.set_creation_policy(creation_policy);
  alert.set_sessions(sessions == "extended" ? pb::Alert::SESSIONS_EXTENDED : pb::Alert::SESSIONS_REGULAR);
  if (!cooldown.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_cooldown(), ParseDuration(cooldown));
  }
  if (!expires.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_expire_time(), ParseTime(expires, now));
  }
  alert.set_hysteresis(hysteresis);
  alert.set_note(note);
  return alert;
}

}  // namespace stockalert::client
