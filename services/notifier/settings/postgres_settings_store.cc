#include "services/notifier/settings/postgres_settings_store.h"

#include <soci/soci.h>

#include "services/common/base/status_macros.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"
#include "services/notifier/delivery/destination_store.h"
#include "services/notifier/delivery/postgres_delivery_intake.h"
#include "services/notifier/postgres_notification_rows.h"

namespace stockalert::notifier {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

NotificationSettings ReadSettings(soci::session& sql, const std::string& user_id) {
  std::string zone, quiet_hours;
  int decimals = 0;
  long long version = 0;
  sql << "SELECT time_zone, CAST(COALESCE(price_decimals, -1) AS int), quiet_hours, version "
         "FROM stockalert_notifier.notification_settings WHERE user_id = CAST(:user AS uuid)",
      use(user_id, "user"), into(zone), into(decimals), into(quiet_hours), into(version);
  NotificationSettings settings;
  if (!sql.got_data()) return settings;
  settings.time_zone = zone;
  if (decimals >= 0) settings.price_decimals = decimals;
  settings.quiet_hours = ReadQuietHours(quiet_hours);
  settings.version = version;
  return settings;
}

void WriteSettings(soci::session& sql, const std::string& user_id, const NotificationSettings& settings) {
  const std::string quiet_hours = QuietHoursText(settings.quiet_hours);
  const int decimals = settings.price_decimals.value_or(-1);
  const long long version = settings.version;
  sql << "INSERT INTO stockalert_notifier.notification_settings (user_id, time_zone, price_decimals, quiet_hours, "
         "  version) "
         "VALUES (CAST(:user AS uuid), :zone, NULLIF(CAST(:decimals AS smallint), -1), :quiet, "
         "  CAST(:version AS bigint)) "
         "ON CONFLICT (user_id) DO UPDATE SET time_zone = EXCLUDED.time_zone, "
         "  price_decimals = EXCLUDED.price_decimals, quiet_hours = EXCLUDED.quiet_hours, version = EXCLUDED.version",
      use(user_id, "user"), use(settings.time_zone, "zone"), use(decimals, "decimals"), use(quiet_hours, "quiet"),
      use(version, "version");
}

// What is held is looked at again: whether it is still quiet, and until when.
void HastenDigests(soci::session& sql, const std::string& user_id, int64_t now_us) {
  FindLanesOf(sql, {user_id}, /*lock=*/true);
  const long long now = now_us;
  sql << "UPDATE stockalert_notifier.delivery_lanes SET digest_due_us = CAST(:now AS bigint) "
         "WHERE user_id = CAST(:user AS uuid) AND digest_due_us > CAST(:now AS bigint)",
      use(now, "now"), use(user_id, "user");
}

}  // namespace

absl::StatusOr<NotificationSettings> PostgresSettingsStore::Get(const std::string& user_id) {
  return StoreFailure(
      postgres::Read(pool_, "settings.get", [&](Connection& connection) -> absl::StatusOr<NotificationSettings> {
        return ReadSettings(connection.sql(), user_id);
      }));
}

absl::StatusOr<NotificationSettings> PostgresSettingsStore::Change(const std::string& user_id,
                                                                   const SettingsChange& change, int64_t now_us) {
  return StoreFailure(Transact(pool_, "settings.change", Idempotency::kNotIdempotent,
                               [&](Connection& connection) -> absl::StatusOr<NotificationSettings> {
                                 soci::session& sql = connection.sql();
                                 // An intake reads the settings under the same lock.
                                 if (LockRecipients(sql, {user_id}).at(user_id).deleted) return RecipientNotFound();
                                 const NotificationSettings present = ReadSettings(sql, user_id);
                                 NotificationSettings settings = present;
                                 STOCKALERT_RETURN_IF_ERROR(change(settings));
                                 if (settings == present) return settings;
                                 ++settings.version;
                                 WriteSettings(sql, user_id, settings);
                                 if (settings.quiet_hours != present.quiet_hours ||
                                     settings.time_zone != present.time_zone)
                                   HastenDigests(sql, user_id, now_us);
                                 return settings;
                               }));
}

}  // namespace stockalert::notifier
