// The rules of destinations: what a user may register, change, verify and replay.
//
// Thread-safe; calls block as the store does. A user finds nothing of another user. If the installation has no keys for
// secrets, calls that would create or send something are FAILED_PRECONDITION (DELIVERY_OFF); what exists can be read,
// cancelled and deleted.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/secrets/secret_box.h"
#include "services/notifier/delivery/destination_store.h"
#include "services/notifier/delivery/kinds/kinds.h"
#include "services/notifier/delivery/verification_limits.h"

namespace stockalert::notifier {

using secrets::SecretBox;

inline constexpr char kReasonDeliveryOff[] = "DELIVERY_OFF";
inline constexpr char kReasonTestRate[] = "DESTINATION_TEST_RATE";
inline constexpr char kReasonSecretRotating[] = "SECRET_ROTATING";
inline constexpr char kReasonNoSecret[] = "DESTINATION_HAS_NO_SECRET";
inline constexpr char kReasonWrongCode[] = "WRONG_CODE";

inline constexpr int kDestinationsPerUserMax = 20;
inline constexpr absl::Duration kVerificationInterval = absl::Minutes(1);
inline constexpr int kVerificationsPerDayMax = 10;
inline constexpr int kTestsPerMinuteMax = 10;
inline constexpr int kWrongCodesMax = 10;
// How long messages are also signed with the previous secrets.
inline constexpr absl::Duration kPreviousSecretTime = absl::Hours(24);

// Settings as a user wrote them: JSON with the names of the kind's message in destination.proto.
struct AskedSettings {
  std::string field;  // KindTraits::field.
  std::string json;   // An object. In an update: only the fields to change.
};

struct NewDestination {
  std::string display_name;
  bool is_default = true;
  AskedSettings settings;
  std::optional<int> per_minute_max = {};  // None: what the kind can take.
  std::string template_title = {};         // Empty: the usual one. Likewise the text.
  std::string template_text = {};
};

struct DestinationUpdate {
  std::optional<std::string> display_name;
  std::optional<bool> is_default;
  std::optional<AskedSettings> settings;
  std::optional<std::optional<int>> per_minute_max;  // None in it: what the kind can take.
  std::optional<std::string> template_title;
  std::optional<std::string> template_text;
};

// A destination, and a secret that is shown only once; empty: its kind has none.
struct IssuedDestination {
  Destination destination;
  std::string secret;
};

// The user's own verified address in its normal form; empty: there is none, or it cannot be said now. Blocks for a
// bounded time; thread-safe.
using FindOwnAddress = std::function<std::string(const std::string& user_id)>;

// Whether the destination as stored may be changed: checks the etag.
using DestinationCheck = std::function<absl::Status(const Destination&)>;

class DestinationLogic {
 public:
  // `secrets`: none if delivery is off. `on_queued`: a delivery for this user was queued; must be quick. What is given
  // by reference must outlive it. `own_address`: may be empty, then every mailbox has to be proven.
  DestinationLogic(DestinationStore& store, const Kinds& kinds, std::optional<SecretBox> secrets,
                   const base::Clock& clock, base::IdSource& ids,
                   std::function<void(const std::string& user_id)> on_queued, FindOwnAddress own_address = {});

  // INVALID_ARGUMENT (EGRESS_REFUSED, REQUEST_ID_REUSED) · RESOURCE_EXHAUSTED (DESTINATION_QUOTA,
  // DESTINATION_VERIFICATION_RATE). The secret is empty where the request was made before.
  absl::StatusOr<IssuedDestination> Create(const std::string& user_id, const NewDestination& asked,
                                           const std::string& request_id);
  absl::StatusOr<Destination> Get(const std::string& user_id, const std::string& id);
  absl::StatusOr<std::vector<Destination>> List(const std::string& user_id,
                                                const std::optional<DestinationPlace>& after, int limit);
  // As Create; other settings of the kind are verified.
  absl::StatusOr<Destination> Update(const std::string& user_id, const std::string& id, const DestinationUpdate& update,
                                     const DestinationCheck& check);
  absl::Status Delete(const std::string& user_id, const std::string& id, const DestinationCheck& check);
  // RESOURCE_EXHAUSTED (DESTINATION_VERIFICATION_RATE).
  absl::StatusOr<Destination> Verify(const std::string& user_id, const std::string& id);
  // With the code that the destination was sent. INVALID_ARGUMENT (WRONG_CODE, or INVALID_FIELD: this kind needs none).
  absl::StatusOr<Destination> VerifyByCode(const std::string& user_id, const std::string& id, const std::string& code);
  // Disables it, because its reader does not want its messages any more; one that is disabled stays as it is.
  // DESTINATION_NOT_FOUND: also where `is_meant` says no, whatever the destination is.
  absl::Status Unsubscribe(const std::string& user_id, const std::string& id,
                           const std::function<bool(const Destination&)>& is_meant);
  // FAILED_PRECONDITION (DESTINATION_NOT_ACTIVE) · RESOURCE_EXHAUSTED (DESTINATION_TEST_RATE).
  absl::StatusOr<Delivery> SendTest(const std::string& user_id, const std::string& id);
  // FAILED_PRECONDITION (SECRET_ROTATING, DESTINATION_HAS_NO_SECRET).
  absl::StatusOr<IssuedDestination> Rotate(const std::string& user_id, const std::string& id);

  absl::StatusOr<std::vector<Delivery>> ListDeliveries(const std::string& user_id, const DeliveryFilter& filter,
                                                       int64_t before_number, int limit);
  absl::StatusOr<DeliveryWithAttempts> GetDelivery(const std::string& user_id, const std::string& id);
  // FAILED_PRECONDITION (DELIVERY_QUEUED, DESTINATION_NOT_ACTIVE).
  absl::StatusOr<Delivery> Replay(const std::string& user_id, const std::string& id);
  absl::StatusOr<int> ReplaySince(const std::string& user_id, const std::string& id, int64_t since_us);
  absl::StatusOr<int> Cancel(const std::string& user_id, const std::string& id);

 private:
  absl::Status CheckOn() const;
  absl::StatusOr<const DestinationKind*> FindKind(const AskedSettings& asked) const;
  void SetSettings(const CheckedSettings& checked, Destination& destination) const;
  // The settings after a change. None: they stay as they are.
  absl::StatusOr<std::optional<CheckedSettings>> Merge(const Destination& destination,
                                                       const AskedSettings& asked) const;
  // Whether the user has proven these settings already, as the owner of the mailbox.
  bool IsProven(const std::string& user_id, const CheckedSettings& checked) const;
  // What IsProven compares with, for an update; empty: nothing.
  std::string OwnAddressFor(const std::string& user_id, const DestinationUpdate& update) const;
  absl::Status SetTemplates(const DestinationUpdate& update, Destination& destination) const;
  // After a change of its settings: asks for a proof, or has one.
  absl::StatusOr<DestinationEffects> ProveAnew(const CheckedSettings& changed, const std::string& own_address,
                                               int64_t now_us, Destination& destination);
  // Makes what the destination is to prove itself with, and the delivery that carries it.
  NewDelivery MakeProof(const DestinationKind& kind, Destination& destination);
  // Requests a verification: counts it against the rate and returns the effects.
  absl::StatusOr<DestinationEffects> AskProof(Destination& destination, int64_t now_us);
  // Whether `code` verifies it; if not, counts it.
  bool TakeCode(const std::string& code, int64_t now_us, Destination& destination) const;

  DestinationStore& store_;
  const Kinds& kinds_;
  const std::optional<SecretBox> secrets_;
  const base::Clock& clock_;
  base::IdSource& ids_;
  const std::function<void(const std::string&)> on_queued_;
  const FindOwnAddress own_address_;
};

}  // namespace stockalert::notifier
