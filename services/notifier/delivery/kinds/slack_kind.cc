#include "services/notifier/delivery/kinds/slack_kind.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/domain/message/notification_text.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/settings_check.h"
#include "services/notifier/delivery/kinds/text_fit.h"
#include "services/notifier/delivery/kinds/webhook_url.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr size_t kTextMax = 3000;
constexpr size_t kHeaderMax = 150;
constexpr size_t kFieldMax = 2000;
constexpr size_t kFieldsMax = 10;

// What the answer says of a webhook that will never work again.
constexpr std::array<std::string_view, 9> kGoneErrors = {
    "channel_not_found", "channel_is_archived", "no_service",    "no_service_id", "no_team",
    "no_active_hooks",   "invalid_token",       "team_disabled", "user_not_found"};

Json PlainText(std::string_view text, size_t max) {
  return {{"type", "plain_text"}, {"emoji", false}, {"text", FitText(text, max, TextUnit::kUtf16, &EscapeMarkup)}};
}

class SlackKind final : public DestinationKind {
 public:
  SlackKind(const EgressGuard& guard, const KindHosts& hosts) : guard_(guard), origins_(hosts.slack) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    return CheckWebhookUrl(
        traits_, asked, guard_,
        {.is_allowed = [this](std::string_view url) { return IsOfOrigin(url, origins_); },
         .description = absl::StrCat("must be an incoming webhook of Slack: ", origins_.front(), "/services/…"),
         .spacing = absl::Seconds(1)});
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    STOCKALERT_ASSIGN_OR_RETURN(std::string url, WebhookUrlOf(traits_, parcel.settings));
    const message::NotificationText text = message::TextOf(parcel.notice);
    Json blocks = Json::array();
    blocks.push_back({{"type", "header"}, {"text", PlainText(text.title, kHeaderMax)}});
    blocks.push_back({{"type", "section"}, {"text", PlainText(text.text, kTextMax)}});
    Json fields = Json::array();
    for (const message::TextField& field : text.fields) {
      if (fields.size() < kFieldsMax)
        fields.push_back(PlainText(absl::StrCat(field.name, ": ", field.value), kFieldMax));
    }
    if (!fields.empty()) blocks.push_back({{"type", "section"}, {"fields", std::move(fields)}});
    // What the notification of a phone shows, where the blocks are not.
    const Json body = {
        {"text", FitText(absl::StrCat(text.title, "\n", text.text), kTextMax, TextUnit::kUtf16, &EscapeMarkup)},
        {"mrkdwn", false},
        {"link_names", false},
        {"unfurl_links", false},
        {"blocks", std::move(blocks)}};
    return OutgoingHttp{.url = std::move(url),
                        .headers = {"Content-Type: application/json"},
                        .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    std::string said(absl::StripAsciiWhitespace(reply.body));
    const Json object = Json::parse(said, nullptr, /*allow_exceptions=*/false);
    const bool is_ok = object.is_object() ? object.value("ok", Json(false)) == true : (said.empty() || said == "ok");
    if (object.is_object()) said = TextIn(object, "error");
    if (IsSuccess(reply) && is_ok) return Delivered();
    const std::string error = AnsweredText(reply.status, said);
    const bool gone = std::find(kGoneErrors.begin(), kGoneErrors.end(), said) != kGoneErrors.end();
    if (gone || reply.status == 404 || reply.status == 410) {
      return Gone(absl::StrCat(error, ": the webhook or its channel does not exist any more"));
    }
    if (reply.status == 400) return Refused(error);
    return RetryAsAsked(reply, error, RetryAfterOf(reply, now_us));
  }

 private:
  const KindTraits traits_ = {.id = KindId::kSlack, .field = "slack", .inputs = {"webhook_url"}};
  const EgressGuard guard_;
  const std::vector<std::string> origins_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeSlackKind(const EgressGuard& guard, const KindHosts& hosts) {
  return std::make_unique<SlackKind>(guard, hosts);
}

}  // namespace stockalert::notifier
