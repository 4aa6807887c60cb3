// One kind of destination: which settings it may have, how a delivery is requested of its service, and what the
// service's reply means.
//
// Each kind is a class in a file of its own, registered in kinds.h; everything else treats all kinds alike. Pure: no
// name is resolved and nothing is sent here. Thread-safe.
//
// Settings are JSON objects whose names are those of the kind's message in destination.proto, which never change. They
// hold secrets: SecretBox encrypts them before they are stored.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/webhook/webhook_signature.h"
#include "services/domain/message/notice.h"
#include "services/notifier/delivery/delivery_types.h"
#include "services/notifier/delivery/outgoing_request.h"
#include "services/notifier/delivery/verdict.h"

namespace stockalert::notifier {

inline constexpr char kReasonEgressRefused[] = "EGRESS_REFUSED";

// How a destination is verified.
enum class Proof : uint8_t {
  kChallenge,  // Its answer contains the challenge; Judge checks that.
  kCode,       // Its user reads a code there and passes it to VerifyDestination.
};

struct KindTraits {
  KindId id = KindId::kWebhook;
  std::string_view field;                // Of the API's oneof: "slack".
  std::vector<std::string_view> inputs;  // The fields that a user sets, in the order of destination.proto.
  Proof proof = Proof::kCode;
  bool has_keys = false;     // Its messages are signed: it has keys, which can be rotated.
  bool has_mailbox = false;  // Its settings name a mailbox, CheckedSettings::mailbox.
  bool is_worded = true;     // Its messages have a title and a text for people, for which its user may give templates.
  // The most notifications that a destination is sent one by one within a minute, unless its user says otherwise; less
  // where CheckedSettings::spacing does not allow for them.
  int per_minute_max = kPerMinuteUsual;
};

struct CheckedSettings {
  std::string settings;  // JSON, complete and normalized: equal texts are equal settings. Holds secrets.
  std::string shown;     // JSON: the fields of the API's message without the secrets.
  std::string address;   // What people know it by: "https://hooks.slack.com/…".
  // What receives the messages, the same however else they are sent there. Empty: all of `settings` says that.
  std::string target = {};
  std::string host;  // "hooks.slack.com:443": attempts in flight are limited for each.
  // The least time from the end of an attempt to the start of the next at one destination, for only that is a pause at
  // the service, however long a message took to get there; zero: attempts may overlap.
  absl::Duration spacing = absl::ZeroDuration();
  // The address of the mailbox in its normal form: a user whose own verified address this is has proven it already.
  std::string mailbox = {};
};

// A delivery that is to be sent now.
struct Parcel {
  std::string settings;    // CheckedSettings::settings, decrypted.
  message::Notice notice;  // Its texts may hold any characters: each kind escapes and cuts them.
  std::string id;          // WebhookId: the same for every attempt.
  std::string destination_id;
  int64_t now_us = 0;
  // If the kind has keys: of the current ones, then of the previous ones.
  std::vector<webhook::Signer> signers = {};
};

class DestinationKind {
 public:
  virtual ~DestinationKind() = default;
  virtual const KindTraits& traits() const = 0;

  // Checks settings as a user wrote them; fields that are absent are empty. INVALID_ARGUMENT: names each wrong field,
  // "destination.slack.webhook_url" (EGRESS_REFUSED for an address that this installation does not send to).
  virtual absl::StatusOr<CheckedSettings> Check(const nlohmann::json& asked) const = 0;

  // The request that delivers it. FAILED_PRECONDITION: it can never be delivered to these settings; the message is for
  // the user and holds no secret. DATA_LOSS: these are not settings of this kind.
  virtual absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const = 0;

  // What the service's reply to an attempt at `delivery` means.
  virtual Verdict Judge(const ServiceReply& reply, const Delivery& delivery, int64_t now_us) const = 0;
};

}  // namespace stockalert::notifier
