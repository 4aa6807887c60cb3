#include "services/notifier/postgres_notification_rows.h"

#include <optional>
#include <sstream>

#include "services/common/postgres/arrays.h"

namespace stockalert::notifier {

using soci::into;
using soci::use;

const char kNotificationColumns[] =
    "CAST(id AS text), CAST(user_id AS text), sequence, CAST(alert_id AS text), trigger_number, symbol, price_micros, "
    "event_time_us, "
    "COALESCE(price_before_micros, -1), COALESCE(reference_micros, -1), CAST(late AS int), summary, note, traceparent, "
    "create_time_us, "
    "COALESCE(acknowledge_time_us, -1), CAST(kind AS int), COALESCE(key, ''), CAST(throttled AS int), folded_count, "
    "CAST(critical AS int), CAST(rerouted AS int), COALESCE(CAST(destination_id AS text), ''), "
    "CAST(destination_disabled AS int), COALESCE(array_to_string(split, ' '), '')";

namespace {

// Stands for NULL on the way out: no price and no time of ours is negative.
constexpr long long kNull = -1;

std::optional<int64_t> FromColumn(long long value) {
  return value == kNull ? std::nullopt : std::optional<int64_t>(value);
}

// The column `split`, as 0008_splits.sql says, its numbers separated by spaces; empty: none.
std::optional<message::SplitNews> SplitFromColumn(const std::string& text) {
  if (text.empty()) return std::nullopt;
  message::SplitNews split;
  std::istringstream numbers(text);
  numbers >> split.number >> split.ratio.numerator >> split.ratio.denominator >> split.effective_time_us >>
      split.alert_count;
  return split;
}

std::string SplitForColumn(const std::optional<message::SplitNews>& split) {
  if (!split) return "";
  return postgres::BigintArray(std::vector<int64_t>{split->number, split->ratio.numerator, split->ratio.denominator,
                                                    split->effective_time_us, split->alert_count});
}

// One row of kNotificationColumns.
class Row {
 public:
  explicit Row(soci::statement& statement) {
    statement.exchange(into(row_.id));
    statement.exchange(into(row_.user_id));
    statement.exchange(into(sequence_));
    statement.exchange(into(row_.alert_id));
    for (long long* number : {&number_}) statement.exchange(into(*number));
    statement.exchange(into(row_.symbol));
    for (long long* number : {&price_, &event_time_us_, &before_, &reference_}) statement.exchange(into(*number));
    statement.exchange(into(late_));
    for (std::string* text : {&row_.summary, &row_.note, &row_.traceparent}) statement.exchange(into(*text));
    for (long long* number : {&create_time_us_, &acknowledge_time_us_}) statement.exchange(into(*number));
    statement.exchange(into(kind_));
    statement.exchange(into(row_.key));
    statement.exchange(into(throttled_));
    statement.exchange(into(folded_count_));
    for (int* flag : {&critical_, &rerouted_}) statement.exchange(into(*flag));
    statement.exchange(into(row_.destination_id));
    statement.exchange(into(destination_disabled_));
    statement.exchange(into(split_));
  }

  StoredNotification Get() const {
    StoredNotification stored = row_;
    stored.sequence = sequence_;
    stored.trigger_number = number_;
    stored.price_micros = price_;
    stored.event_time_us = event_time_us_;
    stored.price_before_micros = FromColumn(before_);
    stored.reference_micros = FromColumn(reference_);
    stored.late = late_ != 0;
    stored.create_time_us = create_time_us_;
    stored.acknowledge_time_us = FromColumn(acknowledge_time_us_);
    stored.kind = static_cast<Kind>(kind_);
    stored.throttled = throttled_ != 0;
    stored.folded_count = folded_count_;
    stored.routing.critical = critical_ != 0;
    stored.rerouted = rerouted_ != 0;
    stored.destination_disabled = destination_disabled_ != 0;
    stored.split = SplitFromColumn(split_);
    if (stored.kind != Kind::kTrigger) {
      // What stands there is for the version before.
      stored.alert_id.clear();
      stored.trigger_number = 0;
    } else if (stored.key.empty()) {
      stored.key = TriggerKey(stored);
    }
    return stored;
  }

 private:
  StoredNotification row_;
  std::string split_;
  long long sequence_ = 0, number_ = 0, price_ = 0, event_time_us_ = 0, before_ = 0, reference_ = 0,
            create_time_us_ = 0, acknowledge_time_us_ = 0, folded_count_ = 0;
  int late_ = 0, kind_ = 0, throttled_ = 0, critical_ = 0, rerouted_ = 0, destination_disabled_ = 0;
};

// The rows as InsertNotifications' arrays.
std::map<std::string, std::string> ColumnsOf(const std::vector<StoredNotification>& rows) {
  std::vector<std::string> ids, users, alerts, symbols, summaries, notes, traceparents, keys, destinations, splits;
  std::vector<int64_t> sequences, numbers, prices, times, kinds, folded_counts, create_times;
  std::vector<std::optional<int64_t>> befores, references;
  std::vector<bool> lates, throttled, critical, rerouted, disabled;
  for (const StoredNotification& row : rows) {
    ids.push_back(row.id);
    users.push_back(row.user_id);
    // The version before has no row without a trigger, and none with another's.
    alerts.push_back(row.kind == Kind::kTrigger ? row.alert_id : row.user_id);
    numbers.push_back(row.kind == Kind::kTrigger ? row.trigger_number : row.sequence);
    kinds.push_back(static_cast<int64_t>(row.kind));
    keys.push_back(row.key);
    throttled.push_back(row.throttled);
    folded_counts.push_back(row.folded_count);
    symbols.push_back(row.symbol);
    summaries.push_back(row.summary);
    notes.push_back(row.note);
    traceparents.push_back(row.traceparent);
    sequences.push_back(row.sequence);
    prices.push_back(row.price_micros);
    times.push_back(row.event_time_us);
    befores.push_back(row.price_before_micros);
    references.push_back(row.reference_micros);
    lates.push_back(row.late);
    critical.push_back(row.routing.critical);
    rerouted.push_back(row.rerouted);
    destinations.push_back(row.destination_id);
    disabled.push_back(row.destination_disabled);
    splits.push_back(SplitForColumn(row.split));
    create_times.push_back(row.create_time_us);
  }
  return {{"ids", postgres::UuidArray(ids)},
          {"users", postgres::UuidArray(users)},
          {"sequences", postgres::BigintArray(sequences)},
          {"alerts", postgres::UuidArray(alerts)},
          {"numbers", postgres::BigintArray(numbers)},
          {"symbols", postgres::TextArray(symbols)},
          {"prices", postgres::BigintArray(prices)},
          {"times", postgres::BigintArray(times)},
          {"befores", postgres::BigintArray(befores)},
          {"refs", postgres::BigintArray(references)},
          {"lates", postgres::BooleanArray(lates)},
          {"summaries", postgres::TextArray(summaries)},
          {"notes", postgres::TextArray(notes)},
          {"traces", postgres::TextArray(traceparents)},
          {"kinds", postgres::BigintArray(kinds)},
          {"keys", postgres::TextArray(keys)},
          {"throttled", postgres::BooleanArray(throttled)},
          {"folded", postgres::BigintArray(folded_counts)},
          {"critical", postgres::BooleanArray(critical)},
          {"rerouted", postgres::BooleanArray(rerouted)},
          {"destinations", postgres::TextArray(destinations)},
          {"disabled", postgres::BooleanArray(disabled)},
          {"splits", postgres::TextArray(splits)},
          {"created", postgres::BigintArray(create_times)}};
}

}  // namespace

void PrepareOnce(soci::statement& statement, const std::string& query) {
  statement.alloc();
  statement.prepare(query, soci::details::st_one_time_query);
  statement.define_and_bind();
}

std::vector<StoredNotification> FetchNotifications(soci::statement& statement, const std::string& query) {
  Row row(statement);
  PrepareOnce(statement, query);
  statement.execute(false);
  std::vector<StoredNotification> rows;
  while (statement.fetch()) rows.push_back(row.Get());
  return rows;
}

std::map<std::string, Recipient> LockRecipients(soci::session& sql, const std::set<std::string>& user_ids) {
  const std::string users = postgres::UuidArray({user_ids.begin(), user_ids.end()});
  sql << "INSERT INTO stockalert_notifier.recipients (user_id) SELECT x.id FROM unnest(CAST(:users AS uuid[])) AS "
         "x(id) ORDER BY x.id "
         "ON CONFLICT (user_id) DO NOTHING",
      use(users, "users");
  std::string id;
  long long last_sequence = 0;
  int deleted = 0;
  soci::statement statement(sql);
  statement.exchange(use(users, "users"));
  statement.exchange(into(id));
  statement.exchange(into(last_sequence));
  statement.exchange(into(deleted));
  PrepareOnce(statement,
              "SELECT CAST(user_id AS text), last_sequence, CAST(delete_time_us IS NOT NULL AS int) "
              "FROM stockalert_notifier.recipients WHERE user_id = ANY(CAST(:users AS uuid[])) "
              "ORDER BY user_id FOR UPDATE");
  statement.execute(false);
  std::map<std::string, Recipient> recipients;
  while (statement.fetch()) recipients[id] = {last_sequence, deleted != 0, false};
  return recipients;
}

void InsertNotifications(soci::session& sql, const std::vector<StoredNotification>& rows) {
  const std::map<std::string, std::string> arrays = ColumnsOf(rows);
  soci::statement statement(sql);
  for (const auto& [name, text] : arrays) statement.exchange(use(text, name));
  PrepareOnce(
      statement,
      "INSERT INTO stockalert_notifier.notifications (id, user_id, sequence, alert_id, trigger_number, symbol, "
      "price_micros, "
      "  event_time_us, price_before_micros, reference_micros, late, summary, note, traceparent, kind, key, throttled, "
      "folded_count, "
      "  critical, rerouted, destination_id, destination_disabled, split, create_time_us) "
      "SELECT x.id, x.user_id, x.sequence, x.alert_id, x.number, x.symbol, x.price, x.event_time, x.before, "
      "  x.reference, x.late, x.summary, x.note, x.trace, x.kind, x.key, x.throttled, x.folded, x.critical, "
      "  x.rerouted, CAST(NULLIF(x.destination, '') AS uuid), x.disabled, CAST(NULLIF(x.split, '') AS bigint[]), "
      "x.created "
      "FROM unnest(CAST(:ids AS uuid[]), CAST(:users AS uuid[]), CAST(:sequences AS "
      "bigint[]), "
      "  CAST(:alerts AS uuid[]), CAST(:numbers AS bigint[]), CAST(:symbols AS text[]), CAST(:prices AS bigint[]), "
      "  CAST(:times AS bigint[]), CAST(:befores AS bigint[]), CAST(:refs AS bigint[]), CAST(:lates AS boolean[]), "
      "  CAST(:summaries AS text[]), CAST(:notes AS text[]), CAST(:traces AS text[]), CAST(:kinds AS smallint[]), "
      "  CAST(:keys AS text[]), CAST(:throttled AS boolean[]), CAST(:folded AS bigint[]), "
      "  CAST(:critical AS boolean[]), CAST(:rerouted AS boolean[]), CAST(:destinations AS text[]), "
      "  CAST(:disabled AS boolean[]), CAST(:splits AS text[]), CAST(:created AS bigint[])) "
      "  AS x(id, user_id, sequence, alert_id, number, symbol, price, event_time, before, reference, late, summary, "
      "  note, trace, kind, key, throttled, folded, critical, rerouted, destination, disabled, split, created)");
  statement.execute(true);
}

void WriteSequences(soci::session& sql, const std::map<std::string, Recipient>& recipients) {
  std::vector<std::string> ids;
  std::vector<int64_t> sequences;
  for (const auto& [id, recipient] : recipients) {
    if (!recipient.changed) continue;
    ids.push_back(id);
    sequences.push_back(recipient.last_sequence);
  }
  const std::string users = postgres::UuidArray(ids);
  const std::string sequence_array = postgres::BigintArray(sequences);
  sql << "UPDATE stockalert_notifier.recipients AS r SET last_sequence = x.sequence "
         "FROM unnest(CAST(:users AS uuid[]), CAST(:sequences AS bigint[])) AS x(id, sequence) WHERE r.user_id = x.id",
      use(users, "users"), use(sequence_array, "sequences");
}

}  // namespace stockalert::notifier
