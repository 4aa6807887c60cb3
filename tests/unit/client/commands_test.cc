#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "services/client/alert_flags.h"
#include "services/client/usage.h"
#include "tests/unit/client/fake_mesh.h"

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
      {{"--json", "alert", "get", "users/1/alerts/zz"}, 4},
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
                           Args{"quotes", "publish", "AAPL", "1", "--stdin"}}) {
    CAPTURE(args);
    const Ran ran = mesh.Run(args);
    CHECK(ran.code == 2);
    CHECK(Says(ran.err, "excludes"));
  }
  CHECK_FALSE(mesh.mesh.WasCalled("stockalert.alert.v1.AlertService.CreateAlert"));
}

}  // namespace
}  // namespace stockalert::client
