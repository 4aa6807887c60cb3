// Destinations, deliveries and attempts as they are stored. Ids are UUIDs in lower case, times Unix microseconds.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace stockalert::notifier {

// Numbered as in schema/0005_delivery.sql; all but the kinds as in destination.proto, too.
enum class KindId : uint8_t {
  kWebhook = 1,
  kEmail = 2,
  kSlack = 3,
  kDiscord = 4,
  kTelegram = 5,
  kNtfy = 6,
  kPushover = 7,
  kTeams = 8,
  kHttp = 9,
  kApprise = 10,
};
enum class DestinationState : uint8_t { kUnverified = 1, kActive = 2, kDisabled = 3 };
enum class DisableReason : uint8_t { kNone = 0, kGone = 1, kFailing = 2, kSecretsLost = 3, kUnsubscribed = 4 };
enum class DeliveryKind : uint8_t { kNotification = 1, kVerification = 2, kTest = 3 };
enum class DeliveryState : uint8_t {
  kQueued = 1,
  kSucceeded = 2,
  kFailed = 3,
  kCancelled = 4,
  kHeld = 5,
  kDigested = 6
};
// Numbered as in schema/0006_digests.sql and destination.proto.
enum class HoldReason : uint8_t { kNone = 0, kQuietHours = 1, kRate = 2 };

// How often something was requested in the period that began at `since_us`.
struct AskWindow {
  int64_t since_us = 0;
  int count = 0;
  bool operator==(const AskWindow&) const = default;
};

// Of notifications that are sent one by one: the most that kinds have by themselves, and that a user may ask for.
inline constexpr int kPerMinuteUsual = 60;
inline constexpr int kPerMinuteMax = 60'000;

struct Destination {
  std::string id;
  std::string user_id;
  KindId kind = KindId::kWebhook;
  std::string display_name;
  bool is_default = true;
  DestinationState state = DestinationState::kUnverified;
  DisableReason disable_reason = DisableReason::kNone;
  std::string host;            // Limits attempts in flight; several destinations may have the same.
  int64_t spacing_us = 0;      // The least time from an attempt's end to the next one's start; zero: they overlap.
  std::string target_hash;     // Keyed: verifications are counted for each target (verification_limits.h).
  std::string address_shown;   // What people know it by, without secrets.
  std::string shown_settings;  // CheckedSettings::shown.
  std::string public_key;      // Empty: its kind has no keys, as sealed_secrets.
  std::string template_title;  // Mustache; empty: the usual title. Likewise the text.
  std::string template_text;
  // Encrypted by SecretBox for this id; empty once the destination is deleted.
  std::string sealed_settings;
  std::string sealed_secrets;
  std::string sealed_previous_secrets;  // Empty: there are none.
  std::optional<int64_t> previous_secret_expire_time_us;
  std::string verification_id;  // The delivery that asks for its proof. Empty: there is none.
  // The code that verifies it, sent by that delivery at verify_ask_time_us; encrypted. Empty: there is none, and the
  // success of the delivery is the proof.
  std::string sealed_code;
  int wrong_codes = 0;  // Tried since the code was made.
  std::optional<int64_t> verify_time_us;
  std::optional<int64_t> disable_time_us;
  std::optional<int64_t> last_success_time_us;
  std::optional<int64_t> failing_since_time_us;
  int64_t create_time_us = 0;
  int64_t update_time_us = 0;
  std::optional<int64_t> delete_time_us;
  int64_t version = 1;  // Of the settings.
  int64_t verify_ask_time_us = 0;
  AskWindow verify_window;
  AskWindow test_window;
  int per_minute_max = kPerMinuteUsual;  // Notifications of triggers that are sent one by one within a minute.
  // Of its user's settings, only read with it; empty, and none, where the user has never changed them.
  std::string text_time_zone;
  std::optional<int> text_price_decimals;
  bool operator==(const Destination&) const = default;
};

struct Delivery {
  std::string id;
  int64_t number = 0;  // Increases in the order in which a user's deliveries were first queued.
  std::string user_id;
  std::string destination_id;
  std::string notification_id;  // Empty: it delivers none.
  DeliveryKind kind = DeliveryKind::kNotification;
  DeliveryState state = DeliveryState::kQueued;
  std::string challenge;   // Of a verification without a code: what its answer must contain.
  int attempt_count = 0;   // All attempts made.
  int schedule_count = 0;  // Those of the current schedule, which a replay restarts.
  int replay_count = 0;
  std::optional<int64_t> next_attempt_time_us;  // Of a queued one; of one that is held, when its digest is due.
  int64_t create_time_us = 0;
  std::optional<int64_t> end_time_us;
  std::string last_error;
  HoldReason hold_reason = HoldReason::kNone;  // Why it is held, or was before it was digested.
  std::string digest_id;                       // Once digested: the notification of the kind DIGEST that covers it.
  bool operator==(const Delivery&) const = default;
};

struct DeliveryAttempt {
  int number = 0;  // From 1.
  int64_t start_time_us = 0;
  int64_t duration_us = 0;
  int http_status = 0;  // 0: there was no answer.
  std::string error;
  std::string answer;
  bool operator==(const DeliveryAttempt&) const = default;
};

// How many of a delivery's last attempts are kept.
inline constexpr int kAttemptsKept = 50;

// The webhook-id of every attempt at this delivery.
std::string WebhookId(std::string_view delivery_id);

}  // namespace stockalert::notifier
