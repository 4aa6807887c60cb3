// All kinds of destination of this installation. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/apprise_kind.h"
#include "services/notifier/delivery/kinds/destination_kind.h"
#include "services/notifier/delivery/kinds/email_kind.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {

class Kinds {
 public:
  // `mail`: none if mail is off; the kind email then refuses. Likewise `apprise`.
  Kinds(const EgressGuard& guard, const KindHosts& hosts, const std::optional<MailIdentity>& mail = std::nullopt,
        const std::optional<AppriseServer>& apprise = std::nullopt);

  // Null: this installation has no such kind (a newer version stored it, or the operator has not configured it).
  const DestinationKind* Find(KindId id) const;
  // By the field of the API's oneof.
  const DestinationKind* FindField(std::string_view field) const;
  const std::vector<std::unique_ptr<const DestinationKind>>& all() const { return kinds_; }

 private:
  std::vector<std::unique_ptr<const DestinationKind>> kinds_;
};

}  // namespace stockalert::notifier
