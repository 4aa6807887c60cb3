// The addresses of the services that destinations of a kind may name. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::notifier {

struct KindHosts {
  // Origins, "https://hooks.slack.com": a webhook's URL must begin with one of them.
  std::vector<std::string> slack = {"https://hooks.slack.com", "https://hooks.slack-gov.com"};
  std::vector<std::string> discord = {"https://discord.com", "https://discordapp.com", "https://ptb.discord.com",
                                      "https://canary.discord.com"};
  // Origins, or "https://*.example.com": any host below that domain.
  std::vector<std::string> teams = {"https://*.logic.azure.com", "https://*.powerplatform.com",
                                    "https://*.webhook.office.com"};
  // One origin each: where messages are sent.
  std::string telegram = "https://api.telegram.org";
  std::string pushover = "https://api.pushover.net";
  std::string ntfy = "https://ntfy.sh";  // If a destination names no server.

  // The official ones, replaced where `text` names others: "telegram=http://127.0.0.1:8081,slack=https://a.example".
  // INVALID_ARGUMENT: what is wrong with it.
  static absl::StatusOr<KindHosts> Parse(std::string_view text);
};

// Whether the host of `url` (DestinationUrl::url) is one of `origins`.
bool IsOfOrigin(std::string_view url, const std::vector<std::string>& origins);

}  // namespace stockalert::notifier
