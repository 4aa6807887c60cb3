#include "services/domain/record/definition_codec.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace stockalert::record {
namespace {

namespace pb = ::stockalert::internal::v1;
using condition::Channel;
using condition::ChannelOp;
using condition::CreationPolicy;
using condition::Definition;
using condition::PercentChange;
using condition::PercentOp;
using condition::PercentReference;
using condition::PriceTarget;
using condition::Sessions;
using condition::TargetOp;
using condition::TrailingChange;
using condition::TrailingOp;
using condition::TriggerPolicy;
using market::Session;

absl::Status Unknown(const char* field) {
  return absl::InvalidArgumentError(absl::StrCat("definition.", field, " is missing or unknown"));
}

// The enums of the log are the program's plus one: zero is UNSPECIFIED there.
template <typename Encoded, typename Plain>
Encoded Encode(Plain value) {
  return static_cast<Encoded>(static_cast<int>(value) + 1);
}

template <typename Plain, typename Encoded>
bool Decode(Encoded encoded, Plain last, Plain& value) {
  const int number = static_cast<int>(encoded) - 1;
  if (number < 0 || number > static_cast<int>(last)) return false;
  value = static_cast<Plain>(number);
  return true;
}

static_assert(static_cast<int>(TargetOp::kCrosses) + 1 == pb::PriceTargetDefinition::OP_CROSSES);
static_assert(static_cast<int>(PercentOp::kEither) + 1 == pb::PercentChangeDefinition::OP_EITHER);
static_assert(static_cast<int>(PercentReference::kArming) + 1 == pb::PercentChangeDefinition::REFERENCE_ARMING);
static_assert(static_cast<int>(PercentReference::kPreviousClose) + 1 ==
              pb::PercentChangeDefinition::REFERENCE_PREVIOUS_CLOSE);
static_assert(static_cast<int>(PercentReference::kDayOpen) + 1 == pb::PercentChangeDefinition::REFERENCE_DAY_OPEN);
static_assert(static_cast<int>(PercentReference::kWindow) + 1 == pb::PercentChangeDefinition::REFERENCE_WINDOW);
static_assert(static_cast<int>(TrailingOp::kRisesFromLow) + 1 == pb::TrailingChangeDefinition::OP_RISES_FROM_LOW);
static_assert(static_cast<int>(ChannelOp::kLeaves) + 1 == pb::ChannelDefinition::OP_LEAVES);
static_assert(static_cast<int>(TriggerPolicy::kOnceADay) + 1 == pb::TRIGGER_POLICY_KIND_ONCE_A_DAY);
static_assert(static_cast<int>(CreationPolicy::kRejectIfMet) + 1 == pb::CREATION_POLICY_KIND_REJECT_IF_MET);
static_assert(static_cast<int>(Session::kPre) + 1 == pb::TRADING_SESSION_PRE);
static_assert(static_cast<int>(Session::kClosed) + 1 == pb::TRADING_SESSION_CLOSED);

struct ConditionEncoder {
  pb::AlertDefinition& encoded;
  void operator()(const PriceTarget& target) const {
    encoded.mutable_price_target()->set_op(Encode<pb::PriceTargetDefinition::Op>(target.op));
    encoded.mutable_price_target()->set_price_micros(target.price_micros);
  }
  void operator()(const PercentChange& change) const {
    auto& out = *encoded.mutable_percent_change();
    out.set_op(Encode<pb::PercentChangeDefinition::Op>(change.op));
    out.set_percent_e4(change.percent_e4);
    out.set_reference(Encode<pb::PercentChangeDefinition::Reference>(change.reference));
    if (change.reference == PercentReference::kGiven) out.set_given_price_micros(change.given_price_micros);
    if (change.reference == PercentReference::kWindow) out.set_window_us(change.window_us);
  }
  void operator()(const TrailingChange& trailing) const {
    auto& out = *encoded.mutable_trailing_change();
    out.set_op(Encode<pb::TrailingChangeDefinition::Op>(trailing.op));
    out.set_amount_micros(trailing.amount_micros);
    out.set_percent_e4(trailing.percent_e4);
    if (trailing.activation_price_micros) out.set_activation_price_micros(*trailing.activation_price_micros);
  }
  void operator()(const Channel& channel) const {
    auto& out = *encoded.mutable_channel();
    out.set_op(Encode<pb::ChannelDefinition::Op>(channel.op));
    out.set_low_micros(channel.low_micros);
    out.set_high_micros(channel.high_micros);
  }
};

absl::StatusOr<condition::Condition> DecodeCondition(const pb::AlertDefinition& encoded) {
  switch (encoded.condition_case()) {
    case pb::AlertDefinition::kPriceTarget: {
      PriceTarget target;
      if (!Decode(encoded.price_target().op(), TargetOp::kCrosses, target.op)) return Unknown("price_target.op");
      target.price_micros = encoded.price_target().price_micros();
      return target;
    }
    case pb::AlertDefinition::kPercentChange: {
      PercentChange change;
      const auto& in = encoded.percent_change();
      if (!Decode(in.op(), PercentOp::kEither, change.op)) return Unknown("percent_change.op");
      if (!Decode(in.reference(), PercentReference::kWindow, change.reference))
        return Unknown("percent_change.reference");
      change.percent_e4 = in.percent_e4();
      change.given_price_micros = in.given_price_micros();
      change.window_us = in.window_us();
      return change;
    }
    case pb::AlertDefinition::kTrailingChange: {
      TrailingChange trailing;
      const auto& in = encoded.trailing_change();
      if (!Decode(in.op(), TrailingOp::kRisesFromLow, trailing.op)) return Unknown("trailing_change.op");
      trailing.amount_micros = in.amount_micros();
      trailing.percent_e4 = in.percent_e4();
      if (in.has_activation_price_micros()) trailing.activation_price_micros = in.activation_price_micros();
      return trailing;
    }
    case pb::AlertDefinition::kChannel: {
      Channel channel;
      if (!Decode(encoded.channel().op(), ChannelOp::kLeaves, channel.op)) return Unknown("channel.op");
      channel.low_micros = encoded.channel().low_micros();
      channel.high_micros = encoded.channel().high_micros();
      return channel;
    }
    case pb::AlertDefinition::CONDITION_NOT_SET:
      break;
  }
  return Unknown("condition");
}

}  // namespace

pb::AlertDefinition EncodeDefinition(const Definition& definition) {
  pb::AlertDefinition encoded;
  std::visit(ConditionEncoder{encoded}, definition.condition);
  encoded.set_trigger_policy(Encode<pb::TriggerPolicyKind>(definition.trigger_policy));
  encoded.set_cooldown_us(definition.cooldown_us);
  encoded.set_hysteresis_micros(definition.hysteresis_micros);
  encoded.set_creation_policy(Encode<pb::CreationPolicyKind>(definition.creation_policy));
  encoded.set_extended_sessions(definition.sessions == Sessions::kExtended);
  if (definition.expire_time_us) encoded.set_expire_time_us(*definition.expire_time_us);
  return encoded;
}

absl::StatusOr<Definition> DecodeDefinition(const pb::AlertDefinition& encoded) {
  Definition definition;
  absl::StatusOr<condition::Condition> condition = DecodeCondition(encoded);
  if (!condition.ok()) return condition.status();
  definition.condition = *condition;
  if (!Decode(encoded.trigger_policy(), TriggerPolicy::kOnceADay, definition.trigger_policy))
    return Unknown("trigger_policy");
  if (!Decode(encoded.creation_policy(), CreationPolicy::kRejectIfMet, definition.creation_policy)) {
    return Unknown("creation_policy");
  }
  definition.cooldown_us = encoded.cooldown_us();
  definition.hysteresis_micros = encoded.hysteresis_micros();
  definition.sessions = encoded.extended_sessions() ? Sessions::kExtended : Sessions::kRegular;
  if (encoded.has_expire_time_us()) definition.expire_time_us = encoded.expire_time_us();
  if (const auto violation = condition::FindViolationAfterSplits(definition)) {
    return absl::InvalidArgumentError(absl::StrCat(violation->field, ": ", violation->description));
  }
  return definition;
}

pb::TradingSession EncodeSession(Session session) { return Encode<pb::TradingSession>(session); }

absl::StatusOr<Session> DecodeSession(pb::TradingSession encoded) {
  Session session;
  if (!Decode(encoded, Session::kClosed, session))
    return absl::InvalidArgumentError("the session is missing or unknown");
  return session;
}

}  // namespace stockalert::record
