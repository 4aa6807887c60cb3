#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/alert_page.h"
#include "services/tools/client/attempt_picture.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/delivery_page.h"
#include "services/tools/client/short_names.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace notification_v1 = ::stockalert::notification::v1;

using notification_v1::Delivery;
using Names = std::vector<std::string>;

// Each takes ten thousand.
constexpr int kCallsMax = 1'000;

struct DeliveryFlags {
  std::string destination, notification, state, since;
  Names deliveries;
  int64_t limit = 100;
};

absl::Status List(CommandContext& context, const DeliveryFlags& flags) {
  notification_v1::ListDeliveriesRequest request;
  request.set_parent(kOwn);
  if (!flags.destination.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_destination(),
                                ShortNames::OfDestinations(context).Resolve(flags.destination));
  }
  if (!flags.notification.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_notification(),
                                ShortNames::OfNotifications(context).Resolve(flags.notification));
  }
  if (!flags.state.empty()) {
    Delivery::State state = Delivery::STATE_UNSPECIFIED;
    if (!Delivery::State_Parse("STATE_" + absl::AsciiStrToUpper(flags.state), &state)) {
      return WrongUsage("--state: there is no state " + flags.state);
    }
    request.set_state(state);
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto deliveries,
                              context.List(&Destinations::ListDeliveries, request, flags.limit,
                                           &notification_v1::ListDeliveriesResponse::mutable_deliveries));
  Table table({"QUEUED", "OF", "STATE", ">ATTEMPTS", "NEXT ATTEMPT", "~LAST ERROR", "~DESTINATION", "~DELIVERY"});
  for (const Delivery& delivery : deliveries) {
    table.Add({FormatTime(delivery.create_time()), KindOf(delivery), StateOf(delivery),
               absl::StrCat(delivery.attempt_count()), FormatTime(delivery.next_attempt_time()), delivery.last_error(),
               IdOf(delivery.destination()), IdOf(delivery.name())});
  }
  context.PrintList(deliveries, table, "no deliveries");
  return absl::OkStatus();
}

void DeclareList(CLI::App& deliveries, CommandContext& context) {
  const auto flags = std::make_shared<DeliveryFlags>();
  CLI::App& list = context.Command(
      deliveries, "list", "list deliveries, newest first", [&context, flags] { return List(context, *flags); },
      {{"destination", "--destination"}, {"notification", "--notification"}, {"state", "--state"}});
  list.add_option("--destination", flags->destination, "only deliveries to it; a deleted one by its whole id");
  list.add_option("--notification", flags->notification, "only deliveries of it");
  list.add_option("--state", flags->state, "only those in this state")
      ->check(CLI::IsMember({"queued", "succeeded", "failed", "cancelled", "held", "digested"}, CLI::ignore_case));
  DeclareLimit(list, flags->limit);
}

absl::Status Get(CommandContext& context, const DeliveryFlags& flags) {
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfDeliveries(context).ResolveAll(flags.deliveries));
  for (const std::string& name : names) {
    notification_v1::GetDeliveryRequest request;
    request.set_name(name);
    STOCKALERT_ASSIGN_OR_RETURN(const Delivery delivery, context.Call(&Destinations::GetDelivery, request));
    if (&name != &names.front()) context.Notice("");
    PrintDelivery(context, delivery);
  }
  return absl::OkStatus();
}

// All that failed, in as many calls as it takes.
absl::Status ReplayAll(CommandContext& context, const DeliveryFlags& flags) {
  notification_v1::ReplayDeliveriesRequest request;
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_since_time(), OfFlag("--since", ParseTime(flags.since, absl::Now())));
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_name(), ShortNames::OfDestinations(context).Resolve(flags.destination));
  int64_t replayed = 0;
  for (int calls = 0; calls < kCallsMax; ++calls) {
    STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Destinations::ReplayDeliveries, request));
    if (context.terminal.json) context.terminal.PrintJson(response);
    if (response.replayed_count() == 0) break;
    replayed += response.replayed_count();
  }
  context.Notice(absl::StrCat(replayed, " queued again"));
  return absl::OkStatus();
}

absl::Status Replay(CommandContext& context, const DeliveryFlags& flags) {
  if (flags.deliveries.empty() != !flags.destination.empty()) {
    return WrongUsage("name deliveries, or give --destination and --since");
  }
  if (!flags.destination.empty()) return ReplayAll(context, flags);
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfDeliveries(context).ResolveAll(flags.deliveries));
  for (const std::string& name : names) {
    notification_v1::ReplayDeliveryRequest request;
    request.set_name(name);
    STOCKALERT_ASSIGN_OR_RETURN(const Delivery delivery, context.Call(&Destinations::ReplayDelivery, request));
    if (context.terminal.json) context.terminal.PrintJson(delivery);
    context.Notice("queued again: " + Clean(IdOf(delivery.name())));
  }
  return absl::OkStatus();
}

void DeclareReplay(CLI::App& deliveries, CommandContext& context) {
  const auto flags = std::make_shared<DeliveryFlags>();
  CLI::App& replay = context.Command(deliveries, "replay", "deliver again, at once, with the same webhook-id",
                                     [&context, flags] { return Replay(context, *flags); },
                                     {{"name", "deliveries or --destination"}, {"since_time", "--since"}});
  CLI::Option* names =
      replay.add_option("deliveries", flags->deliveries, "ids, as much of each as tells it apart, or full names");
  CLI::Option* destination =
      replay.add_option("--destination", flags->destination, "instead: all FAILED ones to it")->excludes(names);
  CLI::Option* since = replay.add_option("--since", flags->since, "only those first queued since this time (RFC 3339)");
  since->needs(destination);
  destination->needs(since);
}

absl::Status Cancel(CommandContext& context, const DeliveryFlags& flags) {
  notification_v1::CancelDeliveriesRequest request;
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_name(), ShortNames::OfDestinations(context).Resolve(flags.destination));
  int64_t cancelled = 0;
  for (int calls = 0; calls < kCallsMax; ++calls) {
    STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Destinations::CancelDeliveries, request));
    if (context.terminal.json) context.terminal.PrintJson(response);
    if (response.cancelled_count() == 0) break;
    cancelled += response.cancelled_count();
  }
  context.Notice(absl::StrCat(cancelled, " cancelled; an attempt in progress may still arrive"));
  return absl::OkStatus();
}

}  // namespace

void PrintDelivery(const CommandContext& context, const Delivery& delivery) {
  if (context.terminal.json) {
    context.terminal.PrintJson(delivery);
    return;
  }
  PrintPage(context.terminal, PageOf(delivery));
  if (delivery.attempts().empty()) return;
  context.terminal.out << '\n';
  AttemptsOf(delivery).Print(context.terminal);
  context.terminal.out << '\n' << AttemptPicture(context.terminal, delivery) << std::flush;
}

void DeclareDeliveries(CLI::App& app, CommandContext& context) {
  CLI::App& deliveries = context.Group(app, "deliveries", "see the outcome of each delivery");
  DeclareList(deliveries, context);
  const auto flags = std::make_shared<DeliveryFlags>();
  context
      .Command(deliveries, "get", "show deliveries with their attempts",
               [&context, flags] { return Get(context, *flags); }, {{"name", "deliveries"}})
      .add_option("deliveries", flags->deliveries, "ids, as much of each as tells it apart, or full names")
      ->required();
  DeclareReplay(deliveries, context);
  context
      .Command(deliveries, "cancel", "cancel the queued deliveries of a destination",
               [&context, flags] { return Cancel(context, *flags); }, {{"name", "destination"}})
      .add_option("destination", flags->destination, "its id, as much of it as tells it apart, or full name")
      ->required();
}

}  // namespace stockalert::client
