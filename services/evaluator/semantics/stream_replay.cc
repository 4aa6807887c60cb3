#include "services/evaluator/semantics/stream_replay.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/domain/condition/split.h"
#include "services/domain/price/decimal.h"

namespace stockalert::evaluator {
namespace {

using condition::AlertRecord;
using condition::AlertState;
using condition::Definition;
using Json = nlohmann::ordered_json;

// A line that is not of the format: caught where the line is applied.
struct Malformed {
  std::string message;
};

// A value that a user may write and the rules refuse.
struct Refused {
  absl::Status status;
};

template <typename Enum, size_t kSize>
using Names = std::array<std::pair<const char*, Enum>, kSize>;

constexpr Names<condition::TargetOp, 3> kTargetOps{{{"AT_OR_ABOVE", condition::TargetOp::kAtOrAbove},
                                                    {"AT_OR_BELOW", condition::TargetOp::kAtOrBelow},
                                                    {"CROSSES", condition::TargetOp::kCrosses}}};
constexpr Names<condition::PercentOp, 3> kPercentOps{{{"UP", condition::PercentOp::kUp},
                                                      {"DOWN", condition::PercentOp::kDown},
                                                      {"EITHER", condition::PercentOp::kEither}}};
constexpr Names<condition::PercentReference, 5> kReferences{
    {{"ARMING", condition::PercentReference::kArming},
     {"PREV_CLOSE", condition::PercentReference::kPreviousClose},
     {"DAY_OPEN", condition::PercentReference::kDayOpen},
     {"GIVEN", condition::PercentReference::kGiven},
     {"WINDOW", condition::PercentReference::kWindow}}};
constexpr Names<condition::TrailingOp, 2> kTrailingOps{{{"FALLS_FROM_HIGH", condition::TrailingOp::kFallsFromHigh},
                                                        {"RISES_FROM_LOW", condition::TrailingOp::kRisesFromLow}}};
constexpr Names<condition::ChannelOp, 2> kChannelOps{
    {{"ENTERS", condition::ChannelOp::kEnters}, {"LEAVES", condition::ChannelOp::kLeaves}}};
constexpr Names<condition::TriggerPolicy, 3> kPolicies{{{"ONCE", condition::TriggerPolicy::kOnce},
                                                        {"REPEAT", condition::TriggerPolicy::kRepeat},
                                                        {"ONCE_A_DAY", condition::TriggerPolicy::kOnceADay}}};
constexpr Names<condition::CreationPolicy, 3> kCreations{{{"FIRE_IF_MET", condition::CreationPolicy::kFireIfMet},
                                                          {"WAIT_FOR_CROSS", condition::CreationPolicy::kWaitForCross},
                                                          {"REJECT_IF_MET", condition::CreationPolicy::kRejectIfMet}}};
constexpr Names<condition::Sessions, 2> kSessions{
    {{"REGULAR", condition::Sessions::kRegular}, {"EXTENDED", condition::Sessions::kExtended}}};
constexpr Names<market::Session, 4> kQuoteSessions{{{"PRE", market::Session::kPre},
                                                    {"REGULAR", market::Session::kRegular},
                                                    {"POST", market::Session::kPost},
                                                    {"CLOSED", market::Session::kClosed}}};

bool Has(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && !found->is_null();
}

std::string Text(const Json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_string()) throw Malformed{absl::StrCat("\"", field, "\" has to be a string")};
  return found->get<std::string>();
}

int64_t Integer(const Json& object, const char* field) {
  const auto found = object.find(field);
  constexpr uint64_t kLargest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (found == object.end() || !found->is_number_integer() ||
      (found->is_number_unsigned() && found->get<uint64_t>() > kLargest)) {
    throw Malformed{absl::StrCat("\"", field, "\" has to be an integer")};
  }
  return found->get<int64_t>();
}

bool Boolean(const Json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end()) return false;
  if (!found->is_boolean()) throw Malformed{absl::StrCat("\"", field, "\" has to be true or false")};
  return found->get<bool>();
}

template <typename Enum, size_t kSize>
Enum Choice(const Json& object, const char* field, const Names<Enum, kSize>& names) {
  const std::string text = Text(object, field);
  for (const auto& [name, value] : names) {
    if (text == name) return value;
  }
  throw Malformed{absl::StrCat("\"", field, "\" does not know \"", text, "\"")};
}

// A decimal of a condition; what is no decimal of so many places is the user's mistake, not the stream's.
int64_t Decimal(const Json& object, const char* field, int digits) {
  const std::string text = Text(object, field);
  const absl::StatusOr<int64_t> value = price::ParseDecimal(text, digits);
  if (!value.ok()) {
    throw Refused{absl::InvalidArgumentError(absl::StrCat(field, " ", std::string(value.status().message())))};
  }
  return *value;
}

int64_t Micros(const Json& object, const char* field) { return Decimal(object, field, 6); }
int64_t PercentE4(const Json& object, const char* field) { return Decimal(object, field, 4); }

condition::Condition ParseCondition(const Json& object) {
  if (!object.is_object()) throw Malformed{"\"condition\" has to be an object"};
  const std::string kind = Text(object, "kind");
  if (kind == "target") {
    condition::PriceTarget target;
    target.op = Choice(object, "op", kTargetOps);
    target.price_micros = Micros(object, "price");
    return target;
  }
  if (kind == "percent") {
    condition::PercentChange change;
    change.op = Choice(object, "op", kPercentOps);
    change.percent_e4 = PercentE4(object, "percent");
    change.reference = Choice(object, "reference", kReferences);
    if (change.reference == condition::PercentReference::kGiven) change.given_price_micros = Micros(object, "given");
    if (change.reference == condition::PercentReference::kWindow) change.window_us = Integer(object, "window_us");
    return change;
  }
  if (kind == "trailing") {
    condition::TrailingChange trailing;
    trailing.op = Choice(object, "op", kTrailingOps);
    const bool by_amount = Has(object, "amount");
    if (by_amount == Has(object, "percent")) {
      throw Refused{absl::InvalidArgumentError("a trailing condition takes an amount or a percent")};
    }
    if (by_amount) {
      trailing.amount_micros = Micros(object, "amount");
    } else {
      trailing.percent_e4 = PercentE4(object, "percent");
    }
    if (Has(object, "activation")) trailing.activation_price_micros = Micros(object, "activation");
    return trailing;
  }
  if (kind == "channel") {
    condition::Channel channel;
    channel.op = Choice(object, "op", kChannelOps);
    channel.low_micros = Micros(object, "low");
    channel.high_micros = Micros(object, "high");
    return channel;
  }
  throw Malformed{absl::StrCat("\"kind\" does not know \"", kind, "\"")};
}

// The fields that are there, over those of `definition`.
Definition ParseDefinition(const Json& object, Definition definition) {
  if (Has(object, "condition")) definition.condition = ParseCondition(object.at("condition"));
  if (Has(object, "policy")) definition.trigger_policy = Choice(object, "policy", kPolicies);
  if (Has(object, "cooldown_us")) definition.cooldown_us = Integer(object, "cooldown_us");
  if (Has(object, "hysteresis")) definition.hysteresis_micros = Micros(object, "hysteresis");
  if (Has(object, "creation")) definition.creation_policy = Choice(object, "creation", kCreations);
  if (Has(object, "sessions")) definition.sessions = Choice(object, "sessions", kSessions);
  if (object.contains("expire_time")) {
    definition.expire_time_us.reset();
    if (Has(object, "expire_time")) definition.expire_time_us = Integer(object, "expire_time");
  }
  return definition;
}

Definition ParseWholeDefinition(const Json& object) {
  if (!Has(object, "condition")) throw Malformed{"\"condition\" is missing"};
  return ParseDefinition(object, Definition{});
}

// Of a quote: none where it is no price, which the fold refuses or drops.
std::optional<int64_t> QuotedMicros(const Json& object, const char* field) {
  if (!Has(object, field)) return std::nullopt;
  const absl::StatusOr<int64_t> micros = price::ParsePrice(Text(object, field));
  return micros.ok() ? std::optional(*micros) : std::nullopt;
}

const char* CodeName(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case absl::StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    default:
      return "UNKNOWN";
  }
}

const char* StateName(AlertState state) {
  switch (state) {
    case AlertState::kActive:
      return "ACTIVE";
    case AlertState::kWaiting:
      return "WAITING";
    case AlertState::kHeld:
      return "HELD";
    case AlertState::kPaused:
      return "PAUSED";
    case AlertState::kTriggered:
      return "TRIGGERED";
    case AlertState::kExpired:
      return "EXPIRED";
    case AlertState::kDeleted:
      return "DELETED";
  }
  return "UNKNOWN";
}

void Print(const Json& row, std::string* out) {
  // Ids are the caller's text: what is no UTF-8 in them is replaced rather than thrown at.
  absl::StrAppend(out, row.dump(-1, ' ', false, Json::error_handler_t::replace), "\n");
}

}  // namespace

struct StreamReplay::Parser {
  StreamReplay& replay;
  const Json& event;
  std::string* out;

  void Apply() const {
    const std::string op = Text(event, "op");
    if (Has(event, "offset")) replay.place_.offset = Integer(event, "offset");
    if (op == "quote") return ApplyQuote();
    if (op == "clock") {
      replay.wall_time_us_ = std::max(replay.wall_time_us_, Integer(event, "time"));
      return;
    }
    if (op == "restart") return replay.Apply(record::Restart{Text(event, "symbol")}, out);
    if (op == "split") return ApplySplit();
    if (op == "split_suspected") return replay.Apply(SuspicionOf<record::SplitSuspected>(), out);
    if (op == "split_dismissed") return replay.Apply(SuspicionOf<record::SplitDismissed>(), out);
    if (op == "alert") return ApplyChange();
    if (op != "create" && op != "update" && op != "pause" && op != "resume" && op != "rearm" && op != "delete") {
      throw Malformed{absl::StrCat("\"op\" does not know \"", op, "\"")};
    }
    const std::string id = Text(event, "id");
    try {
      ApplyCommand(op, id);
    } catch (const Refused& refused) {
      replay.Refuse(id, refused.status, out);
    }
  }

  void ApplyQuote() const {
    record::Quote quote;
    quote.symbol = Text(event, "symbol");
    Text(event, "price");
    quote.price_micros = QuotedMicros(event, "price").value_or(0);
    quote.event_time_us = Integer(event, "time");
    quote.session = Choice(event, "session", kQuoteSessions);
    quote.day_open_micros = QuotedMicros(event, "day_open");
    quote.day_high_micros = QuotedMicros(event, "day_high");
    quote.day_low_micros = QuotedMicros(event, "day_low");
    quote.previous_close_micros = QuotedMicros(event, "prev_close");
    quote.rules = RulesOf();
    if (Has(event, "epoch")) quote.publisher_epoch = Integer(event, "epoch");
    if (Has(event, "sequence")) quote.sequence = Integer(event, "sequence");
    replay.Apply(quote, out);
  }

  market::Rules RulesOf() const {
    if (!Has(event, "rules")) return market::kNewestRules;
    const int64_t rules = Integer(event, "rules");
    const auto newest = static_cast<int64_t>(market::kNewestRules);
    if (rules < 1 || rules > newest) throw Malformed{absl::StrCat("\"rules\" has to be 1 to ", newest)};
    return static_cast<market::Rules>(rules);
  }

  template <typename Record>
  Record SuspicionOf() const {
    Record record;
    record.symbol = Text(event, "symbol");
    if (Has(event, "epoch")) record.publisher_epoch = Integer(event, "epoch");
    if (Has(event, "sequence")) record.sequence = Integer(event, "sequence");
    if (record.publisher_epoch < 0 || record.sequence < 0) {
      throw Malformed{"neither \"epoch\" nor \"sequence\" may be negative"};
    }
    return record;
  }

  void ApplySplit() const {
    record::Split split;
    split.symbol = Text(event, "symbol");
    const std::string ratio = Text(event, "ratio");
    const std::vector<std::string> parts = absl::StrSplit(ratio, '/');
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &split.ratio.numerator) ||
        !absl::SimpleAtoi(parts[1], &split.ratio.denominator) || !record::IsSplitShares(split.ratio.numerator) ||
        !record::IsSplitShares(split.ratio.denominator)) {
      throw Malformed{
          absl::StrCat("\"ratio\" has to be two numbers from 1 to ", record::kSplitSharesMax, ", as in \"4/1\"")};
    }
    KnownSplits& known = replay.splits_[split.symbol];
    split.number = Has(event, "number") ? Integer(event, "number") : known.last_number + 1;
    split.split_id = Has(event, "id") ? Text(event, "id") : absl::StrCat(split.number);
    split.effective_time_us = Integer(event, "time");
    if (split.number <= known.last_number || !known.ids.insert(split.split_id).second) return;
    known.last_number = split.number;
    known.ratios[split.number] = split.ratio;
    replay.Apply(split, out);
    for (auto& [id, alert] : replay.alerts_) {
      if (alert.symbol == split.symbol) condition::ScaleDefinition(split.ratio, &alert.record.definition);
    }
  }

  void ApplyChange() const {
    record::AlertChange change;
    change.alert_id = Text(event, "id");
    change.symbol = Text(event, "symbol");
    change.revision = Integer(event, "revision");
    change.armed_revision = Integer(event, "armed_revision");
    change.paused = Boolean(event, "paused");
    change.deleted = Boolean(event, "deleted");
    change.splits_applied =
        Has(event, "splits_applied") ? Integer(event, "splits_applied") : replay.splits_[change.symbol].last_number;
    if (!change.deleted || Has(event, "condition")) {
      try {
        change.definition = ParseWholeDefinition(event);
      } catch (const Refused& refused) {
        throw Malformed{std::string(refused.status.message())};
      }
      const bool has_split = replay.splits_[change.symbol].last_number > 0;
      const std::optional<condition::Violation> violation = has_split
                                                                ? condition::FindViolationAfterSplits(change.definition)
                                                                : condition::FindViolation(change.definition);
      if (violation.has_value() && !change.deleted) {
        throw Malformed{absl::StrCat(violation->field, " ", violation->description)};
      }
    }
    if (MovesPassedExpiry(change)) change.armed_revision = change.revision;
    replay.Apply(change, out);
    if (change.deleted) replay.deleted_.insert(change.alert_id);
    if (replay.IsHeld(change.symbol)) return RememberHeld(change);
    const std::optional<fold::AlertView> view = replay.fold_.FindAlert(change.alert_id);
    if (!view.has_value()) {
      replay.alerts_.erase(change.alert_id);
      return;
    }
    KnownAlert& alert = replay.alerts_[change.alert_id];
    alert.symbol = view->symbol;
    alert.record.definition = view->definition;
    alert.record.revision = view->revision;
    alert.record.armed_revision = view->armed_revision;
    alert.record.paused = view->paused;
    alert.record.triggered = view->ended;
  }

  // What the fold will make of a change once its symbol is held no more.
  void RememberHeld(const record::AlertChange& change) const {
    const auto known = replay.alerts_.find(change.alert_id);
    if (known == replay.alerts_.end()) {
      if (replay.deleted_.contains(change.alert_id)) return;
    } else {
      if (change.revision <= known->second.record.revision || known->second.symbol != change.symbol) return;
      if (change.deleted) {
        replay.alerts_.erase(known);
        return;
      }
    }
    KnownAlert& alert = replay.alerts_[change.alert_id];
    AlertRecord& record = alert.record;
    alert.symbol = change.symbol;
    record.triggered = record.triggered && change.armed_revision <= record.armed_revision;
    record.definition = change.definition;
    for (const auto& [number, ratio] : replay.splits_[change.symbol].ratios) {
      if (number > change.splits_applied) condition::ScaleDefinition(ratio, &record.definition);
    }
    record.revision = change.revision;
    record.armed_revision = std::max(record.armed_revision, change.armed_revision);
    record.paused = change.paused;
  }

  // Only the stream knows the wall clock: an alert that it has ended is armed like one that a quote has ended.
  bool MovesPassedExpiry(const record::AlertChange& change) const {
    const auto known = replay.alerts_.find(change.alert_id);
    if (change.deleted || known == replay.alerts_.end() || change.revision <= known->second.record.revision)
      return false;
    const AlertState shown =
        condition::ShownState(known->second.record, replay.MomentOf(known->second.symbol), true, true);
    return shown == AlertState::kExpired &&
           change.definition.expire_time_us != known->second.record.definition.expire_time_us;
  }

  void ApplyCommand(const std::string& op, const std::string& id) const {
    const auto known = replay.alerts_.find(id);
    if (op == "create") {
      if (known != replay.alerts_.end()) throw Refused{absl::AlreadyExistsError("an alert with this id exists")};
      if (replay.deleted_.contains(id))
        throw Refused{absl::AlreadyExistsError("an alert with this id has been deleted")};
      const std::string symbol = Text(event, "symbol");
      const Definition definition = ParseWholeDefinition(event);
      const absl::StatusOr<AlertRecord> record =
          condition::CreateAlert(definition, replay.MomentOf(symbol), replay.MarketOf(symbol, definition.sessions));
      if (!record.ok()) throw Refused{record.status()};
      replay.alerts_[id] = KnownAlert{symbol, *record};
      replay.Publish(id, replay.alerts_[id], out);
      return;
    }
    if (known == replay.alerts_.end()) throw Refused{absl::NotFoundError("there is no alert with this id")};
    KnownAlert& alert = known->second;
    const condition::Moment moment = replay.MomentOf(alert.symbol);
    absl::StatusOr<AlertRecord> record = alert.record;
    if (op == "update") {
      record = condition::UpdateAlert(alert.record, ParseDefinition(event, alert.record.definition), false, moment);
    } else if (op == "pause") {
      record = condition::PauseAlert(alert.record, moment);
    } else if (op == "resume") {
      record = condition::ResumeAlert(alert.record, moment);
    } else if (op == "rearm") {
      record = condition::RearmAlert(alert.record, moment);
    } else {
      record = condition::DeleteAlert(alert.record);
    }
    if (!record.ok()) throw Refused{record.status()};
    if (*record == alert.record) return;
    alert.record = *record;
    replay.Publish(id, alert, out);
    if (alert.record.deleted) {
      replay.deleted_.insert(id);
      replay.alerts_.erase(known);
    }
  }
};

absl::Status StreamReplay::ApplyLine(std::string_view line, std::string* out) {
  if (line.find_first_not_of(" \t\r\n") == std::string_view::npos) return absl::OkStatus();
  try {
    const Json event = Json::parse(line);
    if (!event.is_object()) return absl::InvalidArgumentError("not a JSON object");
    Parser{*this, event, out}.Apply();
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("not a line of JSON: ", error.what()));
  } catch (const Malformed& malformed) {
    return absl::InvalidArgumentError(malformed.message);
  }
  return absl::OkStatus();
}

void StreamReplay::Apply(const record::Event& event, std::string* out) {
  fold::Outcome outcome;
  fold_.Apply(event, place_, &outcome);
  for (const record::Trigger& trigger : outcome.triggers) {
    if (const auto known = alerts_.find(trigger.alert_id); known != alerts_.end()) {
      known->second.record = condition::RecordTrigger(known->second.record, trigger.revision, trigger.ends_alert);
    }
    Json row;
    row["trigger"] = trigger.alert_id;
    row["n"] = trigger.trigger_number;
    row["revision"] = trigger.revision;
    row["price"] = price::FormatMicros(trigger.price_micros);
    row["time"] = trigger.event_time_us;
    row["before"] = nullptr;
    if (trigger.price_before_micros.has_value()) row["before"] = price::FormatMicros(*trigger.price_before_micros);
    row["offset"] = trigger.offset;
    row["late"] = trigger.late;
    if (trigger.late_from_us.has_value()) {
      row["from"] = *trigger.late_from_us;
      row["to"] = trigger.event_time_us;
    }
    Print(row, out);
  }
}

void StreamReplay::Publish(const std::string& id, const KnownAlert& alert, std::string* out) {
  record::AlertChange change;
  change.alert_id = id;
  change.symbol = alert.symbol;
  change.revision = alert.record.revision;
  change.armed_revision = alert.record.armed_revision;
  change.paused = alert.record.paused;
  change.deleted = alert.record.deleted;
  change.definition = condition::DefinitionForLog(alert.record.definition);
  change.splits_applied = splits_[alert.symbol].last_number;
  Apply(change, out);
}

void StreamReplay::Refuse(const std::string& id, const absl::Status& status, std::string* out) const {
  Json row;
  row["rejected"] = id;
  row["code"] = CodeName(status.code());
  row["why"] = std::string(status.message());
  Print(row, out);
}

condition::Moment StreamReplay::MomentOf(const std::string& symbol) const {
  condition::Moment moment;
  moment.wall_time_us = wall_time_us_;
  moment.refuse_past_expiry = false;
  const std::optional<fold::SymbolView> view = fold_.FindSymbol(symbol);
  if (view.has_value()) moment.last_event_time_us = view->last_event_time_us;
  return moment;
}

bool StreamReplay::IsHeld(const std::string& symbol) const {
  const std::optional<fold::SymbolView> view = fold_.FindSymbol(symbol);
  return view.has_value() && view->held_records.has_value();
}

condition::ArmingMarket StreamReplay::MarketOf(const std::string& symbol, condition::Sessions sessions) const {
  condition::ArmingMarket market;
  const auto view = fold_.FindSymbol(symbol);
  if (!view.has_value()) return market;
  market.price_micros =
      sessions == condition::Sessions::kRegular ? view->last_regular_price_micros : view->last_extended_price_micros;
  market.previous_close_micros = view->previous_close_micros;
  market.day_open_micros = view->day_open_micros;
  return market;
}

void StreamReplay::PrintStates(std::string* out) const {
  for (const auto& [id, alert] : alerts_) {
    const std::optional<fold::AlertView> view = fold_.FindAlert(id);
    const bool known = !view.has_value() || !view->waiting;
    Json row;
    row["state"] = id;
    row["is"] =
        StateName(condition::ShownState(alert.record, MomentOf(alert.symbol), known, known, IsHeld(alert.symbol)));
    Print(row, out);
  }
}

}  // namespace stockalert::evaluator
