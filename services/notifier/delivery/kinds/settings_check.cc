#include "services/notifier/delivery/kinds/settings_check.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/notifier/delivery/kinds/destination_kind.h"

namespace stockalert::notifier {

std::string TextIn(const nlohmann::json& settings, std::string_view field) {
  const auto found = settings.find(std::string(field));
  return found != settings.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string SettingsCheck::FieldName(std::string_view field) const {
  return absl::StrCat("destination.", kind_, ".", base::ToAbsl(field));
}

bool SettingsCheck::Check(bool ok, std::string_view field, std::string_view description) {
  return violations_.Check(ok, FieldName(field), description);
}

std::optional<DestinationUrl> SettingsCheck::Url(std::string_view field, const EgressGuard& guard) {
  if (!Require(field)) return std::nullopt;
  return ParseUrl(field, Text(field), guard);
}

std::optional<DestinationUrl> SettingsCheck::ParseUrl(std::string_view field, std::string_view url,
                                                      const EgressGuard& guard) {
  absl::StatusOr<DestinationUrl> parsed = guard.ParseUrl(url);
  if (parsed.ok()) return *std::move(parsed);
  violations_.Merge(base::InvalidField(FieldName(field), std::string(parsed.status().message()), kReasonEgressRefused));
  return std::nullopt;
}

std::string HostOf(const DestinationUrl& url) { return absl::StrCat(url.host, ":", url.port); }

}  // namespace stockalert::notifier
