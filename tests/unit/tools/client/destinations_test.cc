#include <catch2/catch.hpp>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "services/tools/client/attempt_picture.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

using Args = std::vector<std::string>;
using nlohmann::json;

struct Mesh {
  FakeMesh mesh;
  Home home;
  Mesh() {
    home.Use(mesh);
    home.variables["STOCKALERT_API_KEY"] = kKey;
  }
  Ran Run(const Args& args) { return home.Run(args); }
};

bool Says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// --- Making one

TEST_CASE("a new webhook's secret is shown, and that it is verified") {
  Mesh mesh;
  const Ran ran = mesh.Run({"destination", "create", "webhook", "--url", "https://hooks.example.com/1"});
  CHECK(ran.code == 0);
  CHECK(Says(ran.out, "whsec_SECRET"));
  CHECK(Says(ran.out, "whpk_PUBLIC"));
  CHECK(Says(ran.out, "\nACTIVE\n"));
  CHECK(ran.err.empty());
}

TEST_CASE("a webhook that does not verify itself is told with what went wrong") {
  Mesh mesh;
  const Ran ran = mesh.Run({"destination", "create", "webhook", "--url", "https://broken.example.com/"});
  CHECK(ran.code == 0);
  CHECK(Says(ran.out, "whsec_SECRET"));
  CHECK(Says(ran.out, "\nUNVERIFIED\n"));
  CHECK(Says(ran.err, "it answered 404"));
  CHECK(Says(ran.err, "stockalert destination verify d1"));
}

TEST_CASE("for scripts a new webhook is one line with secret and state") {
  Mesh mesh;
  const Ran ran = mesh.Run({"--json", "destination", "create", "webhook", "--url", "https://hooks.example.com/1",
                            "--name", "desk", "--not-default"});
  CHECK(ran.code == 0);
  const json made = json::parse(ran.out);
  CHECK(made["secret"] == "whsec_SECRET");
  CHECK(made["destination"]["state"] == "STATE_ACTIVE");
  CHECK(made["destination"]["displayName"] == "desk");
  CHECK(made["destination"]["isDefault"] == false);
}

TEST_CASE("an address that is refused is told by its flag") {
  Mesh mesh;
  const Ran ran = mesh.Run({"destination", "create", "webhook", "--url", "http://10.0.0.1/"});
  CHECK(ran.code == 5);
  CHECK(Says(ran.err, "--url: must begin with https://"));
  CHECK(mesh.Run({"destination", "create", "webhook"}).code == 2);
}

// --- Other kinds

struct KindCase {
  Args args;
  std::string in;
  std::string made;  // The kind's message.
};

TEST_CASE("each kind is made by its flags, its secrets from files or standard input") {
  Mesh mesh;
  const std::string file = mesh.home.path + "/secret";
  const std::string headers = mesh.home.path + "/headers";
  const std::string body = mesh.home.path + "/body";
  const std::string urls = mesh.home.path + "/urls";
  std::ofstream(urls) << "discord://a/b\n\n tgram://c/42 \n";
  std::ofstream(file) << "from-file\n";
  std::ofstream(headers) << "Authorization: Bearer x\n\nX-Key:y\n";
  std::ofstream(body) << "{\"text\":\"{{text}}\"}";
  const KindCase cases[] = {
      {{"email", "ada@example.com"}, "", R"(email { address: "ada@example.com" })"},
      {{"slack", "--webhook_url_file", file}, "", R"(slack { webhook_url: "from-file" })"},
      {{"discord"}, "typed\n", R"(discord { webhook_url: "typed" })"},
      {{"teams", "--webhook_url_file", "-"}, "piped\n", R"(teams { webhook_url: "piped" })"},
      {{"telegram", "--chat_id=-100"}, "1:token\n", R"(telegram { bot_token: "1:token" chat_id: "-100" })"},
      {{"ntfy", "--topic", "t", "--server_url", "https://n.example.com"},
       "not read\n",
       R"(ntfy { server_url: "https://n.example.com" topic: "t" })"},
      {{"ntfy", "--topic", "t", "--access_token_file", file}, "", R"(ntfy { topic: "t" access_token: "from-file" })"},
      {{"pushover", "--device", "phone"},
       "app\nuser\n",
       R"(pushover { app_token: "app" user_key: "user" device: "phone" })"},
      {{"http", "--url", "https://a.example.com/", "--method", "put", "--headers_file", headers, "--body_file", body,
        "--content_type", "application/json"},
       "",
       R"(http { url: "https://a.example.com/" method: METHOD_PUT headers { name: "Authorization" value: "Bearer x" } )"
       R"(headers { name: "X-Key" value: "y" } body_template: "{\"text\":\"{{text}}\"}" )"
       R"(content_type: "application/json" })"},
      {{"http", "--url_file", file}, "", R"(http { url: "from-file" })"},
      {{"apprise", "--urls_file", urls}, "", R"(apprise { urls: "discord://a/b" urls: "tgram://c/42" })"},
      {{"apprise"}, "pover://typed\n", R"(apprise { urls: "pover://typed" })"},
      {{"slack", "--webhook_url_file", file, "--title_template", "{{symbol}}", "--text_template", "{{note}}"},
       "",
       R"(slack { webhook_url: "from-file" } template { title: "{{symbol}}" text: "{{note}}" })"},
  };
  for (const KindCase& one : cases) {
    Args args = {"destination", "create"};
    args.insert(args.end(), one.args.begin(), one.args.end());
    INFO(one.made);
    const Ran ran = mesh.home.Run(args, one.in);
    INFO(ran.err);
    CHECK(ran.code == 0);
    CHECK(Says(ran.out, "stockalert destination verify d1 --code CODE"));
    REQUIRE_FALSE(mesh.mesh.created_destinations().empty());
    notification_v1::Destination made = mesh.mesh.created_destinations().back().destination();
    made.clear_is_default();
    CHECK(made.ShortDebugString() == one.made);
  }
}

TEST_CASE("a secret that is not given, a flag that is missing or given twice is wrong usage") {
  Mesh mesh;
  CHECK(mesh.Run({"destination", "create", "slack"}).code == 2);
  CHECK(mesh.Run({"destination", "create", "slack", "--webhook_url_file", mesh.home.path + "/absent"}).code == 2);
  CHECK(mesh.home.Run({"destination", "create", "telegram"}, "1:token\n").code == 2);
  CHECK(mesh.home.Run({"destination", "create", "http", "--url", "https://a", "--url_file", "-"}, "b\n").code == 2);
  CHECK(mesh.Run({"destination", "create", "http", "--url", "https://a", "--method", "GET"}).code == 2);
  CHECK(mesh.Run({"destination", "create", "http", "--url", "https://a", "--text_template", "x"}).code == 2);
  CHECK(mesh.Run({"destination", "create", "apprise"}).code == 2);
  CHECK(mesh.mesh.created_destinations().empty());
}

TEST_CASE("a code that cannot be delivered is told of; the right one verifies") {
  Mesh mesh;
  const Ran broken = mesh.home.Run({"destination", "create", "slack"}, "https://broken\n");
  CHECK(broken.code == 0);
  CHECK(Says(broken.err, "it answered 404"));
  REQUIRE(mesh.home.Run({"destination", "create", "slack"}, "https://hooks.slack.com/x\n").code == 0);
  CHECK(Says(mesh.Run({"destination", "verify", "d1"}).out, "--code CODE"));
  const Ran wrong = mesh.Run({"destination", "verify", "d1", "--code", "WRONGONE"});
  CHECK(wrong.code == 5);
  CHECK(Says(wrong.err, "--code: is not the code"));
  const Ran right = mesh.Run({"destination", "verify", "d1", "--code", "RIGHTONE"});
  CHECK(right.code == 0);
  CHECK(Says(right.out, "ACTIVE"));
  CHECK(Says(right.out, "slack"));
}

// --- What there is

TEST_CASE("destinations are listed with why they are disabled, and named by the beginnings of their ids") {
  Mesh mesh;
  const Ran list = mesh.Run({"destination", "list"});
  CHECK(list.code == 0);
  CHECK(Says(list.out, "DISABLED: it answered 410 Gone"));
  const Ran ambiguous = mesh.Run({"destination", "delete", "e"});
  CHECK(ambiguous.code == 2);
  CHECK(Says(ambiguous.err, "more than one destination begins with e: e1 e2"));
  CHECK(mesh.Run({"destination", "get", "x"}).code == 4);
  CHECK(mesh.Run({"destination", "update", "d", "--default"}).code == 0);
  CHECK(mesh.mesh.destination_changes().back().destination().name() == "users/1/destinations/d1");
}

TEST_CASE("an update of a destination changes what its flags name") {
  Mesh mesh;
  const std::string name = "users/1/destinations/d1";
  CHECK(mesh.Run({"destination", "update", name}).code == 2);
  CHECK(mesh.Run({"destination", "update", name, "--default", "--not_default"}).code == 2);
  CHECK(mesh.Run({"destination", "update", name, "--not_default", "--etag", "7"}).code == 0);
  CHECK(mesh.Run({"destination", "update", name, "--url", "https://other.example.com/", "--name", "n"}).code == 0);
  const auto changes = mesh.mesh.destination_changes();
  REQUIRE(changes.size() == 2);
  CHECK(changes[0].update_mask().paths_size() == 1);
  CHECK(changes[0].update_mask().paths(0) == "is_default");
  CHECK_FALSE(changes[0].destination().is_default());
  CHECK(changes[0].destination().etag() == "7");
  CHECK(changes[1].update_mask().paths_size() == 2);
  CHECK(changes[1].destination().webhook().url() == "https://other.example.com/");
  // An empty template is the usual one again.
  REQUIRE(mesh.Run({"destination", "update", name, "--title_template", "{{symbol}}", "--text_template", ""}).code == 0);
  const auto worded = mesh.mesh.destination_changes().back();
  CHECK(worded.update_mask().ShortDebugString() == R"(paths: "template.title" paths: "template.text")");
  CHECK(worded.destination().template_().title() == "{{symbol}}");
  CHECK(worded.destination().template_().text().empty());
}

TEST_CASE("one's own verified address needs no code") {
  Mesh mesh;
  const Ran ran = mesh.Run({"destination", "create", "email", "own@example.com"});
  CHECK(ran.code == 0);
  CHECK(Says(ran.out, "your own verified address"));
  CHECK_FALSE(Says(ran.out, "--code"));
}

// --- Deliveries

TEST_CASE("a delivery shows its attempts, oldest first, and a picture of them") {
  Mesh mesh;
  const Ran ran = mesh.Run({"deliveries", "get", "v1"});
  CHECK(ran.code == 0);
  CHECK(Says(ran.out, "msg_1"));
  CHECK(Says(ran.out, "23ms"));
  CHECK(Says(ran.out, "503"));
  CHECK_FALSE(Says(ran.out, "\x1b"));
  CHECK(ran.out.find("08:00:00Z") < ran.out.find("08:00:05Z"));
  CHECK(Says(ran.out, "✗···"));
  CHECK(Says(ran.out, "·○\n"));
  CHECK(Says(ran.out, "1m\n"));
  const Ran test = mesh.Run({"destination", "test", "d1"});
  CHECK(test.code == 0);
  CHECK(Says(test.out, "it answered 503"));
}

TEST_CASE("deliveries are filtered by what they are of") {
  Mesh mesh;
  CHECK(mesh.Run({"deliveries", "list", "--destination", "e1", "--state", "Failed"}).code == 0);
  const auto asked = mesh.mesh.asked_deliveries().back();
  CHECK(asked.destination() == "users/1/destinations/e1");
  CHECK(asked.state() == notification_v1::Delivery::STATE_FAILED);
  CHECK(mesh.Run({"deliveries", "list", "--state", "lost"}).code == 2);
}

TEST_CASE("all that failed is replayed until nothing is left") {
  Mesh mesh;
  const Ran ran = mesh.Run({"deliveries", "replay", "--destination", "d1", "--since", "2026-11-23T00:00:00Z"});
  CHECK(ran.code == 0);
  CHECK(Says(ran.out, "3 queued again"));
  CHECK(mesh.mesh.replays().size() == 2);
  CHECK(mesh.mesh.replays().front().since_time().seconds() == 1'795'392'000);
  CHECK(mesh.Run({"deliveries", "replay"}).code == 2);
  CHECK(mesh.Run({"deliveries", "replay", "--destination", "d1"}).code == 2);
  CHECK(mesh.Run({"deliveries", "replay", "v1", "--destination", "d1", "--since", "2026-11-23T00:00:00Z"}).code == 2);
}

// --- The picture

notification_v1::Delivery DeliveryWith(const std::vector<int64_t>& starts_s, std::optional<int64_t> next_s,
                                       bool succeeded = false) {
  notification_v1::Delivery delivery;
  for (auto start = starts_s.rbegin(); start != starts_s.rend(); ++start) {
    notification_v1::DeliveryAttempt& attempt = *delivery.add_attempts();
    attempt.mutable_start_time()->set_seconds(*start);
    if (!succeeded || start != starts_s.rbegin()) attempt.set_error("no");
  }
  if (next_s) delivery.mutable_next_attempt_time()->set_seconds(*next_s);
  return delivery;
}

std::string Drawn(const notification_v1::Delivery& delivery, size_t columns) {
  std::ostringstream out, err;
  Terminal terminal{out, err};
  terminal.columns = columns;
  return AttemptPicture(terminal, delivery);
}

TEST_CASE("the marks of attempts keep their order and stay on the line") {
  const std::vector<std::vector<int64_t>> table = {
      {100},
      {100, 100, 100},
      {100, 105, 165},
      {100, 105, 165, 465, 2265, 9465, 27465, 63465, 113865, 185865, 272265},
      std::vector<int64_t>(50, 100)};
  for (const auto& starts : table) {
    for (const size_t columns : {20, 40, 72}) {
      for (const bool queued : {false, true}) {
        const auto delivery = DeliveryWith(starts, queued ? std::optional(starts.back() + 60) : std::nullopt);
        const auto marks = MarksOf(delivery, columns);
        CAPTURE(starts.size(), columns, queued);
        REQUIRE_FALSE(marks.empty());
        CHECK(marks.front().column == 0);
        CHECK(marks.back().column < columns);
        CHECK(marks.back().sign == (queued ? "○" : "✗"));
        for (size_t i = 1; i < marks.size(); ++i) CHECK(marks[i - 1].column < marks[i].column);
        std::istringstream lines(Drawn(delivery, columns));
        std::string line, times;
        std::getline(lines, line);
        std::getline(lines, times);
        CHECK(WidthOf(line) <= columns);
        CHECK(WidthOf(times) <= columns);
      }
    }
  }
  CHECK(MarksOf(notification_v1::Delivery(), 72).empty());
  CHECK(Drawn(notification_v1::Delivery(), 72).empty());
}

TEST_CASE("a delivery that came at last ends in its success") {
  const std::string picture = Drawn(DeliveryWith({0, 5, 65, 365}, std::nullopt, /*succeeded=*/true), 40);
  CHECK(Says(picture, "✓\n"));
  CHECK(Says(picture, "0"));
  CHECK(Says(picture, "5s"));
  CHECK(Says(picture, "1m"));
  CHECK(Says(picture, "6m\n"));
}

}  // namespace
}  // namespace stockalert::client
