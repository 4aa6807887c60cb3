#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/forwarder.h"
#include "services/tools/client/usage.h"

namespace stockalert::client {
namespace {

namespace notification_v1 = ::stockalert::notification::v1;

struct ListenFlags {
  std::string url, command, secret, cursor;
  bool from_start = false;
  int64_t count = 0;
};

constexpr char kSecretVariable[] = "STOCKALERT_WEBHOOK_SECRET";

// Random ones, with the secret of the flag or the environment in the place of their own.
absl::StatusOr<webhook::Keys> KeysOf(CommandContext& context, const ListenFlags& flags) {
  const webhook::Keys keys = webhook::NewKeys(context.ids);
  const std::string secret =
      flags.secret.empty() ? context.surroundings.environment(kSecretVariable).value_or("") : flags.secret;
  if (secret.empty()) return keys;
  return OfFlag("--secret", webhook::ParseKeys(absl::StrCat(secret, " ", webhook::PrivateKeyText(keys))));
}

void PrintBegin(const CommandContext& context, const Forwarder& forwarder, const ListenFlags& flags) {
  const std::string secret = webhook::SecretText(forwarder.keys());
  const std::string public_key = webhook::PublicKeyText(forwarder.keys());
  if (context.terminal.json) {
    context.terminal.out << nlohmann::ordered_json{{"secret", secret}, {"publicKey", public_key}}.dump() << '\n'
                         << std::flush;
    return;
  }
  if (!flags.url.empty()) {
    context.Notice("secret, for v1:       " + context.terminal.Paint(secret, Colour::kBold));
    context.Notice("public key, for v1a:  " + public_key);
  }
  context.Notice("your notifications are sent there as they come, until interrupted");
}

void PrintForwarded(const Terminal& terminal, const Forwarded& one) {
  if (terminal.json) {
    nlohmann::ordered_json line = {{"webhookId", one.webhook_id}, {"type", one.type}};
    if (one.http_status) line["httpStatus"] = *one.http_status;
    if (one.exit_code) line["exitCode"] = *one.exit_code;
    if (!one.error.empty()) line["error"] = one.error;
    terminal.out << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
    return;
  }
  const Colour colour = one.error.empty() ? Colour::kGreen : Colour::kRed;
  const std::string taken = one.http_status ? absl::StrCat(*one.http_status) : "done";
  terminal.out << terminal.Paint(Clean(one.error.empty() ? taken : one.error), colour) << "  " << Clean(one.type)
               << "  " << terminal.Paint(Clean(one.webhook_id), Colour::kDim) << '\n'
               << std::flush;
}

absl::Status Listen(CommandContext& context, const ListenFlags& flags) {
  if (flags.url.empty() && flags.command.empty()) return WrongUsage("give --forward_to, --exec, or both");
  if (!flags.url.empty() && !absl::StartsWith(flags.url, "http://") && !absl::StartsWith(flags.url, "https://")) {
    return WrongUsage("--forward_to: must begin with http:// or https://");
  }
  STOCKALERT_ASSIGN_OR_RETURN(webhook::Keys keys, KeysOf(context, flags));
  Forwarder forwarder(std::move(keys), flags.url, flags.command);
  PrintBegin(context, forwarder, flags);
  notification_v1::WatchNotificationsRequest request;
  request.set_cursor(flags.cursor);
  request.set_from_start(flags.from_start);
  int64_t forwarded = 0;
  return FollowNotifications(context, request, [&](const notification_v1::Notification& notification) {
    PrintForwarded(context.terminal, forwarder.Forward(notification));
    return ++forwarded == flags.count;
  });
}

}  // namespace

void DeclareListen(CLI::App& app, CommandContext& context) {
  const auto flags = std::make_shared<ListenFlags>();
  CLI::App& command = context.Command(
      app, "listen", "send your notifications to a program on this machine, as webhooks, until interrupted",
      [&context, flags] { return Listen(context, *flags); }, {{"cursor", "--cursor"}, {"from_start", "--from_start"}});
  command.add_option("--forward_to,--forward-to", flags->url, "POST each to this URL, signed as webhooks are");
  command.add_option("--exec", flags->command, "run this for each, with the webhook's body on its standard input");
  command.add_option("--secret", flags->secret,
                     "sign with this (whsec_...) instead of a new one; better in STOCKALERT_WEBHOOK_SECRET");
  CLI::Option* from_start = command.add_flag("--from_start", flags->from_start, "begin with your oldest one");
  command.add_option("--cursor", flags->cursor, "go on behind this one")->excludes(from_start);
  DeclareCount(command, flags->count);
}

}  // namespace stockalert::client
