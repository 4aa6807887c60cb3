#include "services/notifier/digest/digest_rules.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/text.h"

namespace stockalert::notifier {
namespace {

const char* CauseOf(int64_t count, int64_t of_quiet_hours) {
  if (of_quiet_hours == count) return " held in quiet hours";
  return of_quiet_hours == 0 ? " more than are sent one by one within a minute"
                             : " held in quiet hours, or more than are sent one by one within a minute";
}

}  // namespace

NewNotification DigestOf(const HeldNotifications& held, std::string id, int64_t now_us) {
  int64_t count = 0, of_quiet_hours = 0, named = 0;
  std::string list;
  size_t groups = 0;
  for (const HeldGroup& group : held.groups) {
    count += group.count;
    of_quiet_hours += group.of_quiet_hours;
    if (group.summary.empty() || groups == kDigestGroupsMax) continue;
    ++groups;
    named += group.count;
    absl::StrAppend(&list, list.empty() ? "" : "; ", base::StorableText(group.summary, kDigestGroupBytesMax));
    if (group.count > 1) absl::StrAppend(&list, " (", group.count, " times)");
  }
  if (named > 0 && named < count) absl::StrAppend(&list, "; and ", count - named, " more");
  NewNotification digest;
  digest.kind = Kind::kDigest;
  digest.key = absl::StrCat(held.destination_id, "/", id);
  digest.id = std::move(id);
  digest.user_id = held.user_id;
  digest.destination_id = held.destination_id;
  digest.event_time_us = now_us;
  digest.folded_count = count;
  digest.summary = absl::StrCat(count, count == 1 ? " notification" : " notifications", CauseOf(count, of_quiet_hours),
                                list.empty() ? "" : ": ", list);
  return digest;
}

}  // namespace stockalert::notifier
