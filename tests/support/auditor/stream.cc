#include "tests/support/auditor/stream.h"

#include <algorithm>
#include <variant>

namespace stockalert::auditor {

using condition::Channel;
using condition::ChannelOp;
using condition::Condition;
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
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr int kPriceDigits = 6;
constexpr int kPercentDigits = 4;
constexpr int64_t kWhole = 1'000'000;  // 100 % in 1e-4 of a percent.

constexpr char kInvalid[] = "INVALID_ARGUMENT ";
constexpr char kPrecondition[] = "FAILED_PRECONDITION ";

// A definition as text spells it: what cannot be parsed is none, and refused by whoever needs it.
struct Spelled {
  Definition definition;
  std::optional<std::string> refusal;
  // Of bounds too close to each other, where nothing else is wrong: a split may have rounded them together.
  std::optional<std::string> narrow;
  bool only_narrow = false;
};

template <typename Enum>
Enum OneOf(const json& text, const std::vector<std::pair<const char*, Enum>>& names) {
  for (const auto& [name, value] : names) {
    if (text.is_string() && text.get<std::string>() == name) return value;
  }
  throw BadStream("unknown word " + text.dump());
}

std::optional<int64_t> Decimal(const json& object, const char* field, int digits) {
  if (!object.contains(field) || !object.at(field).is_string()) return std::nullopt;
  return DecimalCount(object.at(field).get<std::string>(), digits);
}

// A price that a quote could have.
std::optional<int64_t> Price(const json& object, const char* field) {
  const std::optional<int64_t> micros = Decimal(object, field, kPriceDigits);
  return micros.has_value() && *micros > 0 ? micros : std::nullopt;
}

Session ParseSession(const json& text) {
  return OneOf<Session>(
      text,
      {{"PRE", Session::kPre}, {"REGULAR", Session::kRegular}, {"POST", Session::kPost}, {"CLOSED", Session::kClosed}});
}

record::Rules ParseRules(const json& quote) {
  const int64_t rules = quote.value("rules", int64_t{2});
  if (rules == 1) return record::Rules::kFirst;
  if (rules == 2) return record::Rules::kWithGaps;
  throw BadStream("unknown rules " + std::to_string(rules));
}

// "4/1": four shares for one.
record::Split ParseSplit(const json& text) {
  record::Split split;
  split.symbol = text.at("symbol");
  const std::string ratio = text.at("ratio");
  const size_t slash = std::min(ratio.find('/'), ratio.size());
  split.ratio.numerator = DecimalCount(ratio.substr(0, slash), 0).value_or(0);
  split.ratio.denominator = slash == ratio.size() ? 0 : DecimalCount(ratio.substr(slash + 1), 0).value_or(0);
  const auto is_share = [](int64_t shares) { return 1 <= shares && shares <= 1'000'000; };
  if (!is_share(split.ratio.numerator) || !is_share(split.ratio.denominator)) throw BadStream("no ratio: " + ratio);
  split.split_id = text.value("id", std::string());
  split.effective_time_us = text.value("time", int64_t{0});
  return split;
}

template <typename Record>
Record ParseSuspicion(const json& text) {
  Record record;
  record.symbol = text.at("symbol");
  record.publisher_epoch = text.value("epoch", int64_t{0});
  record.sequence = text.value("sequence", int64_t{0});
  return record;
}

// What is no amount, or zero, stays as it is spelled.
void ScaleDecimal(json& object, const char* field, const record::Split& split) {
  const std::optional<int64_t> micros = Decimal(object, field, kPriceDigits);
  if (micros.has_value() && *micros > 0) object[field] = MicrosText(ScaledBySplit(*micros, split));
}

Spelled ParseTarget(const json& text) {
  Spelled spelled;
  PriceTarget target;
  target.op = OneOf<TargetOp>(
      text.at("op"),
      {{"AT_OR_ABOVE", TargetOp::kAtOrAbove}, {"AT_OR_BELOW", TargetOp::kAtOrBelow}, {"CROSSES", TargetOp::kCrosses}});
  const auto price = Price(text, "price");
  if (!price.has_value()) spelled.refusal = "the target is no price";
  target.price_micros = price.value_or(0);
  spelled.definition.condition = target;
  return spelled;
}

// What is common to the percent of a percent change and of a trailing one.
std::optional<std::string> RefusePercent(std::optional<int64_t> percent, bool below_100) {
  if (!percent.has_value() || *percent <= 0) return "the percentage is not above 0";
  if (below_100 && *percent >= kWhole) return "a fall of 100 % or more";
  return std::nullopt;
}

Spelled ParsePercent(const json& text) {
  Spelled spelled;
  PercentChange change;
  change.op = OneOf<PercentOp>(text.at("op"),
                               {{"UP", PercentOp::kUp}, {"DOWN", PercentOp::kDown}, {"EITHER", PercentOp::kEither}});
  change.reference = OneOf<PercentReference>(text.at("reference"), {{"ARMING", PercentReference::kArming},
                                                                    {"PREV_CLOSE", PercentReference::kPreviousClose},
                                                                    {"DAY_OPEN", PercentReference::kDayOpen},
                                                                    {"GIVEN", PercentReference::kGiven},
                                                                    {"WINDOW", PercentReference::kWindow}});
  const auto percent = Decimal(text, "percent", kPercentDigits);
  spelled.refusal = RefusePercent(percent, change.op != PercentOp::kUp);
  change.percent_e4 = percent.value_or(0);
  if (change.reference == PercentReference::kGiven) {
    const auto given = Price(text, "given");
    if (!given.has_value()) spelled.refusal = "the given reference is no price";
    change.given_price_micros = given.value_or(0);
  }
  if (change.reference == PercentReference::kWindow) {
    change.window_us = text.value("window_us", int64_t{0});
    if (change.window_us <= 0) spelled.refusal = "the window is not above 0";
  }
  spelled.definition.condition = change;
  return spelled;
}

Spelled ParseTrailing(const json& text) {
  Spelled spelled;
  TrailingChange trailing;
  trailing.op = OneOf<TrailingOp>(
      text.at("op"), {{"FALLS_FROM_HIGH", TrailingOp::kFallsFromHigh}, {"RISES_FROM_LOW", TrailingOp::kRisesFromLow}});
  const auto is_given = [&](const char* field) { return text.contains(field) && !text.at(field).is_null(); };
  if (is_given("amount") == is_given("percent")) spelled.refusal = "neither or both of amount and percent";
  if (is_given("amount")) {
    const auto amount = Price(text, "amount");
    if (!amount.has_value()) spelled.refusal = "the amount is not above 0";
    trailing.amount_micros = amount.value_or(0);
  } else {
    const auto percent = Decimal(text, "percent", kPercentDigits);
    if (const auto refusal = RefusePercent(percent, trailing.op == TrailingOp::kFallsFromHigh))
      spelled.refusal = refusal;
    trailing.percent_e4 = percent.value_or(0);
  }
  if (is_given("activation")) {
    trailing.activation_price_micros = Price(text, "activation");
    if (!trailing.activation_price_micros.has_value()) spelled.refusal = "the activation is no price";
  }
  spelled.definition.condition = trailing;
  return spelled;
}

Spelled ParseChannel(const json& text) {
  Spelled spelled;
  Channel channel;
  channel.op = OneOf<ChannelOp>(text.at("op"), {{"ENTERS", ChannelOp::kEnters}, {"LEAVES", ChannelOp::kLeaves}});
  const auto low = Price(text, "low");
  const auto high = Price(text, "high");
  if (!low.has_value() || !high.has_value()) {
    spelled.refusal = "a border is no price";
  } else if (*low >= *high) {
    (*low == *high ? spelled.narrow : spelled.refusal) = "the lower border is not below the upper one";
  }
  channel.low_micros = low.value_or(0);
  channel.high_micros = high.value_or(0);
  spelled.definition.condition = channel;
  return spelled;
}

// `fields` are those of a create, or of one with its updates laid over it.
Spelled ParseDefinition(const json& fields) {
  const json& text = fields.at("condition");
  const std::string kind = text.at("kind");
  Spelled spelled;
  if (kind == "target") {
    spelled = ParseTarget(text);
  } else if (kind == "percent") {
    spelled = ParsePercent(text);
  } else if (kind == "trailing") {
    spelled = ParseTrailing(text);
  } else if (kind == "channel") {
    spelled = ParseChannel(text);
  } else {
    throw BadStream("unknown kind " + kind);
  }
  Definition& definition = spelled.definition;
  definition.trigger_policy = OneOf<TriggerPolicy>(
      fields.at("policy"),
      {{"ONCE", TriggerPolicy::kOnce}, {"REPEAT", TriggerPolicy::kRepeat}, {"ONCE_A_DAY", TriggerPolicy::kOnceADay}});
  definition.creation_policy =
      OneOf<CreationPolicy>(fields.at("creation"), {{"FIRE_IF_MET", CreationPolicy::kFireIfMet},
                                                    {"WAIT_FOR_CROSS", CreationPolicy::kWaitForCross},
                                                    {"REJECT_IF_MET", CreationPolicy::kRejectIfMet}});
  definition.sessions =
      OneOf<Sessions>(fields.at("sessions"), {{"REGULAR", Sessions::kRegular}, {"EXTENDED", Sessions::kExtended}});
  if (fields.contains("cooldown_us") && !fields.at("cooldown_us").is_null())
    definition.cooldown_us = fields.at("cooldown_us");
  if (fields.contains("expire_time") && !fields.at("expire_time").is_null())
    definition.expire_time_us = fields.at("expire_time");
  std::optional<int64_t> hysteresis = 0;
  if (fields.contains("hysteresis") && !fields.at("hysteresis").is_null())
    hysteresis = Decimal(fields, "hysteresis", kPriceDigits);
  definition.hysteresis_micros = hysteresis.value_or(-1);

  if (definition.cooldown_us < 0) spelled.refusal = "a negative cooldown";
  if (definition.cooldown_us > 0 && definition.trigger_policy != TriggerPolicy::kRepeat) {
    spelled.refusal = "a cooldown without REPEAT";
  }
  const int64_t h = definition.hysteresis_micros;
  if (h < 0) spelled.refusal = "a hysteresis that is no amount";
  if (h > 0) {
    const PriceTarget* target = std::get_if<PriceTarget>(&definition.condition);
    const Channel* channel = std::get_if<Channel>(&definition.condition);
    if (target == nullptr && channel == nullptr) spelled.refusal = "a hysteresis on a percent or trailing change";
    if (target != nullptr && target->op == TargetOp::kAtOrAbove && h >= target->price_micros) {
      spelled.narrow = "a hysteresis of the target or more";
    }
    if (channel != nullptr && channel->op == ChannelOp::kLeaves &&
        h > (channel->high_micros - channel->low_micros) / 2) {
      spelled.narrow = "a hysteresis of more than half the channel";
    }
  }
  spelled.only_narrow = spelled.narrow.has_value() && !spelled.refusal.has_value();
  if (spelled.only_narrow) spelled.refusal = spelled.narrow;
  return spelled;
}

const char* NameOf(Shown shown) {
  switch (shown) {
    case Shown::kActive:
      return "ACTIVE";
    case Shown::kWaiting:
      return "WAITING";
    case Shown::kHeld:
      return "HELD";
    case Shown::kPaused:
      return "PAUSED";
    case Shown::kTriggered:
      return "TRIGGERED";
    case Shown::kExpired:
      return "EXPIRED";
  }
  return "";
}

}  // namespace

std::optional<int64_t> DecimalCount(std::string_view text, int digits) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  std::string_view fraction = point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  const auto is_digits = [](std::string_view part) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return '0' <= c && c <= '9'; });
  };
  if (!is_digits(whole) || (point != std::string_view::npos && !is_digits(fraction))) return std::nullopt;
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  if (fraction.size() > static_cast<size_t>(digits)) return std::nullopt;

  std::string all(whole);
  all.append(fraction);
  all.append(static_cast<size_t>(digits) - fraction.size(), '0');
  constexpr int64_t kHighest = 1'000'000'000'000'000'000;  // 1e12 units of a price.
  __int128 count = 0;
  for (char c : all) {
    count = count * 10 + (c - '0');
    if (count > kHighest) return std::nullopt;
  }
  return static_cast<int64_t>(negative ? -count : count);
}

std::string MicrosText(int64_t micros) {
  const std::string sign = micros < 0 ? "-" : "";
  std::string digits = std::to_string(micros < 0 ? -micros : micros);
  if (digits.size() < 7) digits.insert(0, 7 - digits.size(), '0');
  std::string fraction = digits.substr(digits.size() - 6);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return sign + digits.substr(0, digits.size() - 6) + (fraction.empty() ? "" : "." + fraction);
}

std::vector<ordered_json> StreamAuditor::Apply(const json& event) {
  offset_ = event.value("offset", offset_);
  const std::string op = event.at("op");
  if (op == "quote") return ApplyQuote(event);
  if (op == "clock") {
    // A clock does not go back.
    wall_clock_us_ = std::max(wall_clock_us_.value_or(event.at("time")), event.at("time").get<int64_t>());
    return {};
  }
  if (op == "split") return ApplySplit(event);
  if (op == "split_suspected") return ApplyInLog(ParseSuspicion<record::SplitSuspected>(event));
  if (op == "split_dismissed") return ApplyInLog(ParseSuspicion<record::SplitDismissed>(event));
  if (op == "restart") return ApplyInLog(record::Restart{event.at("symbol")});
  if (op == "alert") {
    TakeWholeState(event);
    return {};
  }
  const std::string id = event.at("id");
  std::optional<std::string> refusal;
  if (op == "create") {
    refusal = Create(event);
  } else if (records_.count(id) == 0) {
    refusal = "NOT_FOUND there is no such alert";
  } else if (op == "update") {
    refusal = Update(event);
  } else if (op == "pause" || op == "resume") {
    refusal = PauseOrResume(id, op == "pause");
  } else if (op == "rearm") {
    refusal = Rearm(id);
  } else if (op == "delete") {
    refusal = Delete(id);
  } else {
    throw BadStream("unknown op " + op);
  }
  if (!refusal.has_value()) return {};
  const size_t space = refusal->find(' ');
  return {ordered_json{{"rejected", id}, {"code", refusal->substr(0, space)}, {"why", refusal->substr(space + 1)}}};
}

std::vector<ordered_json> StreamAuditor::States() const {
  std::vector<ordered_json> states;
  for (const auto& [id, record] : records_) {
    states.push_back(ordered_json{{"state", id}, {"is", NameOf(ShownOf(id))}});
  }
  return states;
}

std::vector<ordered_json> StreamAuditor::ApplyQuote(const json& event) {
  const std::optional<int64_t> price = Price(event, "price");
  if (!price.has_value()) return {};  // Refused at the edge.
  record::Quote quote;
  quote.symbol = event.at("symbol");
  quote.price_micros = *price;
  quote.event_time_us = event.at("time");
  quote.session = ParseSession(event.at("session"));
  quote.day_open_micros = Price(event, "day_open");
  quote.day_high_micros = Price(event, "day_high");
  quote.day_low_micros = Price(event, "day_low");
  quote.previous_close_micros = Price(event, "prev_close");
  quote.rules = ParseRules(event);
  quote.publisher_epoch = event.value("epoch", int64_t{0});
  quote.sequence = event.value("sequence", int64_t{0});
  return ApplyInLog(quote);
}

std::vector<ordered_json> StreamAuditor::ApplyInLog(const record::Event& event) {
  std::vector<ordered_json> lines;
  for (const record::Trigger& trigger : auditor_.Apply(offset_, event)) {
    ordered_json line{{"trigger", trigger.alert_id},   {"n", trigger.trigger_number},
                      {"revision", trigger.revision},  {"price", MicrosText(trigger.price_micros)},
                      {"time", trigger.event_time_us}, {"before", nullptr},
                      {"offset", trigger.offset},      {"late", trigger.late}};
    if (trigger.price_before_micros.has_value()) line["before"] = MicrosText(*trigger.price_before_micros);
    if (trigger.late) {
      line["from"] = trigger.late_from_us.value();
      line["to"] = trigger.event_time_us;
    }
    lines.push_back(line);
  }
  return lines;
}

std::vector<ordered_json> StreamAuditor::ApplySplit(const json& event) {
  record::Split split = ParseSplit(event);
  split.number = event.value("number", NumberOfSplits(split.symbol) + 1);
  std::vector<ordered_json> lines = ApplyInLog(split);
  if (split.number <= NumberOfSplits(split.symbol)) return lines;  // Known.
  for (const record::Split& known : splits_[split.symbol]) {
    if (!split.split_id.empty() && split.split_id == known.split_id) return lines;  // Likewise.
  }
  splits_[split.symbol].push_back(split);
  for (auto& [id, record] : records_) CatchUpWithSplits(record);
  return lines;
}

// In a hold the auditor does not know what has been commanded since: the record does.
Shown StreamAuditor::ShownOf(const std::string& id) const {
  const Record& record = records_.at(id);
  const std::optional<Shown> evaluated = auditor_.StateOf(id, wall_clock_us_);
  if (!auditor_.IsHeld(record.symbol)) return evaluated.value();
  const bool is_armed_since = record.armed_revision > auditor_.ArmedRevisionOf(id);
  if (evaluated == Shown::kTriggered && !is_armed_since) return Shown::kTriggered;
  const auto is_at_expiry = [&](std::optional<int64_t> time_us) {
    return time_us.has_value() && record.definition.expire_time_us.has_value() &&
           *time_us >= *record.definition.expire_time_us;
  };
  if (is_at_expiry(wall_clock_us_) || is_at_expiry(auditor_.LastEventTime(record.symbol))) return Shown::kExpired;
  return record.paused ? Shown::kPaused : Shown::kHeld;
}

int64_t StreamAuditor::NumberOfSplits(const std::string& symbol) const {
  const auto found = splits_.find(symbol);
  return found == splits_.end() || found->second.empty() ? 0 : found->second.back().number;
}

void StreamAuditor::CatchUpWithSplits(Record& record) const {
  const auto found = splits_.find(record.symbol);
  if (found == splits_.end()) return;
  for (const record::Split& split : found->second) {
    if (split.number <= record.splits_applied) continue;
    record.splits_applied = split.number;
    for (const char* field : {"price", "given", "amount", "activation", "low", "high"}) {
      ScaleDecimal(record.fields.at("condition"), field, split);
    }
    ScaleDecimal(record.fields, "hysteresis", split);
  }
  // A rule that rounding has broken is nobody's fault: the alert lives on.
  record.definition = ParseDefinition(record.fields).definition;
}

void StreamAuditor::Publish(const std::string& id, const Record& record, bool deleted) {
  record::AlertChange change;
  change.alert_id = id;
  change.symbol = record.symbol;
  change.revision = record.revision;
  change.armed_revision = record.armed_revision;
  change.paused = record.paused;
  change.deleted = deleted;
  change.definition = record.definition;
  change.splits_applied = record.splits_applied;
  auditor_.Apply(offset_, change);
}

std::optional<std::string> StreamAuditor::Create(const json& event) {
  const std::string id = event.at("id");
  if (records_.count(id) > 0 || deleted_.count(id) > 0) return "ALREADY_EXISTS the id has been used";
  const Spelled spelled = ParseDefinition(event);
  if (spelled.refusal.has_value()) return kInvalid + *spelled.refusal;
  Record record;
  record.fields = event;
  record.definition = spelled.definition;
  record.symbol = event.at("symbol");
  record.splits_applied = NumberOfSplits(record.symbol);
  record.revision = record.armed_revision = 1;
  if (record.definition.creation_policy == CreationPolicy::kRejectIfMet &&
      auditor_.IsMetAtArming(record.symbol, record.definition)) {
    return std::string(kPrecondition) + "the condition is met already";
  }
  records_[id] = record;
  Publish(id, record, false);
  return std::nullopt;
}

std::optional<std::string> StreamAuditor::Update(const json& event) {
  const std::string id = event.at("id");
  Record& record = records_.at(id);
  json fields = record.fields;
  for (const char* field :
       {"condition", "policy", "cooldown_us", "hysteresis", "creation", "sessions", "expire_time"}) {
    if (event.contains(field)) fields[field] = event.at(field);
  }
  const Spelled spelled = ParseDefinition(fields);
  if (spelled.refusal.has_value()) return kInvalid + *spelled.refusal;
  const Definition& after = spelled.definition;

  Definition expiry_aside = record.definition;
  expiry_aside.expire_time_us = after.expire_time_us;
  bool arms = !(after == expiry_aside);
  const bool moves_expiry = after.expire_time_us != record.definition.expire_time_us;
  // A held quote from before its pause may have ended an alert that is paused: it is TRIGGERED.
  bool paused = record.paused && !(arms && ShownOf(id) == Shown::kTriggered);
  if (ShownOf(id) == Shown::kExpired) {
    const auto is_past = [&](std::optional<int64_t> time) {
      return !after.expire_time_us.has_value() || !time.has_value() || *after.expire_time_us > *time;
    };
    if (!moves_expiry || !is_past(wall_clock_us_) || !is_past(auditor_.LastEventTime(record.symbol))) {
      return std::string(kPrecondition) + "it is expired: move its expiry into the future";
    }
    arms = true;
    paused = false;
  }
  if (!arms && !moves_expiry) return std::nullopt;  // Nothing changes.
  record.fields = fields;
  record.definition = after;
  record.paused = paused;
  ++record.revision;
  if (arms) record.armed_revision = record.revision;
  Publish(id, record, false);
  return std::nullopt;
}

std::optional<std::string> StreamAuditor::PauseOrResume(const std::string& id, bool pause) {
  Record& record = records_.at(id);
  const Shown shown = ShownOf(id);
  if (shown == Shown::kTriggered || shown == Shown::kExpired) return std::string(kPrecondition) + "it has ended";
  if (record.paused == pause) return std::nullopt;
  record.paused = pause;
  ++record.revision;
  Publish(id, record, false);
  return std::nullopt;
}

std::optional<std::string> StreamAuditor::Rearm(const std::string& id) {
  Record& record = records_.at(id);
  if (ShownOf(id) == Shown::kExpired) return std::string(kPrecondition) + "it is expired";
  record.paused = false;
  record.armed_revision = ++record.revision;
  Publish(id, record, false);
  return std::nullopt;
}

std::optional<std::string> StreamAuditor::Delete(const std::string& id) {
  Record& record = records_.at(id);
  ++record.revision;
  Publish(id, record, true);
  records_.erase(id);
  deleted_[id] = true;
  return std::nullopt;
}

void StreamAuditor::TakeWholeState(const json& event) {
  const std::string id = event.at("id");
  Record record;
  record.symbol = event.at("symbol");
  record.splits_applied = event.value("splits_applied", NumberOfSplits(record.symbol));
  record.revision = event.at("revision");
  record.armed_revision = event.at("armed_revision");
  record.paused = event.value("paused", false);
  const bool deleted = event.value("deleted", false);
  if (deleted_.count(id) > 0) return;
  const auto known = records_.find(id);
  if (known != records_.end() && (record.revision <= known->second.revision || record.symbol != known->second.symbol)) {
    return;
  }
  if (!deleted || event.contains("condition")) {
    record.fields = event;
    const Spelled spelled = ParseDefinition(event);
    // A split may have rounded bounds together.
    const bool by_rounding = spelled.only_narrow && NumberOfSplits(record.symbol) > 0;
    if (spelled.refusal.has_value() && !by_rounding)
      throw BadStream("the log holds an alert that no service would take: " + *spelled.refusal);
    record.definition = spelled.definition;
  }
  // Only the stream knows the wall clock; what it had ended is armed like what a quote had ended.
  const bool clock_had_expired = known != records_.end() && ShownOf(id) == Shown::kExpired;
  if (clock_had_expired && known->second.definition.expire_time_us != record.definition.expire_time_us) {
    record.armed_revision = record.revision;
  }
  Publish(id, record, deleted);
  if (deleted) {
    records_.erase(id);
    deleted_[id] = true;
  } else {
    CatchUpWithSplits(record);
    records_[id] = record;
  }
}

}  // namespace stockalert::auditor
