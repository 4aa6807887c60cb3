#include "services/tools/client/client.h"

#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "services/tools/client/alert_flags.h"
#include "services/tools/client/connection.h"
#include "services/tools/client/terminal.h"
#include "services/tools/client/values.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

TEST_CASE("registering keeps the key for its owner alone, and later calls use it") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  CHECK(home.Run({"follow", "AAPL"}).code == 3);
  const Ran ran = home.Run({"register", "--email", "ada@example.com", "--name", "Ada"});
  CHECK(ran.code == 0);
  CHECK(ran.out.find(kKey) != std::string::npos);
  struct stat info{};
  REQUIRE(stat(home.file().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(home.Run({"follow", "AAPL"}).out == "following AAPL\n");
  // Another registration does not take its place unasked.
  CHECK(home.Run({"register", "--email", "b@example.com", "--name", "B"}).err.find("--save") != std::string::npos);
  // A file that others may read is refused.
  chmod(home.file().c_str(), 0644);
  const Ran open = home.Run({"follow", "AAPL"});
  CHECK(open.code == 2);
  CHECK(open.err.find("chmod 600") != std::string::npos);
}

TEST_CASE("flags win over the environment, which wins over the file") {
  Home home;
  std::filesystem::create_directories(std::filesystem::path(home.file()).parent_path());
  std::ofstream(home.file()) << "# mine\nuser_address = a:1\nalert_address=b:2\napi_key = k\n";
  chmod(home.file().c_str(), 0600);
  const auto environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = home.variables.find(name);
    return found == home.variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
  home.variables["STOCKALERT_ALERT_ADDRESS"] = "c:3";
  auto settings = ResolveSettings({{"api_key", "flag"}}, environment);
  REQUIRE(settings.ok());
  CHECK(settings->user_address == "a:1");
  CHECK(settings->alert_address == "c:3");
  CHECK(settings->api_key == "flag");
  CHECK(settings->ticker_address == "127.0.0.1:50052");
  CHECK_FALSE(ResolveSettings({{"user_address", "nowhere"}}, environment).ok());
  CHECK_FALSE(ResolveSettings({{"api_key", "a\nb"}}, environment).ok());
  REQUIRE(SaveSettings(home.file(), "", {{"api_key", "new"}}).ok());
  CHECK(ResolveSettings({}, environment)->api_key == "new");
  CHECK(ResolveSettings({}, environment)->user_address == "a:1");
  std::ofstream(home.file()) << "passwort = x\n";
  CHECK(absl::IsInvalidArgument(ResolveSettings({}, environment).status()));
}

TEST_CASE("failures say which field is wrong, and scripts can tell them apart") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  home.variables["STOCKALERT_API_KEY"] = kKey;
  const Ran refused = home.Run({"alert", "create", "AAPL", "--at_or_above=-1"});
  CHECK(refused.code == 5);
  CHECK(refused.err.find("--at_or_above: must be above 0") != std::string::npos);
  // What a service says cannot steer a terminal.
  CHECK(refused.err.find('\x1b') == std::string::npos);
  const Ran json = home.Run({"--json", "alert", "create", "AAPL", "--at_or_above=-1"});
  CHECK(json.err.find("\"violations\":[{\"field\":\"alert.condition.price_target.price\",\"flag\":\"--at_or_above\"") !=
        std::string::npos);
  CHECK(home.Run({"alert", "get", "x"}).code == 4);
  CHECK(home.Run({"alert", "create", "AAPL"}).code == 2);
  CHECK(home.Run({"alert"}).code == 2);
  CHECK(home.Run({"nonsense"}).code == 2);
  CHECK(home.Run({}).code == 2);
  CHECK(home.Run({"--help"}).code == 0);
  CHECK(home.Run({"alert", "create", "--help"}).out.find("--at_or_above") != std::string::npos);
  CHECK(home.Run({"--api_key", "wrong", "follow", "AAPL"}).code == 3);
  home.variables["STOCKALERT_USER_ADDRESS"] = "127.0.0.1:1";
  CHECK(home.Run({"follow", "AAPL", "--timeout_s", "2"}).code == 6);
}

TEST_CASE("lists are read page by page, as a table or as lines of JSON") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  const Ran table = home.Run({"alert", "list"});
  CHECK(table.code == 0);
  CHECK(std::count(table.out.begin(), table.out.end(), '\n') == 6);
  CHECK(table.out.find("at or above 150.25") != std::string::npos);
  CHECK(table.out.find('\x1b') == std::string::npos);
  CHECK(home.Run({"alert", "list"}, "", true).out.find('\x1b') != std::string::npos);
  const Ran json = home.Run({"alert", "list", "--json"});
  CHECK(std::count(json.out.begin(), json.out.end(), '\n') == 5);
  CHECK(json.out.find("{\"name\":\"users/1/alerts/a0\"") == 0);
  home.variables["NO_COLOR"] = "1";
  CHECK(home.Run({"alert", "list"}, "", true).out.find('\x1b') == std::string::npos);
  const Ran some = home.Run({"alert", "list", "--limit", "2"});
  CHECK(some.err.find("--limit 0") != std::string::npos);
}

TEST_CASE("a watch that is interrupted goes on where it was") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  const Ran ran = home.Run({"notifications", "watch", "--count", "4", "--json"});
  CHECK(ran.code == 0);
  std::istringstream lines(ran.out);
  std::string line;
  for (int i = 0; i < 4; ++i) {
    REQUIRE(std::getline(lines, line));
    CHECK(line.find("notifications/n" + std::to_string(i) + "\"") != std::string::npos);
  }
  CHECK_FALSE(std::getline(lines, line));
}

TEST_CASE("quotes are published from flags and from standard input") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  CHECK(
      home.Run({"quotes", "publish", "AAPL", "150.25", "--time", "2026-11-23T15:00:00.5Z", "--session", "post"}).out ==
      "published 1\n");
  std::string many;
  for (int i = 1; i <= 1'500; ++i) many += "MSFT " + std::to_string(i) + "\n";
  CHECK(home.Run({"quotes", "publish", "--stdin"}, many).out ==
        "line 13, MSFT 13: late: dropped, for the symbol has an accepted price of a later time\npublished 1500\n");
  const auto published = mesh.published();
  REQUIRE(published.size() == 1'501);
  CHECK(published[0].price() == "150.25");
  CHECK(published[0].session() == quote::v1::SESSION_POST);
  CHECK(published[0].event_time().nanos() == 500'000'000);
  CHECK(published.back().price() == "1500");
  CHECK(home.Run({"quotes", "publish", "AAPL"}).code == 2);
  CHECK(home.Run({"quotes", "publish", "--stdin"}, "AAPL\n").code == 2);
  CHECK(home.Run({"quotes", "publish", "AAPL", "1", "--session", "closed"}).out ==
        "AAPL 1: shown, but it counts for no alert: its session is CLOSED\npublished 1\n");
  std::string unlucky;
  for (int i = 0; i < 25; ++i) unlucky += "MSFT 13\n";
  const std::string remarks = home.Run({"quotes", "publish", "--stdin"}, unlucky).out;
  CHECK(remarks.find("line 20, MSFT 13: late") != std::string::npos);
  CHECK(remarks.find("line 21,") == std::string::npos);
  CHECK(remarks.find("and 5 more that alerts do not go by\npublished 25\n") != std::string::npos);
  const std::string json = home.Run({"--json", "quotes", "publish", "MSFT", "13"}).out;
  CHECK(json.find(R"("publishedCount":1,"outcomes":[{"verdict":"VERDICT_LATE"}])") != std::string::npos);
}

TEST_CASE("which addresses are called by TLS") {
  ClientSettings settings;
  for (const char* address : {"127.0.0.1:1", "127.8.7.6:1", "localhost:1", "[::1]:1"}) {
    CAPTURE(address);
    CHECK_FALSE(SpeaksTls(settings, address));
  }
  const std::vector<std::string> elsewhere = {"10.0.0.1:1", "user.mesh:1", "[2001:db8::1]:1", "127.0.0.1.example.com:1",
                                              "localhost.example.com:1"};
  for (const std::string& address : elsewhere) {
    CAPTURE(address);
    CHECK(SpeaksTls(settings, address));
  }
  settings.ca_file = "/ca.crt";
  CHECK(SpeaksTls(settings, "127.0.0.1:1"));
  settings = {};
  settings.plaintext = "false";
  CHECK(SpeaksTls(settings, "127.0.0.1:1"));
  settings.plaintext = "true";
  CHECK_FALSE(SpeaksTls(settings, "user.mesh:1"));
}

TEST_CASE("what TLS needs is told before anything is called") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  const std::vector<std::string> register_me = {"register", "--email", "a@b.c", "--name", "A", "--no_save"};
  const auto with = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), register_me.begin(), register_me.end());
    return home.Run(flags);
  };
  CHECK(with({}).code == kDone);
  CHECK(with({"--plaintext"}).code == kDone);
  CHECK(with({"--plaintext=false", "--timeout_s", "5"}).code == kNotReachable);
  CHECK(with({"--plaintext=maybe"}).code == kWrongUsage);
  const Ran both = with({"--plaintext", "--ca_file", "/x"});
  CHECK(both.code == kWrongUsage);
  CHECK(both.err.find("exclude each other") != std::string::npos);
  const Ran missing = with({"--ca_file", home.path + "/none"});
  CHECK(missing.code == kWrongUsage);
  CHECK(missing.err.find("cannot be read") != std::string::npos);
  home.variables["STOCKALERT_PLAINTEXT"] = "false";
  CHECK(with({"--timeout_s", "5"}).code == kNotReachable);
  CHECK(with({"--plaintext"}).code == kDone);
}

// --- Values
// ------------------------------------------------------------------------------------------------------------------

absl::StatusOr<alert_v1::Alert> Made(std::vector<std::string> args) {
  CLI::App app;
  AlertFlags flags;
  flags.Declare(app);
  std::reverse(args.begin(), args.end());
  app.parse(args);
  return flags.Make(absl::FromUnixSeconds(1'000'000'000));
}

TEST_CASE("the flags of an alert") {
  const std::vector<std::pair<std::vector<std::string>, const char*>> table = {
      {{"AAPL", "--at_or_above", "200"}, "at or above 200"},
      {{"AAPL", "--at_or_below", "200.5"}, "at or below 200.5"},
      {{"AAPL", "--crosses", "200"}, "crosses 200"},
      {{"AAPL", "--up", "5%"}, "up 5% from arming"},
      {{"AAPL", "--down", "5", "--from", "previous_close"}, "down 5% from the previous close"},
      {{"AAPL", "--either", "2.5", "--from", "day_open"}, "up or down 2.5% from the day's open"},
      {{"AAPL", "--up", "5", "--given", "100"}, "up 5% from 100"},
      {{"AAPL", "--up", "5", "--window", "1h30m"}, "up 5% within 1h30m"},
      {{"AAPL", "--falls_from_high", "5%", "--activation", "180"}, "falls 5% from its high once at 180"},
      {{"AAPL", "--rises_from_low", "2.5"}, "rises 2.5 from its low"},
      {{"AAPL", "--enters", "10:20"}, "enters 10 to 20"},
      {{"AAPL", "--leaves", "10:20"}, "leaves 10 to 20"},
  };
  for (const auto& [args, text] : table) {
    CAPTURE(text);
    const auto alert = Made(args);
    REQUIRE(alert.ok());
    CHECK(alert->symbol() == "AAPL");
    CHECK(FormatCondition(alert->condition()) == text);
  }
  const std::vector<std::vector<std::string>> wrong = {{"AAPL"},
                                                       {"AAPL", "--up", "5", "--down", "5"},
                                                       {"AAPL", "--at_or_above", "5", "--window", "5m"},
                                                       {"AAPL", "--at_or_above", "5", "--activation", "5"},
                                                       {"AAPL", "--enters", "10-20"},
                                                       {"AAPL", "--up", "5", "--window", "soon"},
                                                       {"AAPL", "--up", "5", "--window", "5m", "--given", "3"},
                                                       {"AAPL", "--at_or_above", "5", "--expires", "tomorrow"}};
  for (const auto& args : wrong) {
    CAPTURE(args);
    CHECK(absl::IsInvalidArgument(Made(args).status()));
  }
  const auto alert =
      Made({"AAPL", "--at_or_above", "5", "--policy", "repeat", "--cooldown", "1h", "--creation", "wait_for_cross",
            "--sessions", "extended", "--expires", "+7d", "--note", "sell", "--hysteresis", "0.5"});
  REQUIRE(alert.ok());
  CHECK(FormatPolicy(*alert) == "repeat, 1h apart");
  CHECK(alert->creation_policy() == alert_v1::Alert::CREATION_POLICY_WAIT_FOR_CROSS);
  CHECK(alert->sessions() == alert_v1::Alert::SESSIONS_EXTENDED);
  CHECK(alert->expire_time().seconds() == 1'000'000'000 + 7 * 86'400);
  CHECK(alert->hysteresis() == "0.5");
}

TEST_CASE("durations and times") {
  CHECK(ParseDuration("90s")->seconds() == 90);
  CHECK(ParseDuration("1d12h")->seconds() == int64_t{36} * 3600);
  CHECK(ParseDuration("1.5h")->seconds() == 5400);
  CHECK(ParseDuration("5ms")->nanos() == 5'000'000);
  for (const char* text : {"", "5", "m", "-5m", "5 m", "5x", "99999999999999d"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseDuration(text).ok());
  }
  CHECK(FormatTime(*ParseTime("2026-11-23T15:00:00.25Z", absl::Now())) == "2026-11-23 15:00:00.25Z");
  CHECK_FALSE(ParseTime("now", absl::Now()).ok());
}

TEST_CASE("tables are aligned, whatever is in them") {
  std::ostringstream out, err;
  const Terminal terminal{out, err};
  Table table({"NAME", ">PRICE"});
  table.Add({"Zürich", "1.5"});
  table.Add({"a\x1b[31mb\x07", "100"});
  table.Add({"\xff", "7"});
  table.Print(terminal);
  CHECK(out.str() ==
        "NAME      PRICE\n"
        "Zürich      1.5\n"
        "a [31mb     100\n"
        "?             7\n");
  CHECK(Clean("a\xc2\x85z") == "a z");
  CHECK(Terminal{out, err, true}.Paint("x", Colour::kRed) == "\x1b[31mx\x1b[0m");
}

}  // namespace
}  // namespace stockalert::client
