#include "services/notifier/delivery/kinds/teams_kind.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/status_macros.h"
#include "services/domain/message/notification_text.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/settings_check.h"
#include "services/notifier/delivery/kinds/text_fit.h"
#include "services/notifier/delivery/kinds/webhook_url.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr size_t kBodyBytesMax = 14'000;
constexpr size_t kTitleMax = 256;
constexpr size_t kFieldMax = 256;
constexpr size_t kLinesMax = 40;

// A line of text; `name` in bold before it.
Json Line(std::string_view name, std::string_view text, size_t max) {
  Json inlines = Json::array();
  if (!name.empty()) {
    inlines.push_back({{"type", "TextRun"}, {"text", absl::StrCat(std::string(name), " ")}, {"weight", "Bolder"}});
  }
  inlines.push_back({{"type", "TextRun"}, {"text", FitText(text, max, TextUnit::kUtf16)}});
  return {{"type", "RichTextBlock"}, {"inlines", std::move(inlines)}};
}

std::string CardOf(const message::NotificationText& text, size_t text_max) {
  Json lines = Json::array();
  lines.push_back({{"type", "RichTextBlock"},
                   {"inlines", Json::array({{{"type", "TextRun"},
                                             {"text", FitText(text.title, kTitleMax, TextUnit::kUtf16)},
                                             {"weight", "Bolder"},
                                             {"size", "Large"}}})}});
  // A run has no line breaks: each line is a block, and the last block takes all that are left.
  const std::string fitted = FitText(text.text, text_max, TextUnit::kUtf16);
  const std::vector<std::string> split = absl::StrSplit(fitted, absl::MaxSplits('\n', kLinesMax - 1));
  for (std::string line : split) {
    std::replace(line.begin(), line.end(), '\n', ' ');
    if (!line.empty()) lines.push_back(Line("", line, text_max));
  }
  for (const message::TextField& field : text.fields) lines.push_back(Line(field.name, field.value, kFieldMax));
  const Json card = {{"$schema", "http://adaptivecards.io/schemas/adaptive-card.json"},
                     {"type", "AdaptiveCard"},
                     {"version", "1.4"},
                     {"msteams", {{"width", "Full"}}},
                     {"body", std::move(lines)}};
  const Json body = {
      {"type", "message"},
      {"attachments", Json::array({{{"contentType", "application/vnd.microsoft.card.adaptive"}, {"content", card}}})}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class TeamsKind final : public DestinationKind {
 public:
  TeamsKind(const EgressGuard& guard, const KindHosts& hosts) : guard_(guard), origins_(hosts.teams) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    return CheckWebhookUrl(
        traits_, asked, guard_,
        {.is_allowed = [this](std::string_view url) { return IsOfOrigin(url, origins_); },
         .description = absl::StrCat("must be the URL of a workflow of Teams, at ", origins_.front(), " or alike"),
         .spacing = absl::Milliseconds(250)});
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    STOCKALERT_ASSIGN_OR_RETURN(std::string url, WebhookUrlOf(traits_, parcel.settings));
    const message::NotificationText text = message::TextOf(parcel.notice);
    std::string body;
    // The last length fits, whatever the characters are.
    for (const size_t text_max : {4000, 2000, 1000, 500}) {
      body = CardOf(text, text_max);
      if (body.size() <= kBodyBytesMax) break;
    }
    return OutgoingHttp{
        .url = std::move(url), .headers = {"Content-Type: application/json; charset=utf-8"}, .body = std::move(body)};
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    if (IsSuccess(reply)) {
      if (!absl::StrContains(reply.body, "delivery failed")) return Delivered();
      const std::string error = AnsweredText(reply.status, reply.body);
      if (absl::StrContains(reply.body, "HTTP error 413")) return Refused(error);
      return Retry(error);
    }
    const Json object = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    const Json detail = object.is_object() ? object.value("error", Json::object()) : Json::object();
    const std::string error = AnsweredText(reply.status, TextIn(detail, "code"));
    if (reply.status == 404 || reply.status == 410)
      return Gone(absl::StrCat(error, ": the workflow does not exist any more"));
    if (reply.status == 413) return Refused(error);
    return RetryAsAsked(reply, error, RetryAfterOf(reply, now_us));
  }

 private:
  const KindTraits traits_ = {.id = KindId::kTeams, .field = "teams", .inputs = {"webhook_url"}};
  const EgressGuard guard_;
  const std::vector<std::string> origins_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeTeamsKind(const EgressGuard& guard, const KindHosts& hosts) {
  return std::make_unique<TeamsKind>(guard, hosts);
}

}  // namespace stockalert::notifier
