// ntfy, on ntfy.sh or a server of the user's.
//
// Format: https://docs.ntfy.sh/publish/#publish-as-json; an access token goes into the Authorization header
// (#access-tokens). Priorities are 1 to 5, of which 3 is the usual one (#message-priority). A message of more than
// 4,096 bytes becomes a file (#limitations), a title may have 1 KB since v2.28
// (https://github.com/binwiederhier/ntfy/releases/tag/v2.28.0). Errors: server/errors.go of
// https://github.com/binwiederhier/ntfy.
#pragma once

#include <memory>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakeNtfyKind(const EgressGuard& guard, const KindHosts& hosts);

}  // namespace stockalert::notifier
