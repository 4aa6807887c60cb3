#include "services/notifier/delivery/destination_convert.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/resource_name.h"
#include "services/common/grpc/time_convert.h"
#include "services/common/log/log.h"

namespace stockalert::notifier {

namespace npb = ::stockalert::notification::v1;

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The field of the API's oneof.
const FieldDescriptor* FieldOf(const DestinationKind& kind) {
  return npb::Destination::descriptor()->FindFieldByName(std::string(kind.traits().field));
}

// With the names of the proto.
nlohmann::json JsonOf(const Message& message, bool with_empty_fields) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = with_empty_fields;
  std::string text;
  // A message without bytes, Any and floats can always be written.
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) std::abort();
  return nlohmann::json::parse(text);
}

void ShowSettings(const Destination& stored, const DestinationKind& kind, int64_t now_us,
                  npb::Destination& destination) {
  nlohmann::json shown = nlohmann::json::parse(stored.shown_settings, nullptr, /*allow_exceptions=*/false);
  if (!shown.is_object()) shown = nlohmann::json::object();
  if (!stored.public_key.empty()) shown["public_key"] = stored.public_key;
  if (stored.previous_secret_expire_time_us.value_or(0) > now_us) {
    shown["previous_secret_expire_time"] =
        google::protobuf::util::TimeUtil::ToString(rpc::TimestampFromUs(*stored.previous_secret_expire_time_us));
  }
  Message& settings = *destination.GetReflection()->MutableMessage(&destination, FieldOf(kind));
  google::protobuf::util::JsonParseOptions options;
  // A later version may have stored more.
  options.ignore_unknown_fields = true;
  const std::string text = shown.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (!google::protobuf::util::JsonStringToMessage(text, &settings, options).ok())
    log::Error("cannot show the settings of a destination", {{"destination", stored.id}});
}

}  // namespace

std::optional<AskedSettings> FindSettings(const npb::Destination& asked) {
  const auto* reflection = asked.GetReflection();
  const FieldDescriptor* field =
      reflection->GetOneofFieldDescriptor(asked, npb::Destination::descriptor()->FindOneofByName("kind"));
  if (field == nullptr) return std::nullopt;
  return AskedSettings{field->name(), JsonOf(reflection->GetMessage(asked, field), /*with_empty_fields=*/false).dump()};
}

std::set<std::string> FindSetInputs(const npb::Destination& asked, const Kinds& kinds) {
  std::set<std::string> inputs;
  for (const auto& kind : kinds.all()) {
    if (!asked.GetReflection()->HasField(asked, FieldOf(*kind))) continue;
    const nlohmann::json set =
        JsonOf(asked.GetReflection()->GetMessage(asked, FieldOf(*kind)), /*with_empty_fields=*/false);
    for (const std::string_view input : kind->traits().inputs) {
      if (set.contains(std::string(input))) inputs.insert(KindPath(*kind, input));
    }
  }
  return inputs;
}

std::optional<AskedSettings> FindChanges(const npb::Destination& asked, const DestinationKind& kind,
                                         const std::set<std::string>& paths) {
  const nlohmann::json all =
      JsonOf(asked.GetReflection()->GetMessage(asked, FieldOf(kind)), /*with_empty_fields=*/true);
  nlohmann::json changes = nlohmann::json::object();
  for (const std::string_view input : kind.traits().inputs) {
    if (paths.contains(KindPath(kind, input))) changes[std::string(input)] = all.at(std::string(input));
  }
  if (changes.empty()) return std::nullopt;
  return AskedSettings{std::string(kind.traits().field), changes.dump()};
}

std::string KindPath(const DestinationKind& kind, std::string_view input) {
  return std::string(kind.traits().field) + "." + std::string(input);
}

npb::Destination ToDestination(const Destination& stored, const Kinds& kinds, int64_t now_us) {
  npb::Destination destination;
  destination.set_name(rpc::FormatName(kDestinationName, {stored.user_id, stored.id}));
  destination.set_display_name(stored.display_name);
  destination.set_is_default(stored.is_default);
  destination.set_state(static_cast<npb::Destination::State>(stored.state));
  destination.set_disable_reason(static_cast<npb::Destination::DisableReason>(stored.disable_reason));
  if (stored.verify_time_us) *destination.mutable_verify_time() = rpc::TimestampFromUs(*stored.verify_time_us);
  if (stored.disable_time_us) *destination.mutable_disable_time() = rpc::TimestampFromUs(*stored.disable_time_us);
  if (stored.last_success_time_us)
    *destination.mutable_last_success_time() = rpc::TimestampFromUs(*stored.last_success_time_us);
  if (stored.failing_since_time_us)
    *destination.mutable_failing_since_time() = rpc::TimestampFromUs(*stored.failing_since_time_us);
  *destination.mutable_create_time() = rpc::TimestampFromUs(stored.create_time_us);
  *destination.mutable_update_time() = rpc::TimestampFromUs(stored.update_time_us);
  destination.set_notifications_per_minute_max(stored.per_minute_max);
  destination.set_etag(rpc::MakeEtag(stored.id, stored.version));
  if (!stored.template_title.empty()) destination.mutable_template_()->set_title(stored.template_title);
  if (!stored.template_text.empty()) destination.mutable_template_()->set_text(stored.template_text);
  if (const DestinationKind* kind = kinds.Find(stored.kind)) ShowSettings(stored, *kind, now_us, destination);
  return destination;
}

npb::Delivery ToDelivery(const Delivery& stored) {
  npb::Delivery delivery;
  delivery.set_name(rpc::FormatName(kDeliveryName, {stored.user_id, stored.id}));
  delivery.set_destination(rpc::FormatName(kDestinationName, {stored.user_id, stored.destination_id}));
  if (!stored.notification_id.empty()) {
    delivery.set_notification(
        rpc::FormatName("users/{user}/notifications/{notification}", {stored.user_id, stored.notification_id}));
  }
  delivery.set_kind(static_cast<npb::Delivery::Kind>(stored.kind));
  delivery.set_state(static_cast<npb::Delivery::State>(stored.state));
  delivery.set_attempt_count(stored.attempt_count);
  if (stored.next_attempt_time_us)
    *delivery.mutable_next_attempt_time() = rpc::TimestampFromUs(*stored.next_attempt_time_us);
  *delivery.mutable_create_time() = rpc::TimestampFromUs(stored.create_time_us);
  if (stored.end_time_us) *delivery.mutable_end_time() = rpc::TimestampFromUs(*stored.end_time_us);
  delivery.set_webhook_id(WebhookId(stored.id));
  delivery.set_last_error(stored.last_error);
  const bool digested = stored.state == DeliveryState::kDigested;
  if (digested || stored.state == DeliveryState::kHeld)
    delivery.set_hold_reason(static_cast<npb::Delivery::HoldReason>(stored.hold_reason));
  if (digested) {
    delivery.set_digest(
        rpc::FormatName("users/{user}/notifications/{notification}", {stored.user_id, stored.digest_id}));
  }
  return delivery;
}

npb::Delivery ToDelivery(const DeliveryWithAttempts& stored) {
  npb::Delivery delivery = ToDelivery(stored.delivery);
  for (const DeliveryAttempt& made : stored.attempts) {
    npb::DeliveryAttempt& attempt = *delivery.add_attempts();
    attempt.set_number(made.number);
    *attempt.mutable_start_time() = rpc::TimestampFromUs(made.start_time_us);
    *attempt.mutable_duration() = rpc::DurationFromUs(made.duration_us);
    attempt.set_http_status(made.http_status);
    attempt.set_error(made.error);
    attempt.set_answer(made.answer);
  }
  return delivery;
}

}  // namespace stockalert::notifier
