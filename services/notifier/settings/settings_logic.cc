#include "services/notifier/settings/settings_logic.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"

namespace stockalert::notifier {
namespace {

constexpr char kField[] = "settings.quiet_hours";
constexpr char kClockRule[] = "must be a time of the day, \"22:00\"";

QuietHours ReadHours(const AskedQuietHours& asked, const std::string& field, base::FieldViolations& violations) {
  QuietHours hours;
  hours.days = asked.days;
  std::sort(hours.days.begin(), hours.days.end());
  const bool valid = std::all_of(hours.days.begin(), hours.days.end(), [](int day) { return day >= 1 && day <= 7; });
  if (violations.Check(valid, field + ".days", "must be days of the week")) {
    const bool once = std::adjacent_find(hours.days.begin(), hours.days.end()) == hours.days.end();
    violations.Check(once, field + ".days", "must have each day once");
  }
  const std::optional<int> start = ReadClock(asked.start_time), end = ReadClock(asked.end_time);
  violations.Check(start.has_value(), field + ".start_time", kClockRule);
  violations.Check(end.has_value(), field + ".end_time", kClockRule);
  hours.start_minute = start.value_or(0);
  hours.end_minute = end.value_or(0);
  return hours;
}

std::vector<QuietHours> ReadAll(const std::vector<AskedQuietHours>& asked, base::FieldViolations& violations) {
  std::vector<QuietHours> all;
  if (!violations.Check(asked.size() <= kQuietHoursMax, kField, absl::StrCat("must be at most ", kQuietHoursMax)))
    return all;
  for (size_t i = 0; i < asked.size(); ++i)
    all.push_back(ReadHours(asked[i], absl::StrCat(kField, "[", i, "]"), violations));
  if (violations.ok()) {
    violations.Check(!CoverWeek(all), kField,
                     "must leave a part of the week: what is held would never come. To get nothing, have alerts name "
                     "no destination");
  }
  return all;
}

}  // namespace

absl::Status ApplyUpdate(const SettingsUpdate& update, NotificationSettings& settings) {
  base::FieldViolations violations;
  if (update.time_zone) {
    settings.time_zone = update.time_zone->empty() ? kFirstTimeZone : *update.time_zone;
    violations.Check(IsTimeZone(settings.time_zone), "settings.time_zone",
                     "must be a name of the IANA time zone database, such as \"Europe/Berlin\"");
  }
  if (update.price_decimals) {
    const int decimals = update.price_decimals->value_or(0);
    violations.Check(decimals >= 0 && decimals <= kPriceDecimalsMax, "settings.price_decimals",
                     absl::StrCat("must be 0 to ", kPriceDecimalsMax));
    settings.price_decimals = *update.price_decimals;
  }
  if (update.quiet_hours) settings.quiet_hours = ReadAll(*update.quiet_hours, violations);
  return violations.ToStatus();
}

SettingsLogic::SettingsLogic(SettingsStore& store, const base::Clock& clock, std::function<void()> on_changed)
    : store_(store), clock_(clock), on_changed_(std::move(on_changed)) {}

absl::StatusOr<NotificationSettings> SettingsLogic::Get(const std::string& user_id) { return store_.Get(user_id); }

absl::StatusOr<NotificationSettings> SettingsLogic::Update(const std::string& user_id, const SettingsUpdate& update,
                                                           const SettingsCheck& check) {
  const auto change = [&](NotificationSettings& settings) -> absl::Status {
    STOCKALERT_RETURN_IF_ERROR(check(settings));
    return ApplyUpdate(update, settings);
  };
  STOCKALERT_ASSIGN_OR_RETURN(NotificationSettings changed, store_.Change(user_id, change, clock_.NowUs()));
  on_changed_();
  return changed;
}

}  // namespace stockalert::notifier
