#include "services/notifier/intake_decode.h"

#include <algorithm>
#include <string>
#include <utility>

#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/base/text.h"
#include "services/common/trace/sound.h"
#include "services/domain/message/notification_text.h"
#include "services/domain/record/alert_event_codec.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::notifier {
namespace {

// Far above what the alert service lets through: notes of 500 characters.
constexpr size_t kTextBytesMax = 4096;

using internal::v1::TriggerMessage;
static_assert(static_cast<int>(message::Route::kDefaults) == TriggerMessage::DELIVERY_DEFAULTS);
static_assert(static_cast<int>(message::Route::kNamed) == TriggerMessage::DELIVERY_NAMED);
static_assert(static_cast<int>(message::Route::kNone) == TriggerMessage::DELIVERY_NONE);

// What the version before did not say, and what this one does not know, is DEFAULTS: rather one too many than none.
message::Routing RoutingOf(const TriggerMessage& trigger) {
  message::Routing routing;
  routing.critical = trigger.critical();
  if (trigger.delivery() == TriggerMessage::DELIVERY_NONE) routing.route = message::Route::kNone;
  if (trigger.delivery() != TriggerMessage::DELIVERY_NAMED) return routing;
  routing.route = message::Route::kNamed;
  for (const std::string& id : trigger.destination_ids()) {
    if (base::IsUuid(id) && routing.destination_ids.size() < message::kNamedDestinationsMax)
      routing.destination_ids.push_back(id);
  }
  return routing;
}

absl::StatusOr<NewNotification> DecodeSplitNotice(const TriggerMessage& sent, std::string_view traceparent) {
  if (sent.has_trigger()) return absl::InvalidArgumentError("both a trigger and a split");
  const internal::v1::SplitNotice& told = sent.split();
  if (told.alert_count() < 1) return absl::InvalidArgumentError("a split of no alerts");
  // Checked as what the evaluator tells of a split is.
  internal::v1::SplitApplied applied;
  applied.set_symbol(told.symbol());
  applied.set_number(told.number());
  applied.set_numerator(told.numerator());
  applied.set_denominator(told.denominator());
  applied.set_effective_time_us(told.effective_time_us());
  STOCKALERT_ASSIGN_OR_RETURN(const record::PlacedSplit placed, record::DecodeSplit(applied));
  const record::Split& split = placed.split;
  NewNotification notification;
  notification.kind = Kind::kSplit;
  notification.key = SplitKey(split.symbol, split.number);
  notification.user_id = sent.user_id();
  notification.symbol = split.symbol;
  notification.event_time_us = split.effective_time_us;
  notification.split = message::SplitNews{split.number, split.ratio, split.effective_time_us, told.alert_count()};
  notification.summary = message::SplitSummary(notification.symbol, *notification.split);
  notification.traceparent = std::string(trace::ValidTraceparent(traceparent));
  return notification;
}

}  // namespace

absl::StatusOr<NewNotification> DecodeTrigger(std::string_view value, std::string_view traceparent) {
  TriggerMessage message;
  if (!message.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return absl::InvalidArgumentError("no TriggerMessage");
  }
  if (!base::IsUuid(message.user_id())) return absl::InvalidArgumentError("user_id is no id");
  if (message.has_split()) return DecodeSplitNotice(message, traceparent);
  STOCKALERT_ASSIGN_OR_RETURN(record::PlacedTrigger placed, record::DecodeTrigger(message.trigger()));
  record::Trigger& trigger = placed.trigger;
  NewNotification notification;
  notification.user_id = message.user_id();
  notification.alert_id = std::move(trigger.alert_id);
  notification.trigger_number = trigger.trigger_number;
  notification.symbol = std::move(trigger.symbol);
  notification.price_micros = trigger.price_micros;
  notification.event_time_us = trigger.event_time_us;
  if (trigger.price_before_micros.value_or(0) > 0) notification.price_before_micros = trigger.price_before_micros;
  if (trigger.reference_micros.value_or(0) > 0) notification.reference_micros = trigger.reference_micros;
  notification.late = trigger.late;
  notification.log_time_us = std::max<int64_t>(placed.log_time_us, 0);
  notification.throttled = message.throttled();
  notification.routing = RoutingOf(message);
  notification.summary = base::StorableText(message.summary(), kTextBytesMax);
  notification.note = base::StorableText(message.note(), kTextBytesMax);
  notification.traceparent = std::string(trace::ValidTraceparent(traceparent));
  return notification;
}

absl::StatusOr<UserNews> DecodeUserEvent(std::string_view value) {
  internal::v1::UserEvent event;
  if (!event.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return absl::InvalidArgumentError("no UserEvent");
  if (event.kind_case() == internal::v1::UserEvent::KIND_NOT_SET) {
    if (event.GetReflection()->GetUnknownFields(event).empty())
      return absl::InvalidArgumentError("a UserEvent of no kind");
    return absl::UnimplementedError("a UserEvent of a kind that this version does not know");
  }
  if (event.has_email_verification_requested()) {
    const internal::v1::EmailVerificationRequested& asked = event.email_verification_requested();
    if (!base::IsUuid(asked.user_id())) return absl::InvalidArgumentError("user_id is no id");
    return UserNews(CodeRequest{.user_id = asked.user_id(),
                                .address = asked.email(),
                                .code = asked.code(),
                                .expire_time_us = asked.expire_time_us()});
  }
  if (!base::IsUuid(event.user_deleted().user_id())) return absl::InvalidArgumentError("user_id is no id");
  return UserNews(
      UserDeletion{event.user_deleted().user_id(), std::max<int64_t>(event.user_deleted().delete_time_us(), 0)});
}

}  // namespace stockalert::notifier
