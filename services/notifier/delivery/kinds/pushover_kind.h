// Pushover.
//
// Format, limits and answers: https://pushover.net/api: 1,024 characters in a message, 250 in a title; `status` 1 in
// the body is success; a request that was answered with 4xx must not be repeated unchanged, except 429, when the
// application's messages of the month are used up (X-Limit-App-Reset says until when); after 5xx at least five seconds
// later; at most two requests at the same time. Priority 1 is high, 0 the usual one (#priority).
#pragma once

#include <memory>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakePushoverKind(const EgressGuard& guard, const KindHosts& hosts);

}  // namespace stockalert::notifier
