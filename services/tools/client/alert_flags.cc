#include "services/tools/client/alert_flags.h"

#include <map>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/base/status_macros.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {

namespace pb = ::stockalert::alert::v1;

namespace {

constexpr char kConditionGroup[] = "Condition (one of)";

// The number of "5%", or empty.
std::string PercentOf(const std::string& text) {
  return !text.empty() && text.back() == '%' ? text.substr(0, text.size() - 1) : std::string();
}

std::string WithoutPercent(const std::string& text) { return PercentOf(text).empty() ? text : PercentOf(text); }

void SetTarget(pb::Condition& condition, const std::string& price, pb::PriceTarget::Comparison comparison) {
  if (price.empty()) return;
  condition.mutable_price_target()->set_comparison(comparison);
  condition.mutable_price_target()->set_price(price);
}

void SetPercent(pb::Condition& condition, const std::string& percent, pb::PercentChange::Direction direction) {
  if (percent.empty()) return;
  condition.mutable_percent_change()->set_direction(direction);
  condition.mutable_percent_change()->set_percent(WithoutPercent(percent));
}

void SetTrailing(pb::Condition& condition, const std::string& distance, pb::TrailingChange::Direction direction) {
  if (distance.empty()) return;
  condition.mutable_trailing_change()->set_direction(direction);
  if (const std::string share = PercentOf(distance); !share.empty()) {
    condition.mutable_trailing_change()->set_percent(share);
  } else {
    condition.mutable_trailing_change()->set_amount(distance);
  }
}

absl::Status SetChannel(pb::Condition& condition, const char* flag, const std::string& bounds,
                        pb::Channel::Transition transition) {
  if (bounds.empty()) return absl::OkStatus();
  const size_t colon = bounds.find(':');
  if (colon == std::string::npos) return WrongUsage(absl::StrCat(flag, " takes LOW:HIGH, as in 140:160"));
  condition.mutable_channel()->set_transition(transition);
  condition.mutable_channel()->set_low(bounds.substr(0, colon));
  condition.mutable_channel()->set_high(bounds.substr(colon + 1));
  return absl::OkStatus();
}

// "repeat", "TRIGGER_POLICY_" → TRIGGER_POLICY_REPEAT. A file is not held to the choices of the flags.
template <typename Enum>
absl::StatusOr<Enum> ChoiceOf(const char* flag, const std::string& value, const char* prefix,
                              bool (*parse)(const std::string&, Enum*)) {
  Enum parsed{};
  if (parse(prefix + absl::AsciiStrToUpper(value), &parsed) && static_cast<int>(parsed) != 0) return parsed;
  return WrongUsage(absl::StrCat(flag, " cannot be ", value));
}

absl::StatusOr<pb::Alert::TriggerPolicy> TriggerPolicyOf(const std::string& policy) {
  return ChoiceOf<pb::Alert::TriggerPolicy>("--policy", policy, "TRIGGER_POLICY_", &pb::Alert::TriggerPolicy_Parse);
}

absl::StatusOr<pb::Alert::CreationPolicy> CreationPolicyOf(const std::string& policy) {
  return ChoiceOf<pb::Alert::CreationPolicy>("--creation", policy, "CREATION_POLICY_",
                                             &pb::Alert::CreationPolicy_Parse);
}

absl::StatusOr<pb::Alert::Sessions> SessionsOf(const std::string& sessions) {
  return ChoiceOf<pb::Alert::Sessions>("--sessions", sessions, "SESSIONS_", &pb::Alert::Sessions_Parse);
}

absl::StatusOr<google::protobuf::Duration> CooldownOf(const std::string& cooldown) {
  return OfFlag("--cooldown", ParseDuration(cooldown));
}

absl::StatusOr<bool> IsCritical(const std::string& text) {
  if (text == "true") return true;
  if (text.empty() || text == "false") return false;
  return WrongUsage(absl::StrCat("--critical cannot be ", text, ": true or false"));
}

const std::string& Or(const std::string& text, const std::string& otherwise) { return text.empty() ? otherwise : text; }

}  // namespace

void AlertFlags::Declare(CLI::App& command) {
  command.add_option("symbol", symbol, "what to watch, as in AAPL")->required();
  DeclareChange(command);
}

void AlertFlags::DeclareChange(CLI::App& command) {
  const auto condition = [&](const char* flag, std::string& value, const char* description) {
    command.add_option(flag, value, description)->group(kConditionGroup);
  };
  const auto choice = [&](const char* flag, std::string& value, const char* description,
                          const std::vector<std::string>& choices) {
    command.add_option(flag, value, description)->check(CLI::IsMember(std::vector<std::string>(choices)));
  };
  condition("--at_or_above", at_or_above, "price >= this");
  condition("--at_or_below", at_or_below, "price <= this");
  condition("--crosses", crosses, "the price comes to this, or passes it");
  condition("--up", up, "percent up");
  condition("--down", down, "percent down");
  condition("--either", either, "percent up or down");
  condition("--falls_from_high", falls_from_high, "an amount, or a percent (5%), below the highest price");
  condition("--rises_from_low", rises_from_low, "an amount, or a percent (5%), above the lowest price");
  condition("--enters", enters, "comes between LOW:HIGH");
  condition("--leaves", leaves, "leaves LOW:HIGH");
  choice("--from", from, "what percent is measured from; else arming",
         {"arming", "previous_close", "day_open", "given", "window"});
  command.add_option("--given", given, "the price that percent is measured from");
  command.add_option("--window", window, "the time within which percent is measured, as in 5m");
  command.add_option("--activation", activation, "the high (low) counts from this price on");
  choice("--policy", policy, "how often it triggers; else once", {"once", "repeat", "once_a_day"});
  command.add_option("--cooldown", cooldown, "with repeat: at least so long between triggers, as in 1h");
  command.add_option("--hysteresis", hysteresis, "how far the price must come back before it triggers again");
  choice("--creation", creation, "what happens where the condition is met already; else fire_if_met",
         {"fire_if_met", "wait_for_cross", "reject_if_met"});
  choice("--sessions", sessions, "which prices count; else regular", {"regular", "extended"});
  command.add_option("--expires", expires, "a time (2026-12-31T21:00:00Z), +7d, or never");
  command.add_option("--note", note, "your own words, sent with each notification")->each([this](const std::string&) {
    changes_note_ = true;
  });
  command
      .add_option_function<std::vector<std::string>>(
          "--destination", [this](const std::vector<std::string>& ids) { destinations = absl::StrJoin(ids, " "); },
          "send its notifications to this destination, and no other; may be repeated")
      ->allow_extra_args(false);
  CLI::Option* none =
      command.add_flag_callback("--no_delivery", [this] { delivery = "none"; }, "send its notifications nowhere");
  command
      .add_flag_callback(
          "--default_delivery", [this] { delivery = "defaults"; },
          "send its notifications to your default destinations; else so")
      ->excludes(none);
  CLI::Option* high = command.add_flag_callback(
      "--critical", [this] { critical = "true"; }, "send its notifications with high priority");
  command.add_flag_callback(
             "--not_critical", [this] { critical = "false"; }, "without high priority; else so")
      ->excludes(high);
}

std::vector<AlertFlags::Named> AlertFlags::Conditions() const {
  return {{"--at_or_above", at_or_above},
          {"--at_or_below", at_or_below},
          {"--crosses", crosses},
          {"--up", up},
          {"--down", down},
          {"--either", either},
          {"--falls_from_high", falls_from_high},
          {"--rises_from_low", rises_from_low},
          {"--enters", enters},
          {"--leaves", leaves}};
}

std::vector<std::string> AlertFlags::GivenConditions() const {
  std::vector<std::string> flags;
  for (const Named& condition : Conditions()) {
    if (!condition.value.empty()) flags.emplace_back(condition.flag);
  }
  return flags;
}

absl::Status AlertFlags::CheckCondition() const {
  const std::vector<std::string> conditions = GivenConditions();
  if (conditions.size() > 1) {
    return WrongUsage(absl::StrJoin(conditions, " and ") + " exclude each other: an alert has one condition");
  }
  if (!activation.empty() && !IsTrailing()) {
    return WrongUsage("--activation goes with --falls_from_high and --rises_from_low alone");
  }
  if (!hysteresis.empty() && (IsPercent() || IsTrailing())) {
    return WrongUsage(absl::StrCat("--hysteresis does not go with ", conditions.front(), ": only prices have one"));
  }
  return CheckReference();
}

absl::Status AlertFlags::CheckReference() const {
  for (const Named& one : {Named{"--from", from}, Named{"--given", given}, Named{"--window", window}}) {
    if (!one.value.empty() && !IsPercent()) {
      return WrongUsage(absl::StrCat(one.flag, " goes with --up, --down and --either alone"));
    }
  }
  if (!given.empty() && !window.empty()) return WrongUsage("--given and --window exclude each other");
  for (const auto& [flag, value, reference] :
       {std::tuple("--given", &given, "given"), std::tuple("--window", &window, "window")}) {
    if (!value->empty() && !from.empty() && from != reference) {
      return WrongUsage(absl::StrCat(flag, " and --from ", from, " exclude each other"));
    }
    if (value->empty() && from == reference) return WrongUsage(absl::StrCat("--from ", from, " needs ", flag));
  }
  return absl::OkStatus();
}

absl::Status AlertFlags::CheckPolicy(const std::string& policy_otherwise) const {
  const std::string& in_force = Or(policy, policy_otherwise);
  if (cooldown.empty() || in_force == "repeat") return absl::OkStatus();
  if (policy.empty()) return WrongUsage("--cooldown needs --policy repeat");
  return WrongUsage(absl::StrCat("--cooldown and --policy ", policy, " exclude each other"));
}

absl::StatusOr<pb::Condition> AlertFlags::MakeCondition() const {
  pb::Condition condition;
  SetTarget(condition, at_or_above, pb::PriceTarget::COMPARISON_AT_OR_ABOVE);
  SetTarget(condition, at_or_below, pb::PriceTarget::COMPARISON_AT_OR_BELOW);
  SetTarget(condition, crosses, pb::PriceTarget::COMPARISON_CROSSES);
  SetPercent(condition, up, pb::PercentChange::DIRECTION_UP);
  SetPercent(condition, down, pb::PercentChange::DIRECTION_DOWN);
  SetPercent(condition, either, pb::PercentChange::DIRECTION_EITHER);
  SetTrailing(condition, falls_from_high, pb::TrailingChange::DIRECTION_FALLS_FROM_HIGH);
  SetTrailing(condition, rises_from_low, pb::TrailingChange::DIRECTION_RISES_FROM_LOW);
  STOCKALERT_RETURN_IF_ERROR(SetChannel(condition, "--enters", enters, pb::Channel::TRANSITION_ENTERS));
  STOCKALERT_RETURN_IF_ERROR(SetChannel(condition, "--leaves", leaves, pb::Channel::TRANSITION_LEAVES));
  if (IsTrailing()) condition.mutable_trailing_change()->set_activation_price(activation);
  if (!IsPercent()) return condition;
  pb::PercentChange& change = *condition.mutable_percent_change();
  const std::string reference = !window.empty() ? "window" : !given.empty() ? "given" : Or(from, "arming");
  STOCKALERT_ASSIGN_OR_RETURN(
      const auto parsed,
      ChoiceOf<pb::PercentChange::Reference>("--from", reference, "REFERENCE_", &pb::PercentChange::Reference_Parse));
  change.set_reference(parsed);
  change.set_given_price(given);
  if (!window.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*change.mutable_window(), OfFlag("--window", ParseDuration(window)));
  }
  return condition;
}

absl::StatusOr<bool> AlertFlags::SetDelivery(pb::Alert& alert) const {
  if (!destinations.empty()) {
    if (!delivery.empty()) {
      const char* other = delivery == "none" ? "--no_delivery" : "--default_delivery";
      return WrongUsage(absl::StrCat("--destination and ", other, " exclude each other"));
    }
    alert.set_delivery(pb::Alert::DELIVERY_NAMED);
    for (const absl::string_view id : absl::StrSplit(destinations, ' ', absl::SkipEmpty()))
      alert.add_destinations(NameOf(std::string(id), "destinations"));
  } else if (delivery == "none" || delivery == "defaults") {
    alert.set_delivery(delivery == "none" ? pb::Alert::DELIVERY_NONE : pb::Alert::DELIVERY_DEFAULTS);
  } else if (!delivery.empty()) {
    return WrongUsage(absl::StrCat("delivery cannot be ", delivery, ": defaults or none"));
  }
  return alert.delivery() != pb::Alert::DELIVERY_UNSPECIFIED;
}

absl::StatusOr<pb::Alert> AlertFlags::Make(absl::Time now) const {
  if (GivenConditions().empty()) {
    return WrongUsage("give a condition, as in --at_or_above 200 or --up 5 --from previous_close");
  }
  STOCKALERT_RETURN_IF_ERROR(CheckCondition());
  STOCKALERT_RETURN_IF_ERROR(CheckPolicy("once"));
  pb::Alert alert;
  alert.set_symbol(symbol);
  STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_condition(), MakeCondition());
  STOCKALERT_ASSIGN_OR_RETURN(const auto trigger_policy, TriggerPolicyOf(Or(policy, "once")));
  STOCKALERT_ASSIGN_OR_RETURN(const auto creation_policy, CreationPolicyOf(Or(creation, "fire_if_met")));
  STOCKALERT_ASSIGN_OR_RETURN(const auto counted_sessions, SessionsOf(Or(sessions, "regular")));
  alert.set_trigger_policy(trigger_policy);
  alert.set_creation_policy(creation_policy);
  alert.set_sessions(counted_sessions);
  if (!cooldown.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_cooldown(), CooldownOf(cooldown));
  }
  if (!expires.empty() && expires != "never") {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_expire_time(), OfFlag("--expires", ParseTime(expires, now)));
  }
  alert.set_hysteresis(hysteresis);
  alert.set_note(note);
  STOCKALERT_RETURN_IF_ERROR(SetDelivery(alert).status());
  STOCKALERT_ASSIGN_OR_RETURN(const bool is_critical, IsCritical(critical));
  alert.set_critical(is_critical);
  return alert;
}

absl::StatusOr<pb::UpdateAlertRequest> AlertFlags::MakeChange(absl::Time now) const {
  STOCKALERT_RETURN_IF_ERROR(CheckCondition());
  // Without --policy, the alert's own is the service's to know.
  STOCKALERT_RETURN_IF_ERROR(CheckPolicy("repeat"));
  pb::UpdateAlertRequest request;
  pb::Alert& alert = *request.mutable_alert();
  const auto changes = [&](bool given_one, const char* path) {
    if (given_one) request.mutable_update_mask()->add_paths(path);
    return given_one;
  };
  if (changes(!GivenConditions().empty(), "condition")) {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_condition(), MakeCondition());
  }
  if (changes(!policy.empty(), "trigger_policy")) {
    STOCKALERT_ASSIGN_OR_RETURN(const auto trigger_policy, TriggerPolicyOf(policy));
    alert.set_trigger_policy(trigger_policy);
  }
  // No other policy than repeat has a cooldown: an old one goes with it.
  if (changes(!cooldown.empty() || (!policy.empty() && policy != "repeat"), "cooldown") && !cooldown.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_cooldown(), CooldownOf(cooldown));
  }
  if (changes(!hysteresis.empty(), "hysteresis")) alert.set_hysteresis(hysteresis);
  if (changes(!creation.empty(), "creation_policy")) {
    STOCKALERT_ASSIGN_OR_RETURN(const auto creation_policy, CreationPolicyOf(creation));
    alert.set_creation_policy(creation_policy);
  }
  if (changes(!sessions.empty(), "sessions")) {
    STOCKALERT_ASSIGN_OR_RETURN(const auto counted_sessions, SessionsOf(sessions));
    alert.set_sessions(counted_sessions);
  }
  if (changes(!expires.empty(), "expire_time") && expires != "never") {
    STOCKALERT_ASSIGN_OR_RETURN(*alert.mutable_expire_time(), OfFlag("--expires", ParseTime(expires, now)));
  }
  if (changes(changes_note_, "note")) alert.set_note(note);
  STOCKALERT_ASSIGN_OR_RETURN(const bool delivers_otherwise, SetDelivery(alert));
  if (changes(delivers_otherwise, "delivery")) changes(true, "destinations");
  if (changes(!critical.empty(), "critical")) {
    STOCKALERT_ASSIGN_OR_RETURN(const bool is_critical, IsCritical(critical));
    alert.set_critical(is_critical);
  }
  if (request.update_mask().paths().empty()) return WrongUsage("give what is to change, as in --at_or_above 210");
  return request;
}

std::string AlertFlags::FlagOf(const std::string& field) const {
  static const std::map<std::string, std::string> kFlags = {
      {"name", "alert"},
      {"symbol", "symbol"},
      {"condition.percent_change.reference", "--from"},
      {"condition.percent_change.given_price", "--given"},
      {"condition.percent_change.window", "--window"},
      {"condition.trailing_change.activation_price", "--activation"},
      {"trigger_policy", "--policy"},
      {"cooldown", "--cooldown"},
      {"hysteresis", "--hysteresis"},
      {"creation_policy", "--creation"},
      {"sessions", "--sessions"},
      {"expire_time", "--expires"},
      {"note", "--note"},
      {"critical", "--critical"}};
  const std::string below(absl::StripPrefix(field, "alert."));
  if (absl::StartsWith(below, "destinations")) return "--destination";
  if (const auto found = kFlags.find(below); found != kFlags.end()) return found->second;
  const std::vector<std::string> conditions = GivenConditions();
  return absl::StartsWith(below, "condition") && conditions.size() == 1 ? conditions.front() : "";
}

}  // namespace stockalert::client
