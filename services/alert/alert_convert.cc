#include "services/alert/alert_convert.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "services/alert/alert_errors.h"
#include "services/alert/alert_rules.h"
#include "services/common/base/abseil.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/resource_name.h"
#include "services/common/grpc/time_convert.h"
#include "services/domain/market/symbol.h"
#include "services/domain/price/decimal.h"

namespace stockalert::alert {
namespace {

using base::FieldViolations;
using condition::Definition;

constexpr int kPriceDigits = 6;
constexpr int kPercentDigits = 4;
constexpr char kNotAPrice[] =
    "must be a decimal above 0 and at most 1000000000000, with at most six decimals, as in \"150.25\"";
constexpr char kNotAPercent[] = "must be a decimal above 0 with at most four decimals, as in \"2.5\"";
constexpr char kRequired[] = "is required";
constexpr char kUnknownValue[] = "is not a value that this version knows";

// Reads one message's fields, collecting what is wrong.
class Reader {
 public:
  // `user_id`: whose alert it is.
  Reader(std::string_view prefix, std::string_view user_id, FieldViolations& violations)
      : prefix_(prefix), user_id_(user_id), violations_(violations) {}

  std::string Field(std::string_view name) const {
    return prefix_.empty() ? std::string(name) : absl::StrCat(prefix_, ".", base::ToAbsl(name));
  }

  void Refuse(std::string_view name, std::string_view description) {
    violations_.Add(Field(name), description);
    ok_ = false;
  }

  bool ok() const { return ok_; }

  int64_t Price(std::string_view name, const std::string& text) {
    if (text.empty()) {
      Refuse(name, kRequired);
      return 0;
    }
    const absl::StatusOr<int64_t> micros = price::ParsePrice(text);
    if (!micros.ok()) Refuse(name, kNotAPrice);
    return micros.ok() ? *micros : 0;
  }

  int64_t Percent(std::string_view name, const std::string& text) {
    if (text.empty()) {
      Refuse(name, kRequired);
      return 0;
    }
    const absl::StatusOr<int64_t> percent_e4 = price::ParseDecimal(text, kPercentDigits);
    if (percent_e4.ok() && *percent_e4 > 0) return *percent_e4;
    Refuse(name, kNotAPercent);
    return 0;
  }

  int64_t Duration(std::string_view name, const google::protobuf::Duration& duration, bool zero_allowed) {
    if (duration.nanos() % 1000 != 0) {
      Refuse(name, "must be whole microseconds");
      return 0;
    }
    const std::string field = Field(name);
    const absl::StatusOr<int64_t> us = rpc::DurationToUs(duration, field);
    if (!us.ok()) {
      violations_.Merge(us.status(), field);
      ok_ = false;
      return 0;
    }
    if (*us < 0 || (*us == 0 && !zero_allowed)) Refuse(name, zero_allowed ? "must be 0 or more" : "must be above 0");
    return *us;
  }

  // UNSPECIFIED (0) is `fallback`; none where it is required.
  template <typename Plain>
  Plain Enum(std::string_view name, int value, std::optional<Plain> fallback, Plain last) {
    if (value == 0) {
      if (fallback) return *fallback;
      Refuse(name, kRequired);
      return last;
    }
    if (value < 0 || value > static_cast<int>(last) + 1) {
      Refuse(name, kUnknownValue);
      return last;
    }
    return static_cast<Plain>(value - 1);
  }

  void Target(const v1::PriceTarget& message, Definition& definition) {
    condition::PriceTarget target;
    target.op = Enum<condition::TargetOp>("condition.price_target.comparison", message.comparison(), std::nullopt,
                                          condition::TargetOp::kCrosses);
    target.price_micros = Price("condition.price_target.price", message.price());
    definition.condition = target;
  }

  void Change(const v1::PercentChange& message, Definition& definition) {
    condition::PercentChange change;
    change.op = Enum<condition::PercentOp>("condition.percent_change.direction", message.direction(), std::nullopt,
                                           condition::PercentOp::kEither);
    change.percent_e4 = Percent("condition.percent_change.percent", message.percent());
    change.reference =
        Enum<condition::PercentReference>("condition.percent_change.reference", message.reference(),
                                          condition::PercentReference::kArming, condition::PercentReference::kWindow);
    if (change.reference == condition::PercentReference::kGiven) {
      change.given_price_micros = Price("condition.percent_change.given_price", message.given_price());
    } else if (!message.given_price().empty()) {
      Refuse("condition.percent_change.given_price", "goes with reference GIVEN only");
    }
    if (change.reference == condition::PercentReference::kWindow) {
      if (message.has_window()) {
        change.window_us = Duration("condition.percent_change.window", message.window(), false);
      } else {
        Refuse("condition.percent_change.window", kRequired);
      }
    } else if (message.has_window()) {
      Refuse("condition.percent_change.window", "goes with reference WINDOW only");
    }
    definition.condition = change;
  }

  void Trailing(const v1::TrailingChange& message, Definition& definition) {
    condition::TrailingChange trailing;
    trailing.op = Enum<condition::TrailingOp>("condition.trailing_change.direction", message.direction(), std::nullopt,
                                              condition::TrailingOp::kRisesFromLow);
    switch (message.distance_case()) {
      case v1::TrailingChange::kAmount:
        trailing.amount_micros = Price("condition.trailing_change.amount", message.amount());
        break;
      case v1::TrailingChange::kPercent:
        trailing.percent_e4 = Percent("condition.trailing_change.percent", message.percent());
        break;
      case v1::TrailingChange::DISTANCE_NOT_SET:
        Refuse("condition.trailing_change", "needs an amount or a percent");
        break;
    }
    if (!message.activation_price().empty()) {
      trailing.activation_price_micros =
          Price("condition.trailing_change.activation_price", message.activation_price());
    }
    definition.condition = trailing;
  }

  void ChannelOf(const v1::Channel& message, Definition& definition) {
    condition::Channel channel;
    channel.op = Enum<condition::ChannelOp>("condition.channel.transition", message.transition(), std::nullopt,
                                            condition::ChannelOp::kLeaves);
    channel.low_micros = Price("condition.channel.low", message.low());
    channel.high_micros = Price("condition.channel.high", message.high());
    definition.condition = channel;
  }

  void Condition(const v1::Alert& message, Definition& definition) {
    const v1::Condition& condition = message.condition();
    switch (condition.kind_case()) {
      case v1::Condition::kPriceTarget:
        return Target(condition.price_target(), definition);
      case v1::Condition::kPercentChange:
        return Change(condition.percent_change(), definition);
      case v1::Condition::kTrailingChange:
        return Trailing(condition.trailing_change(), definition);
      case v1::Condition::kChannel:
        return ChannelOf(condition.channel(), definition);
      case v1::Condition::KIND_NOT_SET:
        return Refuse("condition",
                      "is required: exactly one of price_target, percent_change, trailing_change and channel");
    }
  }

  void Hysteresis(const v1::Alert& message, Definition& definition) {
    definition.hysteresis_micros = 0;
    if (message.hysteresis().empty()) return;
    const absl::StatusOr<int64_t> micros = price::ParseDecimal(message.hysteresis(), kPriceDigits);
    if (!micros.ok() || *micros < 0) {
      return Refuse("hysteresis",
                    "must be a decimal of 0 or more and at most 1000000000000, with at most six decimals");
    }
    definition.hysteresis_micros = *micros;
  }

  void Expiry(const v1::Alert& message, Definition& definition) {
    definition.expire_time_us.reset();
    if (!message.has_expire_time()) return;
    const std::string field = Field("expire_time");
    const absl::StatusOr<int64_t> us = rpc::TimestampToUs(message.expire_time(), field);
    if (!us.ok()) {
      violations_.Merge(us.status(), field);
      ok_ = false;
      return;
    }
    definition.expire_time_us = *us;
  }

  // The ids of the destinations that the message names: at most kNamedDestinationsMax of the alert's user, each once.
  // None where they are refused.
  std::optional<std::vector<std::string>> Destinations(const v1::Alert& message) {
    std::vector<std::string> ids;
    if (message.destinations_size() > static_cast<int>(message::kNamedDestinationsMax)) {
      Refuse("destinations", absl::StrCat("must be at most ", message::kNamedDestinationsMax));
      return std::nullopt;
    }
    bool sound = true;
    for (int i = 0; i < message.destinations_size(); ++i) {
      const std::string field = Field(absl::StrCat("destinations[", i, "]"));
      const auto segments = rpc::ParseName(kDestinationPattern, message.destinations(i), field);
      if (!segments.ok()) {
        violations_.Merge(segments.status(), field);
      } else if (segments->at(0) != "me" && segments->at(0) != user_id_) {
        violations_.Add(field, "must be a destination of the alert's user");
      } else if (std::find(ids.begin(), ids.end(), segments->at(1)) != ids.end()) {
        violations_.Add(field, "is named before");
      } else {
        ids.push_back(segments->at(1));
        continue;
      }
      sound = false;
    }
    if (sound) return ids;
    ok_ = false;
    return std::nullopt;
  }

  void Routing(const v1::Alert& message, const std::set<std::string>& fields, message::Routing& routing) {
    if (fields.count("critical") > 0) routing.critical = message.critical();
    const bool names = fields.count("destinations") > 0;
    if (names) {
      std::optional<std::vector<std::string>> ids = Destinations(message);
      if (!ids) return;
      routing.destination_ids = *std::move(ids);
    }
    if (fields.count("delivery") > 0) {
      const int value = message.delivery();
      if (value < 0 || value > static_cast<int>(message::Route::kNone)) return Refuse("delivery", kUnknownValue);
      const message::Route usual = routing.destination_ids.empty() ? message::Route::kDefaults : message::Route::kNamed;
      routing.route = value == 0 ? usual : static_cast<message::Route>(value);
      // Those of before were named for what is no longer asked for.
      if (!names && routing.route != message::Route::kNamed) routing.destination_ids.clear();
    }
    if ((routing.route == message::Route::kNamed) == !routing.destination_ids.empty()) return;
    Refuse("destinations", routing.destination_ids.empty()
                               ? absl::StrCat("must be 1 to ", message::kNamedDestinationsMax, " with delivery NAMED")
                               : "goes with delivery NAMED only");
  }

  // The named fields of the message; what is not named stays.
  void Fields(const v1::Alert& message, const std::set<std::string>& fields, WantedAlert& wanted) {
    Definition& definition = wanted.definition;
    const Definition before = definition;
    std::string& note = wanted.note;
    Routing(message, fields, wanted.routing);
    if (fields.count("condition") > 0) Condition(message, definition);
    if (fields.count("trigger_policy") > 0) {
      definition.trigger_policy =
          Enum<condition::TriggerPolicy>("trigger_policy", message.trigger_policy(), condition::TriggerPolicy::kOnce,
                                         condition::TriggerPolicy::kOnceADay);
    }
    if (fields.count("cooldown") > 0) {
      definition.cooldown_us = message.has_cooldown() ? Duration("cooldown", message.cooldown(), true) : 0;
    }
    if (fields.count("hysteresis") > 0) Hysteresis(message, definition);
    if (fields.count("creation_policy") > 0) {
      definition.creation_policy = Enum<condition::CreationPolicy>("creation_policy", message.creation_policy(),
                                                                   condition::CreationPolicy::kFireIfMet,
                                                                   condition::CreationPolicy::kRejectIfMet);
    }
    if (fields.count("sessions") > 0) {
      definition.sessions = Enum<condition::Sessions>("sessions", message.sessions(), condition::Sessions::kRegular,
                                                      condition::Sessions::kExtended);
    }
    if (fields.count("expire_time") > 0) Expiry(message, definition);
    if (fields.count("note") > 0) {
      note = message.note();
      if (!rpc::CheckText(violations_, Field("note"), note, 0, kNoteCharactersMax)) ok_ = false;
    }
    // The rules between fields, where each of them is right by itself. What stays as it is need not obey them: a split
    // may have brought bounds together.
    if (!ok_ || !before.ArmsWhenChangedTo(definition)) return;
    if (const std::optional<condition::Violation> violation = condition::FindViolation(definition)) {
      Refuse(violation->field, violation->description);
    }
  }

  void Symbol(const std::string& text, std::string& symbol) {
    const std::optional<std::string> normal = market::NormalizeSymbol(text);
    if (!normal) return Refuse("symbol", text.empty() ? kRequired : market::kSymbolRule);
    symbol = *normal;
  }

 private:
  const std::string prefix_;
  const std::string user_id_;
  FieldViolations& violations_;
  bool ok_ = true;
};

template <typename Wire, typename Plain>
Wire ToWire(Plain value) {
  return static_cast<Wire>(static_cast<int>(value) + 1);
}

static_assert(static_cast<int>(condition::TargetOp::kCrosses) + 1 == v1::PriceTarget::COMPARISON_CROSSES);
static_assert(static_cast<int>(condition::PercentOp::kEither) + 1 == v1::PercentChange::DIRECTION_EITHER);
static_assert(static_cast<int>(condition::PercentReference::kPreviousClose) + 1 ==
              v1::PercentChange::REFERENCE_PREVIOUS_CLOSE);
static_assert(static_cast<int>(condition::PercentReference::kDayOpen) + 1 == v1::PercentChange::REFERENCE_DAY_OPEN);
static_assert(static_cast<int>(condition::PercentReference::kGiven) + 1 == v1::PercentChange::REFERENCE_GIVEN);
static_assert(static_cast<int>(condition::PercentReference::kWindow) + 1 == v1::PercentChange::REFERENCE_WINDOW);
static_assert(static_cast<int>(condition::TrailingOp::kRisesFromLow) + 1 ==
              v1::TrailingChange::DIRECTION_RISES_FROM_LOW);
static_assert(static_cast<int>(condition::ChannelOp::kLeaves) + 1 == v1::Channel::TRANSITION_LEAVES);
static_assert(static_cast<int>(condition::TriggerPolicy::kOnceADay) + 1 == v1::Alert::TRIGGER_POLICY_ONCE_A_DAY);
static_assert(static_cast<int>(condition::CreationPolicy::kRejectIfMet) + 1 ==
              v1::Alert::CREATION_POLICY_REJECT_IF_MET);
static_assert(static_cast<int>(condition::Sessions::kExtended) + 1 == v1::Alert::SESSIONS_EXTENDED);
static_assert(static_cast<int>(message::Route::kDefaults) == v1::Alert::DELIVERY_DEFAULTS);
static_assert(static_cast<int>(message::Route::kNamed) == v1::Alert::DELIVERY_NAMED);
static_assert(static_cast<int>(message::Route::kNone) == v1::Alert::DELIVERY_NONE);
static_assert(static_cast<int>(ShownState::kPending) == v1::Alert::STATE_PENDING);
static_assert(static_cast<int>(ShownState::kWaiting) == v1::Alert::STATE_WAITING);
static_assert(static_cast<int>(ShownState::kExpired) == v1::Alert::STATE_EXPIRED);
static_assert(static_cast<int>(ShownState::kHeld) == v1::Alert::STATE_HELD);

struct ConditionWriter {
  v1::Condition& out;

  void operator()(const condition::PriceTarget& target) const {
    v1::PriceTarget& message = *out.mutable_price_target();
    message.set_comparison(ToWire<v1::PriceTarget::Comparison>(target.op));
    message.set_price(price::FormatMicros(target.price_micros));
  }

  void operator()(const condition::PercentChange& change) const {
    v1::PercentChange& message = *out.mutable_percent_change();
    message.set_direction(ToWire<v1::PercentChange::Direction>(change.op));
    message.set_percent(price::FormatPercentE4(change.percent_e4));
    message.set_reference(ToWire<v1::PercentChange::Reference>(change.reference));
    if (change.reference == condition::PercentReference::kGiven)
      message.set_given_price(price::FormatMicros(change.given_price_micros));
    if (change.reference == condition::PercentReference::kWindow)
      *message.mutable_window() = rpc::DurationFromUs(change.window_us);
  }

  void operator()(const condition::TrailingChange& trailing) const {
    v1::TrailingChange& message = *out.mutable_trailing_change();
    message.set_direction(ToWire<v1::TrailingChange::Direction>(trailing.op));
    if (trailing.percent_e4 > 0) {
      message.set_percent(price::FormatPercentE4(trailing.percent_e4));
    } else {
      message.set_amount(price::FormatMicros(trailing.amount_micros));
    }
    if (trailing.activation_price_micros)
      message.set_activation_price(price::FormatMicros(*trailing.activation_price_micros));
  }

  void operator()(const condition::Channel& channel) const {
    v1::Channel& message = *out.mutable_channel();
    message.set_transition(ToWire<v1::Channel::Transition>(channel.op));
    message.set_low(price::FormatMicros(channel.low_micros));
    message.set_high(price::FormatMicros(channel.high_micros));
  }
};

}  // namespace

std::optional<WantedAlert> ReadNewAlert(const v1::Alert& message, const std::string& user_id, std::string_view prefix,
                                        FieldViolations& violations) {
  Reader reader(prefix, user_id, violations);
  WantedAlert wanted;
  reader.Symbol(message.symbol(), wanted.symbol);
  reader.Fields(message, UpdatableFields(), wanted);
  if (!reader.ok()) return std::nullopt;
  return wanted;
}

const std::set<std::string>& UpdatableFields() {
  static const std::set<std::string> fields = {"condition",       "trigger_policy", "cooldown",    "hysteresis",
                                               "creation_policy", "sessions",       "expire_time", "note",
                                               "delivery",        "destinations",   "critical"};
  return fields;
}

std::set<std::string> FieldsSetIn(const v1::Alert& message) {
  std::set<std::string> fields;
  if (message.has_condition()) fields.insert("condition");
  if (message.trigger_policy() != 0) fields.insert("trigger_policy");
  if (message.has_cooldown()) fields.insert("cooldown");
  if (!message.hysteresis().empty()) fields.insert("hysteresis");
  if (message.creation_policy() != 0) fields.insert("creation_policy");
  if (message.sessions() != 0) fields.insert("sessions");
  if (message.has_expire_time()) fields.insert("expire_time");
  if (!message.note().empty()) fields.insert("note");
  if (message.delivery() != 0) fields.insert("delivery");
  if (message.destinations_size() > 0) fields.insert("destinations");
  if (message.critical()) fields.insert("critical");
  return fields;
}

absl::StatusOr<WantedAlert> ReadPatch(const v1::Alert& message, const std::set<std::string>& fields,
                                      const StoredAlert& present) {
  FieldViolations violations;
  Reader reader("alert", present.user_id, violations);
  WantedAlert wanted{present.symbol, present.record.definition, present.note, present.routing};
  if (!message.symbol().empty() && market::NormalizeSymbol(message.symbol()) != present.symbol) {
    reader.Refuse("symbol", "never changes: create an alert on the other symbol instead");
  }
  // A symbol that is wrong must not hide what is wrong with the rest.
  Reader("alert", present.user_id, violations).Fields(message, fields, wanted);
  if (absl::Status status = violations.ToStatus(); !status.ok()) return status;
  return wanted;
}

absl::StatusOr<std::vector<std::string>> ReadDestinations(const v1::Alert& message, const std::string& user_id) {
  FieldViolations violations;
  std::optional<std::vector<std::string>> ids = Reader("alert", user_id, violations).Destinations(message);
  if (!ids) return violations.ToStatus();
  return *std::move(ids);
}

v1::Trigger ToMessage(const RecordedTrigger& trigger) {
  v1::Trigger message;
  message.set_name(rpc::FormatName(kTriggerPattern, {trigger.user_id, trigger.alert_id, absl::StrCat(trigger.number)}));
  message.set_symbol(trigger.symbol);
  message.set_number(trigger.number);
  message.set_revision(trigger.revision);
  message.set_price(price::FormatMicros(trigger.price_micros));
  *message.mutable_event_time() = rpc::TimestampFromUs(trigger.event_time_us);
  if (trigger.price_before_micros) message.set_price_before(price::FormatMicros(*trigger.price_before_micros));
  if (trigger.reference_micros) message.set_reference(price::FormatMicros(*trigger.reference_micros));
  message.set_late(trigger.late);
  if (trigger.late_from_us) *message.mutable_late_from_time() = rpc::TimestampFromUs(*trigger.late_from_us);
  message.set_partition(trigger.partition);
  message.set_offset(trigger.offset);
  message.set_throttled(trigger.throttled);
  *message.mutable_create_time() = rpc::TimestampFromUs(trigger.create_time_us);
  return message;
}

void WriteCondition(const condition::Condition& condition, v1::Condition& message) {
  std::visit(ConditionWriter{message}, condition);
}

v1::Alert ToMessage(const ShownAlert& view, int64_t now_us) {
  const StoredAlert& alert = view.alert;
  const Definition& definition = alert.record.definition;
  v1::Alert message;
  // One that is only validated has no identity.
  if (!alert.id.empty()) {
    message.set_name(rpc::FormatName(kAlertPattern, {alert.user_id, alert.id}));
    message.set_etag(rpc::MakeEtag(EtagIdOf(alert), alert.record.revision));
  }
  message.set_symbol(alert.symbol);
  WriteCondition(definition.condition, *message.mutable_condition());
  message.set_trigger_policy(ToWire<v1::Alert::TriggerPolicy>(definition.trigger_policy));
  if (definition.cooldown_us > 0) *message.mutable_cooldown() = rpc::DurationFromUs(definition.cooldown_us);
  if (definition.hysteresis_micros > 0) message.set_hysteresis(price::FormatMicros(definition.hysteresis_micros));
  message.set_creation_policy(ToWire<v1::Alert::CreationPolicy>(definition.creation_policy));
  message.set_sessions(ToWire<v1::Alert::Sessions>(definition.sessions));
  if (definition.expire_time_us) *message.mutable_expire_time() = rpc::TimestampFromUs(*definition.expire_time_us);
  message.set_note(alert.note);
  message.set_state(static_cast<v1::Alert::State>(StateOf(view, now_us)));
  message.set_revision(alert.record.revision);
  message.set_applied_revision(alert.applied_revision);
  message.set_trigger_count(alert.trigger_count);
  if (view.last_trigger) *message.mutable_last_trigger() = ToMessage(*view.last_trigger);
  *message.mutable_create_time() = rpc::TimestampFromUs(alert.create_time_us);
  *message.mutable_update_time() = rpc::TimestampFromUs(alert.update_time_us);
  message.set_delivery(static_cast<v1::Alert::Delivery>(alert.routing.route));
  for (const std::string& id : alert.routing.destination_ids)
    message.add_destinations(rpc::FormatName(kDestinationPattern, {alert.user_id, id}));
  message.set_critical(alert.routing.critical);
  message.set_throttled_count(alert.throttled_count);
  if (alert.throttle_end_us > now_us)
    *message.mutable_throttle_end_time() = rpc::TimestampFromUs(alert.throttle_end_us);
  return message;
}

absl::Status ToApiError(const absl::Status& refusal, Call call, std::string_view field_prefix) {
  const std::string reason = condition::RefusalReason(refusal);
  const std::string message(refusal.message());
  if (refusal.code() == absl::StatusCode::kInvalidArgument) {
    const std::string field = condition::RefusalField(refusal);
    std::string description = message;
    // Lifecycle begins its message with the field, which stands apart here.
    if (description.rfind(field + " ", 0) == 0) description = description.substr(field.size() + 1);
    return base::InvalidField(absl::StrCat(base::ToAbsl(field_prefix), field), description);
  }
  if (refusal.code() == absl::StatusCode::kNotFound) return base::NotFound(kReasonAlertNotFound, message);
  if (reason == condition::kReasonConditionAlreadyMet) return base::FailedPrecondition(kReasonConditionMet, message);
  if (call == Call::kUpdate) return base::FailedPrecondition(kReasonAlertExpired, message);
  return base::FailedPrecondition(kReasonAlertEnded, message);
}

std::vector<ShownState> ReadStates(const v1::ListAlertsRequest& request, FieldViolations& violations) {
  std::vector<ShownState> states;
  for (int i = 0; i < request.states_size(); ++i) {
    const int value = request.states(i);
    if (value < static_cast<int>(ShownState::kPending) || value > static_cast<int>(ShownState::kHeld)) {
      violations.Add(absl::StrCat("states[", i, "]"), kUnknownValue);
      continue;
    }
    states.push_back(static_cast<ShownState>(value));
  }
  std::sort(states.begin(), states.end());
  states.erase(std::unique(states.begin(), states.end()), states.end());
  return states;
}

}  // namespace stockalert::alert
