#include "services/notifier/delivery/destination_notice.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "services/common/base/text.h"

namespace stockalert::notifier {
namespace {

// Of its name in a line for people.
constexpr size_t kNameBytesMax = 200;

const char* CauseOf(DisableReason reason) {
  switch (reason) {
    case DisableReason::kGone:
      return ": it answered that it wants no more messages";
    case DisableReason::kFailing:
      return ": all attempts to send to it have failed for days";
    case DisableReason::kSecretsLost:
      return ": its secrets can no longer be decrypted. Create a new one";
    case DisableReason::kUnsubscribed:
      return ": its reader unsubscribed by the link of a mail";
    case DisableReason::kNone:
      break;
  }
  return "";
}

}  // namespace

NewNotification NoticeOfTurn(const DestinationTurn& turn) {
  const Destination& destination = turn.destination;
  const bool disabled = destination.state == DestinationState::kDisabled;
  const std::string name = base::StorableText(
      destination.display_name.empty() ? destination.address_shown : destination.display_name, kNameBytesMax);
  NewNotification notice;
  notice.kind = Kind::kDestination;
  notice.key = absl::StrCat(destination.id, "/", disabled ? "disabled" : "verified", "/", turn.time_us);
  notice.user_id = destination.user_id;
  notice.event_time_us = turn.time_us;
  notice.destination_id = destination.id;
  notice.destination_disabled = disabled;
  notice.summary = disabled
                       ? absl::StrCat("Destination ", name, " is disabled", CauseOf(destination.disable_reason))
                       : absl::StrCat("Destination ", name, " is verified: notifications are sent to it from now on");
  return notice;
}

}  // namespace stockalert::notifier
