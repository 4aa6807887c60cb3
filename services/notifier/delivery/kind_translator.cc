#include "services/notifier/delivery/kind_translator.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/webhook/webhook_signature.h"
#include "services/domain/message/notification_text.h"
#include "services/notifier/delivery/kinds/hide_secrets.h"
#include "services/notifier/delivery/kinds/message_template.h"
#include "services/notifier/delivery/verification_code.h"
#include "services/notifier/settings/notification_settings.h"

namespace stockalert::notifier {
namespace {

absl::StatusOr<message::Notice> NoticeOf(const DueDelivery& due) {
  message::Notice notice;
  notice.user_id = due.delivery.user_id;
  notice.create_time_us = due.delivery.create_time_us;
  switch (due.delivery.kind) {
    case DeliveryKind::kVerification:
      notice.type = message::Type::kVerification;
      return notice;
    case DeliveryKind::kTest:
      notice.type = message::Type::kTest;
      return notice;
    case DeliveryKind::kNotification:
      break;
  }
  if (!due.notification) {
    return absl::FailedPreconditionError("its notification is older than this installation keeps notifications");
  }
  const StoredNotification& stored = *due.notification;
  notice.type = stored.kind == Kind::kThrottled     ? message::Type::kThrottled
                : stored.kind == Kind::kDestination ? message::Type::kDestination
                : stored.kind == Kind::kDigest      ? message::Type::kDigest
                : stored.kind == Kind::kSplit       ? message::Type::kSplit
                                                    : message::Type::kTriggered;
  notice.notification_id = stored.id;
  notice.alert_id = stored.alert_id;
  notice.trigger_number = stored.trigger_number;
  notice.price_micros = stored.price_micros;
  notice.price_before_micros = stored.price_before_micros;
  notice.reference_micros = stored.reference_micros;
  notice.late = stored.late;
  notice.symbol = stored.symbol;
  notice.event_time_us = stored.event_time_us;
  notice.create_time_us = stored.create_time_us;
  notice.folded_count = stored.folded_count;
  notice.summary = stored.summary;
  notice.note = stored.note;
  notice.critical = stored.routing.critical;
  notice.rerouted = stored.rerouted;
  notice.destination_id = stored.destination_id;
  notice.destination_disabled = stored.destination_disabled;
  if (stored.split) notice.split = *stored.split;
  return notice;
}

// As the destination's user has set it.
message::TextStyle StyleOf(const Destination& destination) {
  const std::string& zone = destination.text_time_zone;
  return {TimeZoneOf(zone.empty() ? kFirstTimeZone : zone), destination.text_price_decimals};
}

// A test shows the templates, with what a trigger would have.
message::Notice SampleOf(const message::Notice& test) {
  message::Notice sample = test;
  sample.type = message::Type::kTriggered;
  sample.symbol = "TEST";
  sample.price_micros = 150'250'000;
  sample.price_before_micros = 149'900'000;
  sample.reference_micros = 150'000'000;
  sample.event_time_us = test.create_time_us;
  sample.summary = "TEST at or above 150 (a test, not an alert)";
  sample.note = "This is a test, not an alert.";
  return sample;
}

// One line without spaces at its ends.
std::string LineOf(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  absl::StripAsciiWhitespace(&text);
  return text;
}

prometheus::Counter& TemplateFailures() {
  return metrics::GetCounter("stockalert_destination_template_failures_total",
                             "Messages with the usual wording, because a destination's template could not be used");
}

// Puts what the destination's templates give into the notice. A message is never lost by them: where one cannot be
// used, the usual wording is sent, and says so.
void ApplyTemplates(const Destination& destination, const std::string& id, message::Notice& notice) {
  const bool test = notice.type == message::Type::kTest;
  if (!test && notice.type != message::Type::kTriggered) return;
  if (destination.template_title.empty() && destination.template_text.empty()) return;
  const message::Notice shown = test ? SampleOf(notice) : notice;
  const auto title = RenderTemplate(destination.template_title, TemplateEscape::kNone, shown, id);
  const auto text = RenderTemplate(destination.template_text, TemplateEscape::kNone, shown, id);
  if (title.ok() && text.ok()) {
    notice.own_title = LineOf(*title);
    if (!absl::StripAsciiWhitespace(*text).empty()) notice.own_text = *text;
    return;
  }
  TemplateFailures().Increment();
  const absl::Status& failure = title.ok() ? text.status() : title.status();
  log::Warning("a destination's template cannot be used: its usual wording was sent; its user has to correct it",
               {{"destination", destination.id}, {"error", std::string(failure.message())}});
  notice.own_text = absl::StrCat(message::PlainText(message::TextOf(notice)),
                                 "\n(The template of this destination cannot be used: ", failure.message(), ")");
}

absl::StatusOr<webhook::Signer> OpenSigner(const SecretBox& secrets, const std::string& sealed,
                                           const std::string& owner) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string text, secrets.Open(sealed, owner));
  const absl::StatusOr<webhook::Keys> keys = webhook::ParseKeys(text);
  if (!keys.ok()) return absl::DataLossError(keys.status().message());
  return webhook::Signer(*keys);
}

}  // namespace

KindTranslator::KindTranslator(const Kinds& kinds, const SecretBox& secrets) : kinds_(kinds), secrets_(secrets) {
  TemplateFailures();
}

absl::Status KindTranslator::AddProof(const DestinationKind& kind, const Destination& destination,
                                      const Delivery& delivery, int64_t now_us, message::Notice& notice) const {
  switch (kind.traits().proof) {
    case Proof::kChallenge:
      notice.challenge = delivery.challenge;
      return absl::OkStatus();
    case Proof::kCode:
      break;
  }
  if (now_us > delivery.create_time_us + absl::ToInt64Microseconds(kCodeLife)) {
    return absl::FailedPreconditionError("its code has expired: request another verification");
  }
  if (destination.sealed_code.empty())
    return absl::FailedPreconditionError("its code is no longer valid: request another verification");
  STOCKALERT_ASSIGN_OR_RETURN(notice.code, secrets_.Open(destination.sealed_code, destination.id));
  return absl::OkStatus();
}

absl::StatusOr<webhook::Signer> KindTranslator::SignerOf(const std::string& sealed, const std::string& owner) {
  {
    base::MutexLock lock(mutex_);
    if (const auto found = signers_.find(sealed); found != signers_.end() && found->second.owner == owner)
      return found->second.signer;
  }
  STOCKALERT_ASSIGN_OR_RETURN(webhook::Signer signer, OpenSigner(secrets_, sealed, owner));
  base::MutexLock lock(mutex_);
  // Those of the lanes at work are soon there again.
  if (signers_.size() >= kSignersKeptMax) signers_.clear();
  signers_.insert_or_assign(sealed, KeptSigner{owner, signer});
  return signer;
}

absl::Status KindTranslator::AddSigners(const Destination& destination, Parcel& parcel) {
  STOCKALERT_ASSIGN_OR_RETURN(webhook::Signer signer, SignerOf(destination.sealed_secrets, destination.id));
  parcel.signers.push_back(std::move(signer));
  if (destination.previous_secret_expire_time_us.value_or(0) > parcel.now_us) {
    STOCKALERT_ASSIGN_OR_RETURN(signer, SignerOf(destination.sealed_previous_secrets, destination.id));
    parcel.signers.push_back(std::move(signer));
  }
  return absl::OkStatus();
}

absl::StatusOr<OutgoingRequest> KindTranslator::Compose(const Destination& destination, const DueDelivery& due,
                                                        int64_t now_us) {
  const DestinationKind* kind = kinds_.Find(destination.kind);
  if (kind == nullptr)
    return absl::FailedPreconditionError("this installation cannot send to this kind of destination");
  Parcel parcel;
  parcel.id = WebhookId(due.delivery.id);
  parcel.destination_id = destination.id;
  parcel.now_us = now_us;
  STOCKALERT_ASSIGN_OR_RETURN(parcel.notice, NoticeOf(due));
  parcel.notice.sent_time_us = now_us;
  parcel.notice.style = StyleOf(destination);
  if (kind->traits().is_worded) ApplyTemplates(destination, parcel.id, parcel.notice);
  STOCKALERT_ASSIGN_OR_RETURN(parcel.settings, secrets_.Open(destination.sealed_settings, destination.id));
  if (due.delivery.kind == DeliveryKind::kVerification)
    STOCKALERT_RETURN_IF_ERROR(AddProof(*kind, destination, due.delivery, now_us, parcel.notice));
  if (kind->traits().has_keys) STOCKALERT_RETURN_IF_ERROR(AddSigners(destination, parcel));
  return kind->Compose(parcel);
}

void KindTranslator::HideSecrets(const Destination& destination, ServiceReply& reply) {
  if (reply.body.empty()) return;
  const absl::StatusOr<std::string> settings = secrets_.Open(destination.sealed_settings, destination.id);
  // It was sent with them, so they open; else nobody can say what is secret.
  reply.body = settings.ok() ? notifier::HideSecrets(std::move(reply.body), *settings, destination.shown_settings) : "";
}

Verdict KindTranslator::Judge(const Destination& destination, const Delivery& delivery, const ServiceReply& reply,
                              int64_t now_us) {
  const DestinationKind* kind = kinds_.Find(destination.kind);
  if (kind == nullptr) return {VerdictKind::kRefused, "this installation cannot send to this kind of destination", {}};
  return kind->Judge(reply, delivery, now_us);
}

}  // namespace stockalert::notifier
