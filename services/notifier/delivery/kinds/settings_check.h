// Reads the settings of a kind and collects what is wrong with them. Not thread-safe.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/common/base/error.h"
#include "services/notifier/delivery/egress_guard.h"

namespace stockalert::notifier {

// The text of a field; empty if it is absent or no text.
std::string TextIn(const nlohmann::json& settings, std::string_view field);

class SettingsCheck {
 public:
  // `kind`: KindTraits::field. `asked` must outlive it.
  SettingsCheck(std::string_view kind, const nlohmann::json& asked) : kind_(kind), asked_(asked) {}

  std::string Text(std::string_view field) const { return TextIn(asked_, field); }
  // Adds the violation if not `ok`; returns `ok`.
  bool Check(bool ok, std::string_view field, std::string_view description);
  bool Require(std::string_view field) { return Check(!Text(field).empty(), field, "must not be empty"); }
  // The URL in a required field. None: it is wrong, which is added.
  std::optional<DestinationUrl> Url(std::string_view field, const EgressGuard& guard);
  // Parses `url`, which comes from `field`.
  std::optional<DestinationUrl> ParseUrl(std::string_view field, std::string_view url, const EgressGuard& guard);

  absl::Status ToStatus() const { return violations_.ToStatus(); }

 private:
  std::string FieldName(std::string_view field) const;

  const std::string kind_;
  const nlohmann::json& asked_;
  base::FieldViolations violations_;
};

// CheckedSettings::host.
std::string HostOf(const DestinationUrl& url);

}  // namespace stockalert::notifier
