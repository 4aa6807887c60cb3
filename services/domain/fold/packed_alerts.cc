#include "services/domain/fold/packed_alerts.h"

#include <utility>
#include <variant>

namespace stockalert::fold {
namespace {

using condition::Channel;
using condition::PercentChange;
using condition::PercentReference;
using condition::PriceTarget;
using condition::TrailingChange;

enum ConditionIndex : uint32_t { kTarget, kPercent, kTrailing, kChannel };
static_assert(std::is_same_v<condition::Condition, std::variant<PriceTarget, PercentChange, TrailingChange, Channel>>);

uint32_t LowerHalf(int64_t value) { return static_cast<uint32_t>(static_cast<uint64_t>(value)); }
int32_t UpperHalf(int64_t value) { return static_cast<int32_t>(value >> 32); }
int64_t Joined(int32_t upper, uint32_t lower) { return static_cast<int64_t>(upper) * (int64_t{1} << 32) + lower; }

template <typename Enum>
uint32_t BitsOf(Enum value) {
  return static_cast<uint32_t>(value);
}

}  // namespace

PackedAlerts::More::More(const More& other)
    : third(other.third),
      cooldown_us(other.cooldown_us),
      hysteresis_micros(other.hysteresis_micros),
      expire_time_us(other.expire_time_us),
      last_trigger_time_us(other.last_trigger_time_us),
      own_price_before_micros(other.own_price_before_micros),
      down_reference(other.down_reference),
      entries(other.entries == nullptr ? nullptr : std::make_unique<Entries>(*other.entries)),
      revision(other.revision),
      armed_revision(other.armed_revision),
      trigger_number(other.trigger_number),
      last_trigger_date(other.last_trigger_date),
      has_expire_time(other.has_expire_time),
      has_last_trigger_time(other.has_last_trigger_time),
      has_own_price(other.has_own_price) {}

bool PackedAlerts::More::IsNeeded() const {
  return (third | cooldown_us | hysteresis_micros | own_price_before_micros | down_reference.micros) != 0 ||
         (revision | armed_revision | trigger_number) != 0 || last_trigger_date != market::kNoDate || has_expire_time ||
         has_last_trigger_time || has_own_price || entries != nullptr;
}

Slot PackedAlerts::Add(AlertId id) {
  const Slot slot = alerts_.Add();
  alerts_[slot].id = std::move(id);
  return slot;
}

void PackedAlerts::Remove(Slot slot) {
  if (const uint32_t more = alerts_[slot].more; more != kNone) mores_.Remove(more);
  alerts_.Remove(slot);
}

const PackedAlerts::More& PackedAlerts::MoreOf(const Packed& packed) const {
  static const More kNoMore;
  return packed.more == kNone ? kNoMore : mores_[packed.more];
}

int64_t PackedAlerts::revision(Slot slot) const {
  const Packed& packed = alerts_[slot];
  return Joined(MoreOf(packed).revision, packed.revision);
}

void PackedAlerts::PackCondition(const condition::Condition& condition, Packed* packed, More* more) {
  packed->condition = static_cast<uint32_t>(condition.index()) & 3;
  packed->percent_reference = 0;
  packed->has_activation = 0;
  if (const auto* target = std::get_if<PriceTarget>(&condition)) {
    packed->op = BitsOf(target->op) & 3;
    packed->first = target->price_micros;
    packed->second = 0;
  } else if (const auto* change = std::get_if<PercentChange>(&condition)) {
    const bool given = change->reference == PercentReference::kGiven;
    packed->op = BitsOf(change->op) & 3;
    packed->percent_reference = BitsOf(change->reference) & 7;
    packed->first = change->percent_e4;
    packed->second = given ? change->given_price_micros : change->window_us;
    more->third = given ? change->window_us : change->given_price_micros;
  } else if (const auto* trailing = std::get_if<TrailingChange>(&condition)) {
    packed->op = BitsOf(trailing->op) & 3;
    packed->first = trailing->percent_e4;
    packed->second = trailing->amount_micros;
    packed->has_activation = trailing->activation_price_micros.has_value() ? 1 : 0;
    more->third = trailing->activation_price_micros.value_or(0);
  } else if (const auto* channel = std::get_if<Channel>(&condition)) {
    packed->op = BitsOf(channel->op) & 3;
    packed->first = channel->low_micros;
    packed->second = channel->high_micros;
  }
}

condition::Condition PackedAlerts::UnpackCondition(const Packed& packed, const More& more) {
  switch (packed.condition) {
    case kTarget:
      return PriceTarget{static_cast<condition::TargetOp>(packed.op), packed.first};
    case kPercent: {
      const auto reference = static_cast<PercentReference>(packed.percent_reference);
      const bool given = reference == PercentReference::kGiven;
      return PercentChange{static_cast<condition::PercentOp>(packed.op), packed.first, reference,
                           given ? packed.second : more.third, given ? more.third : packed.second};
    }
    case kTrailing: {
      TrailingChange trailing{static_cast<condition::TrailingOp>(packed.op), packed.second, packed.first, {}};
      if (packed.has_activation != 0) trailing.activation_price_micros = more.third;
      return trailing;
    }
    case kChannel:
    default:
      return Channel{static_cast<condition::ChannelOp>(packed.op), packed.first, packed.second};
  }
}

void PackedAlerts::PackLegs(const Alert& alert, Packed* packed, More* more) {
  packed->ready = 0;
  packed->in_rung = 0;
  std::array<Reference, 2> references;
  std::array<bool, 2> zero{};
  for (size_t i : {kUpLeg, kDownLeg}) {
    const Leg& leg = alert.legs[i];
    if (leg.ready) packed->ready |= 1U << i;
    if (leg.rung != nullptr) {
      packed->in_rung |= 1U << i;
      references[i].rung = leg.rung;
    } else {
      references[i].micros = leg.reference_micros;
      zero[i] = leg.reference_micros == 0;
    }
    if (leg.entries.empty()) continue;
    if (more->entries == nullptr) more->entries = std::make_unique<Entries>();
    (*more->entries)[i] = leg.entries;
  }
  ReferenceOf of = ReferenceOf::kUpAndMore;
  if (packed->in_rung == 0 && references[kUpLeg].micros == references[kDownLeg].micros) {
    of = ReferenceOf::kBoth;
  } else if (zero[kDownLeg]) {
    of = ReferenceOf::kUp;
  } else if (zero[kUpLeg]) {
    of = ReferenceOf::kDown;
  }
  packed->reference_of = BitsOf(of) & 3;
  packed->reference = references[of == ReferenceOf::kDown ? kDownLeg : kUpLeg];
  if (of == ReferenceOf::kUpAndMore) more->down_reference = references[kDownLeg];
}

void PackedAlerts::UnpackLegs(const Packed& packed, const More& more, Alert* alert) {
  const auto of = static_cast<ReferenceOf>(packed.reference_of);
  for (size_t i : {kUpLeg, kDownLeg}) {
    Leg& leg = alert->legs[i];
    leg.ready = (packed.ready >> i & 1) != 0;
    if (more.entries != nullptr) leg.entries = (*more.entries)[i];
    if (of == (i == kUpLeg ? ReferenceOf::kDown : ReferenceOf::kUp)) continue;
    const Reference& reference =
        of == ReferenceOf::kUpAndMore && i == kDownLeg ? more.down_reference : packed.reference;
    if ((packed.in_rung >> i & 1) != 0) {
      leg.rung = reference.rung;
    } else {
      leg.reference_micros = reference.micros;
    }
  }
}

PackedAlerts::Reference& PackedAlerts::ReferenceOfLeg(Packed& packed, size_t leg) {
  const bool in_more = static_cast<ReferenceOf>(packed.reference_of) == ReferenceOf::kUpAndMore && leg == kDownLeg;
  return in_more ? mores_[packed.more].down_reference : packed.reference;
}

void PackedAlerts::MoveToRung(Slot slot, size_t leg, Rung* rung) { ReferenceOfLeg(alerts_[slot], leg).rung = rung; }

PackedAlerts PackedAlerts::CopyWithoutRungs() const {
  PackedAlerts copy(*this);
  copy.alerts_.ForEach([&copy](Slot slot) {
    Packed& packed = copy.alerts_[slot];
    for (size_t i : {kUpLeg, kDownLeg}) {
      if ((packed.in_rung >> i & 1) == 0) continue;
      Reference& reference = copy.ReferenceOfLeg(packed, i);
      reference.micros = reference.rung->reference_micros;
    }
    packed.in_rung = 0;
  });
  return copy;
}

Alert PackedAlerts::Get(Slot slot) const {
  const Packed& packed = alerts_[slot];
  const More& more = MoreOf(packed);
  Alert alert;
  alert.slot = slot;
  alert.definition.condition = UnpackCondition(packed, more);
  alert.definition.trigger_policy = static_cast<condition::TriggerPolicy>(packed.trigger_policy);
  alert.definition.cooldown_us = more.cooldown_us;
  alert.definition.hysteresis_micros = more.hysteresis_micros;
  alert.definition.creation_policy = static_cast<condition::CreationPolicy>(packed.creation_policy);
  alert.definition.sessions = static_cast<condition::Sessions>(packed.sessions);
  if (more.has_expire_time) alert.definition.expire_time_us = more.expire_time_us;
  alert.revision = Joined(more.revision, packed.revision);
  alert.armed_revision = Joined(more.armed_revision, packed.armed_revision);
  alert.trigger_number = Joined(more.trigger_number, packed.trigger_number);
  alert.paused = packed.paused != 0;
  alert.ended = packed.ended != 0;
  alert.expired = packed.expired != 0;
  alert.begun = packed.begun != 0;
  alert.activated = packed.activated != 0;
  alert.own_reference = packed.own_reference != 0;
  alert.residence = static_cast<Residence>(packed.residence);
  if (more.has_last_trigger_time) alert.last_trigger_time_us = more.last_trigger_time_us;
  alert.last_trigger_date = more.last_trigger_date;
  alert.date_stamp = packed.date_stamp;
  alert.has_own_price_before = packed.has_own_price_before != 0;
  if (more.has_own_price) alert.own_price_before_micros = more.own_price_before_micros;
  alert.watched_from = static_cast<int8_t>(static_cast<int>(packed.watched_from) - 1);
  UnpackLegs(packed, more, &alert);
  return alert;
}

void PackedAlerts::Put(const Alert& alert) {
  Packed& packed = alerts_[alert.slot];
  More more;
  PackCondition(alert.definition.condition, &packed, &more);
  packed.trigger_policy = BitsOf(alert.definition.trigger_policy) & 3;
  more.cooldown_us = alert.definition.cooldown_us;
  more.hysteresis_micros = alert.definition.hysteresis_micros;
  packed.creation_policy = BitsOf(alert.definition.creation_policy) & 3;
  packed.sessions = BitsOf(alert.definition.sessions) & 1;
  more.has_expire_time = alert.definition.expire_time_us.has_value();
  more.expire_time_us = alert.definition.expire_time_us.value_or(0);
  packed.revision = LowerHalf(alert.revision);
  more.revision = UpperHalf(alert.revision);
  packed.armed_revision = LowerHalf(alert.armed_revision);
  more.armed_revision = UpperHalf(alert.armed_revision);
  packed.trigger_number = LowerHalf(alert.trigger_number);
  more.trigger_number = UpperHalf(alert.trigger_number);
  packed.paused = alert.paused ? 1 : 0;
  packed.ended = alert.ended ? 1 : 0;
  packed.expired = alert.expired ? 1 : 0;
  packed.begun = alert.begun ? 1 : 0;
  packed.activated = alert.activated ? 1 : 0;
  packed.own_reference = alert.own_reference ? 1 : 0;
  packed.residence = BitsOf(alert.residence) & 3;
  more.has_last_trigger_time = alert.last_trigger_time_us.has_value();
  more.last_trigger_time_us = alert.last_trigger_time_us.value_or(0);
  more.last_trigger_date = alert.last_trigger_date;
  packed.date_stamp = alert.date_stamp;
  packed.has_own_price_before = alert.has_own_price_before ? 1 : 0;
  more.has_own_price = alert.own_price_before_micros.has_value();
  more.own_price_before_micros = alert.own_price_before_micros.value_or(0);
  packed.watched_from = static_cast<uint32_t>(alert.watched_from + 1) & 3;
  PackLegs(alert, &packed, &more);
  if (more.IsNeeded()) {
    if (packed.more == kNone) packed.more = mores_.Add();
    mores_[packed.more] = std::move(more);
  } else if (packed.more != kNone) {
    mores_.Remove(std::exchange(packed.more, kNone));
  }
}

}  // namespace stockalert::fold
