#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "services/tools/client/alert_flags.h"
#include "services/tools/client/explanation_page.h"
#include "services/tools/client/settings.h"
#include "services/tools/client/terminal.h"
#include "services/tools/client/usage.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

using Args = std::vector<std::string>;

struct Mesh {
  FakeMesh mesh;
  Home home;
  Mesh() {
    home.Use(mesh);
    home.variables["STOCKALERT_API_KEY"] = kKey;
  }
  Ran Run(const Args& args, const std::string& in_text = "") { return home.Run(args, in_text); }
};

bool Says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// --- Every call has a command

TEST_CASE("every public call of the protos is made by a command") {
  const std::string alert = "users/1/alerts/a3", destination = "users/1/destinations/d1";
  const std::string service = "stockalert.notification.v1.DestinationService.";
  const std::map<std::string, Args> commands = {
      {"stockalert.user.v1.UserService.RegisterUser", {"register", "--email", "a@b.c", "--name", "A", "--no_save"}},
      {"stockalert.user.v1.UserService.GetUser", {"whoami"}},
      {"stockalert.user.v1.UserService.UpdateUser", {"profile", "update", "--name", "B"}},
      {"stockalert.user.v1.UserService.DeleteUser", {"profile", "delete", "--yes"}},
      {"stockalert.user.v1.UserService.ListUsers", {"admin", "users"}},
      {"stockalert.user.v1.UserService.SendEmailVerification", {"profile", "verify"}},
      {"stockalert.user.v1.UserService.VerifyEmail", {"profile", "verify", "CODE"}},
      {"stockalert.user.v1.UserService.CreateInvitation", {"admin", "invite", "--note", "Ada"}},
      {"stockalert.user.v1.UserService.CreateApiKey", {"keys", "create", "--read_only", "--expires", "+1d"}},
      {"stockalert.user.v1.UserService.ListApiKeys", {"keys", "list"}},
      {"stockalert.user.v1.UserService.RevokeApiKey", {"keys", "revoke", "users/1/apiKeys/k"}},
      {"stockalert.user.v1.UserService.FollowTicker", {"follow", "AAPL"}},
      {"stockalert.user.v1.UserService.UnfollowTicker", {"unfollow", "AAPL"}},
      {"stockalert.user.v1.UserService.ListFollowedTickers", {"followed"}},
      {"stockalert.ticker.v1.TickerService.RegisterTicker", {"ticker", "register", "AAPL"}},
      {"stockalert.ticker.v1.TickerService.BatchRegisterTickers", {"ticker", "register", "AAPL", "MSFT"}},
      {"stockalert.ticker.v1.TickerService.GetTicker", {"ticker", "get", "AAPL"}},
      {"stockalert.ticker.v1.TickerService.ListTickers", {"ticker", "list"}},
      {"stockalert.ticker.v1.TickerService.DeleteTicker", {"ticker", "delete", "AAPL"}},
      {"stockalert.ticker.v1.TickerService.GetQuote", {"quotes", "get", "AAPL"}},
      {"stockalert.ticker.v1.TickerService.BatchGetQuotes", {"quotes", "get", "AAPL", "MSFT"}},
      {"stockalert.ticker.v1.TickerService.PublishQuotes", {"quotes", "publish", "AAPL", "150"}},
      {"stockalert.ticker.v1.TickerService.WatchQuotes", {"quotes", "watch", "AAPL", "--count", "1"}},
      {"stockalert.ticker.v1.TickerService.ListBars", {"bars", "AAPL", "--since", "2h"}},
      {"stockalert.ticker.v1.TickerService.DeclareSplit",
       {"ticker", "split", "AAPL", "4", "1", "--effective_time", "2026-06-08T13:30:00Z"}},
      {"stockalert.ticker.v1.TickerService.ListSplits", {"ticker", "splits", "AAPL"}},
      {"stockalert.ticker.v1.TickerService.HoldSymbol", {"ticker", "hold", "AAPL"}},
      {"stockalert.ticker.v1.TickerService.DismissSplit", {"ticker", "dismiss", "AAPL"}},
      {"stockalert.alert.v1.AlertService.CreateAlert", {"alert", "create", "AAPL", "--up", "5"}},
      {"stockalert.alert.v1.AlertService.BatchCreateAlerts", {"alert", "import", "-", "--format", "csv"}},
      {"stockalert.alert.v1.AlertService.GetAlert", {"alert", "get", alert}},
      {"stockalert.alert.v1.AlertService.UpdateAlert", {"alert", "update", alert, "--note", "n"}},
      {"stockalert.alert.v1.AlertService.DeleteAlert", {"alert", "delete", alert}},
      {"stockalert.alert.v1.AlertService.ListAlerts", {"alert", "list"}},
      {"stockalert.alert.v1.AlertService.ExplainAlert", {"alert", "explain", alert}},
      {"stockalert.alert.v1.AlertService.PauseAlert", {"alert", "pause", alert}},
      {"stockalert.alert.v1.AlertService.ResumeAlert", {"alert", "resume", alert}},
      {"stockalert.alert.v1.AlertService.RearmAlert", {"alert", "rearm", alert}},
      {"stockalert.alert.v1.AlertService.ListTriggers", {"triggers"}},
      {"stockalert.alert.v1.AlertService.ResyncAlerts", {"admin", "resync"}},
      {"stockalert.notification.v1.NotificationService.ListNotifications", {"notifications", "list"}},
      {"stockalert.notification.v1.NotificationService.WatchNotifications", {"notifications", "watch", "--count", "1"}},
      {"stockalert.notification.v1.NotificationService.AcknowledgeNotification",
       {"notifications", "ack", "users/1/notifications/n"}},
      {"stockalert.notification.v1.NotificationService.GetNotificationSettings", {"notifications", "settings", "show"}},
      {"stockalert.notification.v1.NotificationService.UpdateNotificationSettings",
       {"notifications", "settings", "update", "--time_zone", "UTC"}},
      {service + "CreateDestination", {"destination", "create", "webhook", "--url", "https://hooks.example.com/1"}},
      {service + "GetDestination", {"destination", "get", destination}},
      {service + "ListDestinations", {"destination", "list"}},
      {service + "UpdateDestination", {"destination", "update", destination, "--name", "desk"}},
      {service + "DeleteDestination", {"destination", "delete", destination}},
      {service + "VerifyDestination", {"destination", "verify", destination}},
      {service + "SendTestNotification", {"destination", "test", destination}},
      {service + "RotateDestinationSecret", {"destination", "rotate", destination}},
      {service + "ListDeliveries", {"deliveries", "list"}},
      {service + "GetDelivery", {"deliveries", "get", "users/1/deliveries/v"}},
      {service + "ReplayDelivery", {"deliveries", "replay", "users/1/deliveries/v"}},
      {service + "ReplayDeliveries",
       {"deliveries", "replay", "--destination", destination, "--since", "2026-11-23T00:00:00Z"}},
      {service + "CancelDeliveries", {"deliveries", "cancel", destination}},
  };
  for (const auto* file :
       {user_v1::User::descriptor()->file(), ticker_v1::Ticker::descriptor()->file(),
        alert_v1::Alert::descriptor()->file(), notification_v1::Notification::descriptor()->file(),
        notification_v1::Destination::descriptor()->file(), quote::v1::Quote::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const std::string method = file->service(s)->method(m)->full_name();
        CAPTURE(method);
        const auto command = commands.find(method);
        REQUIRE(command != commands.end());
        Mesh mesh;
        const Ran ran = mesh.Run(command->second, "symbol,up\nAAPL,5\n");
        CAPTURE(ran.err);
        CHECK(ran.code != 2);
        CHECK(mesh.mesh.WasCalled(method));
      }
    }
  }
}

// --- Errors

TEST_CASE("an unknown command or flag is answered with the nearest") {
  Mesh mesh;
  const std::vector<std::pair<Args, const char*>> table = {
      {{"alrt"}, "there is no command stockalert alrt: did you mean alert?"},
      {{"alert", "crate", "AAPL"}, "there is no command stockalert alert crate: did you mean create?"},
      {{"--timeout_s", "5", "folow", "AAPL"}, "did you mean follow?"},
      {{"alert", "create", "AAPL", "--at-or-above", "5"},
       "stockalert alert create has no flag --at-or-above: did you mean --at_or_above?"},
      {{"alert", "list", "--limt=5"}, "did you mean --limit?"},
      {{"alert", "list", "--jsn"}, "did you mean --json?"},
  };
  for (const auto& [args, text] : table) {
    CAPTURE(text);
    const Ran ran = mesh.Run(args);
    CHECK(ran.code == 2);
    CHECK(Says(ran.err, text));
  }
  CHECK_FALSE(Says(mesh.Run({"zzzzzzz"}).err, "did you mean"));
  CHECK(Says(mesh.Run({"alert", "list", "extra"}).err, "extra"));
  CHECK(DistanceBetween("", "abc") == 3);
  CHECK(DistanceBetween("create", "craete") == 1);
  CHECK(DistanceBetween("kitten", "sitting") == 3);
}

TEST_CASE("without a command there is help, and no success") {
  Mesh mesh;
  for (const Args& args : {Args{}, Args{"alert"}, Args{"--timeout_s", "5"}}) {
    const Ran ran = mesh.Run(args);
    CHECK(ran.code == 2);
    CHECK(ran.out.empty());
    CHECK(Says(ran.err, "Subcommands:"));
  }
  CHECK(Says(mesh.Run({"alert"}).err, "rearm"));
  CHECK(Says(mesh.Run({"--timeout_s", "soon"}).err, "--timeout_s"));
}

TEST_CASE("with --json every error is a line of JSON") {
  Mesh mesh;
  const std::vector<std::pair<Args, int>> table = {
      {{"--json"}, 2},
      {{"alrt", "--json"}, 2},
      {{"--json", "alert", "create", "AAPL"}, 2},
      {{"--json", "alert", "create", "AAPL", "--policy", "never"}, 2},
      {{"--json", "alert", "create", "AAPL", "--up", "5", "--window", "soon"}, 2},
      {{"--json", "--user_address", "nowhere", "whoami"}, 2},
      {{"--json", "alert", "get", "zz"}, 4},
      {{"--json", "alert", "create", "AAPL", "--at_or_above=-1"}, 5},
      {{"--json", "--api_key", "wrong", "whoami"}, 3},
  };
  for (const auto& [args, code] : table) {
    CAPTURE(args);
    const Ran ran = mesh.Run(args);
    CHECK(ran.code == code);
    CHECK(ran.out.empty());
    REQUIRE(std::count(ran.err.begin(), ran.err.end(), '\n') == 1);
    const auto error = nlohmann::json::parse(ran.err).at("error");
    CHECK_FALSE(error.at("message").get<std::string>().empty());
    CHECK_FALSE(error.at("code").get<std::string>().empty());
  }
  CHECK(nlohmann::json::parse(mesh.Run({"alrt", "--json"}).err)["error"]["suggestion"] == "alert");
  // What is only worth a word, too.
  CHECK(nlohmann::json::parse(mesh.Run({"alert", "list", "--limit", "2", "--json"}).err).contains("warning"));
}

TEST_CASE("what is refused is told by the name of its flag") {
  Mesh mesh;
  mesh.Run({"quotes", "publish", "--stdin"}, "AAPL 1\n");
  const Ran time = mesh.Run({"quotes", "publish", "--stdin"}, "AAPL 1\n\nMSFT 2 soon\n");
  CHECK(time.code == 2);
  CHECK(Says(time.err, "line 3: \"soon\" is no time"));
  AlertFlags flags;
  flags.falls_from_high = "5%";
  const std::vector<std::pair<const char*, const char*>> table = {
      {"alert.condition.trailing_change.percent", "--falls_from_high"},
      {"alert.condition.trailing_change.activation_price", "--activation"},
      {"alert.condition", "--falls_from_high"},
      {"alert.symbol", "symbol"},
      {"alert.expire_time", "--expires"},
      {"alert.elsewhere", ""},
  };
  for (const auto& [field, flag] : table) {
    CAPTURE(field);
    CHECK(flags.FlagOf(field) == flag);
  }
}

// --- Flags that contradict each other

TEST_CASE("flags that contradict each other are refused by their names") {
  Mesh mesh;
  const std::vector<std::pair<Args, std::vector<std::string>>> table = {
      {{"--up", "5", "--from", "previous_close", "--window", "5m"}, {"--from previous_close", "--window"}},
      {{"--up", "5", "--from", "arming", "--given", "100"}, {"--from arming", "--given"}},
      {{"--up", "5", "--from", "window", "--given", "100"}, {"--from window", "--given"}},
      {{"--up", "5", "--from", "given"}, {"--from given", "--given"}},
      {{"--up", "5", "--from", "window"}, {"--from window", "--window"}},
      {{"--up", "5", "--given", "100", "--window", "5m"}, {"--given", "--window"}},
      {{"--at_or_above", "5", "--from", "day_open"}, {"--from", "--up"}},
      {{"--at_or_above", "5", "--cooldown", "1h"}, {"--cooldown", "--policy repeat"}},
      {{"--at_or_above", "5", "--cooldown", "1h", "--policy", "once_a_day"}, {"--cooldown", "--policy once_a_day"}},
      {{"--up", "5", "--hysteresis", "1"}, {"--hysteresis", "--up"}},
      {{"--falls_from_high", "5", "--hysteresis", "1"}, {"--hysteresis", "--falls_from_high"}},
      {{"--at_or_above", "5", "--at_or_below", "3"}, {"--at_or_above", "--at_or_below"}},
      {{"--at_or_above", "5", "--activation", "3"}, {"--activation", "--falls_from_high"}},
      {{"--at_or_above", "5", "--destination", "d1", "--no_delivery"}, {"--destination", "--no_delivery"}},
  };
  for (const auto& [flags, named] : table) {
    CAPTURE(flags);
    Args args = {"alert", "create", "AAPL"};
    args.insert(args.end(), flags.begin(), flags.end());
    const Ran ran = mesh.Run(args);
    CHECK(ran.code == 2);
    for (const std::string& name : named) {
      CAPTURE(name, ran.err);
      CHECK(Says(ran.err, name));
    }
  }
  for (const Args& args : {Args{"register", "--email", "a", "--name", "b", "--save", "--no_save"},
                           Args{"notifications", "watch", "--from_start", "--cursor", "x"},
                           Args{"alert", "create", "AAPL", "--up", "5", "--no_delivery", "--default_delivery"},
                           Args{"quotes", "publish", "AAPL", "1", "--stdin"}}) {
    CAPTURE(args);
    const Ran ran = mesh.Run(args);
    CHECK(ran.code == 2);
    CHECK(Says(ran.err, "excludes"));
  }
  CHECK_FALSE(mesh.mesh.WasCalled("stockalert.alert.v1.AlertService.CreateAlert"));
}

// --- Alerts

TEST_CASE("an update changes what its flags name") {
  Mesh mesh;
  const auto change = [&](Args flags) {
    flags.insert(flags.begin(), {"alert", "update", "users/1/alerts/a3"});
    const Ran ran = mesh.Run(flags);
    CAPTURE(ran.err);
    REQUIRE(ran.code == 0);
    return mesh.mesh.changes().back();
  };
  const auto paths = [](const alert_v1::UpdateAlertRequest& request) {
    return std::vector<std::string>(request.update_mask().paths().begin(), request.update_mask().paths().end());
  };
  CHECK(paths(change({"--note", ""})) == std::vector<std::string>{"note"});
  const auto condition = change({"--at_or_above", "210", "--etag", "e"});
  CHECK(paths(condition) == std::vector<std::string>{"condition"});
  CHECK(condition.alert().condition().price_target().price() == "210");
  CHECK(condition.alert().etag() == "e");
  // Only what repeats has a cooldown.
  CHECK(paths(change({"--policy", "once"})) == std::vector<std::string>{"trigger_policy", "cooldown"});
  const auto never = change({"--expires", "never"});
  CHECK(paths(never) == std::vector<std::string>{"expire_time"});
  CHECK_FALSE(never.alert().has_expire_time());
  // Destinations by as much of their ids as tells them apart.
  const auto named = change({"--destination", "E2", "--destination", "d", "--critical"});
  CHECK(paths(named) == std::vector<std::string>{"delivery", "destinations", "critical"});
  CHECK(named.alert().delivery() == alert_v1::Alert::DELIVERY_NAMED);
  CHECK(std::vector<std::string>(named.alert().destinations().begin(), named.alert().destinations().end()) ==
        std::vector<std::string>{"users/1/destinations/e2", "users/1/destinations/d1"});
  CHECK(named.alert().critical());
  const auto quiet = change({"--no_delivery", "--not_critical"});
  CHECK(paths(quiet) == std::vector<std::string>{"delivery", "destinations", "critical"});
  CHECK(quiet.alert().delivery() == alert_v1::Alert::DELIVERY_NONE);
  CHECK_FALSE(quiet.alert().critical());
  CHECK(change({"--default_delivery"}).alert().delivery() == alert_v1::Alert::DELIVERY_DEFAULTS);
  CHECK(mesh.Run({"alert", "update", "users/1/alerts/a3"}).code == 2);
}

TEST_CASE("as much of an id as tells it apart is enough") {
  Mesh mesh;
  CHECK(Says(mesh.Run({"alert", "pause", "A3", "--json"}).out, "users/1/alerts/a3"));
  const Ran ambiguous = mesh.Run({"alert", "pause", "a"});
  CHECK(ambiguous.code == 2);
  CHECK(Says(ambiguous.err, "a0 a1 a2 a3 a4"));
  const Ran none = mesh.Run({"alert", "pause", "b"});
  CHECK(none.code == 4);
  CHECK(Says(none.err, "begins with b"));
}

TEST_CASE("a new alert is shown when it has its place") {
  Mesh mesh;
  const Ran ran = mesh.Run({"alert", "create", "AAPL", "--at_or_above", "200"});
  CHECK(Says(ran.out, "ACTIVE"));
  CHECK_FALSE(Says(ran.out, "PENDING"));
}

TEST_CASE("an alert's page says why it waits, and what the price is") {
  Mesh mesh;
  const Ran ran = mesh.Run({"alert", "get", "a3"});
  CHECK(ran.code == 0);
  for (const char* part :
       {"up 5% from the previous close", "WAITING: no price of AAPL has brought the date's previous close yet", "149.5",
        "wait for cross", "extended", "never", "revision 3, not in force yet: 2 is", "repeat"}) {
    CAPTURE(part, ran.out);
    CHECK(Says(ran.out, part));
  }
}

TEST_CASE("an alert is explained with a line of prices") {
  Mesh mesh;
  const Ran ran = mesh.Run({"alert", "explain", "users/1/alerts/a3"});
  CHECK(ran.code == 0);
  for (const char* part :
       {"READY", "at or above 105 (+3, +2.9412%)", "measured from", "partition 7, read up to offset 42",
        "◆ measured from 100\n● last price 102\n▲ triggers at or above 105 (+3, +2.9412%)\n"}) {
    CAPTURE(part, ran.out);
    CHECK(Says(ran.out, part));
  }
  CHECK_FALSE(Says(ran.out, "\x1b["));  // It is no terminal.
  const Ran json = mesh.Run({"--json", "alert", "explain", "users/1/alerts/a3"});
  CHECK(nlohmann::json::parse(json.out)["sides"][0]["triggerRanges"][0]["low"] == "105");
}

TEST_CASE("the line of prices is to scale, heavy where a price triggers, and coloured on a terminal alone") {
  std::ostringstream out, err;
  Terminal terminal{out, err};
  terminal.columns = 25;
  alert_v1::AlertExplanation explanation;
  CHECK(ExplanationPicture(terminal, explanation).empty());
  explanation.mutable_last_price()->set_price("105");
  auto& side = *explanation.add_sides();
  side.set_reference("100");
  side.add_trigger_ranges()->set_low("110");
  CHECK(ExplanationPicture(terminal, explanation) ==
        "──◆─────────●─────────▲━━\n"
        "◆ measured from 100\n"
        "● last price 105\n"
        "▲ triggers at or above 110\n");
  terminal.colours = true;
  CHECK(Says(ExplanationPicture(terminal, explanation), "\x1b["));
  // One price alone.
  explanation.clear_sides();
  terminal.colours = false;
  CHECK(Says(ExplanationPicture(terminal, explanation), "● last price 105"));
}

TEST_CASE("an alert that is only validated is shown, and said not to be there") {
  Mesh mesh;
  const Ran ran = mesh.Run({"alert", "create", "AAPL", "--up", "5", "--validate_only"});
  CHECK(ran.code == 0);
  CHECK(Says(ran.out, "AAPL"));
  CHECK(Says(ran.out + ran.err, "nothing was created"));
  CHECK(mesh.mesh.created_count() == 0);
}

// --- Terminals

TEST_CASE("tables fit the terminal") {
  std::ostringstream out, err;
  Terminal terminal{out, err};
  terminal.columns = 30;
  Table table({"SYMBOL", ">PRICE", "~NOTE"});
  table.Add({"AAPL", "150.25", "a note that is very long, ü too"});
  table.Print(terminal);
  CHECK(out.str() ==
        "SYMBOL   PRICE  NOTE\n"
        "AAPL    150.25  a note that i…\n");
  CHECK(Cut("über", 4) == "über");
  CHECK(Cut("überall", 4) == "übe…");
  Mesh mesh;
  const Ran narrow = mesh.home.Run({"alert", "list"}, "", false, 70);
  std::istringstream lines(narrow.out);
  for (std::string line; std::getline(lines, line);) CHECK(WidthOf(line) <= 70);
}

// What bash completes after `typed`, the last word of which is begun.
std::string Completed(const std::string& script, const std::string& typed) {
  const std::string command = "bash -c 'source " + script + "; read -ra COMP_WORDS <<<\"" + typed +
                              "|\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
                              "COMP_WORDS[COMP_CWORD]=${COMP_WORDS[COMP_CWORD]%|}; "
                              "_stockalert; echo \"${COMPREPLY[*]}\"'";
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string answer;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) answer += static_cast<char>(c);
  CHECK(pclose(pipe) == 0);
  return answer;
}

TEST_CASE("bash completes commands, flags and their values") {
  Mesh mesh;
  const Ran ran = mesh.Run({"completion", "bash"});
  REQUIRE(ran.code == 0);
  const std::string script = mesh.home.path + "/completion";
  std::ofstream(script) << ran.out;
  CHECK(Completed(script, "stockalert al") == "alert\n");
  CHECK(Completed(script, "stockalert --json alert cr") == "create\n");
  CHECK(Completed(script, "stockalert alert create --at_or_a") == "--at_or_above\n");
  CHECK(Completed(script, "stockalert alert create --policy on") == "once once_a_day\n");
  CHECK(Completed(script, "stockalert alert list --tim") == "--timeout_s\n");
  CHECK(Completed(script, "stockalert alert list --server al") == "\n");
  CHECK(Completed(script, "stockalert completion z") == "zsh\n");
  CHECK(Says(mesh.Run({"completion", "zsh"}).out, "#compdef stockalert"));
  CHECK(mesh.Run({"completion", "fish"}).code == 2);
}

// --- Profiles

TEST_CASE("a profile keeps a key with its mesh") {
  FakeMesh mesh;
  Home home;
  const std::string address = mesh.address();
  const Args at = {"--user_address",  address, "--ticker_address",   address,
                   "--alert_address", address, "--notifier_address", address};
  Args login = {"--profile", "work", "login"};
  login.insert(login.end(), at.begin(), at.end());
  CHECK(home.Run({"--profile", "work", "whoami"}).code == 2);
  CHECK(home.Run(login, "wrong\n").code == 3);
  CHECK_FALSE(std::filesystem::exists(home.file()));
  const Ran ran = home.Run(login, std::string(kKey) + "\n");
  CAPTURE(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(Says(ran.out, "profile work"));
  struct stat info{};
  REQUIRE(stat(home.file().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  // The profile's key goes to the profile's mesh, whatever the environment says.
  home.variables["STOCKALERT_API_KEY"] = "other";
  home.variables["STOCKALERT_USER_ADDRESS"] = "127.0.0.1:1";
  CHECK(home.Run({"--profile", "work", "whoami"}).code == 0);
  home.variables.erase("STOCKALERT_API_KEY");
  home.variables.erase("STOCKALERT_USER_ADDRESS");
  home.variables["STOCKALERT_PROFILE"] = "work";
  CHECK(home.Run({"whoami"}).code == 0);
  CHECK(home.Run({"--profile", "a b", "whoami"}).code == 2);
}

TEST_CASE("a profile's lines are replaced in their place") {
  Home home;
  const std::string path = home.path + "/config";
  std::ofstream(path) << "# mine\napi_key = a\n[work]\napi_key = b\nca_file = /x\n\n[play]\napi_key = c\n";
  chmod(path.c_str(), 0600);
  REQUIRE(SaveSettings(path, "work", {{"api_key", "B"}}).ok());
  REQUIRE(SaveSettings(path, "", {{"api_key", "A"}}).ok());
  REQUIRE(SaveSettings(path, "new", {{"api_key", "D"}}).ok());
  const auto profiles = ReadSettingsFile(path);
  REQUIRE(profiles.ok());
  CHECK(*profiles == Profiles{{"", {{"api_key", "A"}}},
                              {"work", {{"api_key", "B"}, {"ca_file", "/x"}}},
                              {"play", {{"api_key", "c"}}},
                              {"new", {{"api_key", "D"}}}});
  std::ifstream in(path);
  std::string first;
  std::getline(in, first);
  CHECK(first == "# mine");
}

}  // namespace
}  // namespace stockalert::client
