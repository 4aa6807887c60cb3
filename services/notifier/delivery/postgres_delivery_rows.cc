#include "services/notifier/delivery/postgres_delivery_rows.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "services/common/postgres/arrays.h"

namespace stockalert::notifier {

using soci::into;
using soci::use;

const char kDestinationColumns[] =
    "CAST(d.id AS text), CAST(d.user_id AS text), CAST(d.kind AS int), d.display_name, CAST(d.is_default AS int), "
    "CAST(d.state AS int), CAST(d.disable_reason AS int), d.host, d.address_shown, d.shown_settings, d.public_key, "
    "d.sealed_settings, "
    "d.sealed_secrets, d.sealed_previous_secrets, COALESCE(d.previous_secret_expire_time_us, -1), "
    "COALESCE(CAST(d.verification_id AS text), ''), COALESCE(d.verify_time_us, -1), COALESCE(d.disable_time_us, -1), "
    "COALESCE(d.last_success_time_us, -1), COALESCE(d.failing_since_time_us, -1), d.create_time_us, d.update_time_us, "
    "COALESCE(d.delete_time_us, -1), d.version, d.verify_ask_time_us, d.verify_window_time_us, d.verify_window_count, "
    "d.test_window_time_us, d.test_window_count, d.spacing_us, d.sealed_code, d.wrong_codes, d.target_hash, "
    "d.template_title, d.template_text, "
    "d.per_minute_max, "
    "COALESCE((SELECT s.time_zone FROM stockalert_notifier.notification_settings s WHERE s.user_id = d.user_id), ''), "
    "CAST(COALESCE((SELECT s.price_decimals FROM stockalert_notifier.notification_settings s "
    "  WHERE s.user_id = d.user_id), -1) AS int)";

const char kDeliveryColumns[] =
    "CAST(v.id AS text), v.number, CAST(v.user_id AS text), CAST(v.destination_id AS text), "
    "COALESCE(CAST(v.notification_id AS text), ''), CAST(v.kind AS int), CAST(v.state AS int), v.challenge, "
    "v.attempt_count, v.schedule_count, v.replay_count, "
    "COALESCE(CASE WHEN v.state = 5 THEN (SELECT l.digest_due_us FROM stockalert_notifier.delivery_lanes l "
    "  WHERE l.destination_id = v.destination_id) ELSE v.next_attempt_time_us END, -1), v.create_time_us, "
    "COALESCE(v.end_time_us, -1), v.last_error, CAST(v.hold_reason AS int), COALESCE(CAST(v.digest_id AS text), '')";

namespace {

// Stands for NULL in parameters: no time of ours is negative.
constexpr long long kNull = -1;

std::optional<int64_t> FromColumn(long long value) {
  return value == kNull ? std::nullopt : std::optional<int64_t>(value);
}

// One row of kDestinationColumns.
class DestinationRow {
 public:
  explicit DestinationRow(soci::statement& statement) {
    for (std::string* text : {&row_.id, &row_.user_id}) statement.exchange(into(*text));
    statement.exchange(into(kind_));
    statement.exchange(into(row_.display_name));
    for (int* number : {&is_default_, &state_, &reason_}) statement.exchange(into(*number));
    for (std::string* text : {&row_.host, &row_.address_shown, &row_.shown_settings, &row_.public_key,
                              &row_.sealed_settings, &row_.sealed_secrets, &row_.sealed_previous_secrets})
      statement.exchange(into(*text));
    statement.exchange(into(previous_expire_));
    statement.exchange(into(row_.verification_id));
    for (long long* time : {&verify_, &disable_, &last_success_, &failing_since_, &create_, &update_, &delete_,
                            &version_, &verify_ask_, &verify_window_})
      statement.exchange(into(*time));
    statement.exchange(into(row_.verify_window.count));
    statement.exchange(into(test_window_));
    statement.exchange(into(row_.test_window.count));
    statement.exchange(into(spacing_));
    statement.exchange(into(row_.sealed_code));
    statement.exchange(into(row_.wrong_codes));
    statement.exchange(into(row_.target_hash));
    for (std::string* text : {&row_.template_title, &row_.template_text}) statement.exchange(into(*text));
    statement.exchange(into(row_.per_minute_max));
    statement.exchange(into(row_.text_time_zone));
    statement.exchange(into(decimals_));
  }

  Destination Get() const {
    Destination destination = row_;
    destination.kind = static_cast<KindId>(kind_);
    destination.is_default = is_default_ != 0;
    destination.state = static_cast<DestinationState>(state_);
    destination.disable_reason = static_cast<DisableReason>(reason_);
    destination.previous_secret_expire_time_us = FromColumn(previous_expire_);
    destination.verify_time_us = FromColumn(verify_);
    destination.disable_time_us = FromColumn(disable_);
    destination.last_success_time_us = FromColumn(last_success_);
    destination.failing_since_time_us = FromColumn(failing_since_);
    destination.create_time_us = create_;
    destination.update_time_us = update_;
    destination.delete_time_us = FromColumn(delete_);
    destination.version = version_;
    destination.verify_ask_time_us = verify_ask_;
    destination.verify_window.since_us = verify_window_;
    destination.test_window.since_us = test_window_;
    destination.spacing_us = spacing_;
    if (decimals_ >= 0) destination.text_price_decimals = decimals_;
    return destination;
  }

 private:
  Destination row_;
  int kind_ = 0, is_default_ = 0, state_ = 0, reason_ = 0, decimals_ = 0;
  long long previous_expire_ = 0, verify_ = 0, disable_ = 0, last_success_ = 0, failing_since_ = 0, create_ = 0,
            update_ = 0, delete_ = 0, version_ = 0, verify_ask_ = 0, verify_window_ = 0, test_window_ = 0, spacing_ = 0;
};

// One row of kDeliveryColumns.
class DeliveryRow {
 public:
  explicit DeliveryRow(soci::statement& statement) {
    statement.exchange(into(row_.id));
    statement.exchange(into(number_));
    for (std::string* text : {&row_.user_id, &row_.destination_id, &row_.notification_id})
      statement.exchange(into(*text));
    for (int* number : {&kind_, &state_}) statement.exchange(into(*number));
    statement.exchange(into(row_.challenge));
    for (int* number : {&row_.attempt_count, &row_.schedule_count, &row_.replay_count})
      statement.exchange(into(*number));
    for (long long* time : {&next_, &create_, &end_}) statement.exchange(into(*time));
    statement.exchange(into(row_.last_error));
    statement.exchange(into(hold_reason_));
    statement.exchange(into(row_.digest_id));
  }

  Delivery Get() const {
    Delivery delivery = row_;
    delivery.number = number_;
    delivery.kind = static_cast<DeliveryKind>(kind_);
    delivery.state = static_cast<DeliveryState>(state_);
    delivery.next_attempt_time_us = FromColumn(next_);
    delivery.create_time_us = create_;
    delivery.end_time_us = FromColumn(end_);
    delivery.hold_reason = static_cast<HoldReason>(hold_reason_);
    return delivery;
  }

 private:
  Delivery row_;
  int kind_ = 0, state_ = 0, hold_reason_ = 0;
  long long number_ = 0, next_ = 0, create_ = 0, end_ = 0;
};

template <typename Row, typename Value>
std::vector<Value> FetchRows(soci::statement& statement, const std::string& query) {
  Row row(statement);
  ExecuteOnce(statement, query);
  std::vector<Value> rows;
  while (statement.fetch()) rows.push_back(row.Get());
  return rows;
}

// NULLIF(CAST(:x AS bigint), -1) in SQL turns it into NULL.
long long ToColumn(const std::optional<int64_t>& time) { return time.value_or(kNull); }

}  // namespace

void ExecuteOnce(soci::statement& statement, const std::string& query) {
  statement.alloc();
  statement.prepare(query, soci::details::st_one_time_query);
  statement.define_and_bind();
  statement.execute(false);
}

std::vector<Destination> FetchDestinations(soci::statement& statement, const std::string& query) {
  return FetchRows<DestinationRow, Destination>(statement, query);
}

std::vector<Delivery> FetchDeliveries(soci::statement& statement, const std::string& query) {
  return FetchRows<DeliveryRow, Delivery>(statement, query);
}

std::map<std::string, int64_t> LockLanes(soci::session& sql, const std::vector<std::string>& destination_ids) {
  const std::string ids = postgres::UuidArray(destination_ids);
  std::string id;
  long long number = 0;
  soci::statement statement(sql);
  statement.exchange(use(ids, "ids"));
  statement.exchange(into(id));
  statement.exchange(into(number));
  ExecuteOnce(statement,
              "SELECT CAST(destination_id AS text), lease_number FROM stockalert_notifier.delivery_lanes "
              "WHERE destination_id = ANY(CAST(:ids AS uuid[])) ORDER BY destination_id FOR UPDATE");
  std::map<std::string, int64_t> lanes;
  while (statement.fetch()) lanes[id] = number;
  return lanes;
}

void UpdateDue(soci::session& sql, const std::vector<std::string>& destination_ids, bool release) {
  if (destination_ids.empty()) return;
  const int releasing = release ? 1 : 0;
  const std::string ids = postgres::UuidArray(destination_ids);
  // The queued deliveries of a deleted or disabled destination are to be cancelled at once; an unverified one gets only
  // verifications. One index lookup for each kind, however much is queued.
  sql << "UPDATE stockalert_notifier.delivery_lanes AS l SET due_us = CASE "
         "  WHEN q.due_us IS NULL THEN 9223372036854775807 "
         "  WHEN d.state = 3 OR d.delete_time_us IS NOT NULL THEN 0 "
         "  ELSE GREATEST(q.due_us, l.hold_until_us) END, "
         // What is held for such a one is to be cancelled at once, too.
         "digest_due_us = CASE WHEN l.digest_due_us IS NULL THEN NULL "
         "  WHEN d.state = 3 OR d.delete_time_us IS NOT NULL THEN 0 ELSE l.digest_due_us END, "
         "lease_until_us = CASE WHEN :releasing = 1 THEN 0 ELSE l.lease_until_us END "
         "FROM unnest(CAST(:ids AS uuid[])) AS x(id) "
         "JOIN stockalert_notifier.destinations d ON d.id = x.id "
         "CROSS JOIN LATERAL (SELECT min(k.due_us) AS due_us FROM (SELECT "
         "    (SELECT min(v.next_attempt_time_us) FROM stockalert_notifier.deliveries v "
         "     WHERE v.destination_id = x.id AND v.kind = kinds.kind AND v.state = 1) AS due_us "
         "    FROM unnest(CAST('{1,2,3}' AS smallint[])) AS kinds(kind) "
         "    WHERE kinds.kind = 2 OR d.state <> 1 OR d.delete_time_us IS NOT NULL) k) q "
         "WHERE l.destination_id = x.id",
      use(releasing, "releasing"), use(ids, "ids");
}

int CancelHeld(soci::session& sql, const std::vector<std::string>& destination_ids, const char* why, int most,
               int64_t now_us) {
  const std::string ids = postgres::UuidArray(destination_ids);
  const std::string reason = why;
  const long long now = now_us;
  soci::statement cancel =
      (sql.prepare << "UPDATE stockalert_notifier.deliveries AS v SET state = 4, end_time_us = CAST(:now AS bigint), "
                      "last_error = :reason FROM (SELECT w.id FROM stockalert_notifier.deliveries w "
                      "  WHERE w.destination_id = ANY(CAST(:ids AS uuid[])) AND w.state = 5 LIMIT :most) x "
                      "WHERE v.id = x.id",
       use(now, "now"), use(reason, "reason"), use(ids, "ids"), use(most, "most"));
  cancel.execute(true);
  EndDigests(sql, destination_ids);
  return static_cast<int>(cancel.get_affected_rows());
}

void EndDigests(soci::session& sql, const std::vector<std::string>& destination_ids) {
  const std::string ids = postgres::UuidArray(destination_ids);
  sql << "UPDATE stockalert_notifier.delivery_lanes AS l SET digest_due_us = NULL "
         "WHERE l.destination_id = ANY(CAST(:ids AS uuid[])) AND l.digest_due_us IS NOT NULL "
         "AND NOT EXISTS (SELECT FROM stockalert_notifier.deliveries v "
         "  WHERE v.destination_id = l.destination_id AND v.state = 5)",
      use(ids, "ids");
}

std::vector<Destination> ReadDestinations(soci::session& sql, const std::vector<std::string>& ids, bool lock) {
  const std::string array = postgres::UuidArray(ids);
  soci::statement statement(sql);
  statement.exchange(use(array, "ids"));
  return FetchDestinations(
      statement, absl::StrCat("SELECT ", kDestinationColumns,
                              " FROM stockalert_notifier.destinations d WHERE d.id = ANY(CAST(:ids AS uuid[]))",
                              lock ? " ORDER BY d.id FOR UPDATE" : ""));
}

void WriteDestination(soci::session& sql, const Destination& destination) {
  const int is_default = destination.is_default ? 1 : 0;
  const int state = static_cast<int>(destination.state);
  const int reason = static_cast<int>(destination.disable_reason);
  const std::map<std::string, long long> numbers = {
      {"previous_expire", ToColumn(destination.previous_secret_expire_time_us)},
      {"verify", ToColumn(destination.verify_time_us)},
      {"disable", ToColumn(destination.disable_time_us)},
      {"success", ToColumn(destination.last_success_time_us)},
      {"failing", ToColumn(destination.failing_since_time_us)},
      {"updated", destination.update_time_us},
      {"deleted", ToColumn(destination.delete_time_us)},
      {"version", destination.version},
      {"verify_ask", destination.verify_ask_time_us},
      {"verify_since", destination.verify_window.since_us},
      {"verify_count", destination.verify_window.count},
      {"test_since", destination.test_window.since_us},
      {"test_count", destination.test_window.count},
      {"spacing", destination.spacing_us},
      {"wrong_codes", destination.wrong_codes},
      {"per_minute", destination.per_minute_max}};
  soci::statement statement(sql);
  for (const auto& [name, number] : numbers) statement.exchange(use(number, name));
  for (const auto& [name, number] :
       {std::pair<const char*, const int&>{"is_default", is_default}, {"state", state}, {"reason", reason}})
    statement.exchange(use(number, name));
  for (const auto& [name, text] : {std::pair<const char*, const std::string&>{"id", destination.id},
                                   {"display_name", destination.display_name},
                                   {"host", destination.host},
                                   {"target", destination.target_hash},
                                   {"address", destination.address_shown},
                                   {"shown", destination.shown_settings},
                                   {"public_key", destination.public_key},
                                   {"sealed_settings", destination.sealed_settings},
                                   {"sealed_code", destination.sealed_code},
                                   {"sealed_secrets", destination.sealed_secrets},
                                   {"sealed_previous", destination.sealed_previous_secrets},
                                   {"template_title", destination.template_title},
                                   {"template_text", destination.template_text},
                                   {"verification", destination.verification_id}})
    statement.exchange(use(text, name));
  ExecuteOnce(
      statement,
      "UPDATE stockalert_notifier.destinations SET display_name = :display_name, is_default = (:is_default = 1), "
      "  state = :state, disable_reason = :reason, host = :host, address_shown = :address, shown_settings = :shown, "
      "public_key = :public_key, "
      "  sealed_settings = :sealed_settings, sealed_secrets = :sealed_secrets, sealed_previous_secrets = "
      ":sealed_previous, "
      "  previous_secret_expire_time_us = NULLIF(CAST(:previous_expire AS bigint), -1), "
      "  verification_id = CAST(NULLIF(:verification, '') AS uuid), verify_time_us = NULLIF(CAST(:verify AS bigint), "
      "-1), "
      "  disable_time_us = NULLIF(CAST(:disable AS bigint), -1), last_success_time_us = NULLIF(CAST(:success AS "
      "bigint), -1), "
      "  failing_since_time_us = NULLIF(CAST(:failing AS bigint), -1), update_time_us = :updated, "
      "  delete_time_us = NULLIF(CAST(:deleted AS bigint), -1), version = :version, verify_ask_time_us = :verify_ask, "
      "  verify_window_time_us = :verify_since, verify_window_count = :verify_count, "
      "  test_window_time_us = :test_since, test_window_count = :test_count, spacing_us = :spacing, "
      "  template_title = :template_title, template_text = :template_text, "
      "  sealed_code = :sealed_code, target_hash = :target, wrong_codes = :wrong_codes, "
      "  per_minute_max = :per_minute WHERE id = CAST(:id AS uuid)");
}

Delivery InsertDelivery(soci::session& sql, const Destination& destination, const NewDelivery& delivery,
                        int64_t now_us) {
  const int kind = static_cast<int>(delivery.kind);
  const long long now = now_us;
  soci::statement statement(sql);
  statement.exchange(use(delivery.id, "id"));
  statement.exchange(use(destination.user_id, "user"));
  statement.exchange(use(destination.id, "destination"));
  statement.exchange(use(kind, "kind"));
  statement.exchange(use(delivery.challenge, "challenge"));
  statement.exchange(use(now, "now"));
  return FetchDeliveries(statement,
                         absl::StrCat("INSERT INTO stockalert_notifier.deliveries AS v (id, user_id, destination_id, "
                                      "kind, state, challenge, next_attempt_time_us, create_time_us) VALUES "
                                      "(CAST(:id AS uuid), CAST(:user AS uuid), CAST(:destination AS uuid), :kind, 1, "
                                      ":challenge, CAST(:now AS bigint), CAST(:now AS bigint)) RETURNING ",
                                      kDeliveryColumns))
      .front();
}

}  // namespace stockalert::notifier
