#include "services/alert/postgres_alert_store.h"

#include <google/protobuf/util/json_util.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "services/alert/alert_logic.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/failure_kind.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"
#include "services/domain/record/definition_codec.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;
using postgres::BigintArray;
using postgres::BooleanArray;
using postgres::Connection;
using postgres::Idempotency;
using postgres::TextArray;
using postgres::Transact;
using postgres::UuidArray;
using soci::into;
using soci::use;

// Rows of the trigger outbox that one claim looks at.
constexpr int kRankedMax = 200'000;
// Counts of minutes that one call forgets.
constexpr int kForgottenMax = 100'000;
constexpr char kNoUuid[] = "00000000-0000-0000-0000-000000000000";

std::string EncodeDefinitionJson(const condition::Definition& definition) {
  std::string json;
  // Cannot fail for a message that is made here.
  (void)google::protobuf::util::MessageToJsonString(record::EncodeDefinition(definition), &json);
  return json;
}

absl::StatusOr<condition::Definition> DecodeDefinitionJson(const std::string& json) {
  ipb::AlertDefinition message;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(json, &message, options).ok()) {
    return base::Internal("an alert's definition in the database cannot be read: was it changed by hand?");
  }
  absl::StatusOr<condition::Definition> definition = record::DecodeDefinition(message);
  if (!definition.ok())
    return base::Internal(absl::StrCat("an alert's definition in the database: ", definition.status().message()));
  return definition;
}

int ReferenceOf(const condition::Definition& definition) {
  return condition::NeedsPreviousClose(definition) ? 1 : condition::NeedsDayOpen(definition) ? 2 : 0;
}

// What the API is told of a failed transaction. Errors of our own pass.
absl::Status ToError(const absl::Status& status) {
  if (status.ok() || base::FindErrorDetails(status)) return status;
  if (postgres::IsDatabaseUnavailable(status) || absl::IsAborted(status)) {
    // What Postgres and the pool say of it is in the log and the metrics; callers are told what to do.
    return base::WithFailureKindOf(base::Unavailable(kReasonDatabaseUnavailable,
                                                     "the database does not answer: look whether it was done, or try "
                                                     "again, with the same request_id where there is one"),
                                   status);
  }
  return base::WithFailureKindOf(base::Internal(base::ToStd(status.message())), status);
}

template <typename T>
absl::StatusOr<T> ToError(absl::StatusOr<T> result) {
  if (!result.ok()) return ToError(result.status());
  return result;
}

absl::Status AlertNotFound() {
  return base::NotFound(kReasonAlertNotFound,
                        "there is no such alert, or it is not yours: ListAlerts names those that are");
}

std::optional<int64_t> NonZero(long long value) { return value == 0 ? std::nullopt : std::optional<int64_t>(value); }

// The columns of an alert, its last trigger and its symbol's status, and where one row of them goes. NULLs are zeros
// here: none of the values that may be absent is zero.
constexpr char kAlertColumns[] =
    "CAST(a.id AS text), CAST(a.user_id AS text), a.symbol, CAST(a.definition AS text), a.note, a.revision, "
    "a.armed_revision, "
    "a.applied_revision, CAST(a.paused AS int), CAST(a.triggered AS int), CAST(a.deleted AS int), a.trigger_count, "
    "a.last_trigger_number, "
    "a.throttled_count, a.throttle_end_us, a.create_time_us, a.update_time_us, COALESCE(a.request_id, ''), "
    "COALESCE(a.request_fingerprint, '')";

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
    return alert;
  }

 private:
  std::string id_, user_id_, symbol_, definition_, note_, request_id_, request_fingerprint_;
  long long revision_ = 0, armed_revision_ = 0, applied_revision_ = 0, trigger_count_ = 0, last_trigger_number_ = 0,
            throttled_count_ = 0, throttle_end_us_ = 0, create_time_us_ = 0, update_time_us_ = 0;
  int paused_ = 0, triggered_ = 0, deleted_ = 0;
};

constexpr char kTriggerColumns[] =
    "COALESCE(CAST(t.alert_id AS text), ''), COALESCE(CAST(t.user_id AS text), ''), COALESCE(t.symbol, ''), "
    "COALESCE(t.number, 0), "
    "COALESCE(t.revision, 0), COALESCE(t.price_micros, 0), COALESCE(t.event_time_us, 0), "
    "COALESCE(t.price_before_micros, 0), "
    "COALESCE(t.reference_micros, 0), CAST(COALESCE(t.late, false) AS int), CAST(COALESCE(t.ends_alert, false) AS "
    "int), "
    "COALESCE(t.log_partition, 0), COALESCE(t.log_offset, 0), CAST(COALESCE(t.withheld, 0) AS int), "
    "CAST(COALESCE(t.throttled, false) AS int), COALESCE(t.create_time_us, 0)";

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
  }

  // None where the alert has not triggered.
  std::optional<StoredTrigger> Get() const {
    if (number_ == 0) return std::nullopt;
    StoredTrigger trigger;
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
            create_time_us_ = 0;
  int late_ = 0, ends_ = 0, partition_ = 0, withheld_ = 0, throttled_ = 0;
};

constexpr char kStatusColumns[] =
    "CAST(COALESCE(s.previous_close_known, false) AS int), CAST(COALESCE(s.day_open_known, false) AS int), "
    "COALESCE(s.last_event_time_us, 0), COALESCE(s.log_partition, 0), COALESCE(s.log_offset, -1)";

class StatusRow {
 public:
  void Define(soci::statement& statement) {
    statement.exchange(into(previous_close_known_));
    statement.exchange(into(day_open_known_));
    statement.exchange(into(last_event_time_us_));
    statement.exchange(into(partition_));
    statement.exchange(into(offset_));
  }

  SymbolStatus Get(const std::string& symbol) const {
    SymbolStatus status;
    status.symbol = symbol;
    status.previous_close_known = previous_close_known_ != 0;
    status.day_open_known = day_open_known_ != 0;
    status.last_event_time_us = last_event_time_us_;
    status.partition = partition_;
    status.offset = offset_;
    return status;
  }

 private:
  int previous_close_known_ = 0, day_open_known_ = 0, partition_ = 0;
  long long last_event_time_us_ = 0, offset_ = 0;
};

constexpr char kViewFrom[] =
    " FROM stockalert_alert.alerts a"
    " LEFT JOIN stockalert_alert.triggers t ON t.alert_id = a.id AND t.number = a.last_trigger_number"
    " LEFT JOIN stockalert_alert.symbol_status s ON s.symbol = a.symbol ";

std::string ViewQuery(absl::string_view rest) {
  return absl::StrCat("SELECT ", kAlertColumns, ", ", kTriggerColumns, ", ", kStatusColumns, kViewFrom, rest);
}

std::string AlertQuery(absl::string_view rest) { return absl::StrCat("SELECT ", kAlertColumns, " FROM ", rest); }

// A statement, for one execution, whose parameters are bound by name.
class Query {
 public:
  Query(soci::session& sql, std::string text) : statement_(sql), text_(std::move(text)) {}

  template <typename T>
  Query& Bind(const char* name, const T& value) {
    statement_.exchange(use(value, name));
    return *this;
  }

  absl::StatusOr<std::vector<AlertView>> Views() {
    AlertRow alert;
    TriggerRow trigger;
    StatusRow status;
    alert.Define(statement_);
    trigger.Define(statement_);
    status.Define(statement_);
    std::vector<AlertView> views;
    Begin();
    while (statement_.fetch()) {
      AlertView view;
      STOCKALERT_ASSIGN_OR_RETURN(view.alert, alert.Get());
      view.last_trigger = trigger.Get();
      view.status = status.Get(view.alert.symbol);
      views.push_back(std::move(view));
    }
    return views;
  }

  absl::StatusOr<std::vector<StoredAlert>> Alerts() {
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

  std::vector<StoredTrigger> Triggers() {
    TriggerRow row;
    row.Define(statement_);
    std::vector<StoredTrigger> triggers;
    Begin();
    while (statement_.fetch()) {
      if (std::optional<StoredTrigger> trigger = row.Get()) triggers.push_back(*std::move(trigger));
    }
    return triggers;
  }

  std::vector<std::string> Texts() {
    std::string text;
    statement_.exchange(into(text));
    std::vector<std::string> texts;
    Begin();
    while (statement_.fetch()) texts.push_back(text);
    return texts;
  }

  std::vector<AlertOwner> Owners() {
    AlertOwner owner;
    statement_.exchange(into(owner.alert_id));
    statement_.exchange(into(owner.user_id));
    std::vector<AlertOwner> owners;
    Begin();
    while (statement_.fetch()) owners.push_back(owner);
    return owners;
  }

  std::vector<TriggerId> TriggerIds() {
    std::string id;
    long long number = 0;
    statement_.exchange(into(id));
    statement_.exchange(into(number));
    std::vector<TriggerId> ids;
    Begin();
    while (statement_.fetch()) ids.push_back({id, number});
    return ids;
  }

  void Execute() {
    Prepare();
    statement_.execute(true);
  }

 private:
  void Prepare() {
    statement_.alloc();
    statement_.prepare(text_);
    statement_.define_and_bind();
  }
  void Begin() {
    Prepare();
    statement_.execute(false);
  }

  soci::statement statement_;
  const std::string text_;
};

// The insert of CreateAlert, kept with its connection: owner, alerts and outbox in one statement. No row: over the
// quota, or the user is gone.
struct CreateStatement {
  explicit CreateStatement(soci::session& sql) : statement(sql) {
    for (auto& [name, text] : texts) statement.exchange(use(text, name));
    statement.exchange(use(count, "n"));
    statement.exchange(use(quota, "quota"));
    statement.exchange(use(now_us, "now"));
    statement.exchange(use(next_us, "next"));
    statement.exchange(into(created));
    statement.alloc();
    statement.prepare(
        "WITH owner AS ("
        "  INSERT INTO stockalert_alert.owners AS o (user_id, alert_count) VALUES (CAST(:user AS uuid), CAST(:n AS "
        "bigint))"
        "  ON CONFLICT (user_id) DO UPDATE SET alert_count = o.alert_count + CAST(:n AS bigint)"
        "  WHERE NOT o.deleted AND o.alert_count + CAST(:n AS bigint) <= CAST(:quota AS bigint)"
        "  RETURNING o.user_id"
        "), created AS ("
        "  INSERT INTO stockalert_alert.alerts (id, user_id, symbol, definition, expire_time_us, reference, note, "
        "revision, armed_revision,"
        "    create_time_us, update_time_us, request_id, request_fingerprint)"
        "  SELECT x.id, owner.user_id, x.symbol, CAST(x.definition AS jsonb), x.expire_time_us, CAST(x.reference AS "
        "smallint), x.note, 1, 1,"
        "    CAST(:now AS bigint), CAST(:now AS bigint), NULLIF(x.request_id, ''), NULLIF(x.fingerprint, '')"
        "  FROM owner, unnest(CAST(:ids AS uuid[]), CAST(:symbols AS text[]), CAST(:definitions AS text[]), "
        "CAST(:expiries AS bigint[]),"
        "    CAST(:references AS bigint[]), CAST(:notes AS text[]), CAST(:request_ids AS text[]), CAST(:fingerprints "
        "AS text[]))"
        "    AS x(id, symbol, definition, expire_time_us, reference, note, request_id, fingerprint)"
        "  RETURNING id"
        "), opened AS ("
        "  INSERT INTO stockalert_alert.alert_outbox (alert_id, revision, open_time_us, next_attempt_us, attempts)"
        "  SELECT id, 1, CAST(:now AS bigint), CAST(:next AS bigint), 0 FROM created RETURNING 1"
        ") SELECT count(*) FROM opened");
    statement.define_and_bind();
  }

  soci::statement statement;
  std::map<std::string, std::string> texts = {{"user", ""},        {"ids", ""},         {"symbols", ""},
                                              {"definitions", ""}, {"expiries", ""},    {"references", ""},
                                              {"notes", ""},       {"request_ids", ""}, {"fingerprints", ""}};
  long long count = 0, quota = 0, now_us = 0, next_us = 0, created = 0;
};

// What Change writes, kept with its connection.
struct ChangeStatement {
  explicit ChangeStatement(soci::session& sql) : statement(sql) {
    for (auto& [name, text] : texts) statement.exchange(use(text, name));
    for (auto& [name, number] : numbers) statement.exchange(use(number, name));
    statement.exchange(use(expire_time_us, expire_indicator, "expiry"));
    statement.alloc();
    statement.prepare(
        "WITH changed AS ("
        "  UPDATE stockalert_alert.alerts SET definition = CAST(:definition AS jsonb), expire_time_us = CAST(:expiry "
        "AS bigint),"
        "    reference = CAST(:reference AS smallint), note = :note, revision = :revision, armed_revision = :armed,"
        "    paused = CAST(CAST(:paused AS int) AS boolean), triggered = CAST(CAST(:triggered AS int) AS boolean),"
        "    deleted = CAST(CAST(:deleted AS int) AS boolean), update_time_us = CAST(:now AS bigint)"
        "  WHERE id = CAST(:id AS uuid) RETURNING id, revision"
        ") INSERT INTO stockalert_alert.alert_outbox AS o (alert_id, revision, open_time_us, next_attempt_us, attempts)"
        "  SELECT id, revision, CAST(:now AS bigint), CAST(:next AS bigint), 0 FROM changed"
        "  ON CONFLICT (alert_id) DO UPDATE SET revision = EXCLUDED.revision, open_time_us = EXCLUDED.open_time_us,"
        "    next_attempt_us = EXCLUDED.next_attempt_us, attempts = 0");
    statement.define_and_bind();
  }

  void Run(const StoredAlert& alert, int64_t now_us) {
    const condition::AlertRecord& record = alert.record;
    texts["id"] = alert.id;
    texts["definition"] = EncodeDefinitionJson(record.definition);
    texts["note"] = alert.note;
    numbers["reference"] = ReferenceOf(record.definition);
    numbers["revision"] = record.revision;
    numbers["armed"] = record.armed_revision;
    numbers["paused"] = record.paused ? 1 : 0;
    numbers["triggered"] = record.triggered ? 1 : 0;
    numbers["deleted"] = record.deleted ? 1 : 0;
    numbers["now"] = now_us;
    numbers["next"] = now_us + kFirstSweepUs;
    expire_indicator = record.definition.expire_time_us ? soci::i_ok : soci::i_null;
    expire_time_us = record.definition.expire_time_us.value_or(0);
    statement.execute(true);
  }

  soci::statement statement;
  std::map<std::string, std::string> texts = {{"id", ""}, {"definition", ""}, {"note", ""}};
  std::map<std::string, long long> numbers = {{"reference", 0}, {"revision", 0}, {"armed", 0}, {"paused", 0},
                                              {"triggered", 0}, {"deleted", 0},  {"now", 0},   {"next", 0}};
  long long expire_time_us = 0;
  soci::indicator expire_indicator = soci::i_null;
};

// The confirmations of a batch, kept with its connection.
struct ConfirmStatement {
  explicit ConfirmStatement(soci::session& sql) : statement(sql) {
    statement.exchange(use(ids, "ids"));
    statement.exchange(use(revisions, "revisions"));
    statement.alloc();
    statement.prepare(
        "WITH c AS ("
        "  SELECT x.id, x.revision FROM unnest(CAST(:ids AS uuid[]), CAST(:revisions AS bigint[])) AS x(id, revision)"
        "), locked AS ("
        "  SELECT a.id FROM stockalert_alert.alerts a JOIN c ON c.id = a.id ORDER BY a.id FOR UPDATE OF a"
        "), applied AS ("
        "  UPDATE stockalert_alert.alerts a SET applied_revision = LEAST(c.revision, a.revision) FROM c, locked"
        "  WHERE a.id = c.id AND locked.id = c.id AND a.applied_revision < LEAST(c.revision, a.revision) RETURNING 1"
        ") DELETE FROM stockalert_alert.alert_outbox o USING c, (SELECT count(*) FROM applied) AS after_applied"
        "  WHERE o.alert_id = c.id AND o.revision <= c.revision");
    statement.define_and_bind();
  }

  soci::statement statement;
  std::string ids, revisions;
};

std::string Numbers(const std::vector<TriggerId>& ids) {
  std::vector<int64_t> numbers;
  numbers.reserve(ids.size());
  for (const TriggerId& id : ids) numbers.push_back(id.number);
  return BigintArray(numbers);
}

std::string AlertIds(const std::vector<TriggerId>& ids) {
  std::vector<std::string> alert_ids;
  alert_ids.reserve(ids.size());
  for (const TriggerId& id : ids) alert_ids.push_back(id.alert_id);
  return UuidArray(alert_ids);
}

// Records the batch's triggers; answers which of them were new.
std::set<TriggerId> InsertTriggers(soci::session& sql, const std::vector<StoredTrigger>& triggers) {
  std::vector<std::string> alert_ids, user_ids, symbols;
  std::vector<int64_t> numbers, revisions, prices, event_times, partitions, offsets, withheld, create_times;
  std::vector<std::optional<int64_t>> befores, references;
  std::vector<bool> late, ends, throttled;
  for (const StoredTrigger& trigger : triggers) {
    alert_ids.push_back(trigger.alert_id);
    user_ids.push_back(trigger.user_id);
    symbols.push_back(trigger.symbol);
    numbers.push_back(trigger.number);
    revisions.push_back(trigger.revision);
    prices.push_back(trigger.price_micros);
    event_times.push_back(trigger.event_time_us);
    befores.push_back(trigger.price_before_micros);
    references.push_back(trigger.reference_micros);
    late.push_back(trigger.late);
    ends.push_back(trigger.ends_alert);
    partitions.push_back(trigger.partition);
    offsets.push_back(trigger.offset);
    withheld.push_back(static_cast<int64_t>(trigger.withheld));
    create_times.push_back(trigger.create_time_us);
    throttled.push_back(trigger.throttled);
  }
  const std::string columns[] = {
      UuidArray(alert_ids),    BigintArray(numbers),  UuidArray(user_ids),       TextArray(symbols),
      BigintArray(revisions),  BigintArray(prices),   BigintArray(event_times),  BigintArray(befores),
      BigintArray(references), BooleanArray(late),    BooleanArray(ends),        BigintArray(partitions),
      BigintArray(offsets),    BigintArray(withheld), BigintArray(create_times), BooleanArray(throttled)};
  Query query(
      sql,
      "INSERT INTO stockalert_alert.triggers (alert_id, number, user_id, symbol, revision, price_micros, event_time_us,"
      "  price_before_micros, reference_micros, late, ends_alert, log_partition, log_offset, withheld, create_time_us, "
      "throttled)"
      " SELECT * FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS uuid[]), CAST(:c3 AS text[]),"
      "  CAST(:c4 AS bigint[]), CAST(:c5 AS bigint[]), CAST(:c6 AS bigint[]), CAST(:c7 AS bigint[]), CAST(:c8 AS "
      "bigint[]),"
      "  CAST(:c9 AS boolean[]), CAST(:c10 AS boolean[]), CAST(:c11 AS integer[]), CAST(:c12 AS bigint[]),"
      "  CAST(:c13 AS smallint[]), CAST(:c14 AS bigint[]), CAST(:c15 AS boolean[]))"
      " ON CONFLICT (alert_id, number) DO NOTHING RETURNING CAST(alert_id AS text), number");
  static const char* const kNames[] = {"c0", "c1", "c2",  "c3",  "c4",  "c5",  "c6",  "c7",
                                       "c8", "c9", "c10", "c11", "c12", "c13", "c14", "c15"};
  for (size_t i = 0; i < std::size(columns); ++i) query.Bind(kNames[i], columns[i]);
  const std::vector<TriggerId> inserted = query.TriggerIds();
  return {inserted.begin(), inserted.end()};
}

void UpdateTriggered(soci::session& sql, const std::vector<StoredAlert>& alerts) {
  std::vector<std::string> ids;
  std::vector<int64_t> counts, last_numbers, throttled_counts, throttle_ends;
  std::vector<bool> triggered;
  for (const StoredAlert& alert : alerts) {
    ids.push_back(alert.id);
    counts.push_back(alert.trigger_count);
    last_numbers.push_back(alert.last_trigger_number);
    triggered.push_back(alert.record.triggered);
    throttled_counts.push_back(alert.throttled_count);
    throttle_ends.push_back(alert.throttle_end_us);
  }
  const std::string c0 = UuidArray(ids), c1 = BigintArray(counts), c2 = BigintArray(last_numbers),
                    c3 = BooleanArray(triggered), c4 = BigintArray(throttled_counts), c5 = BigintArray(throttle_ends);
  Query(sql,
        "UPDATE stockalert_alert.alerts a SET trigger_count = x.count, last_trigger_number = x.last_number, triggered "
        "= x.triggered,"
        " throttled_count = x.throttled_count, throttle_end_us = x.throttle_end"
        " FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS bigint[]), CAST(:c3 AS boolean[]),"
        "  CAST(:c4 AS bigint[]), CAST(:c5 AS bigint[])) AS x(id, count, last_number, triggered, throttled_count, "
        "throttle_end)"
        " WHERE a.id = x.id")
      .Bind("c0", c0)
      .Bind("c1", c1)
      .Bind("c2", c2)
      .Bind("c3", c3)
      .Bind("c4", c4)
      .Bind("c5", c5)
      .Execute();
}

void InsertPassed(soci::session& sql, const std::vector<PassedTrigger>& passed, int64_t claimed_until_us) {
  std::vector<std::string> alert_ids, user_ids, messages, traceparents;
  std::vector<int64_t> numbers;
  std::vector<bool> throttled;
  for (const PassedTrigger& trigger : passed) {
    alert_ids.push_back(trigger.alert_id);
    numbers.push_back(trigger.number);
    user_ids.push_back(trigger.user_id);
    messages.push_back(trigger.message);
    traceparents.push_back(trigger.traceparent);
    throttled.push_back(trigger.throttled);
  }
  const std::string c0 = UuidArray(alert_ids), c1 = BigintArray(numbers), c2 = UuidArray(user_ids),
                    c3 = postgres::ByteaArray(messages), c4 = TextArray(traceparents), c5 = BooleanArray(throttled);
  const long long until = claimed_until_us;
  Query(
      sql,
      "INSERT INTO stockalert_alert.trigger_outbox (alert_id, number, user_id, message, traceparent, throttled, "
      "claimed_until_us)"
      " SELECT x.*, CAST(:until AS bigint) FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS uuid[]),"
      "  CAST(:c3 AS bytea[]), CAST(:c4 AS text[]), CAST(:c5 AS boolean[])) AS x")
      .Bind("c0", c0)
      .Bind("c1", c1)
      .Bind("c2", c2)
      .Bind("c3", c3)
      .Bind("c4", c4)
      .Bind("c5", c5)
      .Bind("until", until)
      .Execute();
}

// Which of the triggers are recorded already.
std::set<TriggerId> FindRecorded(soci::session& sql, const std::vector<StoredTrigger>& triggers) {
  std::vector<TriggerId> ids;
  ids.reserve(triggers.size());
  for (const StoredTrigger& trigger : triggers) ids.push_back({trigger.alert_id, trigger.number});
  const std::string c0 = AlertIds(ids), c1 = Numbers(ids);
  const std::vector<TriggerId> recorded =
      Query(sql,
            "SELECT CAST(t.alert_id AS text), t.number FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[])) AS "
            "x(id, number)"
            " JOIN stockalert_alert.triggers t ON t.alert_id = x.id AND t.number = x.number")
          .Bind("c0", c0)
          .Bind("c1", c1)
          .TriggerIds();
  return {recorded.begin(), recorded.end()};
}

// Adds to the users' counts; answers what they were before. The rows are locked in their order, as by everybody.
std::map<UserMinute, int64_t> AddToMinutes(soci::session& sql, const std::map<UserMinute, int64_t>& added,
                                           int64_t now_us) {
  std::vector<std::string> users;
  std::vector<int64_t> minutes, counts;
  for (const auto& [place, count] : added) {
    users.push_back(place.first);
    minutes.push_back(place.second);
    counts.push_back(count);
  }
  const std::string c0 = UuidArray(users), c1 = BigintArray(minutes), c2 = BigintArray(counts);
  const long long now = now_us;
  std::string user;
  long long minute = 0, count = 0;
  soci::statement statement =
      (sql.prepare << "INSERT INTO stockalert_alert.trigger_minutes AS m (user_id, minute, count, update_time_us)"
                      " SELECT x.user_id, x.minute, x.count, CAST(:now AS bigint)"
                      " FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS bigint[])) AS x(user_id, "
                      "minute, count)"
                      " ORDER BY x.user_id, x.minute"
                      " ON CONFLICT (user_id, minute) DO UPDATE SET count = m.count + EXCLUDED.count, update_time_us = "
                      "EXCLUDED.update_time_us"
                      " RETURNING CAST(user_id AS text), minute, count",
       use(now, "now"), use(c0, "c0"), use(c1, "c1"), use(c2, "c2"), into(user), into(minute), into(count));
  statement.execute(false);
  std::map<UserMinute, int64_t> before;
  while (statement.fetch()) before[{user, minute}] = count - added.at({user, minute});
  return before;
}

absl::Status ApplyTriggers(soci::session& sql, const EventBatch& batch, int64_t now_us, AppliedEvents& applied) {
  const std::vector<TriggerEvent>& events = batch.triggers;
  std::set<std::string> ids;
  for (const TriggerEvent& event : events) ids.insert(event.trigger.alert_id);
  const std::string array = UuidArray({ids.begin(), ids.end()});
  STOCKALERT_ASSIGN_OR_RETURN(
      std::vector<StoredAlert> locked,
      Query(sql,
            AlertQuery("stockalert_alert.alerts a WHERE a.id = ANY(CAST(:ids AS uuid[])) ORDER BY a.id FOR UPDATE"))
          .Bind("ids", array)
          .Alerts());
  std::map<std::string, StoredAlert> alerts;
  for (StoredAlert& alert : locked) alerts.emplace(alert.id, std::move(alert));

  // First all that could be new, as the alerts stand now; what a batch repeats within itself is judged once.
  std::vector<StoredTrigger> candidates;
  std::set<TriggerId> seen;
  for (const TriggerEvent& event : events) {
    const auto found = alerts.find(event.trigger.alert_id);
    if (found == alerts.end()) {
      ++applied.triggers_unknown;
      continue;
    }
    if (!seen.insert({event.trigger.alert_id, event.trigger.number}).second) {
      ++applied.triggers_repeated;
      continue;
    }
    StoredTrigger trigger = event.trigger;
    trigger.user_id = found->second.user_id;
    trigger.create_time_us = now_us;
    trigger.withheld = JudgeTrigger(found->second, trigger).withheld;
    candidates.push_back(std::move(trigger));
  }
  if (candidates.empty()) return absl::OkStatus();
  // Under the alerts' locks nobody else records a trigger of theirs: what is new here stays so.
  const std::set<TriggerId> recorded = FindRecorded(sql, candidates);
  applied.triggers_repeated += static_cast<int64_t>(std::erase_if(candidates, [&](const StoredTrigger& trigger) {
    return recorded.count({trigger.alert_id, trigger.number}) > 0;
  }));
  std::map<UserMinute, int64_t> minutes;
  for (const StoredTrigger& trigger : candidates) {
    if (trigger.withheld == Withheld::kNo) ++minutes[{trigger.user_id, MinuteOf(trigger.event_time_us)}];
  }
  if (!minutes.empty()) {
    minutes = AddToMinutes(sql, minutes, now_us);
    Throttle(candidates, batch.triggers_per_minute, minutes);
  }
  if (candidates.empty()) return absl::OkStatus();
  const std::set<TriggerId> added = InsertTriggers(sql, candidates);
  applied.triggers_repeated += static_cast<int64_t>(candidates.size() - added.size());
  if (added.empty()) return absl::OkStatus();

  std::set<std::string> touched;
  std::map<TriggerId, const TriggerEvent*> sources;
  for (const TriggerEvent& event : events)
    sources.emplace(TriggerId{event.trigger.alert_id, event.trigger.number}, &event);
  for (const StoredTrigger& trigger : candidates) {
    const TriggerId id{trigger.alert_id, trigger.number};
    if (added.count(id) == 0) continue;
    StoredAlert& alert = alerts.at(trigger.alert_id);
    alert = JudgeTrigger(alert, trigger).alert;
    touched.insert(alert.id);
    ++applied.triggers_recorded;
    if (trigger.withheld != Withheld::kNo) {
      ++applied.triggers_withheld;
      continue;
    }
    const TriggerEvent& source = *sources.at(id);
    applied.passed.push_back({trigger.alert_id, trigger.number, alert.user_id,
                              MakeTriggerMessage(alert, trigger, source.log_time_us).SerializeAsString(),
                              source.traceparent, trigger.throttled});
    if (trigger.throttled) ++applied.triggers_throttled;
  }
  std::vector<StoredAlert> changed;
  changed.reserve(touched.size());
  for (const std::string& id : touched) changed.push_back(alerts.at(id));
  UpdateTriggered(sql, changed);
  if (applied.passed.empty()) return absl::OkStatus();
  std::set<std::string> passed_ids;
  for (const PassedTrigger& passed : applied.passed) passed_ids.insert(passed.alert_id);
  const std::string passed_array = UuidArray({passed_ids.begin(), passed_ids.end()});
  applied.alerts_with_older =
      // One look an alert, however many rows it has.
      Query(sql,
            "SELECT CAST(x.id AS text) FROM unnest(CAST(:ids AS uuid[])) AS x(id)"
            " WHERE EXISTS (SELECT 1 FROM stockalert_alert.trigger_outbox o WHERE o.alert_id = x.id)")
          .Bind("ids", passed_array)
          .Texts();
  InsertPassed(sql, applied.passed, now_us + kTriggerClaimUs);
  return absl::OkStatus();
}

void ApplyStatuses(soci::session& sql, const std::vector<SymbolStatus>& statuses) {
  // One row a symbol, the newest place; by symbol, so that two batches lock in one order.
  std::map<std::string, const SymbolStatus*> newest;
  for (const SymbolStatus& status : statuses) {
    const SymbolStatus*& slot = newest[status.symbol];
    if (slot == nullptr || std::pair(status.partition, status.offset) >= std::pair(slot->partition, slot->offset))
      slot = &status;
  }
  std::vector<std::string> symbols;
  std::vector<bool> closes, opens;
  std::vector<int64_t> times, partitions, offsets;
  for (const auto& [symbol, status] : newest) {
    symbols.push_back(symbol);
    closes.push_back(status->previous_close_known);
    opens.push_back(status->day_open_known);
    times.push_back(status->last_event_time_us);
    partitions.push_back(status->partition);
    offsets.push_back(status->offset);
  }
  const std::string c0 = TextArray(symbols), c1 = BooleanArray(closes), c2 = BooleanArray(opens),
                    c3 = BigintArray(times), c4 = BigintArray(partitions), c5 = BigintArray(offsets);
  Query(sql,
        "INSERT INTO stockalert_alert.symbol_status AS s (symbol, previous_close_known, day_open_known, "
        "last_event_time_us, log_partition,"
        "  log_offset) SELECT * FROM unnest(CAST(:c0 AS text[]), CAST(:c1 AS boolean[]), CAST(:c2 AS boolean[]), "
        "CAST(:c3 AS bigint[]),"
        "  CAST(:c4 AS integer[]), CAST(:c5 AS bigint[]))"
        " ON CONFLICT (symbol) DO UPDATE SET previous_close_known = EXCLUDED.previous_close_known, day_open_known = "
        "EXCLUDED.day_open_known,"
        "  last_event_time_us = EXCLUDED.last_event_time_us, log_partition = EXCLUDED.log_partition, log_offset = "
        "EXCLUDED.log_offset"
        " WHERE (EXCLUDED.log_partition, EXCLUDED.log_offset) > (s.log_partition, s.log_offset)")
      .Bind("c0", c0)
      .Bind("c1", c1)
      .Bind("c2", c2)
      .Bind("c3", c3)
      .Bind("c4", c4)
      .Bind("c5", c5)
      .Execute();
}

// Whether the user may have the windows of these alerts beside those of the others.
absl::Status CheckWindows(soci::session& sql, const std::string& user_id, const std::vector<StoredAlert>& alerts) {
  const std::map<std::string, std::set<int64_t>> added = WindowLengths(alerts);
  if (added.empty()) return absl::OkStatus();
  std::vector<std::string> ids, symbols;
  for (const StoredAlert& alert : alerts) ids.push_back(alert.id);
  for (const auto& [symbol, lengths] : added) symbols.push_back(symbol);
  const std::string c0 = UuidArray(ids), c1 = TextArray(symbols);
  std::string symbol;
  long long length = 0;
  soci::statement statement =
      (sql.prepare
           << "SELECT DISTINCT symbol, CAST(definition -> 'percentChange' ->> 'windowUs' AS bigint) FROM "
              "stockalert_alert.alerts"
              " WHERE user_id = CAST(:user AS uuid) AND NOT deleted AND symbol = ANY(CAST(:c1 AS text[]))"
              " AND id <> ALL(CAST(:c0 AS uuid[])) AND definition -> 'percentChange' ->> 'windowUs' IS NOT NULL",
       use(user_id, "user"), use(c1, "c1"), use(c0, "c0"), into(symbol), into(length));
  statement.execute(false);
  std::map<std::string, std::set<int64_t>> present;
  while (statement.fetch()) present[symbol].insert(length);
  return CheckWindowLengths(present, added);
}

// The rule of StateOf, in SQL.
constexpr char kStateSql[] =
    "CASE WHEN a.triggered THEN 5"
    " WHEN a.expire_time_us <= GREATEST(CAST(:now AS bigint), COALESCE(s.last_event_time_us, 0)) THEN 6"
    " WHEN a.paused THEN 4"
    " WHEN a.applied_revision = 0 THEN 1"
    " WHEN (a.reference = 1 AND NOT COALESCE(s.previous_close_known, false))"
    "   OR (a.reference = 2 AND NOT COALESCE(s.day_open_known, false)) THEN 3"
    " ELSE 2 END";

}  // namespace

absl::Status PostgresAlertStore::Create(const std::string& user_id, const std::vector<StoredAlert>& alerts,
                                        int64_t quota, int64_t now_us) {
  absl::Status over_quota = base::ResourceExhausted(
      kReasonAlertQuota,
      absl::StrCat("a user has at most ", quota, " alerts: delete some that are not needed any more"), std::nullopt,
      {{"quota", absl::StrCat(quota)}});
  if (static_cast<int64_t>(alerts.size()) > quota) return over_quota;
  std::vector<std::string> ids, symbols, definitions, notes, request_ids, fingerprints;
  std::vector<std::optional<int64_t>> expiries;
  std::vector<int64_t> references;
  for (const StoredAlert& alert : alerts) {
    ids.push_back(alert.id);
    symbols.push_back(alert.symbol);
    definitions.push_back(EncodeDefinitionJson(alert.record.definition));
    expiries.push_back(alert.record.definition.expire_time_us);
    references.push_back(ReferenceOf(alert.record.definition));
    notes.push_back(alert.note);
    request_ids.push_back(alert.request_id);
    fingerprints.push_back(alert.request_fingerprint);
  }
  const absl::Status status =
      Transact(pool_, "alert.create", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        auto& create = connection.Kept<CreateStatement>();
        create.texts["user"] = user_id;
        create.texts["ids"] = UuidArray(ids);
        create.texts["symbols"] = TextArray(symbols);
        create.texts["definitions"] = TextArray(definitions);
        create.texts["expiries"] = BigintArray(expiries);
        create.texts["references"] = BigintArray(references);
        create.texts["notes"] = TextArray(notes);
        create.texts["request_ids"] = TextArray(request_ids);
        create.texts["fingerprints"] = TextArray(fingerprints);
        create.count = static_cast<long long>(alerts.size());
        create.quota = quota;
        create.now_us = now_us;
        create.next_us = now_us + kFirstSweepUs;
        create.statement.execute(true);
        // The owner's row is locked by now: nobody else adds a length meanwhile.
        if (create.created == create.count) return CheckWindows(connection.sql(), user_id, alerts);
        int deleted = 0;
        connection.sql()
            << "SELECT CAST(deleted AS int) FROM stockalert_alert.owners WHERE user_id = CAST(:user AS uuid)",
            use(user_id), into(deleted);
        if (deleted != 0) return base::NotFound(kReasonUserNotFound, "the user was deleted");
        return over_quota;
      });
  // The ids are the caller's own: that they are there means that an attempt whose commit went unanswered took place.
  if (absl::IsAlreadyExists(status) && postgres::ViolatedConstraint(status) == "alerts_pkey") return absl::OkStatus();
  if (absl::IsAlreadyExists(status) && postgres::ViolatedConstraint(status) == "alerts_request") {
    return base::AlreadyExists(kReasonRequestIdTaken, "the request id was used before");
  }
  return ToError(status);
}

absl::StatusOr<std::vector<StoredAlert>> PostgresAlertStore::FindByRequestIds(
    const std::string& user_id, const std::vector<std::string>& request_ids) {
  const std::string array = TextArray(request_ids);
  return ToError(Transact(pool_, "alert.find_request", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<StoredAlert>> {
                            return Query(connection.sql(),
                                         AlertQuery("stockalert_alert.alerts a WHERE a.user_id = CAST(:user AS uuid)"
                                                    " AND a.request_id = ANY(CAST(:ids AS text[]))"))
                                .Bind("user", user_id)
                                .Bind("ids", array)
                                .Alerts();
                          }));
}

absl::StatusOr<std::optional<AlertView>> PostgresAlertStore::Find(const std::string& user_id,
                                                                  const std::string& alert_id) {
  absl::StatusOr<std::vector<AlertView>> views = FindAll(user_id, {alert_id});
  if (!views.ok()) return views.status();
  if (views->empty()) return std::optional<AlertView>();
  return std::optional<AlertView>(std::move(views->front()));
}

absl::StatusOr<std::vector<AlertView>> PostgresAlertStore::FindAll(const std::string& user_id,
                                                                   const std::vector<std::string>& alert_ids) {
  const std::string array = UuidArray(alert_ids);
  return ToError(Transact(pool_, "alert.find", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<AlertView>> {
                            return Query(connection.sql(),
                                         ViewQuery("WHERE a.id = ANY(CAST(:ids AS uuid[]))"
                                                   " AND a.user_id = CAST(:user AS uuid) AND NOT a.deleted"))
                                .Bind("ids", array)
                                .Bind("user", user_id)
                                .Views();
                          }));
}

absl::StatusOr<AlertView> PostgresAlertStore::Change(const std::string& user_id, const std::string& alert_id,
                                                     int64_t now_us, const Mutation& mutation) {
  // A second run after a commit of unknown outcome would see its own change as somebody else's.
  return ToError(Transact(
      pool_, "alert.change", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::StatusOr<AlertView> {
        STOCKALERT_ASSIGN_OR_RETURN(
            std::vector<AlertView> views,
            Query(connection.sql(), ViewQuery("WHERE a.id = CAST(:id AS uuid) AND a.user_id = CAST(:user AS uuid) AND "
                                              "NOT a.deleted FOR UPDATE OF a"))
                .Bind("id", alert_id)
                .Bind("user", user_id)
                .Views());
        if (views.empty()) return AlertNotFound();
        AlertView view = std::move(views.front());
        const int64_t revision = view.alert.record.revision;
        const std::map<std::string, std::set<int64_t>> windows = WindowLengths({view.alert});
        STOCKALERT_ASSIGN_OR_RETURN(view.alert, mutation(view));
        if (view.alert.record.revision == revision) return view;
        view.alert.update_time_us = now_us;
        if (!view.alert.record.deleted && WindowLengths({view.alert}) != windows) {
          Query(connection.sql(),
                "SELECT CAST(user_id AS text) FROM stockalert_alert.owners WHERE user_id = CAST(:user AS uuid) FOR "
                "UPDATE")
              .Bind("user", user_id)
              .Texts();
          STOCKALERT_RETURN_IF_ERROR(CheckWindows(connection.sql(), user_id, {view.alert}));
        }
        connection.Kept<ChangeStatement>().Run(view.alert, now_us);
        if (view.alert.record.deleted) {
          connection.sql()
              << "UPDATE stockalert_alert.owners SET alert_count = alert_count - 1 WHERE user_id = CAST(:user AS uuid)",
              use(user_id);
        }
        return view;
      }));
}

absl::StatusOr<std::vector<AlertView>> PostgresAlertStore::List(const ListFilter& filter,
                                                                const std::optional<ListPlace>& after, int64_t now_us,
                                                                int limit) {
  std::string rest = "WHERE NOT a.deleted";
  const std::string user_id = filter.user_id.value_or("");
  if (filter.user_id) rest += " AND a.user_id = CAST(:user AS uuid)";
  if (!filter.symbol.empty()) rest += " AND a.symbol = :symbol";
  std::vector<int64_t> numbers;
  numbers.reserve(filter.states.size());
  for (const ShownState state : filter.states) numbers.push_back(static_cast<int64_t>(state));
  const std::string states = BigintArray(numbers);
  if (!numbers.empty()) absl::StrAppend(&rest, " AND ", kStateSql, " = ANY(CAST(:states AS integer[]))");
  const ListPlace place = after.value_or(ListPlace{});
  if (after) rest += " AND (a.create_time_us, a.id) < (CAST(:time AS bigint), CAST(:id AS uuid))";
  absl::StrAppend(&rest, " ORDER BY a.create_time_us DESC, a.id DESC LIMIT ", limit);
  const std::string text = ViewQuery(rest);
  const long long now = now_us;
  const long long time = place.create_time_us;
  return ToError(Transact(pool_, "alert.list", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<AlertView>> {
                            Query query(connection.sql(), text);
                            if (filter.user_id) query.Bind("user", user_id);
                            if (!filter.symbol.empty()) query.Bind("symbol", filter.symbol);
                            if (!numbers.empty()) query.Bind("now", now).Bind("states", states);
                            if (after) query.Bind("time", time).Bind("id", place.alert_id);
                            return query.Views();
                          }));
}

absl::StatusOr<std::vector<StoredTrigger>> PostgresAlertStore::ListTriggers(const TriggerFilter& filter,
                                                                            const std::optional<TriggerPlace>& after,
                                                                            int limit) {
  std::string text =
      absl::StrCat("SELECT ", kTriggerColumns,
                   " FROM stockalert_alert.triggers t JOIN stockalert_alert.alerts a ON a.id = t.alert_id"
                   " WHERE t.user_id = CAST(:user AS uuid) AND NOT a.deleted");
  const std::string alert_id = filter.alert_id.value_or("");
  if (filter.alert_id) text += " AND t.alert_id = CAST(:alert AS uuid)";
  const TriggerPlace place = after.value_or(TriggerPlace{});
  // An alert's triggers are ordered by their numbers alone, which is by their time too.
  if (after) {
    text += filter.alert_id ? " AND t.number < CAST(:number AS bigint)"
                            : " AND (t.create_time_us, t.alert_id, t.number) < (CAST(:time AS bigint), CAST(:id AS "
                              "uuid), CAST(:number AS bigint))";
  }
  absl::StrAppend(&text, " ORDER BY ",
                  filter.alert_id ? "t.number DESC" : "t.create_time_us DESC, t.alert_id DESC, t.number DESC",
                  " LIMIT ", limit);
  const long long time = place.create_time_us;
  const long long number = place.number;
  return ToError(Transact(pool_, "alert.list_triggers", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<StoredTrigger>> {
                            Query query(connection.sql(), text);
                            query.Bind("user", filter.user_id);
                            if (filter.alert_id) query.Bind("alert", alert_id);
                            if (after) {
                              if (!filter.alert_id) query.Bind("time", time).Bind("id", place.alert_id);
                              query.Bind("number", number);
                            }
                            return query.Triggers();
                          }));
}

absl::StatusOr<int64_t> PostgresAlertStore::Count(const std::string& symbol) {
  return ToError(
      Transact(pool_, "alert.count", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        long long count = 0;
        connection.sql()
            << "SELECT count(*) FROM stockalert_alert.alerts WHERE NOT deleted AND (symbol = :symbol OR :symbol = '')",
            use(symbol, "symbol"), into(count);
        return static_cast<int64_t>(count);
      }));
}

absl::StatusOr<std::vector<StoredAlert>> PostgresAlertStore::ClaimOpenChanges(int64_t now_us, int limit) {
  const long long now = now_us;
  const long long first = kFirstSweepUs;
  const long long last = kSweepPauseMaxUs;
  const std::string claim = absl::StrCat(
      "WITH due AS (SELECT alert_id FROM stockalert_alert.alert_outbox WHERE next_attempt_us <= CAST(:now AS bigint)"
      "  ORDER BY next_attempt_us LIMIT ",
      limit,
      " FOR UPDATE SKIP LOCKED), claimed AS (UPDATE stockalert_alert.alert_outbox o SET attempts = o.attempts + 1,"
      "  next_attempt_us = CAST(:now AS bigint) + LEAST(CAST(:last AS bigint), CAST(:first AS bigint) * (1 << "
      "LEAST(o.attempts, 10)))"
      "  FROM due WHERE o.alert_id = due.alert_id RETURNING o.alert_id) ",
      AlertQuery("stockalert_alert.alerts a JOIN claimed ON claimed.alert_id = a.id"));
  return ToError(Transact(
      pool_, "alert.claim_changes", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<StoredAlert>> {
        return Query(connection.sql(), claim).Bind("now", now).Bind("first", first).Bind("last", last).Alerts();
      }));
}

absl::Status PostgresAlertStore::PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) {
  if (alert_ids.empty()) return absl::OkStatus();
  const std::string array = UuidArray(alert_ids);
  const long long when = when_us;
  return ToError(
      Transact(pool_, "alert.postpone_changes", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(),
              "UPDATE stockalert_alert.alert_outbox SET next_attempt_us = CAST(:when AS bigint) WHERE alert_id = "
              "ANY(CAST(:ids AS uuid[]))")
            .Bind("when", when)
            .Bind("ids", array)
            .Execute();
        return absl::OkStatus();
      }));
}

absl::StatusOr<ReopenedChanges> PostgresAlertStore::ReopenChanges(const std::string& symbol,
                                                                  const std::string& after_alert_id, int limit,
                                                                  int64_t now_us) {
  const long long now = now_us;
  const std::string after = after_alert_id.empty() ? kNoUuid : after_alert_id;
  const std::string text = absl::StrCat(
      "WITH picked AS (SELECT a.id, a.revision FROM stockalert_alert.alerts a WHERE a.id > CAST(:after AS uuid)",
      symbol.empty() ? "" : " AND a.symbol = :symbol", " ORDER BY a.id LIMIT ", limit,
      " FOR UPDATE), opened AS (INSERT INTO stockalert_alert.alert_outbox AS o (alert_id, revision, open_time_us, "
      "next_attempt_us, attempts)"
      " SELECT id, revision, CAST(:now AS bigint), CAST(:now AS bigint), 0 FROM picked"
      " ON CONFLICT (alert_id) DO UPDATE SET next_attempt_us = EXCLUDED.next_attempt_us, attempts = 0 RETURNING "
      "o.alert_id)"
      " SELECT CAST(alert_id AS text) FROM opened ORDER BY alert_id");
  return ToError(Transact(pool_, "alert.reopen_changes", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<ReopenedChanges> {
                            Query query(connection.sql(), text);
                            query.Bind("after", after).Bind("now", now);
                            if (!symbol.empty()) query.Bind("symbol", symbol);
                            const std::vector<std::string> ids = query.Texts();
                            ReopenedChanges reopened;
                            reopened.count = static_cast<int64_t>(ids.size());
                            if (static_cast<int>(ids.size()) == limit) reopened.last_alert_id = ids.back();
                            return reopened;
                          }));
}

absl::Status PostgresAlertStore::ForgetSymbolPlaces(const std::string& symbol) {
  return ToError(
      Transact(pool_, "alert.forget_places", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(),
              "UPDATE stockalert_alert.symbol_status SET log_partition = 0, log_offset = -1 WHERE symbol = :symbol OR "
              ":symbol = ''")
            .Bind("symbol", symbol)
            .Execute();
        return absl::OkStatus();
      }));
}

absl::StatusOr<AppliedEvents> PostgresAlertStore::ApplyEvents(const EventBatch& batch, int64_t now_us) {
  std::map<std::string, int64_t> confirmed;
  for (const Confirmation& confirmation : batch.confirmations) {
    int64_t& revision = confirmed[confirmation.alert_id];
    revision = std::max(revision, confirmation.revision);
  }
  std::vector<std::string> ids;
  std::vector<int64_t> revisions;
  for (const auto& [id, revision] : confirmed) {
    ids.push_back(id);
    revisions.push_back(revision);
  }
  // Not idempotent: a second run would find its triggers recorded and could not say which were passed on; the outbox
  // would tell later.
  return ToError(Transact(pool_, "alert.apply_events", Idempotency::kNotIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<AppliedEvents> {
                            AppliedEvents applied;
                            if (!ids.empty()) {
                              auto& confirm = connection.Kept<ConfirmStatement>();
                              confirm.ids = UuidArray(ids);
                              confirm.revisions = BigintArray(revisions);
                              confirm.statement.execute(true);
                            }
                            if (!batch.triggers.empty()) {
                              STOCKALERT_RETURN_IF_ERROR(ApplyTriggers(connection.sql(), batch, now_us, applied));
                            }
                            if (!batch.statuses.empty()) ApplyStatuses(connection.sql(), batch.statuses);
                            return applied;
                          }));
}

absl::StatusOr<std::vector<AlertOwner>> PostgresAlertStore::FindOwners(const std::vector<std::string>& alert_ids) {
  const std::string array = UuidArray(alert_ids);
  return ToError(Transact(pool_, "alert.find_owners", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<AlertOwner>> {
                            return Query(connection.sql(),
                                         "SELECT CAST(id AS text), CAST(user_id AS text) FROM stockalert_alert.alerts "
                                         "WHERE id = ANY(CAST(:ids AS uuid[]))")
                                .Bind("ids", array)
                                .Owners();
                          }));
}

absl::StatusOr<std::vector<AlertOwner>> PostgresAlertStore::ClaimTriggers(int64_t now_us, int limit) {
  const long long now = now_us;
  const long long until = now_us + kTriggerClaimUs;
  // A user's first, then all users' second…: nobody's backlog is in front of another's. Those that are not throttled
  // first.
  const std::string text = absl::StrCat(
      "WITH ranked AS (SELECT alert_id, number,"
      "    row_number() OVER (PARTITION BY user_id ORDER BY throttled, claimed_until_us, alert_id, number) AS place"
      "  FROM (SELECT * FROM stockalert_alert.trigger_outbox WHERE claimed_until_us <= CAST(:now AS bigint)"
      "    ORDER BY claimed_until_us LIMIT ",
      kRankedMax, ") AS oldest), picked AS (SELECT alert_id, number FROM ranked ORDER BY place LIMIT ", limit,
      "), due AS (SELECT o.alert_id, o.number FROM stockalert_alert.trigger_outbox o JOIN picked p ON p.alert_id = "
      "o.alert_id"
      "    AND p.number = o.number WHERE o.claimed_until_us <= CAST(:now AS bigint) FOR UPDATE OF o SKIP LOCKED"
      "), claimed AS (UPDATE stockalert_alert.trigger_outbox o SET claimed_until_us = CAST(:until AS bigint)"
      "  FROM due WHERE o.alert_id = due.alert_id AND o.number = due.number RETURNING o.alert_id, o.user_id)"
      " SELECT DISTINCT CAST(alert_id AS text), CAST(user_id AS text) FROM claimed");
  return ToError(Transact(pool_, "alert.claim_triggers", Idempotency::kIdempotent,
                          [&](Connection& connection) -> absl::StatusOr<std::vector<AlertOwner>> {
                            return Query(connection.sql(), text).Bind("now", now).Bind("until", until).Owners();
                          }));
}

absl::StatusOr<std::vector<PassedTrigger>> PostgresAlertStore::LoadTriggers(const std::vector<std::string>& alert_ids,
                                                                            int limit) {
  const std::string array = UuidArray(alert_ids);
  const std::string text = absl::StrCat(
      "SELECT CAST(o.alert_id AS text), o.number, CAST(o.user_id AS text), encode(o.message, 'hex'), o.traceparent, "
      "CAST(o.throttled AS int)"
      " FROM unnest(CAST(:ids AS uuid[])) AS x(id) CROSS JOIN LATERAL (SELECT * FROM stockalert_alert.trigger_outbox t"
      "   WHERE t.alert_id = x.id ORDER BY t.number LIMIT ",
      limit, ") AS o ORDER BY o.alert_id, o.number");
  return ToError(Transact(
      pool_, "alert.load_triggers", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<PassedTrigger>> {
        std::vector<PassedTrigger> loaded;
        std::string alert_id, user_id, hex, traceparent;
        long long number = 0;
        int throttled = 0;
        soci::statement statement = (connection.sql().prepare << text, use(array, "ids"), into(alert_id), into(number),
                                     into(user_id), into(hex), into(traceparent), into(throttled));
        statement.execute(false);
        while (statement.fetch()) {
          STOCKALERT_ASSIGN_OR_RETURN(std::string message, postgres::BytesFromHex(hex));
          loaded.push_back({alert_id, number, user_id, std::move(message), traceparent, throttled != 0});
        }
        return loaded;
      }));
}

absl::Status PostgresAlertStore::RemoveTriggers(const std::vector<TriggerId>& triggers) {
  if (triggers.empty()) return absl::OkStatus();
  const std::string ids = AlertIds(triggers);
  const std::string numbers = Numbers(triggers);
  return ToError(
      Transact(pool_, "alert.remove_triggers", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(),
              "DELETE FROM stockalert_alert.trigger_outbox o USING unnest(CAST(:ids AS uuid[]), CAST(:numbers AS "
              "bigint[])) AS x(id, number)"
              " WHERE o.alert_id = x.id AND o.number = x.number")
            .Bind("ids", ids)
            .Bind("numbers", numbers)
            .Execute();
        return absl::OkStatus();
      }));
}

absl::StatusOr<std::vector<StoredAlert>> PostgresAlertStore::DeleteUser(const std::string& user_id, int64_t now_us,
                                                                        int limit) {
  return ToError(Transact(
      pool_, "alert.delete_user", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<StoredAlert>> {
        // The owner's row first: a CreateAlert that holds it is waited for, one that comes later finds the user gone.
        Query(
            connection.sql(),
            "INSERT INTO stockalert_alert.owners (user_id, alert_count, deleted) VALUES (CAST(:user AS uuid), 0, true)"
            " ON CONFLICT (user_id) DO UPDATE SET deleted = true")
            .Bind("user", user_id)
            .Execute();
        STOCKALERT_ASSIGN_OR_RETURN(
            std::vector<StoredAlert> alerts,
            Query(connection.sql(),
                  AlertQuery(
                      absl::StrCat("stockalert_alert.alerts a WHERE a.user_id = CAST(:user AS uuid) AND NOT a.deleted"
                                   " ORDER BY a.id LIMIT ",
                                   limit, " FOR UPDATE")))
                .Bind("user", user_id)
                .Alerts());
        for (StoredAlert& alert : alerts) {
          STOCKALERT_ASSIGN_OR_RETURN(alert, ApplyDelete(alert, now_us));
          connection.Kept<ChangeStatement>().Run(alert, now_us);
        }
        const long long count = static_cast<long long>(alerts.size());
        Query(connection.sql(),
              "UPDATE stockalert_alert.owners SET alert_count = alert_count - CAST(:n AS bigint) WHERE user_id = "
              "CAST(:user AS uuid)")
            .Bind("n", count)
            .Bind("user", user_id)
            .Execute();
        return alerts;
      }));
}

absl::StatusOr<int64_t> PostgresAlertStore::Purge(int64_t before_us, int limit) {
  const long long before = before_us;
  const std::string text = absl::StrCat(
      "WITH gone AS (SELECT a.id FROM stockalert_alert.alerts a WHERE a.deleted AND a.update_time_us < CAST(:before AS "
      "bigint)"
      "  AND NOT EXISTS (SELECT 1 FROM stockalert_alert.alert_outbox o WHERE o.alert_id = a.id)"
      "  ORDER BY a.update_time_us LIMIT ",
      limit,
      " FOR UPDATE SKIP LOCKED), history AS (DELETE FROM stockalert_alert.triggers t USING gone WHERE t.alert_id = "
      "gone.id)"
      " DELETE FROM stockalert_alert.alerts a USING gone WHERE a.id = gone.id RETURNING CAST(a.id AS text)");
  return ToError(
      Transact(pool_, "alert.purge", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        return static_cast<int64_t>(Query(connection.sql(), text).Bind("before", before).Texts().size());
      }));
}

absl::Status PostgresAlertStore::ForgetMinutes(int64_t now_us) {
  const long long before = now_us - kMinutesKeptUs;
  return ToError(
      Transact(pool_, "alert.forget_minutes", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        Query(connection.sql(),
              absl::StrCat(
                  "DELETE FROM stockalert_alert.trigger_minutes WHERE (user_id, minute) IN (SELECT user_id, minute"
                  "  FROM stockalert_alert.trigger_minutes WHERE update_time_us < CAST(:before AS bigint) LIMIT ",
                  kForgottenMax, ") AND update_time_us < CAST(:before AS bigint)"))
            .Bind("before", before)
            .Execute();
        return absl::OkStatus();
      }));
}

absl::StatusOr<Backlog> PostgresAlertStore::MeasureBacklog() {
  return ToError(Transact(
      pool_, "alert.measure_backlog", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<Backlog> {
        long long changes = 0, oldest = 0, triggers = 0;
        connection.sql() << "SELECT (SELECT count(*) FROM stockalert_alert.alert_outbox),"
                            " (SELECT COALESCE(min(open_time_us), 0) FROM stockalert_alert.alert_outbox),"
                            " (SELECT count(*) FROM stockalert_alert.trigger_outbox)",
            into(changes), into(oldest), into(triggers);
        return Backlog{changes, oldest, triggers};
      }));
}

absl::Status PostgresAlertStore::Ready() { return pool_.Ready(); }

}  // namespace stockalert::alert
