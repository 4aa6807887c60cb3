#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/webhook_receiver.h"

namespace stockalert::client {
namespace {

constexpr absl::Duration kForEver = absl::Hours(24 * 365);

struct ReceiveFlags {
  std::string address = "127.0.0.1:3000";
  std::string secret;
  int64_t count = 0;
  int64_t wait_s = 0;
};

// The secret of the flag or the environment; the other pair of keys is one that nobody has.
absl::StatusOr<webhook::Keys> KeysOf(CommandContext& context, const ReceiveFlags& flags) {
  const std::string secret =
      flags.secret.empty() ? context.surroundings.environment("STOCKALERT_WEBHOOK_SECRET").value_or("") : flags.secret;
  if (secret.empty()) {
    return WrongUsage(
        "set STOCKALERT_WEBHOOK_SECRET to the destination's secret (`destination create` and `rotate` print it)");
  }
  const webhook::Keys random = webhook::NewKeys(context.ids);
  return OfFlag("--secret", webhook::ParseKeys(absl::StrCat(secret, " ", webhook::PrivateKeyText(random))));
}

void PrintReceived(const Terminal& terminal, const ReceivedWebhook& message) {
  if (terminal.json) {
    const nlohmann::ordered_json line = {{"webhookId", message.webhook_id},
                                         {"type", message.type},
                                         {"message", nlohmann::ordered_json::parse(message.body)}};
    terminal.out << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
    return;
  }
  terminal.out << Clean(message.type) << "  " << terminal.Paint(Clean(message.title), Colour::kBold) << "  "
               << terminal.Paint(Clean(message.webhook_id), Colour::kDim) << '\n'
               << std::flush;
}

absl::Status Receive(CommandContext& context, const ReceiveFlags& flags) {
  STOCKALERT_ASSIGN_OR_RETURN(webhook::Keys keys, KeysOf(context, flags));
  STOCKALERT_ASSIGN_OR_RETURN(const std::unique_ptr<WebhookReceiver> receiver,
                              WebhookReceiver::Start(flags.address, std::move(keys)));
  context.Notice(absl::StrCat("webhooks that arrive at port ", receiver->port(), " are shown until interrupted"));
  const absl::Time deadline = flags.wait_s == 0 ? absl::Now() + kForEver : absl::Now() + absl::Seconds(flags.wait_s);
  for (int64_t received = 0; flags.count == 0 || received < flags.count; ++received) {
    const std::optional<ReceivedWebhook> message = receiver->Take(deadline);
    if (!message) {
      return absl::DeadlineExceededError(absl::StrCat(received, " webhooks arrived within ", flags.wait_s, " s, and ",
                                                      receiver->refused(),
                                                      " that were not signed with this secret or were too old"));
    }
    PrintReceived(context.terminal, *message);
  }
  return absl::OkStatus();
}

}  // namespace

void DeclareReceive(CLI::App& app, CommandContext& context) {
  const auto flags = std::make_shared<ReceiveFlags>();
  CLI::App& command =
      context.Command(app, "receive", "show the webhooks that a destination of yours is sent, to try one out",
                      [&context, flags] { return Receive(context, *flags); });
  command.add_option("--address", flags->address, "where to listen; outside of this machine, put TLS before it");
  command.add_option("--secret", flags->secret, "the destination's (whsec_...); better in STOCKALERT_WEBHOOK_SECRET");
  command.add_option("--wait_s", flags->wait_s, "give up after this many seconds; 0: never")
      ->check(CLI::Range(0, 86'400));
  DeclareCount(command, flags->count);
}

}  // namespace stockalert::client
