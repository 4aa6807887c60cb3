// Webhooks: signed HTTP POSTs to a program of the user's, according to Standard Webhooks 1.0.0
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
#pragma once

#include <memory>
#include <string_view>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakeWebhookKind(const EgressGuard& guard);

// Whether a JSON object in `answer` has `challenge` under that name.
bool AnswersChallenge(std::string_view answer, std::string_view challenge);

}  // namespace stockalert::notifier
