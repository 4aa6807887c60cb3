#include "services/notifier/delivery/kinds/discord_kind.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

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

constexpr size_t kContentMax = 2000;
constexpr size_t kEmbedMax = 6000;
constexpr size_t kDescriptionMax = 4096;
constexpr size_t kFieldsMax = 25;
constexpr size_t kFieldNameMax = 256;
constexpr size_t kFieldValueMax = 256;  // 1,024 are allowed; ours are figures and times.
constexpr int kUnknownWebhook = 10015;
constexpr int kUnknownChannel = 10003;
constexpr int kInvalidWebhookToken = 50027;

std::string EscapeMarkdown(std::string_view code_point) {
  constexpr std::string_view kMarkdown = "\\*_~`|><#@[]";
  if (code_point.size() == 1 && kMarkdown.find(code_point[0]) != std::string_view::npos)
    return absl::StrCat("\\", std::string(code_point));
  return std::string(code_point);
}

std::string Escaped(std::string_view text, size_t max) { return FitText(text, max, TextUnit::kUtf16, &EscapeMarkdown); }

bool IsApiUrl(std::string_view url) {
  const size_t host = url.find("://") + 3;
  return url.find("/api/", host) == url.find('/', host);
}

class DiscordKind final : public DestinationKind {
 public:
  DiscordKind(const EgressGuard& guard, const KindHosts& hosts) : guard_(guard), origins_(hosts.discord) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    return CheckWebhookUrl(
        traits_, asked, guard_,
        {.is_allowed = [this](std::string_view url) { return IsOfOrigin(url, origins_) && IsApiUrl(url); },
         .description = absl::StrCat("must be a webhook of Discord: ", origins_.front(), "/api/webhooks/…"),
         .spacing = absl::Milliseconds(500)});
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    STOCKALERT_ASSIGN_OR_RETURN(std::string url, WebhookUrlOf(traits_, parcel.settings));
    const message::NotificationText text = message::TextOf(parcel.notice);
    size_t left = kEmbedMax;
    Json fields = Json::array();
    for (const message::TextField& field : text.fields) {
      const std::string name = Escaped(field.name, kFieldNameMax);
      const std::string value = Escaped(field.value, kFieldValueMax);
      // Bytes are never fewer than what is counted.
      if (fields.size() >= kFieldsMax || name.size() + value.size() > left / 2) break;
      left -= name.size() + value.size();
      fields.push_back({{"name", name}, {"value", value}, {"inline", true}});
    }
    Json embed = {{"description", Escaped(text.text, std::min(kDescriptionMax, left))}};
    if (!fields.empty()) embed["fields"] = std::move(fields);
    const Json body = {{"content", Escaped(text.title, kContentMax)},
                       {"embeds", Json::array({std::move(embed)})},
                       {"allowed_mentions", {{"parse", Json::array()}}}};
    absl::StrAppend(&url, url.find('?') == std::string::npos ? "?" : "&", "wait=true");
    return OutgoingHttp{.url = std::move(url),
                        .headers = {"Content-Type: application/json"},
                        .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    if (IsSuccess(reply)) return Delivered();
    const Json object = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    int code = 0;
    std::optional<absl::Duration> retry_after = RetryAfterOf(reply, now_us);
    if (object.is_object()) {
      if (const auto found = object.find("code"); found != object.end() && found->is_number_integer())
        code = found->get<int>();
      if (const auto found = object.find("retry_after"); found != object.end() && found->is_number())
        retry_after = SecondsOf(found->get<double>());
    }
    const std::string error = AnsweredText(reply.status, TextIn(object, "message"));
    if (code == kUnknownWebhook || code == kUnknownChannel || code == kInvalidWebhookToken || reply.status == 401) {
      return Gone(absl::StrCat(error, ": the webhook or its channel does not exist any more"));
    }
    if (reply.status == 400) return Refused(error);
    return RetryAsAsked(reply, error, retry_after);
  }

 private:
  const KindTraits traits_ = {.id = KindId::kDiscord, .field = "discord", .inputs = {"webhook_url"}};
  const EgressGuard guard_;
  const std::vector<std::string> origins_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeDiscordKind(const EgressGuard& guard, const KindHosts& hosts) {
  return std::make_unique<DiscordKind>(guard, hosts);
}

}  // namespace stockalert::notifier
