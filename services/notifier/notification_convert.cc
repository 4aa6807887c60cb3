#include "services/notifier/notification_convert.h"

#include <charconv>
#include <vector>

#include "services/common/base/error.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/resource_name.h"
#include "services/common/grpc/time_convert.h"
#include "services/domain/price/decimal.h"

namespace stockalert::notifier {
namespace {

std::string CursorScope(std::string_view user_id) { return rpc::PageScope("WatchNotifications", user_id); }

}  // namespace

notification::v1::Notification ToNotification(const StoredNotification& stored) {
  notification::v1::Notification notification;
  notification.set_name(rpc::FormatName("users/{user}/notifications/{notification}", {stored.user_id, stored.id}));
  notification.set_kind(static_cast<notification::v1::Notification::Kind>(stored.kind));
  if (stored.kind == Kind::kTrigger) {
    notification.set_alert(rpc::FormatName("users/{user}/alerts/{alert}", {stored.user_id, stored.alert_id}));
    notification.set_trigger(rpc::FormatName("users/{user}/alerts/{alert}/triggers/{n}",
                                             {stored.user_id, stored.alert_id, std::to_string(stored.trigger_number)}));
    notification.set_price(price::FormatMicros(stored.price_micros));
  }
  notification.set_throttled(stored.throttled);
  notification.set_folded_count(stored.folded_count);
  notification.set_symbol(stored.symbol);
  *notification.mutable_event_time() = rpc::TimestampFromUs(stored.event_time_us);
  if (stored.price_before_micros) notification.set_price_before(price::FormatMicros(*stored.price_before_micros));
  if (stored.reference_micros) notification.set_reference(price::FormatMicros(*stored.reference_micros));
  notification.set_late(stored.late);
  notification.set_summary(stored.summary);
  notification.set_critical(stored.routing.critical);
  notification.set_rerouted(stored.rerouted);
  if (stored.kind == Kind::kDestination || stored.kind == Kind::kDigest) {
    notification.set_destination(
        rpc::FormatName("users/{user}/destinations/{destination}", {stored.user_id, stored.destination_id}));
    notification.set_destination_disabled(stored.destination_disabled);
  }
  if (stored.split) {
    notification::v1::Notification::Split& split = *notification.mutable_split();
    split.set_name(
        rpc::FormatName("tickers/{symbol}/splits/{number}", {stored.symbol, std::to_string(stored.split->number)}));
    split.set_numerator(stored.split->ratio.numerator);
    split.set_denominator(stored.split->ratio.denominator);
    if (stored.split->effective_time_us > 0)
      *split.mutable_effective_time() = rpc::TimestampFromUs(stored.split->effective_time_us);
    split.set_alert_count(stored.split->alert_count);
  }
  notification.set_note(stored.note);
  *notification.mutable_create_time() = rpc::TimestampFromUs(stored.create_time_us);
  if (stored.acknowledge_time_us)
    *notification.mutable_acknowledge_time() = rpc::TimestampFromUs(*stored.acknowledge_time_us);
  notification.set_cursor(EncodeCursor(stored.user_id, stored.sequence));
  return notification;
}

std::string EncodeCursor(std::string_view user_id, int64_t sequence) {
  return rpc::EncodePageToken(CursorScope(user_id), {std::to_string(sequence)});
}

absl::Status CursorInvalid() {
  return base::InvalidField("cursor", "must be a cursor that WatchNotifications or a notification of this user gave",
                            "CURSOR_INVALID");
}

absl::StatusOr<int64_t> DecodeCursor(std::string_view user_id, std::string_view cursor) {
  const absl::StatusOr<std::vector<std::string>> place = rpc::DecodePageToken(CursorScope(user_id), cursor, 1);
  if (!place.ok() || place->empty()) return CursorInvalid();
  const std::string& text = place->front();
  int64_t sequence = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sequence);
  if (error != std::errc() || end != text.data() + text.size() || sequence < 0) return CursorInvalid();
  return sequence;
}

}  // namespace stockalert::notifier
