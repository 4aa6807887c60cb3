#include "services/notifier/delivery/kinds/pushover_kind.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/domain/message/notification_text.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/settings_check.h"
#include "services/notifier/delivery/kinds/text_fit.h"
#include "services/notifier/delivery/retry_schedule.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr size_t kMessageMax = 1024;
constexpr size_t kTitleMax = 250;
constexpr size_t kKeyLength = 30;
constexpr size_t kDeviceMax = 25;
constexpr absl::Duration kPauseAfterError = absl::Seconds(5);

// Of an application or a user.
bool IsKey(std::string_view text) {
  return text.size() == kKeyLength && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c));
         });
}

bool IsDevice(std::string_view text) {
  return text.size() <= kDeviceMax && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
         });
}

// What the answer says is wrong, in a line.
std::string ErrorsIn(const Json& object) {
  std::string errors;
  if (!object.is_object()) return errors;
  const auto found = object.find("errors");
  if (found == object.end() || !found->is_array()) return errors;
  for (const Json& one : *found) {
    if (one.is_string()) absl::StrAppend(&errors, errors.empty() ? "" : "; ", one.get_ref<const std::string&>());
  }
  return errors;
}

// Until when the application may send nothing more.
std::optional<absl::Duration> QuotaPause(const ServiceReply& reply, int64_t now_us) {
  const auto header = reply.headers.find("x-limit-app-reset");
  int64_t reset_s = 0;
  if (header == reply.headers.end() || !absl::SimpleAtoi(header->second, &reset_s)) return RetryAfterOf(reply, now_us);
  return std::clamp<absl::Duration>(absl::FromUnixSeconds(reset_s) - absl::FromUnixMicros(now_us), absl::ZeroDuration(),
                                    kRetryAfterMax);
}

class PushoverKind final : public DestinationKind {
 public:
  PushoverKind(const EgressGuard& guard, const KindHosts& hosts) : guard_(guard), origin_(hosts.pushover) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    SettingsCheck check(traits_.field, asked);
    const std::string token = check.Text("app_token");
    const std::string user = check.Text("user_key");
    const std::string device = check.Text("device");
    if (check.Require("app_token")) check.Check(IsKey(token), "app_token", "must have 30 letters and digits");
    if (check.Require("user_key")) check.Check(IsKey(user), "user_key", "must have 30 letters and digits");
    check.Check(IsDevice(device), "device", "must have at most 25 of [A-Za-z0-9_-]");
    const std::optional<DestinationUrl> url = check.ParseUrl("app_token", origin_, guard_);
    STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
    std::string address = "Pushover";
    if (!device.empty()) absl::StrAppend(&address, " ", device);
    return CheckedSettings{.settings = Json{{"app_token", token}, {"user_key", user}, {"device", device}}.dump(),
                           .shown = Json{{"device", device}}.dump(),
                           .address = address,
                           .target = user,
                           .host = HostOf(*url),
                           .spacing = absl::Milliseconds(500)};
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    const Json settings = Json::parse(parcel.settings, nullptr, /*allow_exceptions=*/false);
    if (!settings.is_object()) return absl::DataLossError("no settings of Pushover");
    const message::NotificationText text = message::TextOf(parcel.notice);
    const std::string message = message::PlainText(text);
    std::string body = absl::StrCat("token=", EncodeForForm(TextIn(settings, "app_token")),
                                    "&user=", EncodeForForm(TextIn(settings, "user_key")),
                                    "&title=", EncodeForForm(FitText(text.title, kTitleMax, TextUnit::kUtf16)),
                                    "&message=", EncodeForForm(FitText(message, kMessageMax, TextUnit::kUtf16)),
                                    "&priority=", parcel.notice.critical ? 1 : 0);
    if (const std::string device = TextIn(settings, "device"); !device.empty())
      absl::StrAppend(&body, "&device=", EncodeForForm(device));
    return OutgoingHttp{.url = absl::StrCat(origin_, "/1/messages.json"),
                        .headers = {"Content-Type: application/x-www-form-urlencoded"},
                        .body = std::move(body)};
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    const Json object = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    const auto status = object.find("status");
    const bool has_status = status != object.end();
    if (IsSuccess(reply) && has_status && *status == 1) return Delivered();
    const std::string error = AnsweredText(reply.status, ErrorsIn(object));
    if (reply.status == 429) return Retry(error, QuotaPause(reply, now_us));
    if (TextIn(object, "token") == "invalid" || TextIn(object, "user") == "invalid") return Gone(error);
    if ((reply.status >= 400 && reply.status <= 499) || (IsSuccess(reply) && has_status)) return Refused(error);
    return Retry(
        error, std::max<absl::Duration>(kPauseAfterError, RetryAfterOf(reply, now_us).value_or(absl::ZeroDuration())));
  }

 private:
  const KindTraits traits_ = {
      .id = KindId::kPushover, .field = "pushover", .inputs = {"app_token", "user_key", "device"}};
  const EgressGuard guard_;
  const std::string origin_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakePushoverKind(const EgressGuard& guard, const KindHosts& hosts) {
  return std::make_unique<PushoverKind>(guard, hosts);
}

}  // namespace stockalert::notifier
