// Microsoft Teams, by a workflow ("When a Teams webhook request is received"), or by an old connector.
//
// Format, and four requests a second at most:
// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using. A message has at
// most 28 KB (https://learn.microsoft.com/microsoftteams/limits-specifications-teams), which a connector counts in
// UTF-16, so half of that is what fits in any case. A connector answers 200 also if Teams refused the message, and says
// so in the body. Text is in RichTextBlock, where nothing is Markdown and nothing mentions
// (https://adaptivecards.io/explorer/RichTextBlock.html).
#pragma once

#include <memory>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakeTeamsKind(const EgressGuard& guard, const KindHosts& hosts);

}  // namespace stockalert::notifier
