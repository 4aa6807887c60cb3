#include "services/notifier/intake_decode.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::notifier {
namespace {

namespace ipb = ::stockalert::internal::v1;

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr char kAlert[] = "33333333-3333-4333-8333-333333333333";
constexpr char kTraceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

ipb::TriggerMessage Good() {
  ipb::TriggerMessage message;
  message.set_user_id(kUser);
  message.set_note("note");
  message.set_summary("summary");
  ipb::AlertTriggered& trigger = *message.mutable_trigger();
  trigger.set_alert_id(kAlert);
  trigger.set_symbol("AAPL");
  trigger.set_trigger_number(7);
  trigger.set_price_micros(5);
  trigger.set_event_time_us(6);
  trigger.set_price_before_micros(4);
  trigger.set_reference_micros(3);
  trigger.set_late(true);
  return message;
}

TEST_CASE("a trigger becomes a notification") {
  const auto notification = DecodeTrigger(Good().SerializeAsString(), kTraceparent);
  REQUIRE(notification.ok());
  NewNotification expected;
  expected.user_id = kUser;
  expected.alert_id = kAlert;
  expected.trigger_number = 7;
  expected.symbol = "AAPL";
  expected.price_micros = 5;
  expected.event_time_us = 6;
  expected.price_before_micros = 4;
  expected.reference_micros = 3;
  expected.late = true;
  expected.summary = "summary";
  expected.note = "note";
  expected.traceparent = kTraceparent;
  CHECK(*notification == expected);
}

TEST_CASE("where a notification goes is told; a version that does not tell it means the defaults") {
  const auto routing = [](const ipb::TriggerMessage& message) {
    return DecodeTrigger(message.SerializeAsString(), "")->routing;
  };
  CHECK(routing(Good()) == message::Routing());
  ipb::TriggerMessage message = Good();
  message.set_delivery(ipb::TriggerMessage::DELIVERY_DEFAULTS);
  message.set_critical(true);
  CHECK(routing(message) == message::Routing{message::Route::kDefaults, {}, true});
  message.set_delivery(ipb::TriggerMessage::DELIVERY_NONE);
  CHECK(routing(message).route == message::Route::kNone);
  message.set_delivery(ipb::TriggerMessage::DELIVERY_NAMED);
  message.add_destination_ids(kUser);
  message.add_destination_ids("no id");
  message.add_destination_ids(kAlert);
  CHECK(routing(message) == message::Routing{message::Route::kNamed, {kUser, kAlert}, true});
  for (int i = 0; i < 20; ++i) message.add_destination_ids(kAlert);
  CHECK(routing(message).destination_ids.size() == message::kNamedDestinationsMax);
  // Of a later version: rather one too many than none.
  message.set_delivery(static_cast<ipb::TriggerMessage::Delivery>(9));
  CHECK(routing(message).route == message::Route::kDefaults);
}

TEST_CASE("optional fields may be absent, unstorable text is repaired, and a broken trace is dropped") {
  ipb::TriggerMessage message = Good();
  message.mutable_trigger()->clear_price_before_micros();
  message.mutable_trigger()->clear_reference_micros();
  message.clear_summary();
  message.set_note(std::string("a\0b", 3));
  auto notification = DecodeTrigger(message.SerializeAsString(), "00-nonsense");
  REQUIRE(notification.ok());
  CHECK(!notification->price_before_micros);
  CHECK(!notification->reference_micros);
  CHECK(notification->note == "ab");
  CHECK(notification->traceparent.empty());
  std::string euros;
  for (int i = 0; i < 2000; ++i) euros += "\xe2\x82\xac";
  message.set_note(euros);
  notification = DecodeTrigger(message.SerializeAsString(), "");
  REQUIRE(notification.ok());
  CHECK(notification->note.size() <= 4096);
  CHECK(notification->note.size() % 3 == 0);
}

TEST_CASE("time 0 is valid, and an impossible price before or reference is left out") {
  ipb::TriggerMessage message = Good();
  message.mutable_trigger()->set_event_time_us(0);
  for (const int64_t none : {0, -1}) {
    message.mutable_trigger()->set_price_before_micros(none);
    message.mutable_trigger()->set_reference_micros(none);
    const auto notification = DecodeTrigger(message.SerializeAsString(), "");
    REQUIRE(notification.ok());
    CHECK(notification->event_time_us == 0);
    CHECK(!notification->price_before_micros);
    CHECK(!notification->reference_micros);
  }
}

TEST_CASE("triggers without a usable user, alert or price are refused") {
  const std::function<void(ipb::TriggerMessage&)> breaks[] = {
      [](auto& m) { m.clear_user_id(); },
      [](auto& m) { m.set_user_id("me"); },
      [](auto& m) { m.clear_trigger(); },
      [](auto& m) { m.mutable_trigger()->set_alert_id("x"); },
      [](auto& m) { m.mutable_trigger()->set_trigger_number(0); },
      [](auto& m) { m.mutable_trigger()->set_price_micros(0); },
      [](auto& m) { m.mutable_trigger()->set_price_micros(std::numeric_limits<int64_t>::max()); },
      [](auto& m) { m.mutable_trigger()->set_event_time_us(-1); },
      [](auto& m) { m.mutable_trigger()->clear_symbol(); },
      [](auto& m) { m.mutable_trigger()->set_symbol(std::string(65, 'A')); },
      [](auto& m) { m.mutable_trigger()->set_symbol(std::string("A\0B", 3)); },
      [](auto& m) { m.mutable_trigger()->set_event_time_us(std::numeric_limits<int64_t>::max()); },
  };
  for (const auto& break_it : breaks) {
    ipb::TriggerMessage message = Good();
    break_it(message);
    CAPTURE(message.ShortDebugString());
    CHECK(DecodeTrigger(message.SerializeAsString(), "").status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(!DecodeTrigger("\xff\xff", "").ok());
  CHECK(!DecodeTrigger("", "").ok());
}

TEST_CASE("deletions and codes to be mailed are read, and unreadable ones refused") {
  ipb::UserEvent event;
  CHECK(!DecodeUserEvent(event.SerializeAsString()).ok());
  event.mutable_user_deleted()->set_user_id("nobody");
  CHECK(!DecodeUserEvent(event.SerializeAsString()).ok());
  event.mutable_user_deleted()->set_user_id(kUser);
  event.mutable_user_deleted()->set_delete_time_us(9);
  const auto deletion = DecodeUserEvent(event.SerializeAsString());
  REQUIRE(deletion.ok());
  CHECK(std::get<UserDeletion>(*deletion).user_id == kUser);
  CHECK(std::get<UserDeletion>(*deletion).delete_time_us == 9);
  ipb::EmailVerificationRequested& asked = *event.mutable_email_verification_requested();
  CHECK(absl::IsInvalidArgument(DecodeUserEvent(event.SerializeAsString()).status()));
  asked.set_user_id(kUser);
  asked.set_email("ann@example.org");
  asked.set_code("ABC");
  asked.set_expire_time_us(7);
  const auto mail = DecodeUserEvent(event.SerializeAsString());
  REQUIRE(mail.ok());
  const CodeRequest& request = std::get<CodeRequest>(*mail);
  CHECK(request.user_id == kUser);
  CHECK(request.address == "ann@example.org");
  CHECK(request.code == "ABC");
  CHECK(request.expire_time_us == 7);
  CHECK(absl::IsInvalidArgument(DecodeUserEvent("\xff").status()));
  CHECK(absl::IsInvalidArgument(DecodeUserEvent("").status()));
  // Field 99, of a version to come.
  CHECK(absl::IsUnimplemented(DecodeUserEvent("\x9a\x06\x02hi").status()));
}

ipb::TriggerMessage GoodSplit() {
  ipb::TriggerMessage message;
  message.set_user_id(kUser);
  ipb::SplitNotice& split = *message.mutable_split();
  split.set_symbol("AAPL");
  split.set_split_id("id");
  split.set_number(3);
  split.set_numerator(4);
  split.set_denominator(1);
  split.set_effective_time_us(6);
  split.set_alert_count(2);
  return message;
}

TEST_CASE("a notice of a split becomes a notification for the default destinations") {
  const auto notification = DecodeTrigger(GoodSplit().SerializeAsString(), kTraceparent);
  REQUIRE(notification.ok());
  NewNotification expected;
  expected.kind = Kind::kSplit;
  expected.key = "AAPL/3";
  expected.user_id = kUser;
  expected.symbol = "AAPL";
  expected.event_time_us = 6;
  expected.split = message::SplitNews{3, {4, 1}, 6, 2};
  expected.summary = "AAPL split 4-for-1: 2 of your alerts now use prices divided by 4";
  expected.traceparent = kTraceparent;
  CHECK(*notification == expected);
  ipb::TriggerMessage timeless = GoodSplit();
  timeless.mutable_split()->set_effective_time_us(-1);
  CHECK(DecodeTrigger(timeless.SerializeAsString(), "")->split->effective_time_us == 0);
}

TEST_CASE("a notice of a split that cannot be is refused") {
  const std::function<void(ipb::TriggerMessage&)> breaks[] = {
      [](auto& message) { message.clear_user_id(); },
      [](auto& message) { message.mutable_split()->set_symbol("a b"); },
      [](auto& message) { message.mutable_split()->set_number(0); },
      [](auto& message) { message.mutable_split()->set_numerator(0); },
      [](auto& message) { message.mutable_split()->set_denominator(1'000'001); },
      [](auto& message) { message.mutable_split()->set_alert_count(0); },
      [](auto& message) { *message.mutable_trigger() = Good().trigger(); },
  };
  for (const auto& break_it : breaks) {
    ipb::TriggerMessage message = GoodSplit();
    break_it(message);
    CHECK(absl::IsInvalidArgument(DecodeTrigger(message.SerializeAsString(), "").status()));
  }
}

}  // namespace
}  // namespace stockalert::notifier
