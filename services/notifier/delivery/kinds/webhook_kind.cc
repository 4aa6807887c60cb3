#include "services/notifier/delivery/kinds/webhook_kind.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/domain/message/webhook_message.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/settings_check.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

// The part of an answer in which the challenge must be.
constexpr size_t kChallengeAnswerBytesMax = 1024;

class WebhookKind final : public DestinationKind {
 public:
  explicit WebhookKind(const EgressGuard& guard) : guard_(guard) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    SettingsCheck check(traits_.field, asked);
    const std::optional<DestinationUrl> url = check.Url("url", guard_);
    STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
    return CheckedSettings{.settings = Json{{"url", url->url}}.dump(),
                           .shown = Json{{"url_shown", url->shown}}.dump(),
                           .address = url->shown,
                           .host = HostOf(*url)};
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    const Json settings = Json::parse(parcel.settings, nullptr, /*allow_exceptions=*/false);
    if (!settings.is_object() || parcel.signers.empty()) return absl::DataLossError("no settings of a webhook");
    OutgoingHttp request;
    request.url = TextIn(settings, "url");
    request.body = message::WebhookMessage(parcel.notice);
    const int64_t timestamp_s = parcel.now_us / 1'000'000;
    request.headers = {
        "Content-Type: application/json", absl::StrCat("webhook-id: ", parcel.id),
        absl::StrCat("webhook-timestamp: ", timestamp_s),
        absl::StrCat("webhook-signature: ", webhook::Sign(parcel.signers, parcel.id, timestamp_s, request.body))};
    return request;
  }

  Verdict Judge(const ServiceReply& reply, const Delivery& delivery, int64_t now_us) const override {
    Verdict verdict = JudgeHttp(reply, now_us);
    const std::string_view answer = std::string_view(reply.body).substr(0, kChallengeAnswerBytesMax);
    if (verdict.kind == VerdictKind::kDelivered && delivery.kind == DeliveryKind::kVerification &&
        !AnswersChallenge(answer, delivery.challenge)) {
      // Like a failure: a receiver that is not ready yet may be soon.
      return Retry("the answer was not a JSON object with the verification's challenge in its field `challenge`");
    }
    return verdict;
  }

 private:
  const KindTraits traits_ = {.id = KindId::kWebhook,
                              .field = "webhook",
                              .inputs = {"url"},
                              .proof = Proof::kChallenge,
                              .has_keys = true,
                              .is_worded = false,
                              // A program wants each by itself.
                              .per_minute_max = kPerMinuteMax};
  const EgressGuard guard_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeWebhookKind(const EgressGuard& guard) {
  return std::make_unique<WebhookKind>(guard);
}

bool AnswersChallenge(std::string_view answer, std::string_view challenge) {
  const auto parsed = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return false;
  const auto found = parsed.find("challenge");
  return found != parsed.end() && found->is_string() && found->get_ref<const std::string&>() == challenge;
}

}  // namespace stockalert::notifier
