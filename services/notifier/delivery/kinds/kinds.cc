#include "services/notifier/delivery/kinds/kinds.h"

#include "services/notifier/delivery/kinds/apprise_kind.h"
#include "services/notifier/delivery/kinds/discord_kind.h"
#include "services/notifier/delivery/kinds/http_kind.h"
#include "services/notifier/delivery/kinds/ntfy_kind.h"
#include "services/notifier/delivery/kinds/pushover_kind.h"
#include "services/notifier/delivery/kinds/slack_kind.h"
#include "services/notifier/delivery/kinds/teams_kind.h"
#include "services/notifier/delivery/kinds/telegram_kind.h"
#include "services/notifier/delivery/kinds/webhook_kind.h"

namespace stockalert::notifier {

Kinds::Kinds(const EgressGuard& guard, const KindHosts& hosts, const std::optional<MailIdentity>& mail,
             const std::optional<AppriseServer>& apprise) {
  // In the order of destination.proto.
  kinds_.push_back(MakeWebhookKind(guard));
  kinds_.push_back(MakeEmailKind(mail));
  kinds_.push_back(MakeSlackKind(guard, hosts));
  kinds_.push_back(MakeDiscordKind(guard, hosts));
  kinds_.push_back(MakeTelegramKind(guard, hosts));
  kinds_.push_back(MakeNtfyKind(guard, hosts));
  kinds_.push_back(MakePushoverKind(guard, hosts));
  kinds_.push_back(MakeTeamsKind(guard, hosts));
  kinds_.push_back(MakeHttpKind(guard));
  kinds_.push_back(MakeAppriseKind(apprise));
}

const DestinationKind* Kinds::Find(KindId id) const {
  for (const auto& kind : kinds_) {
    if (kind->traits().id == id) return kind.get();
  }
  return nullptr;
}

const DestinationKind* Kinds::FindField(std::string_view field) const {
  for (const auto& kind : kinds_) {
    if (kind->traits().field == field) return kind.get();
  }
  return nullptr;
}

}  // namespace stockalert::notifier
