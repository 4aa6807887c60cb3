#include "services/notifier/delivery/kinds/ntfy_kind.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/domain/message/notification_text.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/settings_check.h"
#include "services/notifier/delivery/kinds/text_fit.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr size_t kMessageBytesMax = 4096;
constexpr size_t kTitleBytesMax = 1000;
constexpr size_t kTopicMax = 64;
constexpr size_t kTokenMax = 200;
constexpr int kUsualPriority = 3;
constexpr int kHighestPriority = 5;

bool IsTopic(std::string_view text) {
  return text.size() <= kTopicMax && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
         });
}

bool IsToken(std::string_view text) {
  return text.size() <= kTokenMax && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isgraph(static_cast<unsigned char>(c));
         });
}

class NtfyKind final : public DestinationKind {
 public:
  NtfyKind(const EgressGuard& guard, const KindHosts& hosts) : guard_(guard), origin_(hosts.ntfy) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    SettingsCheck check(traits_.field, asked);
    const std::string given = check.Text("server_url");
    const std::string topic = check.Text("topic");
    const std::string token = check.Text("access_token");
    const std::optional<DestinationUrl> url = check.ParseUrl("server_url", given.empty() ? origin_ : given, guard_);
    if (url) {
      // After the scheme and the host.
      check.Check(url->url.find('/', url->url.find("://") + 3) == url->url.size() - 1, "server_url",
                  "must be the server's address alone, without a path: the topic has its own field");
    }
    if (check.Require("topic")) check.Check(IsTopic(topic), "topic", "must have at most 64 of [A-Za-z0-9_-]");
    check.Check(IsToken(token), "access_token", "must have at most 200 printable characters, without spaces");
    STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
    return CheckedSettings{
        .settings = Json{{"server_url", url->url}, {"topic", topic}, {"access_token", token}}.dump(),
        .shown = Json{{"server_url", url->url.substr(0, url->url.size() - 1)}, {"topic", topic}}.dump(),
        .address = absl::StrCat(url->url, topic),
        .target = absl::StrCat(url->url, topic),
        .host = HostOf(*url)};
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    const Json settings = Json::parse(parcel.settings, nullptr, /*allow_exceptions=*/false);
    if (!settings.is_object()) return absl::DataLossError("no settings of ntfy");
    const message::NotificationText text = message::TextOf(parcel.notice);
    const std::string message = message::PlainText(text);
    const Json body = {{"topic", TextIn(settings, "topic")},
                       {"title", FitText(text.title, kTitleBytesMax, TextUnit::kBytes)},
                       {"message", FitText(message, kMessageBytesMax, TextUnit::kBytes)},
                       {"priority", parcel.notice.critical ? kHighestPriority : kUsualPriority}};
    OutgoingHttp request{.url = TextIn(settings, "server_url"),
                         .headers = {"Content-Type: application/json"},
                         .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
    if (const std::string token = TextIn(settings, "access_token"); !token.empty())
      request.headers.push_back(absl::StrCat("Authorization: Bearer ", token));
    return request;
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    if (IsSuccess(reply)) return Delivered();
    const Json object = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    const std::string error = AnsweredText(reply.status, TextIn(object, "error"));
    if (reply.status == 400 || reply.status == 413) return Refused(error);
    if (reply.status == 410) return Gone(error);
    return RetryAsAsked(reply, error, RetryAfterOf(reply, now_us));
  }

 private:
  const KindTraits traits_ = {.id = KindId::kNtfy,
                              .field = "ntfy",
                              .inputs = {"server_url", "topic", "access_token"},
                              .proof = Proof::kCode,
                              .has_keys = false,
                              // ntfy.sh lets one in every five seconds.
                              .per_minute_max = 12};
  const EgressGuard guard_;
  const std::string origin_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeNtfyKind(const EgressGuard& guard, const KindHosts& hosts) {
  return std::make_unique<NtfyKind>(guard, hosts);
}

}  // namespace stockalert::notifier
