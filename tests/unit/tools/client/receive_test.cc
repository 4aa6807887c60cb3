#include <httplib.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/webhook_receiver.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

constexpr char kSecret[] = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

// Keys that have the secret, and another private key than the receiver's.
webhook::Keys KeysOfSecret(const std::string& secret = kSecret) {
  base::SystemIdSource ids;
  return *webhook::ParseKeys(absl::StrCat(secret, " ", webhook::PrivateKeyText(webhook::NewKeys(ids))));
}

std::string Message(const std::string& type, const nlohmann::json& data) {
  return nlohmann::json{{"type", type}, {"timestamp", "2026-11-23T14:30:00Z"}, {"data", data}}.dump();
}

// As a notifier sends it.
httplib::Result Post(int port, const webhook::Keys& keys, const std::string& id, const std::string& body,
                     int64_t age_s = 0) {
  const int64_t sent_s = absl::ToUnixSeconds(absl::Now()) - age_s;
  httplib::Client sender("127.0.0.1", port);
  return sender.Post("/hook",
                     {{"webhook-id", id},
                      {"webhook-timestamp", std::to_string(sent_s)},
                      {"webhook-signature", webhook::Sign({keys}, id, sent_s, body)}},
                     body, "application/json");
}

TEST_CASE("a verified message is handed over, each id once, in the order of arrival") {
  const auto receiver = *WebhookReceiver::Start("127.0.0.1:0", KeysOfSecret());
  const webhook::Keys keys = KeysOfSecret();
  for (const char* id : {"msg_1", "msg_2", "msg_1"}) {
    const auto answer = Post(receiver->port(), keys, id, Message("notification.test", {{"title", id}}));
    REQUIRE(answer);
    CHECK(answer->status == 204);
  }
  for (const char* id : {"msg_1", "msg_2"}) {
    const auto message = receiver->Take(absl::Now() + absl::Seconds(5));
    REQUIRE(message);
    CHECK(message->webhook_id == id);
    CHECK(message->type == "notification.test");
    CHECK(message->title == id);
  }
  CHECK_FALSE(receiver->Take(absl::Now()));
}

TEST_CASE("a verification is answered with its challenge, and is no message") {
  const auto receiver = *WebhookReceiver::Start("127.0.0.1:0", KeysOfSecret());
  const auto answer = Post(receiver->port(), KeysOfSecret(), "msg_1",
                           Message("destination.verification", {{"title", "t"}, {"challenge", "c2Vj"}}));
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(nlohmann::json::parse(answer->body) == nlohmann::json{{"challenge", "c2Vj"}});
  CHECK_FALSE(receiver->Take(absl::Now()));
}

TEST_CASE("what is not signed with the secret, old, or no message is refused") {
  const auto receiver = *WebhookReceiver::Start("127.0.0.1:0", KeysOfSecret());
  const std::string body = Message("notification.test", {{"title", "t"}});
  const webhook::Keys other = KeysOfSecret("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDI=");
  CHECK(Post(receiver->port(), other, "msg_1", body)->status == 401);
  CHECK(Post(receiver->port(), KeysOfSecret(), "msg_1", body, /*age_s=*/400)->status == 401);
  CHECK(Post(receiver->port(), KeysOfSecret(), "msg_1", body, /*age_s=*/-400)->status == 401);
  CHECK(receiver->refused() == 3);
  for (const std::string& text : {std::string("{"), std::string("[]"), std::string("{\"type\":1,\"data\":{}}"),
                                  std::string("{\"type\":\"x\",\"data\":1}")}) {
    INFO(text);
    CHECK(Post(receiver->port(), KeysOfSecret(), "msg_1", text)->status == 400);
  }
  // A challenge, a title of another type are answered, too: such a message harms nobody.
  CHECK(Post(receiver->port(), KeysOfSecret(), "msg_1", Message("notification.test", {{"title", 7}}))->status == 204);
  CHECK(receiver->Take(absl::Now())->title.empty());
}

TEST_CASE("the command shows so many messages and ends, or says that none came") {
  Home home;
  CHECK(home.Run({"receive", "--address", "127.0.0.1:0"}).code == 2);  // Without a secret.
  CHECK(home.Run({"receive", "--address", "127.0.0.1:0", "--secret", "whsec_x"}).code == 2);
  home.variables["STOCKALERT_WEBHOOK_SECRET"] = kSecret;
  CHECK(home.Run({"receive", "--address", "nowhere"}).code != 0);
  const Ran none = home.Run({"receive", "--address", "127.0.0.1:0", "--count", "1", "--wait_s", "1"});
  CHECK(none.code != 0);
  CHECK(none.err.find("0 webhooks arrived within 1 s") != std::string::npos);
  // A port that is free now.
  const int port = (*WebhookReceiver::Start("127.0.0.1:0", KeysOfSecret()))->port();
  std::thread sender([port] {
    const absl::Time give_up = absl::Now() + absl::Seconds(20);
    while (absl::Now() < give_up) {
      if (Post(port, KeysOfSecret(), "msg_1", Message("notification.test", {{"title", "Test of StockAlert"}}))) return;
      absl::SleepFor(absl::Milliseconds(20));
    }
  });
  const Ran one =
      home.Run({"--json", "receive", "--address", absl::StrCat("127.0.0.1:", port), "--count", "1", "--wait_s", "30"});
  sender.join();
  CHECK(one.code == 0);
  const nlohmann::json line = nlohmann::json::parse(one.out);
  CHECK(line["webhookId"] == "msg_1");
  CHECK(line["message"]["data"]["title"] == "Test of StockAlert");
}

}  // namespace
}  // namespace stockalert::client
