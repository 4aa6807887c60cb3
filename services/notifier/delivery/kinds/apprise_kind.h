// Services that the operator's Apprise API server sends to (https://github.com/caronc/apprise-api).
//
// Its users name them by Apprise URLs. The server is within the operator's network, and many of Apprise's services are
// reached at hosts of the user's choice: so only services that the operator allows may be named, by default ones whose
// hosts are fixed.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/notifier/delivery/kinds/destination_kind.h"

namespace stockalert::notifier {

inline constexpr char kReasonAppriseOff[] = "APPRISE_OFF";

// Services of Apprise whose messages go to fixed hosts on the Internet, whatever a user's URL says.
inline constexpr char kDefaultAppriseSchemes[] =
    "discord,gchat,join,line,opsgenie,pagerduty,pbul,pover,prowl,pushy,slack,spush,tgram,threema,twilio,wxteams";

struct AppriseServer {
  std::string notify_url;         // "http://apprise:8000/notify/"
  std::string host;               // "apprise:8000"
  std::set<std::string> schemes;  // "discord"

  // `url`: http or https, a host, perhaps a port and a path. `schemes`: separated by commas, of [a-z0-9].
  // INVALID_ARGUMENT: what is wrong with them.
  static absl::StatusOr<AppriseServer> Parse(std::string_view url, std::string_view schemes);
};

// None: the operator has configured no server. Then Check is FAILED_PRECONDITION (APPRISE_OFF), and nothing can be
// composed.
std::unique_ptr<const DestinationKind> MakeAppriseKind(const std::optional<AppriseServer>& server);

}  // namespace stockalert::notifier
