#include "services/tools/client/client.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "services/common/version/version.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/connection.h"
#include "services/tools/client/context.h"
#include "services/tools/client/usage.h"

namespace stockalert::client {
namespace {

constexpr const char* kAddresses[] = {"user_address", "ticker_address", "alert_address", "notifier_address"};

// The flags of every command.
struct Everywhere {
  std::map<std::string, std::string> given;  // By the names of settings; empty: not given.
  std::string server;
  bool json = false;
  int64_t timeout_s = 15;
};

void DeclareEverywhere(CLI::App& app, Everywhere& flags) {
  constexpr char kGroup[] = "Everywhere";
  app.add_flag("--json", flags.json, "print lines of JSON for scripts")->group(kGroup);
  app.add_option("--server", flags.server, "the mesh's host; the services' own ports are taken")->group(kGroup);
  for (const char* name : kAddresses) {
    app.add_option(absl::StrCat("--", name), flags.given[name], "host:port; also STOCKALERT_... and the settings file")
        ->group(kGroup);
  }
  app.add_option("--profile", flags.given["profile"],
                 "the part [PROFILE] of the settings file, which `login` and `register` write")
      ->group(kGroup);
  app.add_option("--api_key", flags.given["api_key"],
                 "your key; better in STOCKALERT_API_KEY or ~/.config/stockalert/config")
      ->group(kGroup);
  app.add_option(
         "--ca_file", flags.given["ca_file"],
         "speak TLS, and trust the authorities in this PEM file; without it the system's, and plaintext on loopback")
      ->group(kGroup);
  app.add_flag("--plaintext", flags.given["plaintext"], "never speak TLS; --plaintext=false: always, on loopback too")
      ->group(kGroup);
  app.add_option("--timeout_s", flags.timeout_s, "how long a call may take")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str()
      ->group(kGroup);
}

void DeclareCommands(CLI::App& app, CommandContext& context) {
  DeclareUsers(app, context);
  DeclareAccount(app, context);
  DeclareAlerts(app, context);
  DeclareNotifications(app, context);
  DeclareDestinations(app, context);
  DeclareDeliveries(app, context);
  DeclareListen(app, context);
  DeclareReceive(app, context);
  DeclareQuotes(app, context);
  DeclareBars(app, context);
  DeclareTickers(app, context);
  DeclareAdministration(app, context);
  DeclareCompletion(app, context);
}

// Makes the connection that the flags, the environment and the settings file ask for.
absl::Status Connect(CommandContext& context, Everywhere& flags, bool may_make_profile) {
  if (!flags.server.empty()) {
    int port = 50051;
    for (const char* name : kAddresses) {
      if (flags.given[name].empty()) flags.given[name] = absl::StrCat(flags.server, ":", port);
      ++port;
    }
  }
  STOCKALERT_ASSIGN_OR_RETURN(const ClientSettings settings,
                              ResolveSettings(flags.given, context.surroundings.environment, may_make_profile));
  STOCKALERT_ASSIGN_OR_RETURN(auto tls, TlsOf(settings));
  context.given = flags.given;
  context.connection = std::make_unique<MeshConnection>(settings, std::move(tls), absl::Seconds(flags.timeout_s));
  return absl::OkStatus();
}

void SetUp(Terminal& terminal, const Surroundings& surroundings, bool json) {
  const auto no_colour = surroundings.environment("NO_COLOR");
  terminal.json = json;
  terminal.columns = surroundings.columns;
  terminal.colours = surroundings.is_terminal && !json && (!no_colour || no_colour->empty());
}

// Of a line that cannot be parsed.
bool WantsJson(const std::vector<std::string>& args) {
  return std::find(args.begin(), std::find(args.begin(), args.end(), "--"), "--json") !=
         std::find(args.begin(), args.end(), "--");
}

// A line without a command asks what there is; yet it does nothing, and a script that forgot the command must not take
// that for success.
int Refuse(const CLI::App& app, const std::vector<std::string>& args, const CLI::ParseError& error,
           const Terminal& terminal) {
  if (!terminal.json && NamesNoCommand(app, args, error)) {
    terminal.err << app.help() << std::flush;
  } else {
    PrintFailure(terminal, DiagnoseUsage(app, args, error));
  }
  return kWrongUsage;
}

}  // namespace

int RunClient(const std::vector<std::string>& args, const Surroundings& surroundings) {
  CLI::App app("Alerts on stock prices: register, follow tickers, set alerts, and be notified", "stockalert");
  app.require_subcommand(1);
  app.set_version_flag("--version", "stockalert " + version::Text());
  Everywhere flags;
  CommandContext context(surroundings);
  DeclareEverywhere(app, flags);
  DeclareCommands(app, context);
  std::vector<std::string> reversed(args.rbegin(), args.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::Success& wish) {
    return app.exit(wish, surroundings.out, surroundings.err);  // --help, --version.
  } catch (const CLI::ParseError& error) {
    SetUp(context.terminal, surroundings, WantsJson(args));
    return Refuse(app, args, error, context.terminal);
  }
  SetUp(context.terminal, surroundings, flags.json);
  const bool may_make_profile = app.got_subcommand("login") || app.got_subcommand("register");
  if (const absl::Status status = Connect(context, flags, may_make_profile); !status.ok()) {
    PrintFailure(context.terminal, status);
    return kWrongUsage;
  }
  const absl::Status status = context.action();
  if (!status.ok()) PrintFailure(context.terminal, status, context.flag_of);
  return ExitCodeOf(status);
}

}  // namespace stockalert::client
