#include "services/alert/postgres_alert_rows.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/alert/alert_errors.h"
#include "services/alert/alert_rules.h"
#include "services/alert/definition_json.h"
#include "services/alert/outbox_store.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"
#include "services/domain/record/definition_codec.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;
using soci::into;
using soci::use;

absl::StatusOr<condition::Definition> DecodeDefinitionJson(const std::string& json) {
  ipb::AlertDefinition message;
  if (!ReadDefinitionJson(json, &message)) {
    return base::Internal("an alert's definition in the database cannot be read: was it changed by hand?");
  }
  absl::StatusOr<condition::Definition> definition = record::DecodeDefinition(message);
  if (!definition.ok())
    return base::Internal(absl::StrCat("an alert's definition in the database: ", definition.status().message()));
  return definition;
}

// Those of kAlertColumns.
absl::StatusOr<std::vector<StoredSplit>> ParseSplits(const std::string& text) {
  std::vector<StoredSplit> splits;
  for (const absl::string_view one : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> numbers = absl::StrSplit(one, ' ');
    StoredSplit split;
    if (numbers.size() != 3 || !absl::SimpleAtoi(numbers[0], &split.number) ||
        !absl::SimpleAtoi(numbers[1], &split.ratio.numerator) ||
        !absl::SimpleAtoi(numbers[2], &split.ratio.denominator)) {
      return base::Internal("the splits of a symbol cannot be read");
    }
    splits.push_back(std::move(split));
  }
  return splits;
}

std::optional<int64_t> NonZero(long long value) { return value == 0 ? std::nullopt : std::optional<int64_t>(value); }

// The columns of an alert, of its last trigger and of its symbol's status, and where one row of them goes. NULLs are
// zeros here: none of the values that may be absent is zero.
constexpr char kAlertColumns[] = R"sql(
  CAST(a.id AS text),
  CAST(a.user_id AS text),
  a.symbol,
  CAST(a.definition AS text),
  a.note,
  a.revision,
  a.armed_revision,
  a.applied_revision,
  CAST(a.paused AS int),
  CAST(a.triggered AS int),
  CAST(a.deleted AS int),
  a.trigger_count,
  a.last_trigger_number,
  a.throttled_count,
  a.throttle_end_us,
  a.create_time_us,
  a.update_time_us,
  COALESCE(a.request_id, ''),
  COALESCE(a.request_fingerprint, ''),
  CAST(a.delivery AS int),
  array_to_string(a.destination_ids, ','),
  CAST(a.critical AS int),
  a.splits_applied,
  COALESCE((
    SELECT string_agg(p.number || ' ' || p.numerator || ' ' || p.denominator, ',' ORDER BY p.number)
    FROM stockalert_alert.splits p
    WHERE p.symbol = a.symbol AND p.number > a.splits_applied), ''))sql";

class AlertRow {
 public:
  void Define(soci::statement& statement) {
    statement.exchange(into(id_));
    statement.exchange(into(user_id_));
    statement.exchange(into(symbol_));
    statement.exchange(into(definition_));
    statement.exchange(into(note_));
    for (long long* number : {&revision_, &armed_revision_, &applied_revision_}) statement.exchange(into(*number));
    for (int* flag : {&paused_, &triggered_, &deleted_}) statement.exchange(into(*flag));
    for (long long* number : {&trigger_count_, &last_trigger_number_, &throttled_count_, &throttle_end_us_,
                              &create_time_us_, &update_time_us_}) {
      statement.exchange(into(*number));
    }
    statement.exchange(into(request_id_));
    statement.exchange(into(request_fingerprint_));
    statement.exchange(into(delivery_));
    statement.exchange(into(destination_ids_));
    statement.exchange(into(critical_));
    statement.exchange(into(splits_applied_));
    statement.exchange(into(later_splits_));
  }

  absl::StatusOr<StoredAlert> Get() const {
    StoredAlert alert;
    alert.id = id_;
    alert.user_id = user_id_;
    alert.symbol = symbol_;
    STOCKALERT_ASSIGN_OR_RETURN(alert.record.definition, DecodeDefinitionJson(definition_));
    alert.record.revision = revision_;
    alert.record.armed_revision = armed_revision_;
    alert.record.paused = paused_ != 0;
    alert.record.triggered = triggered_ != 0;
    alert.record.deleted = deleted_ != 0;
    alert.note = note_;
    alert.applied_revision = applied_revision_;
    alert.trigger_count = trigger_count_;
    alert.last_trigger_number = last_trigger_number_;
    alert.throttled_count = throttled_count_;
    alert.throttle_end_us = throttle_end_us_;
    alert.create_time_us = create_time_us_;
    alert.update_time_us = update_time_us_;
    alert.request_id = request_id_;
    alert.request_fingerprint = request_fingerprint_;
    alert.routing.route = static_cast<message::Route>(delivery_);
    alert.routing.destination_ids = absl::StrSplit(destination_ids_, ',', absl::SkipEmpty());
    alert.routing.critical = critical_ != 0;
    alert.splits_applied = splits_applied_;
    if (!later_splits_.empty()) {
      STOCKALERT_ASSIGN_OR_RETURN(const std::vector<StoredSplit> later, ParseSplits(later_splits_));
      BringForward(later, alert);
    }
    return alert;
  }

 private:
  std::string id_, user_id_, symbol_, definition_, note_, request_id_, request_fingerprint_, destination_ids_,
      later_splits_;
  long long revision_ = 0, armed_revision_ = 0, applied_revision_ = 0, trigger_count_ = 0, last_trigger_number_ = 0,
            throttled_count_ = 0, throttle_end_us_ = 0, create_time_us_ = 0, update_time_us_ = 0, splits_applied_ = 0;
  int paused_ = 0, triggered_ = 0, deleted_ = 0, delivery_ = 0, critical_ = 0;
};

constexpr char kTriggerColumns[] = R"sql(
  COALESCE(CAST(t.alert_id AS text), ''),
  COALESCE(CAST(t.user_id AS text), ''),
  COALESCE(t.symbol, ''),
  COALESCE(t.number, 0),
  COALESCE(t.revision, 0),
  COALESCE(t.price_micros, 0),
  COALESCE(t.event_time_us, 0),
  COALESCE(t.price_before_micros, 0),
  COALESCE(t.reference_micros, 0),
  CAST(COALESCE(t.late, false) AS int),
  CAST(COALESCE(t.ends_alert, false) AS int),
  COALESCE(t.log_partition, 0),
  COALESCE(t.log_offset, 0),
  CAST(COALESCE(t.withheld, 0) AS int),
  CAST(COALESCE(t.throttled, false) AS int),
  COALESCE(t.create_time_us, 0),
  COALESCE(t.late_from_us, 0))sql";

class TriggerRow {
 public:
  void Define(soci::statement& statement) {
    for (std::string* text : {&alert_id_, &user_id_, &symbol_}) statement.exchange(into(*text));
    for (long long* number : {&number_, &revision_, &price_, &event_time_us_, &before_, &reference_})
      statement.exchange(into(*number));
    for (int* flag : {&late_, &ends_, &partition_}) statement.exchange(into(*flag));
    statement.exchange(into(offset_));
    statement.exchange(into(withheld_));
    statement.exchange(into(throttled_));
    statement.exchange(into(create_time_us_));
    statement.exchange(into(late_from_us_));
  }

  // None where the alert has not triggered.
  std::optional<RecordedTrigger> Get() const {
    if (number_ == 0) return std::nullopt;
    RecordedTrigger trigger;
    trigger.alert_id = alert_id_;
    trigger.user_id = user_id_;
    trigger.symbol = symbol_;
    trigger.number = number_;
    trigger.revision = revision_;
    trigger.price_micros = price_;
    trigger.event_time_us = event_time_us_;
    trigger.price_before_micros = NonZero(before_);
    trigger.reference_micros = NonZero(reference_);
    trigger.late = late_ != 0;
    trigger.late_from_us = NonZero(late_from_us_);
    trigger.ends_alert = ends_ != 0;
    trigger.partition = partition_;
    trigger.offset = offset_;
    trigger.withheld = static_cast<Withheld>(withheld_);
    trigger.throttled = throttled_ != 0;
    trigger.create_time_us = create_time_us_;
    return trigger;
  }

 private:
  std::string alert_id_, user_id_, symbol_;
  long long number_ = 0, revision_ = 0, price_ = 0, event_time_us_ = 0, before_ = 0, reference_ = 0, offset_ = 0,
            create_time_us_ = 0, late_from_us_ = 0;
  int late_ = 0, ends_ = 0, partition_ = 0, withheld_ = 0, throttled_ = 0;
};

constexpr char kStatusColumns[] = R"sql(
  CAST(COALESCE(s.previous_close_known, false) AS int),
  CAST(COALESCE(s.day_open_known, false) AS int),
  COALESCE(s.last_event_time_us, 0),
  COALESCE(s.log_partition, 0),
  COALESCE(s.log_offset, -1),
  CAST(COALESCE(s.held, false) AS int))sql";

class StatusRow {
 public:
  void Define(soci::statement& statement) {
    statement.exchange(into(previous_close_known_));
    statement.exchange(into(day_open_known_));
    statement.exchange(into(last_event_time_us_));
    statement.exchange(into(partition_));
    statement.exchange(into(offset_));
    statement.exchange(into(held_));
  }

  StoredSymbolStatus Get(const std::string& symbol) const {
    StoredSymbolStatus status;
    status.symbol = symbol;
    status.previous_close_known = previous_close_known_ != 0;
    status.day_open_known = day_open_known_ != 0;
    status.last_event_time_us = last_event_time_us_;
    status.partition = partition_;
    status.offset = offset_;
    status.held = held_ != 0;
    return status;
  }

 private:
  int previous_close_known_ = 0, day_open_known_ = 0, partition_ = 0, held_ = 0;
  long long last_event_time_us_ = 0, offset_ = 0;
};

constexpr char kViewFrom[] = R"sql(
FROM stockalert_alert.alerts a
LEFT JOIN stockalert_alert.triggers t ON t.alert_id = a.id AND t.number = a.last_trigger_number
LEFT JOIN stockalert_alert.symbol_status s ON s.symbol = a.symbol
)sql";

constexpr char kChange[] = R"sql(
WITH changed AS (
  UPDATE stockalert_alert.alerts
  SET definition = CAST(:definition AS jsonb),
    expire_time_us = CAST(:expiry AS bigint),
    reference = CAST(:reference AS smallint),
    note = :note,
    delivery = CAST(:delivery AS smallint),
    destination_ids = CAST(:destinations AS uuid[]),
    critical = CAST(CAST(:critical AS int) AS boolean),
    create_splits = COALESCE(create_splits, splits_applied),
    splits_applied = CAST(:splits AS bigint),
    revision = :revision,
    armed_revision = :armed,
    paused = CAST(CAST(:paused AS int) AS boolean),
    triggered = CAST(CAST(:triggered AS int) AS boolean),
    deleted = CAST(CAST(:deleted AS int) AS boolean),
    update_time_us = CAST(:now AS bigint)
  WHERE id = CAST(:id AS uuid)
  RETURNING id, revision
)
INSERT INTO stockalert_alert.alert_outbox AS o (alert_id, revision, open_time_us, next_attempt_us, attempts)
SELECT id, revision, CAST(:now AS bigint), CAST(:next AS bigint), 0 FROM changed
ON CONFLICT (alert_id) DO UPDATE
SET revision = EXCLUDED.revision,
  open_time_us = EXCLUDED.open_time_us,
  next_attempt_us = EXCLUDED.next_attempt_us,
  attempts = 0
)sql";

}  // namespace

std::string EncodeDefinitionJson(const condition::Definition& definition) {
  std::string json;
  // Cannot fail for a message that is made here.
  (void)google::protobuf::util::MessageToJsonString(record::EncodeDefinition(definition), &json);
  return json;
}

int ReferenceOf(const condition::Definition& definition) {
  return condition::NeedsPreviousClose(definition) ? 1 : condition::NeedsDayOpen(definition) ? 2 : 0;
}

absl::Status ToError(const absl::Status& status) {
  return condition::RefusalReason(status).empty() ? postgres::StoreFailure(status) : status;
}

std::string ViewQuery(absl::string_view rest) {
  return absl::StrCat("SELECT ", kAlertColumns, ", ", kTriggerColumns, ", ", kStatusColumns, kViewFrom, rest);
}

std::string AlertQuery(absl::string_view from) { return absl::StrCat("SELECT ", kAlertColumns, "\nFROM ", from); }

std::string TriggerQuery(absl::string_view from) { return absl::StrCat("SELECT ", kTriggerColumns, "\nFROM ", from); }

absl::StatusOr<std::vector<ShownAlert>> Query::FetchViews() {
  AlertRow alert;
  TriggerRow trigger;
  StatusRow status;
  alert.Define(statement_);
  trigger.Define(statement_);
  status.Define(statement_);
  std::vector<ShownAlert> views;
  Begin();
  while (statement_.fetch()) {
    ShownAlert view;
    STOCKALERT_ASSIGN_OR_RETURN(view.alert, alert.Get());
    view.last_trigger = trigger.Get();
    view.status = status.Get(view.alert.symbol);
    views.push_back(std::move(view));
  }
  return views;
}

absl::StatusOr<std::vector<StoredAlert>> Query::FetchAlerts() {
  AlertRow row;
  row.Define(statement_);
  std::vector<StoredAlert> alerts;
  Begin();
  while (statement_.fetch()) {
    STOCKALERT_ASSIGN_OR_RETURN(StoredAlert alert, row.Get());
    alerts.push_back(std::move(alert));
  }
  return alerts;
}

std::vector<RecordedTrigger> Query::FetchTriggers() {
  TriggerRow row;
  row.Define(statement_);
  std::vector<RecordedTrigger> triggers;
  Begin();
  while (statement_.fetch()) {
    if (std::optional<RecordedTrigger> trigger = row.Get()) triggers.push_back(*std::move(trigger));
  }
  return triggers;
}

std::vector<std::string> Query::FetchTexts() {
  std::string text;
  statement_.exchange(into(text));
  std::vector<std::string> texts;
  Begin();
  while (statement_.fetch()) texts.push_back(text);
  return texts;
}

std::vector<AlertOwner> Query::FetchOwners() {
  AlertOwner owner;
  statement_.exchange(into(owner.alert_id));
  statement_.exchange(into(owner.user_id));
  std::vector<AlertOwner> owners;
  Begin();
  while (statement_.fetch()) owners.push_back(owner);
  return owners;
}

void Query::Execute() {
  Prepare();
  statement_.execute(true);
}

void Query::Prepare() {
  statement_.alloc();
  // In one trip: one that is prepared takes three, with its end.
  statement_.prepare(text_, soci::details::st_one_time_query);
  statement_.define_and_bind();
}

void Query::Begin() {
  Prepare();
  statement_.execute(false);
}

ChangeStatement::ChangeStatement(soci::session& sql) : statement(sql) {
  for (auto& [name, text] : texts) statement.exchange(use(text, name));
  for (auto& [name, number] : numbers) statement.exchange(use(number, name));
  statement.exchange(use(expire_time_us, expire_indicator, "expiry"));
  statement.alloc();
  statement.prepare(kChange);
  statement.define_and_bind();
}

void ChangeStatement::Run(const StoredAlert& alert, int64_t now_us) {
  const condition::AlertRecord& record = alert.record;
  texts["id"] = alert.id;
  texts["definition"] = EncodeDefinitionJson(record.definition);
  texts["note"] = alert.note;
  texts["destinations"] = postgres::UuidArray(alert.routing.destination_ids);
  numbers["delivery"] = static_cast<long long>(alert.routing.route);
  numbers["critical"] = alert.routing.critical ? 1 : 0;
  numbers["reference"] = ReferenceOf(record.definition);
  numbers["revision"] = record.revision;
  numbers["armed"] = record.armed_revision;
  numbers["paused"] = record.paused ? 1 : 0;
  numbers["triggered"] = record.triggered ? 1 : 0;
  numbers["deleted"] = record.deleted ? 1 : 0;
  numbers["splits"] = alert.splits_applied;
  numbers["now"] = now_us;
  numbers["next"] = now_us + kFirstSweepUs;
  expire_indicator = record.definition.expire_time_us ? soci::i_ok : soci::i_null;
  expire_time_us = record.definition.expire_time_us.value_or(0);
  statement.execute(true);
}

}  // namespace stockalert::alert
