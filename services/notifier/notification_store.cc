#include "services/notifier/notification_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"

namespace stockalert::notifier {

std::string TriggerKey(const NewNotification& trigger) {
  return absl::StrCat(trigger.alert_id, "/", trigger.trigger_number);
}

std::string SplitKey(std::string_view symbol, int64_t number) {
  return absl::StrCat(base::ToAbsl(symbol), "/", number);
}

NewNotification Fold(const std::vector<StoredNotification>& throttled, std::string id) {
  const StoredNotification& last = throttled.back();
  NewNotification fold;
  fold.kind = Kind::kThrottled;
  fold.key = TriggerKey(last);
  fold.id = std::move(id);
  fold.user_id = last.user_id;
  const bool one_symbol = std::all_of(throttled.begin(), throttled.end(),
                                      [&](const StoredNotification& one) { return one.symbol == last.symbol; });
  if (one_symbol) fold.symbol = last.symbol;
  for (const StoredNotification& one : throttled) fold.event_time_us = std::max(fold.event_time_us, one.event_time_us);
  fold.folded_count = static_cast<int64_t>(throttled.size());
  fold.summary = absl::StrCat(one_symbol ? last.symbol + ": " : "", fold.folded_count,
                              fold.folded_count == 1 ? " trigger" : " triggers", " throttled");
  fold.traceparent = last.traceparent;
  // To the defaults, whatever they name; to nobody where nobody is to get any of them.
  const bool all_quiet = std::all_of(throttled.begin(), throttled.end(), [](const StoredNotification& one) {
    return one.routing.route == message::Route::kNone;
  });
  if (all_quiet) fold.routing.route = message::Route::kNone;
  fold.routing.critical = std::any_of(throttled.begin(), throttled.end(),
                                      [](const StoredNotification& one) { return one.routing.critical; });
  return fold;
}

}  // namespace stockalert::notifier
