#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/alert_page.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/commands/destination_kinds.h"
#include "services/tools/client/delivery_page.h"
#include "services/tools/client/short_names.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace notification_v1 = ::stockalert::notification::v1;

using notification_v1::Delivery;
using notification_v1::Destination;

constexpr absl::Duration kPause = absl::Milliseconds(100);

struct DestinationFlags {
  std::string destination, url, display_name, etag, code;
  std::optional<std::string> title_template, text_template;
  bool not_default = false, is_default = false;
  int per_minute = 0;  // 0: not given.
  int64_t wait_s = 10;
};

std::string Unverified(const Destination& destination, const std::string& why) {
  return absl::StrCat(
      "not verified yet: ", why.empty() ? "no answer so far" : why,
      "; nothing else is sent to it until then. The verification is repeated for three days; `stockalert "
      "destination verify ",
      IdOf(destination.name()), "` repeats it now");
}

// The destination's newest verification; without a name where there is none.
absl::StatusOr<Delivery> VerificationOf(CommandContext& context, const std::string& destination) {
  notification_v1::ListDeliveriesRequest request;
  request.set_parent(kOwn);
  request.set_destination(destination);
  STOCKALERT_ASSIGN_OR_RETURN(const auto newest,
                              context.List(&Destinations::ListDeliveries, request, 10,
                                           &notification_v1::ListDeliveriesResponse::mutable_deliveries,
                                           /*tells_of_more=*/false));
  for (const Delivery& delivery : newest) {
    if (delivery.kind() == Delivery::KIND_VERIFICATION) return delivery;
  }
  return Delivery();
}

// A receiver that is there verifies itself at once: waits for that, or for what it answered instead. Says on stderr
// what is wrong where it is not verified.
absl::StatusOr<Destination> Verified(CommandContext& context, Destination destination, int64_t wait_s) {
  notification_v1::GetDestinationRequest request;
  request.set_name(destination.name());
  std::string why;
  for (absl::Duration waited; destination.state() == Destination::STATE_UNVERIFIED; waited += kPause) {
    STOCKALERT_ASSIGN_OR_RETURN(const Delivery verification, VerificationOf(context, destination.name()));
    STOCKALERT_ASSIGN_OR_RETURN(destination, context.Call(&Destinations::GetDestination, request));
    if (destination.state() != Destination::STATE_UNVERIFIED) break;
    why = verification.last_error();
    if (!why.empty() || waited >= absl::Seconds(wait_s)) {
      context.terminal.Warn(Unverified(destination, why));
      break;
    }
    absl::SleepFor(kPause);
  }
  return destination;
}

void PrintSecrets(const CommandContext& context, const Destination& destination, const std::string& secret) {
  if (!secret.empty()) {
    context.Notice("secret, shown only once, for v1:  " + context.terminal.Paint(Clean(secret), Colour::kBold));
  }
  context.Notice("public key, for v1a:              " + Clean(destination.webhook().public_key()));
}

void Print(const CommandContext& context, const Destination& destination) {
  if (context.terminal.json) {
    context.terminal.PrintJson(destination);
  } else {
    PrintPage(context.terminal, PageOf(destination));
  }
}

absl::Status CreateWebhook(CommandContext& context, const DestinationFlags& flags) {
  notification_v1::CreateDestinationRequest request;
  request.set_parent(kOwn);
  request.set_request_id(context.ids.NewUuid());
  request.mutable_destination()->set_display_name(flags.display_name);
  request.mutable_destination()->set_is_default(!flags.not_default);
  if (flags.per_minute > 0) request.mutable_destination()->set_notifications_per_minute_max(flags.per_minute);
  request.mutable_destination()->mutable_webhook()->set_url(flags.url);
  STOCKALERT_ASSIGN_OR_RETURN(auto response, context.Call(&Destinations::CreateDestination, request));
  // The secret is shown this once, whatever comes of the rest.
  if (!context.terminal.json) {
    context.Notice("destination " + context.terminal.Paint(Clean(IdOf(response.destination().name())), Colour::kBold));
    PrintSecrets(context, response.destination(), response.secret());
  }
  const auto verified = Verified(context, response.destination(), flags.wait_s);
  if (verified.ok()) *response.mutable_destination() = *verified;
  if (context.terminal.json) context.terminal.PrintJson(response);
  STOCKALERT_RETURN_IF_ERROR(verified.status());
  const Cell state = StateOf(*verified);
  context.Notice(context.terminal.Paint(state.text, state.colour));
  return absl::OkStatus();
}

// Kinds other than webhooks are sent a code: waits until that was delivered, and says what is to be done with it.
absl::Status TellOfCode(CommandContext& context, const Destination& destination, int64_t wait_s) {
  Delivery verification;
  for (absl::Duration waited;; waited += kPause) {
    STOCKALERT_ASSIGN_OR_RETURN(verification, VerificationOf(context, destination.name()));
    const bool is_over = verification.state() != Delivery::STATE_QUEUED || !verification.last_error().empty();
    if (is_over || waited >= absl::Seconds(wait_s)) break;
    absl::SleepFor(kPause);
  }
  if (verification.state() != Delivery::STATE_SUCCEEDED) {
    context.terminal.Warn(
        absl::StrCat("the code was not delivered yet: ",
                     verification.last_error().empty() ? "no answer so far" : verification.last_error(),
                     "; `stockalert destination verify ", IdOf(destination.name()), "` sends another"));
    return absl::OkStatus();
  }
  context.Notice("a code was sent there, valid for 30 minutes: `stockalert destination verify " +
                 Clean(IdOf(destination.name())) + " --code CODE` verifies it");
  return absl::OkStatus();
}

void FillTemplate(const DestinationFlags& flags, Destination& destination) {
  if (flags.title_template) destination.mutable_template_()->set_title(*flags.title_template);
  if (flags.text_template) destination.mutable_template_()->set_text(*flags.text_template);
}

absl::Status CreateOfKind(CommandContext& context, const KindCommand& kind, const GivenSettings& given,
                          const DestinationFlags& flags) {
  notification_v1::CreateDestinationRequest request;
  request.set_parent(kOwn);
  request.set_request_id(context.ids.NewUuid());
  request.mutable_destination()->set_display_name(flags.display_name);
  request.mutable_destination()->set_is_default(!flags.not_default);
  if (flags.per_minute > 0) request.mutable_destination()->set_notifications_per_minute_max(flags.per_minute);
  FillTemplate(flags, *request.mutable_destination());
  STOCKALERT_RETURN_IF_ERROR(FillSettings(context, kind, given, *request.mutable_destination()));
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Destinations::CreateDestination, request));
  if (context.terminal.json) context.terminal.PrintJson(response);
  context.Notice("destination " + context.terminal.Paint(Clean(IdOf(response.destination().name())), Colour::kBold));
  if (response.destination().state() == Destination::STATE_ACTIVE) {
    context.Notice("it is your own verified address, so it needs no code");
    return absl::OkStatus();
  }
  return TellOfCode(context, response.destination(), flags.wait_s);
}

void DeclarePerMinute(CLI::App& command, DestinationFlags& flags) {
  command
      .add_option("--per_minute", flags.per_minute,
                  "how many notifications it gets one by one within a minute; the rest comes as a digest")
      ->check(CLI::Range(1, 60'000));
}

void DeclareTemplate(CLI::App& command, DestinationFlags& flags) {
  command.add_option("--title_template", flags.title_template,
                     "your wording of the title or subject, a Mustache template: \"{{symbol}} {{price}}\"");
  command.add_option("--text_template", flags.text_template, "your wording of the text, likewise");
}

// What every kind has.
void DeclareCommon(CLI::App& command, DestinationFlags& flags) {
  command.add_option("--name", flags.display_name, "what you know it by");
  command.add_flag("--not_default,--not-default", flags.not_default,
                   "it does not get the notifications of alerts that name no destination");
  DeclarePerMinute(command, flags);
  command.add_option("--wait_s", flags.wait_s, "how long to wait for the verification")
      ->check(CLI::Range(0, 600))
      ->capture_default_str();
}

void DeclareKind(CLI::App& create, CommandContext& context, const KindCommand& kind) {
  const auto flags = std::make_shared<DestinationFlags>();
  const auto given = std::make_shared<GivenSettings>();
  std::map<std::string, std::string> flag_of = FlagsOf(kind);
  flag_of["destination.display_name"] = "--name";
  flag_of["destination.is_default"] = "--not_default";
  flag_of["destination.notifications_per_minute_max"] = "--per_minute";
  flag_of["destination.template.title"] = "--title_template";
  flag_of["destination.template.text"] = "--text_template";
  CLI::App& command = context.Command(
      create, kind.name, kind.description,
      [&context, &kind, flags, given] { return CreateOfKind(context, kind, *given, *flags); }, flag_of);
  DeclareSettings(command, kind, *given);
  if (kind.name != "http") DeclareTemplate(command, *flags);
  DeclareCommon(command, *flags);
}

void DeclareCreate(CLI::App& destinations, CommandContext& context) {
  CLI::App& create = context.Group(destinations, "create", "create a destination for your notifications");
  const auto flags = std::make_shared<DestinationFlags>();
  CLI::App& webhook =
      context.Command(create, "webhook",
                      "have them POSTed to a program, signed; prints the secret, once, and waits for the verification",
                      [&context, flags] { return CreateWebhook(context, *flags); },
                      {{"destination.webhook.url", "--url"},
                       {"destination.display_name", "--name"},
                       {"destination.is_default", "--not_default"},
                       {"destination.notifications_per_minute_max", "--per_minute"}});
  webhook.add_option("--url", flags->url, "an https URL")->required();
  DeclareCommon(webhook, *flags);
  for (const KindCommand& kind : KindCommands()) DeclareKind(create, context, kind);
}

absl::Status ListThem(CommandContext& context) {
  notification_v1::ListDestinationsRequest request;
  request.set_parent(kOwn);
  STOCKALERT_ASSIGN_OR_RETURN(const auto destinations,
                              context.List(&Destinations::ListDestinations, request, 0,
                                           &notification_v1::ListDestinationsResponse::mutable_destinations));
  Table table({"~DESTINATION", "KIND", "~NAME", "~ADDRESS", "~STATE", "DEFAULT", "LAST SUCCESS"});
  for (const Destination& destination : destinations) {
    table.Add({IdOf(destination.name()), KindOf(destination), destination.display_name(), AddressOf(destination),
               StateOf(destination), destination.is_default() ? "yes" : "no",
               FormatTime(destination.last_success_time())});
  }
  context.PrintList(destinations, table, "no destinations: `stockalert destination create webhook` creates one");
  return absl::OkStatus();
}

absl::Status Get(CommandContext& context, const DestinationFlags& flags) {
  notification_v1::GetDestinationRequest request;
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_name(), ShortNames::OfDestinations(context).Resolve(flags.destination));
  STOCKALERT_ASSIGN_OR_RETURN(const Destination destination, context.Call(&Destinations::GetDestination, request));
  Print(context, destination);
  return absl::OkStatus();
}

absl::Status Update(CommandContext& context, const DestinationFlags& flags) {
  notification_v1::UpdateDestinationRequest request;
  Destination& destination = *request.mutable_destination();
  if (!flags.display_name.empty()) {
    destination.set_display_name(flags.display_name);
    request.mutable_update_mask()->add_paths("display_name");
  }
  if (flags.is_default || flags.not_default) {
    destination.set_is_default(flags.is_default);
    request.mutable_update_mask()->add_paths("is_default");
  }
  if (!flags.url.empty()) {
    destination.mutable_webhook()->set_url(flags.url);
    request.mutable_update_mask()->add_paths("webhook.url");
  }
  if (flags.per_minute > 0) {
    destination.set_notifications_per_minute_max(flags.per_minute);
    request.mutable_update_mask()->add_paths("notifications_per_minute_max");
  }
  FillTemplate(flags, destination);
  if (flags.title_template) request.mutable_update_mask()->add_paths("template.title");
  if (flags.text_template) request.mutable_update_mask()->add_paths("template.text");
  if (request.update_mask().paths().empty()) {
    return WrongUsage(
        "give what is to change: --url, --name, --default, --not_default, --per_minute, --title_template or "
        "--text_template");
  }
  STOCKALERT_ASSIGN_OR_RETURN(const std::string name, ShortNames::OfDestinations(context).Resolve(flags.destination));
  destination.set_name(name);
  destination.set_etag(flags.etag);
  STOCKALERT_ASSIGN_OR_RETURN(auto updated, context.Call(&Destinations::UpdateDestination, request));
  if (!flags.url.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(updated, Verified(context, std::move(updated), flags.wait_s));
  }
  Print(context, updated);
  return absl::OkStatus();
}

absl::Status Delete(CommandContext& context, const DestinationFlags& flags) {
  notification_v1::DeleteDestinationRequest request;
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_name(), ShortNames::OfDestinations(context).Resolve(flags.destination));
  request.set_etag(flags.etag);
  STOCKALERT_RETURN_IF_ERROR(context.Call(&Destinations::DeleteDestination, request).status());
  context.Notice("deleted " + Clean(IdOf(request.name())) + "; its queued deliveries are cancelled");
  return absl::OkStatus();
}

absl::Status Verify(CommandContext& context, const DestinationFlags& flags) {
  notification_v1::VerifyDestinationRequest request;
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_name(), ShortNames::OfDestinations(context).Resolve(flags.destination));
  request.set_code(flags.code);
  STOCKALERT_ASSIGN_OR_RETURN(auto destination, context.Call(&Destinations::VerifyDestination, request));
  if (!destination.has_webhook() && flags.code.empty()) return TellOfCode(context, destination, flags.wait_s);
  STOCKALERT_ASSIGN_OR_RETURN(destination, Verified(context, std::move(destination), flags.wait_s));
  Print(context, destination);
  return absl::OkStatus();
}

absl::Status SendTest(CommandContext& context, const DestinationFlags& flags) {
  notification_v1::SendTestNotificationRequest request;
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_name(), ShortNames::OfDestinations(context).Resolve(flags.destination));
  STOCKALERT_ASSIGN_OR_RETURN(Delivery delivery, context.Call(&Destinations::SendTestNotification, request));
  notification_v1::GetDeliveryRequest again;
  again.set_name(delivery.name());
  for (absl::Duration waited; delivery.state() == Delivery::STATE_QUEUED && delivery.attempts().empty() &&
                              waited < absl::Seconds(flags.wait_s);
       waited += kPause) {
    absl::SleepFor(kPause);
    STOCKALERT_ASSIGN_OR_RETURN(delivery, context.Call(&Destinations::GetDelivery, again));
  }
  PrintDelivery(context, delivery);
  return absl::OkStatus();
}

absl::Status Rotate(CommandContext& context, const DestinationFlags& flags) {
  notification_v1::RotateDestinationSecretRequest request;
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_name(), ShortNames::OfDestinations(context).Resolve(flags.destination));
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Destinations::RotateDestinationSecret, request));
  if (context.terminal.json) context.terminal.PrintJson(response);
  PrintSecrets(context, response.destination(), response.secret());
  context.Notice("messages are also signed with the old ones until " +
                 FormatTime(response.destination().webhook().previous_secret_expire_time()));
  return absl::OkStatus();
}

// What most commands have: the destination, by its id.
CLI::App& DeclareOne(CLI::App& destinations, CommandContext& context, const std::string& name,
                     const std::string& description, absl::Status (*act)(CommandContext&, const DestinationFlags&),
                     const std::shared_ptr<DestinationFlags>& flags, std::map<std::string, std::string> flag_of = {}) {
  flag_of["name"] = flag_of["destination.name"] = "destination";
  CLI::App& command = context.Command(
      destinations, name, description, [&context, flags, act] { return act(context, *flags); }, flag_of);
  command.add_option("destination", flags->destination, "its id, as much of it as tells it apart, or full name")
      ->required();
  return command;
}

void DeclareWait(CLI::App& command, DestinationFlags& flags) {
  command.add_option("--wait_s", flags.wait_s, "how long to wait for the outcome")
      ->check(CLI::Range(0, 600))
      ->capture_default_str();
}

void DeclareUpdate(CLI::App& destinations, CommandContext& context) {
  const auto flags = std::make_shared<DestinationFlags>();
  CLI::App& update =
      DeclareOne(destinations, context, "update", "change it; a new URL must be verified again", Update, flags,
                 {{"destination.webhook.url", "--url"},
                  {"destination.display_name", "--name"},
                  {"destination.is_default", "--default"},
                  {"destination.notifications_per_minute_max", "--per_minute"},
                  {"destination.template.title", "--title_template"},
                  {"destination.template.text", "--text_template"},
                  {"destination.etag", "--etag"}});
  DeclareTemplate(update, *flags);
  update.add_option("--url", flags->url, "an https URL");
  update.add_option("--name", flags->display_name, "what you know it by");
  CLI::Option* is_default =
      update.add_flag("--default", flags->is_default, "it gets the notifications of alerts that name no destination");
  update.add_flag("--not_default,--not-default", flags->not_default, "it does not")->excludes(is_default);
  DeclarePerMinute(update, *flags);
  update.add_option("--etag", flags->etag, "only if it has not changed since it had this etag");
  DeclareWait(update, *flags);
}

}  // namespace

void DeclareDestinations(CLI::App& app, CommandContext& context) {
  CLI::App& destinations = context.Group(app, "destination", "manage where your notifications are sent");
  DeclareCreate(destinations, context);
  context.Command(destinations, "list", "list your destinations, oldest first",
                  [&context] { return ListThem(context); });
  const auto flags = std::make_shared<DestinationFlags>();
  DeclareOne(destinations, context, "get", "show it in full", Get, flags);
  DeclareUpdate(destinations, context);
  DeclareOne(destinations, context, "delete", "delete it; its deliveries can still be read", Delete, flags,
             {{"etag", "--etag"}})
      .add_option("--etag", flags->etag, "only if it has not changed since it had this etag");
  DeclareWait(DeclareOne(destinations, context, "test", "send it a test notification", SendTest, flags), *flags);
  CLI::App& verify = DeclareOne(destinations, context, "verify", "verify it; reactivates a disabled one", Verify, flags,
                                {{"code", "--code"}});
  verify.add_option("--code", flags->code, "the code that it was sent; without it, it is verified anew");
  DeclareWait(verify, *flags);
  DeclareOne(destinations, context, "rotate", "give it new secrets; prints them, once", Rotate, flags);
}

}  // namespace stockalert::client
