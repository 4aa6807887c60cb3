#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/alert_flags.h"
#include "services/tools/client/alert_page.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/explanation_page.h"
#include "services/tools/client/short_names.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace alert_v1 = ::stockalert::alert::v1;

using Names = std::vector<std::string>;

std::string LastTriggerOf(const alert_v1::Alert& alert) {
  if (!alert.has_last_trigger()) return "";
  return absl::StrCat(alert.last_trigger().price(), " at ", FormatTime(alert.last_trigger().event_time()));
}

void PrintAlerts(const CommandContext& context, const std::vector<alert_v1::Alert>& alerts) {
  Table table({"~ALERT", "SYMBOL", "~CONDITION", "STATE", "~POLICY", ">TRIGGERS", "~LAST TRIGGER", "~NOTE"});
  for (const auto& alert : alerts) {
    const std::string state = FormatState(alert.state()) + (alert.has_throttle_end_time() ? ", throttled" : "");
    table.Add({IdOf(alert.name()), Cell(alert.symbol(), Colour::kBold), FormatCondition(alert.condition()),
               Cell(state, ColourOf(alert.state())), FormatPolicy(alert), absl::StrCat(alert.trigger_count()),
               LastTriggerOf(alert), alert.note()});
  }
  context.PrintList(alerts, table, "no alerts");
}

// A moment after it is made, or changed, an alert has its place among the prices: shown before, it would be PENDING.
alert_v1::Alert Settled(CommandContext& context, alert_v1::Alert alert) {
  constexpr absl::Duration kPatience = absl::Seconds(1);
  constexpr absl::Duration kPause = absl::Milliseconds(50);
  alert_v1::GetAlertRequest request;
  request.set_name(alert.name());
  for (absl::Duration waited; alert.state() == alert_v1::Alert::STATE_PENDING && waited < kPatience; waited += kPause) {
    absl::SleepFor(kPause);
    auto now = context.Call(&Alerts::GetAlert, request);
    if (!now.ok()) break;
    alert = *std::move(now);
  }
  return alert;
}

// The full names of the destinations that are given by the beginnings of their ids.
absl::Status ResolveDestinations(CommandContext& context, alert_v1::Alert& alert) {
  if (alert.destinations().empty()) return absl::OkStatus();
  Names given;
  for (const std::string& name : alert.destinations()) given.push_back(IdOf(name));
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfDestinations(context).ResolveAll(given));
  alert.mutable_destinations()->Assign(names.begin(), names.end());
  return absl::OkStatus();
}

absl::Status Create(CommandContext& context, const AlertFlags& flags, bool validate_only) {
  alert_v1::CreateAlertRequest request;
  request.set_parent(kOwn);
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_alert(), flags.Make(absl::Now()));
  STOCKALERT_RETURN_IF_ERROR(ResolveDestinations(context, *request.mutable_alert()));
  context.flag_of = [&flags](const std::string& field) { return flags.FlagOf(field); };
  request.set_request_id(context.ids.NewUuid());
  request.set_validate_only(validate_only);
  STOCKALERT_ASSIGN_OR_RETURN(auto alert, context.Call(&Alerts::CreateAlert, request));
  if (validate_only) {
    PrintAlerts(context, {alert});
    context.Notice("nothing was created: without --validate_only it would be");
    return absl::OkStatus();
  }
  PrintAlerts(context, {Settled(context, std::move(alert))});
  return absl::OkStatus();
}

void DeclareCreate(CLI::App& alert, CommandContext& context) {
  const auto flags = std::make_shared<AlertFlags>();
  const auto validate_only = std::make_shared<bool>(false);
  CLI::App& command = context.Command(alert, "create", "set an alert", [&context, flags, validate_only] {
    return Create(context, *flags, *validate_only);
  });
  flags->Declare(command);
  command.add_flag("--validate_only", *validate_only, "check all that would be checked, and create nothing");
}

struct ChangeFlags {
  std::string alert, etag;
  AlertFlags flags;
};

absl::Status Update(CommandContext& context, const ChangeFlags& change) {
  STOCKALERT_ASSIGN_OR_RETURN(alert_v1::UpdateAlertRequest request, change.flags.MakeChange(absl::Now()));
  STOCKALERT_ASSIGN_OR_RETURN(const std::string name, ShortNames::OfAlerts(context).Resolve(change.alert));
  request.mutable_alert()->set_name(name);
  request.mutable_alert()->set_etag(change.etag);
  STOCKALERT_RETURN_IF_ERROR(ResolveDestinations(context, *request.mutable_alert()));
  context.flag_of = [&change](const std::string& field) {
    return field == "alert.etag" ? "--etag" : change.flags.FlagOf(field);
  };
  STOCKALERT_ASSIGN_OR_RETURN(auto alert, context.Call(&Alerts::UpdateAlert, request));
  PrintAlerts(context, {Settled(context, std::move(alert))});
  return absl::OkStatus();
}

void DeclareUpdate(CLI::App& alert, CommandContext& context) {
  const auto change = std::make_shared<ChangeFlags>();
  CLI::App& command =
      context.Command(alert, "update", "change an alert; but for note, expiry and delivery that begins it anew",
                      [&context, change] { return Update(context, *change); });
  command.add_option("alert", change->alert, "id or full name")->required();
  change->flags.DeclareChange(command);
  command.add_option("--etag", change->etag, "only if it has not changed since it had this etag");
}

struct ListFlags {
  std::string symbol, user;
  Names states;
  int64_t limit = 100;
};

absl::Status List(CommandContext& context, const ListFlags& flags) {
  alert_v1::ListAlertsRequest request;
  request.set_parent(flags.user.empty() ? kOwn : UserNameOf(flags.user));
  request.set_symbol(flags.symbol);
  for (const std::string& state : flags.states) {
    alert_v1::Alert::State parsed = alert_v1::Alert::STATE_UNSPECIFIED;
    if (!alert_v1::Alert::State_Parse("STATE_" + absl::AsciiStrToUpper(state), &parsed) ||
        parsed == alert_v1::Alert::STATE_UNSPECIFIED) {
      return WrongUsage("--state must be pending, active, waiting, held, paused, triggered or expired");
    }
    request.add_states(parsed);
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto alerts, context.List(&Alerts::ListAlerts, request, flags.limit,
                                                              &alert_v1::ListAlertsResponse::mutable_alerts));
  PrintAlerts(context, alerts);
  return absl::OkStatus();
}

void DeclareList(CLI::App& alert, CommandContext& context) {
  const auto flags = std::make_shared<ListFlags>();
  CLI::App& command = context.Command(alert, "list", "list your alerts, newest first",
                                      [&context, flags] { return List(context, *flags); },
                                      {{"symbol", "--symbol"}, {"states", "--state"}, {"parent", "--user"}});
  command.add_option("--symbol", flags->symbol, "only on this symbol");
  command.add_option(
      "--state", flags->states,
      "only in this state (pending, active, waiting, held, paused, triggered, expired); may be repeated");
  command.add_option("--user", flags->user, "those of this user, or of all (-); an administrator's");
  DeclareLimit(command, flags->limit);
}

// The last price of its symbol; that it is not known keeps nobody from seeing the alert.
std::optional<quote::v1::Quote> LastPriceOf(CommandContext& context, const std::string& symbol) {
  ticker::v1::GetTickerRequest request;
  request.set_name(TickerNameOf(symbol));
  const auto ticker = context.Call(&Tickers::GetTicker, request);
  if (!ticker.ok() || !ticker->has_latest_quote()) return std::nullopt;
  return ticker->latest_quote();
}

absl::Status Get(CommandContext& context, const Names& given) {
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfAlerts(context).ResolveAll(given));
  bool first = true;
  for (const std::string& name : names) {
    alert_v1::GetAlertRequest request;
    request.set_name(name);
    STOCKALERT_ASSIGN_OR_RETURN(const auto alert, context.Call(&Alerts::GetAlert, request));
    if (context.terminal.json) {
      context.terminal.PrintJson(alert);
      continue;
    }
    if (!first) context.terminal.out << '\n';
    first = false;
    PrintPage(context.terminal, PageOf(alert, LastPriceOf(context, alert.symbol())));
  }
  return absl::OkStatus();
}

absl::Status Explain(CommandContext& context, const Names& given) {
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfAlerts(context).ResolveAll(given));
  bool first = true;
  for (const std::string& name : names) {
    alert_v1::ExplainAlertRequest request;
    request.set_name(name);
    STOCKALERT_ASSIGN_OR_RETURN(const auto explanation, context.Call(&Alerts::ExplainAlert, request));
    if (context.terminal.json) {
      context.terminal.PrintJson(explanation);
      continue;
    }
    if (!first) context.terminal.out << '\n';
    first = false;
    PrintPage(context.terminal, PageOf(explanation, absl::Now()));
    const std::string picture = ExplanationPicture(context.terminal, explanation);
    if (!picture.empty()) context.terminal.out << '\n' << picture << std::flush;
  }
  return absl::OkStatus();
}

template <typename Request>
absl::Status Change(CommandContext& context, const Names& given,
                    ::grpc::Status (Alerts::*method)(::grpc::ClientContext*, const Request&, alert_v1::Alert*)) {
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfAlerts(context).ResolveAll(given));
  std::vector<alert_v1::Alert> alerts;
  absl::Status status;
  for (const std::string& name : names) {
    Request request;
    request.set_name(name);
    auto alert = context.Call(method, request);
    status = alert.status();
    if (!status.ok()) break;
    alerts.push_back(*std::move(alert));
  }
  // Those before a failure are changed, and shown so.
  if (!alerts.empty()) PrintAlerts(context, alerts);
  return status;
}

absl::Status Delete(CommandContext& context, const Names& given) {
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfAlerts(context).ResolveAll(given));
  for (const std::string& name : names) {
    alert_v1::DeleteAlertRequest request;
    request.set_name(name);
    STOCKALERT_RETURN_IF_ERROR(context.Call(&Alerts::DeleteAlert, request).status());
    context.Notice("deleted " + Clean(IdOf(name)));
  }
  return absl::OkStatus();
}

// Those that take nothing but alerts.
void DeclareOnNames(CLI::App& alert, CommandContext& context) {
  const auto names = std::make_shared<Names>();
  const auto declare = [&](const char* name, const char* description, CommandContext::Action act) {
    context.Command(alert, name, description, std::move(act), {{"name", "alerts"}})
        .add_option("alerts", *names, "ids, as much of each as tells it apart, or full names")
        ->required();
  };
  declare("get", "show all that there is to say of alerts", [&context, names] { return Get(context, *names); });
  declare("explain", "show what alerts wait for now: at which prices they trigger, and how far these are",
          [&context, names] { return Explain(context, *names); });
  declare("pause", "let alerts rest", [&context, names] { return Change(context, *names, &Alerts::PauseAlert); });
  declare("resume", "let paused alerts go on",
          [&context, names] { return Change(context, *names, &Alerts::ResumeAlert); });
  declare("rearm", "begin alerts anew, triggered ones too",
          [&context, names] { return Change(context, *names, &Alerts::RearmAlert); });
  declare("delete", "delete alerts with their history", [&context, names] { return Delete(context, *names); });
}

struct TriggerFlags {
  std::string alert;
  int64_t limit = 100;
};

std::string MarksOf(const alert_v1::Trigger& trigger) {
  return absl::StrCat(trigger.late() ? "late" : "", trigger.late() && trigger.throttled() ? ", " : "",
                      trigger.throttled() ? "throttled" : "");
}

absl::Status ListTriggers(CommandContext& context, const TriggerFlags& flags) {
  alert_v1::ListTriggersRequest request;
  request.set_parent(NameOf("-", "alerts"));
  if (!flags.alert.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::string name, ShortNames::OfAlerts(context).Resolve(flags.alert));
    request.set_parent(name);
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto triggers, context.List(&Alerts::ListTriggers, request, flags.limit,
                                                                &alert_v1::ListTriggersResponse::mutable_triggers));
  Table table({"EVENT TIME", "SYMBOL", ">PRICE", ">BEFORE", ">AGAINST", "~ALERT", ">NO", ""});
  for (const auto& trigger : triggers) {
    // users/{user}/alerts/{alert}/triggers/{number}
    const std::string alert = trigger.name().substr(0, trigger.name().rfind("/triggers/"));
    table.Add({FormatTime(trigger.event_time()), Cell(trigger.symbol(), Colour::kBold),
               Cell(trigger.price(), Colour::kCyan), trigger.price_before(), trigger.reference(), IdOf(alert),
               absl::StrCat(trigger.number()), MarksOf(trigger)});
  }
  context.PrintList(triggers, table, "no triggers");
  return absl::OkStatus();
}

void DeclareTriggers(CLI::App& app, CommandContext& context) {
  const auto flags = std::make_shared<TriggerFlags>();
  CLI::App& command =
      context.Command(app, "triggers", "list what your alerts triggered, newest first",
                      [&context, flags] { return ListTriggers(context, *flags); }, {{"parent", "alert"}});
  command.add_option("alert", flags->alert, "only of this alert");
  DeclareLimit(command, flags->limit);
}

}  // namespace

void DeclareAlerts(CLI::App& app, CommandContext& context) {
  CLI::App& alert = context.Group(app, "alert", "set and change alerts");
  DeclareCreate(alert, context);
  DeclareUpdate(alert, context);
  DeclareList(alert, context);
  DeclareOnNames(alert, context);
  DeclareTransfer(alert, context);
  DeclareTriggers(app, context);
}

}  // namespace stockalert::client
