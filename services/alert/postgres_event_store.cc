#include "services/alert/postgres_event_store.h"

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/substitute.h"
#include "services/alert/postgres_alert_rows.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::alert {
namespace {

using postgres::BigintArray;
using postgres::BooleanArray;
using postgres::Connection;
using postgres::Idempotency;
using postgres::TextArray;
using postgres::UuidArray;
using soci::into;
using soci::use;

// Kept with its connection.
struct ConfirmStatement {
  explicit ConfirmStatement(soci::session& sql) : statement(sql) {
    statement.exchange(use(ids, "ids"));
    statement.exchange(use(revisions, "revisions"));
    statement.alloc();
    statement.prepare(R"sql(
WITH c AS (
  SELECT x.id, x.revision
  FROM unnest(CAST(:ids AS uuid[]), CAST(:revisions AS bigint[])) AS x(id, revision)
), locked AS (
  SELECT a.id
  FROM stockalert_alert.alerts a
  JOIN c ON c.id = a.id
  ORDER BY a.id
  FOR UPDATE OF a
), applied AS (
  UPDATE stockalert_alert.alerts a
  SET applied_revision = LEAST(c.revision, a.revision)
  FROM c, locked
  WHERE a.id = c.id AND locked.id = c.id AND a.applied_revision < LEAST(c.revision, a.revision)
  RETURNING 1
)
DELETE FROM stockalert_alert.alert_outbox o
USING c, (SELECT count(*) FROM applied) AS after_applied
WHERE o.alert_id = c.id AND o.revision <= c.revision
)sql");
    statement.define_and_bind();
  }

  soci::statement statement;
  std::string ids, revisions;
};

constexpr char kLocked[] = R"sql(
  stockalert_alert.alerts a
WHERE a.id = ANY(CAST(:ids AS uuid[]))
ORDER BY a.id
FOR UPDATE
)sql";

constexpr char kFindRecorded[] = R"sql(
SELECT CAST(t.alert_id AS text), t.number
FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[])) AS x(id, number)
JOIN stockalert_alert.triggers t ON t.alert_id = x.id AND t.number = x.number
)sql";

constexpr char kAddToMinutes[] = R"sql(
INSERT INTO stockalert_alert.trigger_minutes AS m (user_id, minute, count, update_time_us)
SELECT x.user_id, x.minute, x.count, CAST(:c3 AS bigint)
FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS bigint[])) AS x(user_id, minute, count)
ORDER BY x.user_id, x.minute
ON CONFLICT (user_id, minute) DO UPDATE
SET count = m.count + EXCLUDED.count,
  update_time_us = EXCLUDED.update_time_us
RETURNING CAST(user_id AS text), minute, count
)sql";

constexpr char kRecord[] = R"sql(
INSERT INTO stockalert_alert.triggers (
  alert_id, number, user_id, symbol,
  revision, price_micros, event_time_us, price_before_micros, reference_micros,
  late, ends_alert, log_partition, log_offset,
  withheld, create_time_us, throttled, late_from_us)
SELECT * FROM unnest(
  CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS uuid[]), CAST(:c3 AS text[]),
  CAST(:c4 AS bigint[]), CAST(:c5 AS bigint[]), CAST(:c6 AS bigint[]), CAST(:c7 AS bigint[]), CAST(:c8 AS bigint[]),
  CAST(:c9 AS boolean[]), CAST(:c10 AS boolean[]), CAST(:c11 AS integer[]), CAST(:c12 AS bigint[]),
  CAST(:c13 AS smallint[]), CAST(:c14 AS bigint[]), CAST(:c15 AS boolean[]),
  CAST(:c16 AS bigint[]))
)sql";

constexpr char kSaveTriggered[] = R"sql(
UPDATE stockalert_alert.alerts a
SET trigger_count = x.count,
  last_trigger_number = x.last_number,
  triggered = x.triggered,
  throttled_count = x.throttled_count,
  throttle_end_us = x.throttle_end
FROM unnest(
  CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS bigint[]), CAST(:c3 AS boolean[]), CAST(:c4 AS bigint[]),
  CAST(:c5 AS bigint[])) AS x(id, count, last_number, triggered, throttled_count, throttle_end)
WHERE a.id = x.id
)sql";

// One look an alert, however many rows it has.
constexpr char kFindWaiting[] = R"sql(
SELECT CAST(x.id AS text)
FROM unnest(CAST(:c0 AS uuid[])) AS x(id)
WHERE EXISTS (SELECT 1 FROM stockalert_alert.trigger_outbox o WHERE o.alert_id = x.id)
)sql";

constexpr char kPassOn[] = R"sql(
INSERT INTO stockalert_alert.trigger_outbox (
  alert_id, number, user_id, message, traceparent, throttled, claimed_until_us)
SELECT x.*, CAST(:c6 AS bigint)
FROM unnest(
  CAST(:c0 AS uuid[]), CAST(:c1 AS bigint[]), CAST(:c2 AS uuid[]), CAST(:c3 AS bytea[]), CAST(:c4 AS text[]),
  CAST(:c5 AS boolean[])) AS x
)sql";

constexpr char kSaveStatuses[] = R"sql(
INSERT INTO stockalert_alert.symbol_status AS s (
  symbol, previous_close_known, day_open_known, last_event_time_us, log_partition, log_offset, held)
SELECT * FROM unnest(
  CAST(:c0 AS text[]), CAST(:c1 AS boolean[]), CAST(:c2 AS boolean[]), CAST(:c3 AS bigint[]), CAST(:c4 AS integer[]),
  CAST(:c5 AS bigint[]), CAST(:c6 AS boolean[]))
ON CONFLICT (symbol) DO UPDATE
SET previous_close_known = EXCLUDED.previous_close_known,
  day_open_known = EXCLUDED.day_open_known,
  last_event_time_us = EXCLUDED.last_event_time_us,
  log_partition = EXCLUDED.log_partition,
  log_offset = EXCLUDED.log_offset,
  held = EXCLUDED.held
WHERE (EXCLUDED.log_partition, EXCLUDED.log_offset) > (s.log_partition, s.log_offset)
)sql";

constexpr char kSaveSplits[] = R"sql(
WITH told AS (
  SELECT *
  FROM unnest(
    CAST(:symbols AS text[]), CAST(:numbers AS bigint[]), CAST(:numerators AS bigint[]),
    CAST(:denominators AS bigint[]), CAST(:times AS bigint[]), CAST(:ids AS text[]))
    AS x(symbol, number, numerator, denominator, time_us, id)
), saved AS (
  INSERT INTO stockalert_alert.splits (symbol, number, numerator, denominator, effective_time_us, create_time_us)
  SELECT symbol, number, numerator, denominator, time_us, CAST(:now AS bigint) FROM told
  ON CONFLICT (symbol, number) DO NOTHING
  RETURNING symbol, number
)
INSERT INTO stockalert_alert.split_tellings (
  symbol, number, split_id, create_time_us, before_create_time_us, before_alert_id)
SELECT symbol, number, told.id, CAST(:now AS bigint), 9223372036854775807, 'ffffffff-ffff-ffff-ffff-ffffffffffff'
FROM saved
JOIN told USING (symbol, number)
RETURNING symbol
)sql";

constexpr char kFindOwners[] = R"sql(
SELECT CAST(id AS text), CAST(user_id AS text)
FROM stockalert_alert.alerts
WHERE id = ANY(CAST(:ids AS uuid[]))
)sql";

constexpr char kForgetUser[] = R"sql(
INSERT INTO stockalert_alert.owners (user_id, alert_count, deleted)
VALUES (CAST(:user AS uuid), 0, true)
ON CONFLICT (user_id) DO UPDATE SET deleted = true
)sql";

constexpr char kOfUser[] = R"sql(
  stockalert_alert.alerts a
WHERE a.user_id = CAST(:user AS uuid) AND NOT a.deleted
ORDER BY a.id
LIMIT $0
FOR UPDATE
)sql";

constexpr char kCountLess[] = R"sql(
UPDATE stockalert_alert.owners
SET alert_count = alert_count - CAST(:n AS bigint)
WHERE user_id = CAST(:user AS uuid)
)sql";

// A statement of which every batch needs one: prepared once a connection, and kept with it. Its parameters, texts, are
// named c0, c1 and so on.
template <const char* kText, size_t kColumns>
class BatchStatement {
 public:
  explicit BatchStatement(soci::session& sql) : BatchStatement(sql, Rows()) { Prepare(); }

  void Run(std::array<std::string, kColumns> columns) {
    columns_ = std::move(columns);
    statement_.execute(true);
  }

 protected:
  struct Rows {};
  // For one that answers rows: bind what they go to, then Prepare.
  BatchStatement(soci::session& sql, Rows /*rows*/) : statement_(sql) {
    static constexpr std::array kNames = {"c0", "c1",  "c2",  "c3",  "c4",  "c5",  "c6",  "c7", "c8",
                                          "c9", "c10", "c11", "c12", "c13", "c14", "c15", "c16"};
    static_assert(kColumns <= kNames.size());
    for (size_t i = 0; i < kColumns; ++i) statement_.exchange(use(columns_[i], kNames[i]));
  }

  template <typename Target>
  void BindRow(Target& target) {
    statement_.exchange(into(target));
  }

  void Prepare() {
    statement_.alloc();
    statement_.prepare(kText);
    statement_.define_and_bind();
  }

  template <typename Take>
  void Fetch(std::array<std::string, kColumns> columns, Take take) {
    columns_ = std::move(columns);
    statement_.execute(false);
    while (statement_.fetch()) take();
  }

 private:
  std::array<std::string, kColumns> columns_;
  soci::statement statement_;
};

using RecordStatement = BatchStatement<kRecord, 17>;
using SaveTriggeredStatement = BatchStatement<kSaveTriggered, 6>;
using PassOnStatement = BatchStatement<kPassOn, 7>;
using SaveStatusesStatement = BatchStatement<kSaveStatuses, 7>;

class FindRecordedStatement : public BatchStatement<kFindRecorded, 2> {
 public:
  explicit FindRecordedStatement(soci::session& sql) : BatchStatement(sql, Rows()) {
    BindRow(id_);
    BindRow(number_);
    Prepare();
  }

  std::set<TriggerId> Find(std::array<std::string, 2> columns) {
    std::set<TriggerId> found;
    Fetch(std::move(columns), [&] { found.insert({id_, number_}); });
    return found;
  }

 private:
  std::string id_;
  long long number_ = 0;
};

class AddToMinutesStatement : public BatchStatement<kAddToMinutes, 4> {
 public:
  explicit AddToMinutesStatement(soci::session& sql) : BatchStatement(sql, Rows()) {
    BindRow(user_);
    BindRow(minute_);
    BindRow(count_);
    Prepare();
  }

  // The counts after.
  std::map<UserMinute, int64_t> Add(std::array<std::string, 4> columns) {
    std::map<UserMinute, int64_t> counts;
    Fetch(std::move(columns), [&] { counts[{user_, minute_}] = count_; });
    return counts;
  }

 private:
  std::string user_;
  long long minute_ = 0, count_ = 0;
};

class FindWaitingStatement : public BatchStatement<kFindWaiting, 1> {
 public:
  explicit FindWaitingStatement(soci::session& sql) : BatchStatement(sql, Rows()) {
    BindRow(id_);
    Prepare();
  }

  std::vector<std::string> Find(std::string ids) {
    std::vector<std::string> found;
    Fetch({std::move(ids)}, [&] { found.push_back(id_); });
    return found;
  }

 private:
  std::string id_;
};

std::string UuidsOf(const std::set<std::string>& ids) { return UuidArray({ids.begin(), ids.end()}); }

class PostgresEventTransaction final : public EventTransaction {
 public:
  explicit PostgresEventTransaction(Connection& connection) : connection_(connection), sql_(connection.sql()) {}

  void ConfirmRevisions(const std::map<std::string, int64_t>& revisions) override {
    std::vector<std::string> ids;
    std::vector<int64_t> numbers;
    for (const auto& [id, revision] : revisions) {
      ids.push_back(id);
      numbers.push_back(revision);
    }
    auto& confirm = connection_.KeptStatement<ConfirmStatement>();
    confirm.ids = UuidArray(ids);
    confirm.revisions = BigintArray(numbers);
    confirm.statement.execute(true);
  }

  absl::StatusOr<std::map<std::string, StoredAlert>> LockAlerts(const std::set<std::string>& alert_ids) override {
    const std::string ids = UuidsOf(alert_ids);
    STOCKALERT_ASSIGN_OR_RETURN(std::vector<StoredAlert> locked,
                                Query(sql_, AlertQuery(kLocked)).Bind("ids", ids).FetchAlerts());
    std::map<std::string, StoredAlert> alerts;
    for (StoredAlert& alert : locked) alerts.emplace(alert.id, std::move(alert));
    return alerts;
  }

  std::set<TriggerId> FindRecorded(const std::set<TriggerId>& triggers) override {
    std::vector<std::string> alert_ids;
    std::vector<int64_t> trigger_numbers;
    for (const TriggerId& id : triggers) {
      alert_ids.push_back(id.alert_id);
      trigger_numbers.push_back(id.number);
    }
    return connection_.KeptStatement<FindRecordedStatement>().Find(
        {UuidArray(alert_ids), BigintArray(trigger_numbers)});
  }

  // The rows are locked in their order, as by everybody.
  std::map<UserMinute, int64_t> AddToMinutes(const std::map<UserMinute, int64_t>& added, int64_t now_us) override {
    std::vector<std::string> user_ids;
    std::vector<int64_t> of_minutes, more;
    for (const auto& [place, count] : added) {
      user_ids.push_back(place.first);
      of_minutes.push_back(place.second);
      more.push_back(count);
    }
    std::map<UserMinute, int64_t> counts = connection_.KeptStatement<AddToMinutesStatement>().Add(
        {UuidArray(user_ids), BigintArray(of_minutes), BigintArray(more), std::to_string(now_us)});
    for (auto& [place, count] : counts) count -= added.at(place);
    return counts;
  }

  void RecordTriggers(const std::vector<RecordedTrigger>& triggers) override {
    std::vector<std::string> alert_ids, user_ids, symbols;
    std::vector<int64_t> numbers, revisions, prices, event_times, partitions, offsets, withheld, create_times;
    std::vector<std::optional<int64_t>> befores, references, late_froms;
    std::vector<bool> late, ends, throttled;
    for (const RecordedTrigger& trigger : triggers) {
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
      late_froms.push_back(trigger.late_from_us);
      ends.push_back(trigger.ends_alert);
      partitions.push_back(trigger.partition);
      offsets.push_back(trigger.offset);
      withheld.push_back(static_cast<int64_t>(trigger.withheld));
      create_times.push_back(trigger.create_time_us);
      throttled.push_back(trigger.throttled);
    }
    connection_.KeptStatement<RecordStatement>().Run(
        {UuidArray(alert_ids), BigintArray(numbers), UuidArray(user_ids), TextArray(symbols), BigintArray(revisions),
         BigintArray(prices), BigintArray(event_times), BigintArray(befores), BigintArray(references),
         BooleanArray(late), BooleanArray(ends), BigintArray(partitions), BigintArray(offsets), BigintArray(withheld),
         BigintArray(create_times), BooleanArray(throttled), BigintArray(late_froms)});
  }

  void SaveTriggered(const std::vector<StoredAlert>& alerts) override {
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
    connection_.KeptStatement<SaveTriggeredStatement>().Run(
        {UuidArray(ids), BigintArray(counts), BigintArray(last_numbers), BooleanArray(triggered),
         BigintArray(throttled_counts), BigintArray(throttle_ends)});
  }

  std::vector<std::string> FindAlertsInOutbox(const std::set<std::string>& alert_ids) override {
    return connection_.KeptStatement<FindWaitingStatement>().Find(UuidsOf(alert_ids));
  }

  void AddToOutbox(const std::vector<PassedTrigger>& triggers, int64_t claimed_until_us) override {
    std::vector<std::string> alert_ids, user_ids, messages, traceparents;
    std::vector<int64_t> numbers;
    std::vector<bool> throttled;
    for (const PassedTrigger& trigger : triggers) {
      alert_ids.push_back(trigger.alert_id);
      numbers.push_back(trigger.number);
      user_ids.push_back(trigger.user_id);
      messages.push_back(trigger.message);
      traceparents.push_back(trigger.traceparent);
      throttled.push_back(trigger.throttled);
    }
    connection_.KeptStatement<PassOnStatement>().Run({UuidArray(alert_ids), BigintArray(numbers), UuidArray(user_ids),
                                                      postgres::ByteaArray(messages), TextArray(traceparents),
                                                      BooleanArray(throttled), std::to_string(claimed_until_us)});
  }

  void SaveStatuses(const std::vector<StoredSymbolStatus>& statuses) override {
    std::vector<std::string> symbols;
    std::vector<bool> closes, opens, held;
    std::vector<int64_t> times, partitions, offsets;
    for (const StoredSymbolStatus& status : statuses) {
      symbols.push_back(status.symbol);
      closes.push_back(status.previous_close_known);
      opens.push_back(status.day_open_known);
      times.push_back(status.last_event_time_us);
      partitions.push_back(status.partition);
      offsets.push_back(status.offset);
      held.push_back(status.held);
    }
    connection_.KeptStatement<SaveStatusesStatement>().Run(
        {TextArray(symbols), BooleanArray(closes), BooleanArray(opens), BigintArray(times), BigintArray(partitions),
         BigintArray(offsets), BooleanArray(held)});
  }

  int64_t SaveSplits(const std::vector<StoredSplit>& splits, int64_t now_us) override {
    std::vector<std::string> of_symbols, split_ids;
    std::vector<int64_t> of_numbers, of_numerators, of_denominators, of_times;
    for (const StoredSplit& split : splits) {
      of_symbols.push_back(split.symbol);
      of_numbers.push_back(split.number);
      of_numerators.push_back(split.ratio.numerator);
      of_denominators.push_back(split.ratio.denominator);
      of_times.push_back(split.effective_time_us);
      split_ids.push_back(split.split_id);
    }
    const std::string symbols = TextArray(of_symbols), numbers = BigintArray(of_numbers),
                      numerators = BigintArray(of_numerators), denominators = BigintArray(of_denominators),
                      times = BigintArray(of_times), ids = TextArray(split_ids);
    const long long now = now_us;
    return static_cast<int64_t>(Query(sql_, kSaveSplits)
                                    .Bind("symbols", symbols)
                                    .Bind("numbers", numbers)
                                    .Bind("numerators", numerators)
                                    .Bind("denominators", denominators)
                                    .Bind("times", times)
                                    .Bind("ids", ids)
                                    .Bind("now", now)
                                    .FetchTexts()
                                    .size());
  }

 private:
  Connection& connection_;
  soci::session& sql_;
};

}  // namespace

absl::Status PostgresEventStore::Transact(const std::function<absl::Status(EventTransaction&)>& steps) {
  // Not idempotent: a second run would find its triggers recorded and could not say which were passed on; the outbox
  // would tell later.
  return ToError(postgres::Transact(pool_, "alert.apply_events", Idempotency::kNotIdempotent,
                                    [&](Connection& connection) -> absl::Status {
                                      PostgresEventTransaction transaction(connection);
                                      return steps(transaction);
                                    }));
}

absl::StatusOr<std::vector<AlertOwner>> PostgresEventStore::FindOwners(const std::vector<std::string>& alert_ids) {
  const std::string ids = UuidArray(alert_ids);
  return ToError(postgres::Transact(pool_, "alert.find_owners", Idempotency::kIdempotent,
                                    [&](Connection& connection) -> absl::StatusOr<std::vector<AlertOwner>> {
                                      return Query(connection.sql(), kFindOwners).Bind("ids", ids).FetchOwners();
                                    }));
}

absl::StatusOr<std::vector<StoredAlert>> PostgresEventStore::DeleteUser(const std::string& user_id, int64_t now_us,
                                                                        int limit, const Burial& burial) {
  const std::string of_user = AlertQuery(absl::Substitute(kOfUser, limit));
  return ToError(postgres::Transact(
      pool_, "alert.delete_user", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<StoredAlert>> {
        // The owner's row first: a CreateAlert that holds it is waited for, one that comes later
        // finds the user gone.
        Query(connection.sql(), kForgetUser).Bind("user", user_id).Execute();
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<StoredAlert> alerts,
                                    Query(connection.sql(), of_user).Bind("user", user_id).FetchAlerts());
        for (StoredAlert& alert : alerts) {
          STOCKALERT_ASSIGN_OR_RETURN(alert, burial(alert));
          connection.KeptStatement<ChangeStatement>().Run(alert, now_us);
        }
        const long long count = static_cast<long long>(alerts.size());
        Query(connection.sql(), kCountLess).Bind("n", count).Bind("user", user_id).Execute();
        return alerts;
      }));
}

}  // namespace stockalert::alert
