#include "services/notifier/settings/settings_convert.h"

#include <set>
#include <utility>

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/resource_name.h"

namespace stockalert::notifier {

namespace npb = ::stockalert::notification::v1;

npb::NotificationSettings ToSettings(const std::string& user_id, const NotificationSettings& stored) {
  npb::NotificationSettings settings;
  settings.set_name(rpc::FormatName(kSettingsName, {user_id}));
  settings.set_time_zone(stored.time_zone);
  if (stored.price_decimals) settings.set_price_decimals(*stored.price_decimals);
  for (const QuietHours& hours : stored.quiet_hours) {
    npb::NotificationSettings::QuietHours& shown = *settings.add_quiet_hours();
    for (const int day : hours.days) shown.add_days(static_cast<npb::NotificationSettings::Day>(day));
    shown.set_start_time(FormatClock(hours.start_minute));
    shown.set_end_time(FormatClock(hours.end_minute));
  }
  settings.set_etag(rpc::MakeEtag(user_id, stored.version));
  return settings;
}

absl::StatusOr<SettingsUpdate> ReadSettingsUpdate(const npb::UpdateNotificationSettingsRequest& asked) {
  const npb::NotificationSettings& wanted = asked.settings();
  std::set<std::string> set_fields;
  if (!wanted.time_zone().empty()) set_fields.insert("time_zone");
  if (wanted.has_price_decimals()) set_fields.insert("price_decimals");
  if (wanted.quiet_hours_size() > 0) set_fields.insert("quiet_hours");
  base::FieldViolations violations;
  const std::set<std::string> paths = rpc::ResolveFieldMask(violations, "update_mask", asked.update_mask(),
                                                            {"time_zone", "price_decimals", "quiet_hours"}, set_fields);
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  SettingsUpdate update;
  if (paths.contains("time_zone")) update.time_zone = wanted.time_zone();
  if (paths.contains("price_decimals")) {
    update.price_decimals.emplace();
    if (wanted.has_price_decimals()) *update.price_decimals = wanted.price_decimals();
  }
  if (paths.contains("quiet_hours")) {
    update.quiet_hours.emplace();
    for (const auto& hours : wanted.quiet_hours()) {
      AskedQuietHours& one = update.quiet_hours->emplace_back();
      for (const int day : hours.days()) one.days.push_back(day);
      one.start_time = hours.start_time();
      one.end_time = hours.end_time();
    }
  }
  return update;
}

SettingsCheck SettingsEtagCheck(const std::string& user_id, const std::string& etag) {
  return [=](const NotificationSettings& settings) { return rpc::CheckEtag(etag, user_id, settings.version); };
}

}  // namespace stockalert::notifier
