#include "services/notifier/delivery/kinds/telegram_kind.h"

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

constexpr size_t kTextMax = 4096;
constexpr size_t kTitleMax = 256;
constexpr size_t kFieldMax = 256;

bool AllOf(std::string_view text, bool (*is_one)(unsigned char)) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return is_one(static_cast<unsigned char>(c)); });
}

bool IsDigit(unsigned char c) { return absl::ascii_isdigit(c); }
bool IsTokenCharacter(unsigned char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; }
bool IsNameCharacter(unsigned char c) { return absl::ascii_isalnum(c) || c == '_'; }

// "123456:ABC-DEF…"
bool IsBotToken(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view id = text.substr(0, colon);
  const std::string_view secret = text.substr(colon + 1);
  return !id.empty() && id.size() <= 20 && AllOf(id, &IsDigit) && secret.size() >= 20 && secret.size() <= 100 &&
         AllOf(secret, &IsTokenCharacter);
}

bool IsChatId(std::string_view text) {
  if (text.starts_with("@")) return text.size() >= 5 && text.size() <= 33 && AllOf(text.substr(1), &IsNameCharacter);
  if (text.starts_with("-")) text.remove_prefix(1);
  return !text.empty() && text.size() <= 18 && AllOf(text, &IsDigit);
}

// Groups and channels, whose limit is lower.
bool IsGroup(std::string_view chat_id) { return chat_id.starts_with("-") || chat_id.starts_with("@"); }

std::string Html(const message::NotificationText& text) {
  const std::string title = FitText(text.title, kTitleMax, TextUnit::kUtf16, &BreakMention);
  std::string below = text.text;
  for (const message::TextField& field : text.fields) {
    absl::StrAppend(&below, "\n", FitText(absl::StrCat(field.name, ": ", field.value), kFieldMax, TextUnit::kUtf16));
  }
  // Entities are counted as what they stand for.
  below = FitText(below, kTextMax - kTitleMax - 1, TextUnit::kUtf16, &BreakMention);
  return absl::StrCat("<b>", EscapeAll(title, &EscapeMarkup), "</b>\n", EscapeAll(below, &EscapeMarkup));
}

class TelegramKind final : public DestinationKind {
 public:
  TelegramKind(const EgressGuard& guard, const KindHosts& hosts) : guard_(guard), origin_(hosts.telegram) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    SettingsCheck check(traits_.field, asked);
    const std::string token = check.Text("bot_token");
    const std::string chat_id = check.Text("chat_id");
    if (check.Require("bot_token")) {
      check.Check(IsBotToken(token), "bot_token", "must be a token as BotFather gives it, \"123456:ABC…\"");
    }
    if (check.Require("chat_id"))
      check.Check(IsChatId(chat_id), "chat_id", "must be a chat's number, or @name of a public channel");
    const std::optional<DestinationUrl> url = check.ParseUrl("bot_token", origin_, guard_);
    STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
    return CheckedSettings{.settings = Json{{"bot_token", token}, {"chat_id", chat_id}}.dump(),
                           .shown = Json{{"chat_id", chat_id}}.dump(),
                           .address = absl::StrCat("Telegram ", chat_id),
                           .target = absl::AsciiStrToLower(chat_id),
                           .host = HostOf(*url),
                           .spacing = IsGroup(chat_id) ? absl::Seconds(3) : absl::Seconds(1)};
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    const Json settings = Json::parse(parcel.settings, nullptr, /*allow_exceptions=*/false);
    if (!settings.is_object()) return absl::DataLossError("no settings of Telegram");
    const Json body = {{"chat_id", TextIn(settings, "chat_id")},
                       {"text", Html(message::TextOf(parcel.notice))},
                       {"parse_mode", "HTML"},
                       {"link_preview_options", {{"is_disabled", true}}}};
    return OutgoingHttp{.url = absl::StrCat(origin_, "/bot", TextIn(settings, "bot_token"), "/sendMessage"),
                        .headers = {"Content-Type: application/json"},
                        .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    const Json object = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    const auto ok = object.find("ok");
    if (IsSuccess(reply) && ok != object.end() && *ok == true) return Delivered();
    const std::string said = TextIn(object, "description");
    const std::string error = AnsweredText(reply.status, said);
    const Json parameters = object.is_object() ? object.value("parameters", Json::object()) : Json::object();
    if (const auto to = parameters.find("migrate_to_chat_id"); to != parameters.end() && to->is_number_integer()) {
      return Gone(absl::StrCat(error, ": the group has become a supergroup: set chat_id to ", to->get<int64_t>()));
    }
    // The bot is blocked or was removed, or its token is not valid any more.
    if (reply.status == 401 || reply.status == 403 || reply.status == 404) return Gone(error);
    if (reply.status == 400) return absl::StrContains(said, "chat not found") ? Gone(error) : Refused(error);
    std::optional<absl::Duration> retry_after = RetryAfterOf(reply, now_us);
    if (const auto seconds = parameters.find("retry_after"); seconds != parameters.end() && seconds->is_number())
      retry_after = SecondsOf(seconds->get<double>());
    return RetryAsAsked(reply, error, retry_after);
  }

 private:
  const KindTraits traits_ = {.id = KindId::kTelegram, .field = "telegram", .inputs = {"bot_token", "chat_id"}};
  const EgressGuard guard_;
  const std::string origin_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeTelegramKind(const EgressGuard& guard, const KindHosts& hosts) {
  return std::make_unique<TelegramKind>(guard, hosts);
}

}  // namespace stockalert::notifier
