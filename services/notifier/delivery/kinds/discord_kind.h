// Discord, by webhooks.
//
// Format: https://docs.discord.com/developers/resources/webhook#execute-webhook; `wait=true` makes it answer once the
// message is stored. Limits: 2,000 characters in `content`; of an embed 256 in the title, 4,096 in the description, 25
// fields of 256 and 1,024, 6,000 in all (https://docs.discord.com/developers/resources/message#embed-object). Nobody is
// mentioned: `allowed_mentions` is empty, and what Markdown knows is escaped. 429 has `retry_after` in its JSON, in
// seconds with fractions (https://docs.discord.com/developers/topics/rate-limits); five requests in two seconds for
// each webhook (https://birdie0.github.io/discord-webhooks-guide/other/rate_limits.html). Codes in the body of an
// error: https://docs.discord.com/developers/topics/opcodes-and-status-codes#json.
#pragma once

#include <memory>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakeDiscordKind(const EgressGuard& guard, const KindHosts& hosts);

}  // namespace stockalert::notifier
