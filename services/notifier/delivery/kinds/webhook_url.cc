#include "services/notifier/delivery/kinds/webhook_url.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/status_macros.h"
#include "services/notifier/delivery/kinds/settings_check.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr char kField[] = "webhook_url";

}  // namespace

absl::StatusOr<CheckedSettings> CheckWebhookUrl(const KindTraits& traits, const Json& asked, const EgressGuard& guard,
                                                const WebhookUrlRules& rules) {
  SettingsCheck check(traits.field, asked);
  const std::optional<DestinationUrl> url = check.Url(kField, guard);
  if (url) check.Check(rules.is_allowed(url->url), kField, rules.description);
  STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
  return CheckedSettings{.settings = Json{{kField, url->url}}.dump(),
                         .shown = Json{{"url_shown", url->shown}}.dump(),
                         .address = url->shown,
                         .host = HostOf(*url),
                         .spacing = rules.spacing};
}

absl::StatusOr<std::string> WebhookUrlOf(const KindTraits& traits, const std::string& settings) {
  const Json parsed = Json::parse(settings, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object())
    return absl::DataLossError(absl::StrCat("no settings of the kind ", base::ToAbsl(traits.field)));
  return TextIn(parsed, kField);
}

}  // namespace stockalert::notifier
