// Any other HTTP service: a request whose method, headers and body the user chooses.
//
// Headers that the connection needs, or that speak for StockAlert, are refused, and so is anything that could end a
// header (RFC 9110, sections 5 and 7.6.1). The request is not signed.
#pragma once

#include <memory>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/destination_kind.h"

namespace stockalert::notifier {

std::unique_ptr<const DestinationKind> MakeHttpKind(const EgressGuard& guard);

}  // namespace stockalert::notifier
