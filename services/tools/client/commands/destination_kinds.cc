#include "services/tools/client/commands/destination_kinds.h"

#include <google/protobuf/message.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/status_macros.h"
#include "services/tools/client/secret_input.h"
#include "services/tools/client/usage.h"

namespace stockalert::client {
namespace {

namespace notification_v1 = ::stockalert::notification::v1;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using notification_v1::HttpCall;

SettingFlag WebhookUrl() {
  return {"webhook_url", "--webhook_url_file", "a file with the webhook's URL, which is a secret",
          SettingSource::kSecret,
          /*required=*/true};
}

absl::Status AddHeaders(const std::string& text, const std::string& flag, HttpCall& call) {
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(line, absl::MaxSplits(':', 1));
    HttpCall::Header& header = *call.add_headers();
    header.set_name(std::string(absl::StripAsciiWhitespace(pair.first)));
    header.set_value(std::string(absl::StripAsciiWhitespace(pair.second)));
    if (header.value().empty()) return WrongUsage(absl::StrCat(flag, ": a line is not \"Name: value\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SecretOf(const CommandContext& context, const std::string& path) {
  if (path == "-") return ReadHiddenLine(context.surroundings, "");
  auto text = ReadFile(context.surroundings, path);
  if (!text.ok()) return WrongUsage(std::string(text.status().message()));
  return std::string(absl::StripAsciiWhitespace(*text));
}

absl::StatusOr<std::string> TextOfFile(const CommandContext& context, const std::string& path) {
  auto text = ReadFile(context.surroundings, path);
  if (!text.ok()) return WrongUsage(std::string(text.status().message()));
  return text;
}

void AddLines(const std::string& text, const FieldDescriptor* field, Message& settings) {
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace()))
    settings.GetReflection()->AddString(&settings, field, std::string(absl::StripAsciiWhitespace(line)));
}

absl::Status Fill(const CommandContext& context, const SettingFlag& setting, const std::string& value,
                  Message& settings) {
  const FieldDescriptor* field = settings.GetDescriptor()->FindFieldByName(setting.field);
  const auto set = [&](const std::string& text) { settings.GetReflection()->SetString(&settings, field, text); };
  switch (setting.source) {
    case SettingSource::kText:
      set(value);
      return absl::OkStatus();
    case SettingSource::kSecret: {
      STOCKALERT_ASSIGN_OR_RETURN(const std::string secret, SecretOf(context, value));
      set(secret);
      return absl::OkStatus();
    }
    case SettingSource::kFile: {
      STOCKALERT_ASSIGN_OR_RETURN(const std::string text, TextOfFile(context, value));
      set(text);
      return absl::OkStatus();
    }
    case SettingSource::kLines: {
      STOCKALERT_ASSIGN_OR_RETURN(const std::string text, SecretOf(context, value));
      AddLines(text, field, settings);
      return absl::OkStatus();
    }
    case SettingSource::kHeadersFile: {
      STOCKALERT_ASSIGN_OR_RETURN(const std::string text, TextOfFile(context, value));
      return AddHeaders(text, setting.flag, static_cast<HttpCall&>(settings));
    }
    case SettingSource::kMethod: {
      HttpCall::Method method = HttpCall::METHOD_UNSPECIFIED;
      if (!HttpCall::Method_Parse(absl::StrCat("METHOD_", absl::AsciiStrToUpper(value)), &method))
        return WrongUsage(absl::StrCat(setting.flag, ": must be POST, PUT or PATCH"));
      static_cast<HttpCall&>(settings).set_method(method);
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<KindCommand>& KindCommands() {
  using Source = SettingSource;
  static const std::vector<KindCommand> kinds = {
      {"email", "mail them to an address", {{"address", "address", "a mail address", Source::kText, true}}},
      {"slack", "write them into a channel of Slack", {WebhookUrl()}},
      {"discord", "write them into a channel of Discord", {WebhookUrl()}},
      {"telegram",
       "send them to a chat of Telegram by a bot of yours",
       {{"bot_token", "--bot_token_file", "a file with the bot's token, which is a secret", Source::kSecret, true},
        {"chat_id", "--chat_id", "the chat's number, or @name of a public channel", Source::kText, true}}},
      {"ntfy",
       "publish them to a topic of ntfy",
       {{"topic", "--topic", "the topic", Source::kText, true},
        {"server_url", "--server_url", "the server; without it https://ntfy.sh", Source::kText, false},
        {"access_token", "--access_token_file", "a file with the token for a protected topic, which is a secret",
         Source::kSecret, false}}},
      {"pushover",
       "send them by Pushover",
       {{"app_token", "--app_token_file", "a file with your application's token, which is a secret", Source::kSecret,
         true},
        {"user_key", "--user_key_file", "a file with the key of the user or group, which is a secret", Source::kSecret,
         true},
        {"device", "--device", "the name of one device; without it all", Source::kText, false}}},
      {"teams", "write them into a channel or chat of Microsoft Teams", {WebhookUrl()}},
      {"http",
       "call any other HTTP service, as a template says; the requests are not signed",
       {{"url", "--url_file", "a file with the URL, an https one, if it holds secrets", Source::kSecret, true},
        {"url", "--url", "the URL, if it holds none", Source::kText, false},
        {"method", "--method", "POST, PUT or PATCH; without it POST", Source::kMethod, false},
        {"headers", "--headers_file", "a file with headers, a line \"Name: value\" each", Source::kHeadersFile, false},
        {"body_template", "--body_file", "a file with the body, a Mustache template; without it a webhook's",
         Source::kFile, false},
        {"content_type", "--content_type", "without it application/json", Source::kText, false}}},
      {"apprise",
       "send them to services that your operator's Apprise server knows",
       {{"urls", "--urls_file", "a file with Apprise URLs, a line each, which are secrets", Source::kLines, true}}}};
  return kinds;
}

void DeclareSettings(CLI::App& command, const KindCommand& kind, GivenSettings& given) {
  for (const SettingFlag& setting : kind.settings) {
    const bool secret = setting.source == SettingSource::kSecret || setting.source == SettingSource::kLines;
    CLI::Option* option = command.add_option(
        setting.flag, given[setting.flag],
        secret ? absl::StrCat(setting.description, "; -: a line of standard input") : setting.description);
    // A secret that is missing is asked for.
    if (setting.required && !secret) option->required();
  }
}

std::map<std::string, std::string> FlagsOf(const KindCommand& kind) {
  std::map<std::string, std::string> flags;
  for (const SettingFlag& setting : kind.settings)
    flags.emplace(absl::StrCat("destination.", kind.name, ".", setting.field), setting.flag);
  return flags;
}

absl::Status FillSettings(const CommandContext& context, const KindCommand& kind, const GivenSettings& given,
                          notification_v1::Destination& destination) {
  const FieldDescriptor* field = notification_v1::Destination::descriptor()->FindFieldByName(kind.name);
  Message& settings = *destination.GetReflection()->MutableMessage(&destination, field);
  std::map<std::string, bool> filled;
  for (const SettingFlag& setting : kind.settings) {
    const std::string& value = given.at(setting.flag);
    if (value.empty()) continue;
    if (filled[setting.field])
      return WrongUsage(absl::StrCat(setting.flag, " and another flag say the same: give one of them"));
    STOCKALERT_RETURN_IF_ERROR(Fill(context, setting, value, settings));
    filled[setting.field] = true;
  }
  for (const SettingFlag& setting : kind.settings) {
    if (!setting.required || filled[setting.field]) continue;
    const std::string secret = ReadHiddenLine(context.surroundings, absl::StrCat(kind.name, ", ", setting.field));
    if (secret.empty()) return WrongUsage(absl::StrCat("give ", setting.flag, ", or the secret on standard input"));
    const FieldDescriptor* missing = settings.GetDescriptor()->FindFieldByName(setting.field);
    if (setting.source == SettingSource::kLines) {
      AddLines(secret, missing, settings);
    } else {
      settings.GetReflection()->SetString(&settings, missing, secret);
    }
  }
  return absl::OkStatus();
}

}  // namespace stockalert::client
