#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/tools/client/alert_page.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/quiet_hours.h"
#include "services/tools/client/usage.h"

namespace stockalert::client {
namespace {

namespace notification_v1 = ::stockalert::notification::v1;

using notification_v1::NotificationSettings;

constexpr char kName[] = "users/me/notificationSettings";
constexpr char kAll[] = "all";

struct SettingsFlags {
  std::string time_zone, price_decimals, etag;
  std::vector<std::string> quiet_hours;
  bool no_quiet_hours = false;
};

void Print(const CommandContext& context, const NotificationSettings& settings) {
  if (context.terminal.json) {
    context.terminal.PrintJson(settings);
    return;
  }
  std::vector<std::pair<std::string, Cell>> page;
  page.emplace_back("time zone", settings.time_zone());
  page.emplace_back("decimals of prices",
                    settings.has_price_decimals() ? absl::StrCat(settings.price_decimals()) : kAll);
  for (const auto& hours : settings.quiet_hours()) page.emplace_back("quiet hours", FormatQuietHours(hours));
  if (settings.quiet_hours().empty()) page.emplace_back("quiet hours", Cell("none", Colour::kDim));
  page.emplace_back("etag", settings.etag());
  PrintPage(context.terminal, page);
}

absl::Status Show(CommandContext& context) {
  notification_v1::GetNotificationSettingsRequest request;
  request.set_name(kName);
  STOCKALERT_ASSIGN_OR_RETURN(const auto settings, context.Call(&Notifications::GetNotificationSettings, request));
  Print(context, settings);
  return absl::OkStatus();
}

absl::Status Update(CommandContext& context, const SettingsFlags& flags) {
  notification_v1::UpdateNotificationSettingsRequest request;
  NotificationSettings& settings = *request.mutable_settings();
  settings.set_name(kName);
  settings.set_etag(flags.etag);
  if (!flags.time_zone.empty()) {
    settings.set_time_zone(flags.time_zone);
    request.mutable_update_mask()->add_paths("time_zone");
  }
  if (!flags.price_decimals.empty()) {
    int decimals = 0;
    if (flags.price_decimals != kAll) {
      if (!absl::SimpleAtoi(flags.price_decimals, &decimals))
        return WrongUsage("--price_decimals: must be a number, or `all`");
      settings.set_price_decimals(decimals);
    }
    request.mutable_update_mask()->add_paths("price_decimals");
  }
  for (const std::string& text : flags.quiet_hours) {
    const auto hours = ParseQuietHours(text);
    if (!hours.ok()) return WrongUsage(absl::StrCat("--quiet_hours: ", hours.status().message()));
    *settings.add_quiet_hours() = *hours;
  }
  if (!flags.quiet_hours.empty() || flags.no_quiet_hours) request.mutable_update_mask()->add_paths("quiet_hours");
  if (request.update_mask().paths().empty()) {
    return WrongUsage("give what is to change: --time_zone, --price_decimals, --quiet_hours or --no_quiet_hours");
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto updated, context.Call(&Notifications::UpdateNotificationSettings, request));
  Print(context, updated);
  return absl::OkStatus();
}

}  // namespace

void DeclareNotificationSettings(CLI::App& notifications, CommandContext& context) {
  CLI::App& settings =
      context.Group(notifications, "settings", "how notifications are written, and when they are quiet");
  context.Command(settings, "show", "show them", [&context] { return Show(context); });
  const auto flags = std::make_shared<SettingsFlags>();
  CLI::App& update = context.Command(settings, "update", "change what the flags name",
                                     [&context, flags] { return Update(context, *flags); },
                                     {{"settings.time_zone", "--time_zone"},
                                      {"settings.price_decimals", "--price_decimals"},
                                      {"settings.quiet_hours", "--quiet_hours"},
                                      {"settings.etag", "--etag"}});
  update.add_option("--time_zone", flags->time_zone, "of texts and quiet hours: Europe/Berlin");
  update.add_option("--price_decimals", flags->price_decimals, "0 to 6, or `all`");
  CLI::Option* quiet =
      update.add_option("--quiet_hours", flags->quiet_hours,
                        "instead of those that there are: \"22:00-07:00\", \"mon-fri 22:00-07:00\"; may be repeated");
  quiet->allow_extra_args(false);
  update.add_flag("--no_quiet_hours,--no-quiet-hours", flags->no_quiet_hours, "no hour is quiet")->excludes(quiet);
  update.add_option("--etag", flags->etag, "only if they have not changed since they had this etag");
}

}  // namespace stockalert::client
