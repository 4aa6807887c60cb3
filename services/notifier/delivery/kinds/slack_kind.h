// Slack, by incoming webhooks.
//
// Format and answers: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
// https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks (errors are a word in the body).
// Limits: 3,000 characters in a section's text, 150 in a header, 2,000 in each of at most 10 fields
// (https://docs.slack.dev/reference/block-kit/blocks), 40,000 in `text`; one message a second for each webhook, 429
// with Retry-After beyond (https://docs.slack.dev/apis/web-api/rate-limits). & < > are escaped, so that nothing is a
// mention (https://docs.slack.dev/messaging/formatting-message-text#escaping); all texts are of the type plain_text.
#pragma once

#include <memory>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakeSlackKind(const EgressGuard& guard, const KindHosts& hosts);

}  // namespace stockalert::notifier
