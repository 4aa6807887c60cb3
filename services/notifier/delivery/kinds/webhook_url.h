// Settings that are nothing but the secret URL of a service's webhook, in the field `webhook_url`. Pure and
// thread-safe.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"

namespace stockalert::notifier {

struct WebhookUrlRules {
  std::function<bool(std::string_view url)> is_allowed;  // DestinationUrl::url.
  std::string description;                               // "must be …": of what is not.
  absl::Duration spacing;                                // CheckedSettings::spacing.
};

// As DestinationKind::Check.
absl::StatusOr<CheckedSettings> CheckWebhookUrl(const KindTraits& traits, const nlohmann::json& asked,
                                                const EgressGuard& guard, const WebhookUrlRules& rules);

// The URL of such settings, as DestinationKind::Compose is given them. DATA_LOSS: they are none.
absl::StatusOr<std::string> WebhookUrlOf(const KindTraits& traits, const std::string& settings);

}  // namespace stockalert::notifier
