// Telegram, by a bot of the user's.
//
// Format and answers: https://core.telegram.org/bots/api#sendmessage and #making-requests: `ok` in the body decides,
// `parameters.retry_after` are seconds, `parameters.migrate_to_chat_id` is what a group's id has become. A text has at
// most 4,096 characters after its entities are parsed; HTML needs & < > escaped (#html-style); a '@' would mention. One
// message a second in a chat, 20 a minute in a group
// (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this).
#pragma once

#include <memory>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakeTelegramKind(const EgressGuard& guard, const KindHosts& hosts);

}  // namespace stockalert::notifier
