#include "services/notifier/delivery/destination_logic.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/webhook/webhook_signature.h"
#include "services/notifier/delivery/kinds/message_template.h"
#include "services/notifier/delivery/verification_code.h"

namespace stockalert::notifier {
namespace {

constexpr size_t kChallengeBytes = 24;

// Empty without templates, so that a request is the same to the version before.
std::string TemplatesOf(const NewDestination& asked) {
  if (asked.template_title.empty() && asked.template_text.empty()) return "";
  return absl::StrCat("\n", asked.template_title.size(), "\n", asked.template_title, asked.template_text);
}

std::string Fingerprint(const std::string& user_id, const NewDestination& asked) {
  // With the user's id, so that nothing shows that two users have the same secrets.
  std::string content =
      absl::StrCat(user_id, "\n", asked.is_default ? 1 : 0, "\n", asked.settings.field, "\n",
                   asked.settings.json.size(), "\n", asked.settings.json, asked.display_name, TemplatesOf(asked));
  // As the version before wrote it, where there is none.
  if (asked.per_minute_max) absl::StrAppend(&content, "\n", *asked.per_minute_max);
  return base::HexEncode(base::Sha256(content));
}

// An empty object for anything else: what is missing is then named.
nlohmann::json ReadObject(const std::string& text) {
  nlohmann::json read = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return read.is_object() ? read : nlohmann::json::object();
}

// Secrets that are kept go to the host that they were given for, and to no other: whoever may change a destination
// shall not learn them by that.
absl::Status CheckSecretsGiven(const nlohmann::json& present, const std::string& shown_settings,
                               const AskedSettings& asked) {
  const nlohmann::json given = ReadObject(asked.json);
  const nlohmann::json shown = ReadObject(shown_settings);
  base::FieldViolations violations;
  for (const auto& [field, value] : present.items()) {
    const auto found = shown.find(field);
    const bool secret = found == shown.end() ? value != "" : value != *found;
    violations.Check(!secret || given.contains(field), absl::StrCat("destination.", asked.field, ".", field),
                     "must be given again, or cleared: the host is another one, which is not told secrets of the last");
  }
  return violations.ToStatus();
}

void CheckTemplateField(const char* field, const std::string& text, size_t most, base::FieldViolations& violations) {
  const std::string name = absl::StrCat("destination.template.", field);
  if (!violations.Check(CharactersIn(text) <= most, name, absl::StrCat("must have at most ", most, " characters")))
    return;
  const absl::Status parsed = CheckTemplate(text);
  violations.Check(parsed.ok(), name, std::string(parsed.message()));
}

// INVALID_ARGUMENT: the kind has no such thing, or a template is none.
absl::Status CheckTemplates(const DestinationKind& kind, const std::string& title, const std::string& text) {
  if (title.empty() && text.empty()) return absl::OkStatus();
  if (!kind.traits().is_worded) {
    return base::InvalidField("destination.template",
                              "must not be set: what a destination of this kind is sent has no title and no text");
  }
  base::FieldViolations violations;
  CheckTemplateField("title", title, kTitleTemplateMax, violations);
  CheckTemplateField("text", text, kTemplateMax, violations);
  return violations.ToStatus();
}

// ACTIVE from now on, and nothing is left to prove.
void Activate(Destination& destination, int64_t now_us) {
  destination.state = DestinationState::kActive;
  destination.disable_reason = DisableReason::kNone;
  destination.disable_time_us.reset();
  destination.failing_since_time_us.reset();
  destination.verify_time_us = now_us;
  destination.update_time_us = now_us;
  destination.verification_id.clear();
  destination.sealed_code.clear();
  destination.wrong_codes = 0;
}

absl::Status WrongCode() {
  return base::InvalidField(
      "code",
      absl::StrCat("is not the code of the last verification, or is older than ", absl::ToInt64Minutes(kCodeLife),
                   " minutes, or was preceded by ", kWrongCodesMax, " wrong ones: without a code, another one is sent"),
      kReasonWrongCode);
}

// What a destination of this kind can take, with the pause between its attempts.
int UsualPerMinute(const KindTraits& traits, int64_t spacing_us) {
  if (spacing_us <= 0) return traits.per_minute_max;
  const int64_t fitting = absl::ToInt64Microseconds(absl::Minutes(1)) / spacing_us;
  return static_cast<int>(std::clamp<int64_t>(fitting, 1, traits.per_minute_max));
}

absl::Status DeliveryOff() {
  return base::FailedPrecondition(
      kReasonDeliveryOff, "delivery is off in this installation: its operator has not configured keys for secrets");
}

}  // namespace

DestinationLogic::DestinationLogic(DestinationStore& store, const Kinds& kinds, std::optional<SecretBox> secrets,
                                   const base::Clock& clock, base::IdSource& ids,
                                   std::function<void(const std::string& user_id)> on_queued,
                                   FindOwnAddress own_address)
    : store_(store),
      kinds_(kinds),
      secrets_(std::move(secrets)),
      clock_(clock),
      ids_(ids),
      on_queued_(std::move(on_queued)),
      own_address_(std::move(own_address)) {}

absl::Status DestinationLogic::CheckOn() const { return secrets_ ? absl::OkStatus() : DeliveryOff(); }

absl::StatusOr<const DestinationKind*> DestinationLogic::FindKind(const AskedSettings& asked) const {
  if (const DestinationKind* kind = kinds_.FindField(asked.field)) return kind;
  return base::InvalidField(absl::StrCat("destination.", asked.field),
                            "is a kind of destination that this installation does not have");
}

void DestinationLogic::SetSettings(const CheckedSettings& checked, Destination& destination) const {
  destination.host = checked.host;
  destination.spacing_us = absl::ToInt64Microseconds(checked.spacing);
  destination.address_shown = checked.address;
  destination.shown_settings = checked.shown;
  destination.sealed_settings = secrets_->Seal(checked.settings, destination.id);
  const std::string& target = checked.target.empty() ? checked.settings : checked.target;
  destination.target_hash = secrets_->Tag(absl::StrCat(static_cast<int>(destination.kind), "\n", target));
}

absl::StatusOr<std::optional<CheckedSettings>> DestinationLogic::Merge(const Destination& destination,
                                                                       const AskedSettings& asked) const {
  const DestinationKind* kind = kinds_.Find(destination.kind);
  if (kind == nullptr || kind->traits().field != asked.field) {
    return base::InvalidField(absl::StrCat("destination.", asked.field),
                              "is not the kind of this destination, which cannot be changed");
  }
  // If they cannot be decrypted any more, all of them have to be given.
  const absl::StatusOr<std::string> opened = secrets_->Open(destination.sealed_settings, destination.id);
  nlohmann::json present = nlohmann::json::object();
  if (opened.ok()) present = ReadObject(*opened);
  nlohmann::json merged = present;
  merged.update(ReadObject(asked.json));
  STOCKALERT_ASSIGN_OR_RETURN(CheckedSettings checked, kind->Check(merged));
  // An older version may have written them in another way.
  const absl::StatusOr<CheckedSettings> before = kind->Check(present);
  if (!before.ok() || before->host != checked.host)
    STOCKALERT_RETURN_IF_ERROR(CheckSecretsGiven(present, destination.shown_settings, asked));
  if (opened.ok() && before.ok() && before->settings == checked.settings) return std::optional<CheckedSettings>();
  return std::optional<CheckedSettings>(std::move(checked));
}

bool DestinationLogic::IsProven(const std::string& user_id, const CheckedSettings& checked) const {
  return !checked.mailbox.empty() && own_address_ && own_address_(user_id) == checked.mailbox;
}

NewDelivery DestinationLogic::MakeProof(const DestinationKind& kind, Destination& destination) {
  NewDelivery verification{ids_.NewUuid(), DeliveryKind::kVerification, ""};
  destination.verification_id = verification.id;
  destination.sealed_code.clear();
  destination.wrong_codes = 0;
  switch (kind.traits().proof) {
    case Proof::kChallenge:
      verification.challenge = ids_.NewToken(kChallengeBytes);
      break;
    case Proof::kCode:
      destination.sealed_code = secrets_->Seal(NewCode(ids_), destination.id);
      break;
  }
  return verification;
}

absl::StatusOr<DestinationEffects> DestinationLogic::AskProof(Destination& destination, int64_t now_us) {
  const DestinationKind* kind = kinds_.Find(destination.kind);
  if (kind == nullptr) {
    return base::FailedPrecondition(kReasonDeliveryOff,
                                    "delivery to destinations of this kind is off in this installation");
  }
  // Negative where a later call has overtaken this one.
  const absl::Duration since_last = absl::Microseconds(now_us - destination.verify_ask_time_us);
  if (since_last > -kVerificationInterval && since_last < kVerificationInterval)
    return VerificationRate(std::min(kVerificationInterval - since_last, kVerificationInterval));
  const auto wait = TakeFrom(destination.verify_window, absl::Hours(24), kVerificationsPerDayMax, now_us);
  if (wait) return VerificationRate(*wait);
  const NewDelivery verification = MakeProof(*kind, destination);
  destination.verify_ask_time_us = now_us;
  if (destination.state == DestinationState::kDisabled) {
    destination.state = DestinationState::kUnverified;
    destination.disable_reason = DisableReason::kNone;
    destination.disable_time_us.reset();
    destination.failing_since_time_us.reset();
    destination.update_time_us = now_us;
  }
  return DestinationEffects{.queue = verification, .cancel_verifications = true, .cancel_queued = false};
}

absl::StatusOr<IssuedDestination> DestinationLogic::Create(const std::string& user_id, const NewDestination& asked,
                                                           const std::string& request_id) {
  STOCKALERT_RETURN_IF_ERROR(CheckOn());
  STOCKALERT_ASSIGN_OR_RETURN(const DestinationKind* kind, FindKind(asked.settings));
  STOCKALERT_ASSIGN_OR_RETURN(const CheckedSettings checked, kind->Check(ReadObject(asked.settings.json)));
  STOCKALERT_RETURN_IF_ERROR(CheckTemplates(*kind, asked.template_title, asked.template_text));
  const int64_t now_us = clock_.NowUs();
  Destination destination;
  destination.id = ids_.NewUuid();
  destination.user_id = user_id;
  destination.kind = kind->traits().id;
  destination.display_name = asked.display_name;
  destination.is_default = asked.is_default;
  destination.template_title = asked.template_title;
  destination.template_text = asked.template_text;
  destination.create_time_us = destination.update_time_us = now_us;
  SetSettings(checked, destination);
  destination.per_minute_max = asked.per_minute_max.value_or(UsualPerMinute(kind->traits(), destination.spacing_us));
  std::string secret;
  if (kind->traits().has_keys) {
    const webhook::Keys keys = webhook::NewKeys(ids_);
    destination.public_key = webhook::PublicKeyText(keys);
    destination.sealed_secrets = secrets_->Seal(webhook::SerializeKeys(keys), destination.id);
    secret = webhook::SecretText(keys);
  }
  std::optional<NewDelivery> verification;
  if (IsProven(user_id, checked)) {
    Activate(destination, now_us);
  } else {
    verification = MakeProof(*kind, destination);
    destination.verify_ask_time_us = now_us;
    destination.verify_window = {now_us, 1};
  }
  const DestinationRequestTag request{request_id, request_id.empty() ? "" : Fingerprint(user_id, asked)};
  STOCKALERT_ASSIGN_OR_RETURN(CreatedDestination created,
                              store_.Create(destination, verification, request, kDestinationsPerUserMax, now_us));
  if (created.repeated) return IssuedDestination{std::move(created.destination), ""};
  on_queued_(user_id);
  return IssuedDestination{std::move(created.destination), std::move(secret)};
}

absl::StatusOr<Destination> DestinationLogic::Get(const std::string& user_id, const std::string& id) {
  return store_.Get(user_id, id);
}

absl::StatusOr<std::vector<Destination>> DestinationLogic::List(const std::string& user_id,
                                                                const std::optional<DestinationPlace>& after,
                                                                int limit) {
  return store_.List(user_id, after, limit);
}

std::string DestinationLogic::OwnAddressFor(const std::string& user_id, const DestinationUpdate& update) const {
  // Not within the transaction: another service is asked.
  const DestinationKind* kind = update.settings ? kinds_.FindField(update.settings->field) : nullptr;
  return kind != nullptr && kind->traits().has_mailbox && own_address_ ? own_address_(user_id) : "";
}

absl::Status DestinationLogic::SetTemplates(const DestinationUpdate& update, Destination& destination) const {
  if (!update.template_title && !update.template_text) return absl::OkStatus();
  if (update.template_title) destination.template_title = *update.template_title;
  if (update.template_text) destination.template_text = *update.template_text;
  const DestinationKind* kind = kinds_.Find(destination.kind);
  if (kind == nullptr) {
    return base::FailedPrecondition(kReasonDeliveryOff,
                                    "delivery to destinations of this kind is off in this installation");
  }
  return CheckTemplates(*kind, destination.template_title, destination.template_text);
}

absl::StatusOr<DestinationEffects> DestinationLogic::ProveAnew(const CheckedSettings& changed,
                                                               const std::string& own_address, int64_t now_us,
                                                               Destination& destination) {
  if (!changed.mailbox.empty() && changed.mailbox == own_address) {
    Activate(destination, now_us);
    return DestinationEffects{.queue = std::nullopt, .cancel_verifications = true, .cancel_queued = false};
  }
  STOCKALERT_ASSIGN_OR_RETURN(DestinationEffects effects, AskProof(destination, now_us));
  destination.state = DestinationState::kUnverified;
  destination.verify_time_us.reset();
  destination.failing_since_time_us.reset();
  return effects;
}

absl::StatusOr<Destination> DestinationLogic::Update(const std::string& user_id, const std::string& id,
                                                     const DestinationUpdate& update, const DestinationCheck& check) {
  if (update.settings) STOCKALERT_RETURN_IF_ERROR(CheckOn());
  const std::string own_address = OwnAddressFor(user_id, update);
  const int64_t now_us = clock_.NowUs();
  const auto change = [&](Destination& destination) -> absl::StatusOr<DestinationEffects> {
    STOCKALERT_RETURN_IF_ERROR(check(destination));
    const Destination before = destination;
    DestinationEffects effects;
    if (update.display_name) destination.display_name = *update.display_name;
    if (update.is_default) destination.is_default = *update.is_default;
    if (update.per_minute_max) {
      const DestinationKind* kind = kinds_.Find(destination.kind);
      destination.per_minute_max = update.per_minute_max->value_or(
          kind == nullptr ? kPerMinuteUsual : UsualPerMinute(kind->traits(), destination.spacing_us));
    }
    STOCKALERT_RETURN_IF_ERROR(SetTemplates(update, destination));
    std::optional<CheckedSettings> changed;
    if (update.settings) {
      STOCKALERT_ASSIGN_OR_RETURN(changed, Merge(destination, *update.settings));
    }
    if (changed) {
      SetSettings(*changed, destination);
      STOCKALERT_ASSIGN_OR_RETURN(effects, ProveAnew(*changed, own_address, now_us, destination));
    }
    if (!(destination == before)) {
      ++destination.version;
      destination.update_time_us = now_us;
    }
    return effects;
  };
  STOCKALERT_ASSIGN_OR_RETURN(ChangedDestination changed, store_.Change(user_id, id, change, now_us));
  if (changed.queued) on_queued_(user_id);
  return std::move(changed.destination);
}

absl::Status DestinationLogic::Delete(const std::string& user_id, const std::string& id,
                                      const DestinationCheck& check) {
  const int64_t now_us = clock_.NowUs();
  const auto change = [&](Destination& destination) -> absl::StatusOr<DestinationEffects> {
    STOCKALERT_RETURN_IF_ERROR(check(destination));
    destination.delete_time_us = now_us;
    destination.verification_id.clear();
    // No secret outlives it.
    destination.sealed_settings.clear();
    destination.sealed_code.clear();
    destination.sealed_secrets.clear();
    destination.sealed_previous_secrets.clear();
    return DestinationEffects{.queue = std::nullopt, .cancel_verifications = false, .cancel_queued = true};
  };
  STOCKALERT_RETURN_IF_ERROR(store_.Change(user_id, id, change, now_us).status());
  on_queued_(user_id);  // The worker cancels the rest if there are more than one call cancels.
  return absl::OkStatus();
}

absl::StatusOr<Destination> DestinationLogic::Verify(const std::string& user_id, const std::string& id) {
  STOCKALERT_RETURN_IF_ERROR(CheckOn());
  const int64_t now_us = clock_.NowUs();
  const auto change = [&](Destination& destination) { return AskProof(destination, now_us); };
  STOCKALERT_ASSIGN_OR_RETURN(ChangedDestination changed, store_.Change(user_id, id, change, now_us));
  on_queued_(user_id);
  return std::move(changed.destination);
}

bool DestinationLogic::TakeCode(const std::string& code, int64_t now_us, Destination& destination) const {
  const int64_t age_us = now_us - destination.verify_ask_time_us;
  if (destination.sealed_code.empty() || age_us > absl::ToInt64Microseconds(kCodeLife) ||
      destination.wrong_codes >= kWrongCodesMax)
    return false;
  const absl::StatusOr<std::string> right = secrets_->Open(destination.sealed_code, destination.id);
  if (right.ok() && base::ConstantTimeEquals(NormalizeCode(code), *right)) return true;
  ++destination.wrong_codes;
  return false;
}

absl::StatusOr<Destination> DestinationLogic::VerifyByCode(const std::string& user_id, const std::string& id,
                                                           const std::string& code) {
  STOCKALERT_RETURN_IF_ERROR(CheckOn());
  const int64_t now_us = clock_.NowUs();
  bool verified = false;
  const auto change = [&](Destination& destination) -> absl::StatusOr<DestinationEffects> {
    const DestinationKind* kind = kinds_.Find(destination.kind);
    if (kind != nullptr && kind->traits().proof != Proof::kCode)
      return base::InvalidField("code", "must be empty: a destination of this kind answers its verification itself");
    verified = TakeCode(code, now_us, destination);
    // A wrong one is counted, so this is no error.
    if (!verified) return DestinationEffects();
    Activate(destination, now_us);
    return DestinationEffects{.queue = std::nullopt, .cancel_verifications = true, .cancel_queued = false};
  };
  STOCKALERT_ASSIGN_OR_RETURN(ChangedDestination changed, store_.Change(user_id, id, change, now_us));
  if (!verified) return WrongCode();
  on_queued_(user_id);
  return std::move(changed.destination);
}

absl::Status DestinationLogic::Unsubscribe(const std::string& user_id, const std::string& id,
                                           const std::function<bool(const Destination&)>& is_meant) {
  const int64_t now_us = clock_.NowUs();
  const auto change = [&](Destination& destination) -> absl::StatusOr<DestinationEffects> {
    if (!is_meant(destination)) return DestinationNotFound();
    if (destination.state == DestinationState::kDisabled) return DestinationEffects();
    destination.state = DestinationState::kDisabled;
    destination.disable_reason = DisableReason::kUnsubscribed;
    destination.disable_time_us = now_us;
    destination.update_time_us = now_us;
    // A code that is still on its way verifies nothing any more.
    destination.verification_id.clear();
    destination.sealed_code.clear();
    return DestinationEffects{.queue = std::nullopt, .cancel_verifications = false, .cancel_queued = true};
  };
  STOCKALERT_RETURN_IF_ERROR(store_.Change(user_id, id, change, now_us).status());
  // What tells the user is queued for the other destinations.
  on_queued_(user_id);
  return absl::OkStatus();
}

absl::StatusOr<Delivery> DestinationLogic::SendTest(const std::string& user_id, const std::string& id) {
  STOCKALERT_RETURN_IF_ERROR(CheckOn());
  const int64_t now_us = clock_.NowUs();
  const NewDelivery test{ids_.NewUuid(), DeliveryKind::kTest, ""};
  const auto change = [&](Destination& destination) -> absl::StatusOr<DestinationEffects> {
    if (destination.state != DestinationState::kActive) return DestinationNotActive();
    const auto wait = TakeFrom(destination.test_window, absl::Minutes(1), kTestsPerMinuteMax, now_us);
    if (wait) {
      return base::ResourceExhausted(
          kReasonTestRate, absl::StrCat("a destination is sent at most ", kTestsPerMinuteMax, " tests a minute"),
          *wait);
    }
    return DestinationEffects{.queue = test, .cancel_verifications = false, .cancel_queued = false};
  };
  STOCKALERT_ASSIGN_OR_RETURN(ChangedDestination changed, store_.Change(user_id, id, change, now_us));
  on_queued_(user_id);
  return *std::move(changed.queued);
}

absl::StatusOr<IssuedDestination> DestinationLogic::Rotate(const std::string& user_id, const std::string& id) {
  STOCKALERT_RETURN_IF_ERROR(CheckOn());
  const int64_t now_us = clock_.NowUs();
  const webhook::Keys keys = webhook::NewKeys(ids_);
  const std::string sealed = secrets_->Seal(webhook::SerializeKeys(keys), id);
  const auto change = [&](Destination& destination) -> absl::StatusOr<DestinationEffects> {
    if (destination.public_key.empty()) {
      return base::FailedPrecondition(kReasonNoSecret,
                                      "a destination of this kind has no secret of StockAlert: to change its own "
                                      "secrets, update it");
    }
    if (destination.previous_secret_expire_time_us.value_or(0) > now_us) {
      return base::FailedPrecondition(kReasonSecretRotating,
                                      "the previous secrets are still in use, until "
                                      "`webhook.previous_secret_expire_time`: rotate again afterwards");
    }
    destination.sealed_previous_secrets = std::exchange(destination.sealed_secrets, sealed);
    destination.previous_secret_expire_time_us = now_us + absl::ToInt64Microseconds(kPreviousSecretTime);
    destination.public_key = webhook::PublicKeyText(keys);
    destination.update_time_us = now_us;
    ++destination.version;
    return DestinationEffects();
  };
  STOCKALERT_ASSIGN_OR_RETURN(ChangedDestination changed, store_.Change(user_id, id, change, now_us));
  return IssuedDestination{std::move(changed.destination), webhook::SecretText(keys)};
}

absl::StatusOr<std::vector<Delivery>> DestinationLogic::ListDeliveries(const std::string& user_id,
                                                                       const DeliveryFilter& filter,
                                                                       int64_t before_number, int limit) {
  return store_.ListDeliveries(user_id, filter, before_number, limit);
}

absl::StatusOr<DeliveryWithAttempts> DestinationLogic::GetDelivery(const std::string& user_id, const std::string& id) {
  return store_.GetDelivery(user_id, id);
}

absl::StatusOr<Delivery> DestinationLogic::Replay(const std::string& user_id, const std::string& id) {
  STOCKALERT_RETURN_IF_ERROR(CheckOn());
  STOCKALERT_ASSIGN_OR_RETURN(Delivery replayed, store_.Replay(user_id, id, clock_.NowUs()));
  on_queued_(user_id);
  return replayed;
}

absl::StatusOr<int> DestinationLogic::ReplaySince(const std::string& user_id, const std::string& id, int64_t since_us) {
  STOCKALERT_RETURN_IF_ERROR(CheckOn());
  STOCKALERT_ASSIGN_OR_RETURN(const int replayed, store_.ReplaySince(user_id, id, since_us, clock_.NowUs()));
  if (replayed > 0) on_queued_(user_id);
  return replayed;
}

absl::StatusOr<int> DestinationLogic::Cancel(const std::string& user_id, const std::string& id) {
  return store_.Cancel(user_id, id, clock_.NowUs());
}

}  // namespace stockalert::notifier
