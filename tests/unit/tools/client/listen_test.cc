#include <httplib.h>
#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "services/common/webhook/webhook_signature.h"
#include "services/tools/client/forwarder.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

using nlohmann::json;

constexpr char kSecret[] = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

struct Mesh {
  FakeMesh mesh;
  Home home;
  Mesh() {
    home.Use(mesh);
    home.variables["STOCKALERT_API_KEY"] = kKey;
  }
};

// A program on this machine that takes webhooks and answers them all with one status.
class Receiver {
 public:
  explicit Receiver(int status) {
    server_.Post("/hook", [this, status](const httplib::Request& request, httplib::Response& response) {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
      response.status = status;
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~Receiver() {
    server_.stop();
    thread_.join();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/hook"; }
  std::vector<httplib::Request> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  httplib::Server server_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<httplib::Request> requests_;  // Guarded by mutex_.
  std::thread thread_;
};

std::vector<json> Lines(const std::string& text) {
  std::vector<json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST_CASE("notifications are POSTed as webhooks are, over a stream that breaks") {
  Mesh mesh;
  Receiver receiver(204);
  mesh.home.variables["STOCKALERT_WEBHOOK_SECRET"] = kSecret;
  const Ran ran = mesh.home.Run({"--json", "listen", "--forward-to", receiver.url(), "--count", "3"});
  CHECK(ran.code == 0);
  const auto lines = Lines(ran.out);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0]["secret"] == kSecret);
  const auto keys = webhook::ParseKeys(
      std::string(kSecret) + " " + webhook::PrivateKeyText(webhook::Keys{std::string(32, 'k'), std::string(32, 's')}));
  REQUIRE(keys.ok());
  const auto requests = receiver.requests();
  REQUIRE(requests.size() == 3);
  for (size_t i = 0; i < requests.size(); ++i) {
    const httplib::Request& request = requests[i];
    const std::string id = request.get_header_value("webhook-id");
    CHECK(id == "msg_n" + std::to_string(i));
    CHECK(request.get_header_value("content-type") == "application/json");
    CHECK(webhook::Verify(*keys, id, std::stoll(request.get_header_value("webhook-timestamp")), request.body,
                          request.get_header_value("webhook-signature")));
    const json body = json::parse(request.body);
    CHECK(body["type"] == "alert.triggered");
    CHECK(body["data"]["price"] == std::to_string(100 + i));
    CHECK(body["data"]["trigger"] == "users/1/alerts/a3/triggers/" + std::to_string(i + 1));
    CHECK(body["data"]["notification"] == "users/1/notifications/n" + std::to_string(i));
    CHECK(lines[i + 1] == json{{"webhookId", id}, {"type", "alert.triggered"}, {"httpStatus", 204}});
  }
}

TEST_CASE("a secret of one's own is printed, and what is not taken is told") {
  Mesh mesh;
  Receiver receiver(500);
  const Ran ran = mesh.home.Run({"listen", "--forward_to", receiver.url(), "--count", "2"});
  CHECK(ran.code == 0);
  CHECK(ran.out.find("whsec_") != std::string::npos);
  CHECK(ran.out.find("whpk_") != std::string::npos);
  CHECK(ran.out.find("answered 500  alert.triggered  msg_n0\n") != std::string::npos);
  CHECK(receiver.requests().size() == 2);
  const Ran nobody = mesh.home.Run({"--json", "listen", "--forward_to", "http://127.0.0.1:1/", "--count", "1"});
  CHECK(nobody.code == 0);
  CHECK_FALSE(Lines(nobody.out).back()["error"].empty());
  CHECK_FALSE(Lines(nobody.out).back().contains("httpStatus"));
}

TEST_CASE("a command gets each message on its standard input") {
  Mesh mesh;
  const std::string file = mesh.home.path + "/messages";
  const Ran ran = mesh.home.Run({"--json", "listen", "--exec", "cat >>" + file + "; echo >>" + file, "--count", "2"});
  CHECK(ran.code == 0);
  std::ifstream in(file);
  const auto messages = Lines({std::istreambuf_iterator<char>(in), {}});
  REQUIRE(messages.size() == 2);
  CHECK(messages[1]["data"]["price"] == "101");
  CHECK(Lines(ran.out).back()["exitCode"] == 0);
  const Ran failing = mesh.home.Run({"listen", "--exec", "exit 3", "--count", "1"});
  CHECK(failing.code == 0);
  CHECK(failing.out.find("the command ended with 3") != std::string::npos);
}

TEST_CASE("listen wants somewhere to send to, and a secret that is one") {
  Mesh mesh;
  CHECK(mesh.home.Run({"listen"}).code == 2);
  CHECK(mesh.home.Run({"listen", "--forward_to", "localhost:3000"}).code == 2);
  CHECK(mesh.home.Run({"listen", "--exec", "true", "--secret", "whsec_x"}).code == 2);
  CHECK(mesh.home.Run({"listen", "--exec", "true", "--from_start", "--cursor", "1"}).code == 2);
}

TEST_CASE("what this client cannot read is told instead of being sent") {
  notification_v1::Notification notification;
  notification.set_name("users/1/notifications/n");
  notification.set_kind(notification_v1::Notification::KIND_TRIGGER);
  CHECK_FALSE(NoticeOf(notification).ok());
  notification.set_trigger("users/1/alerts/a/triggers/2");
  notification.set_price("1.5");
  REQUIRE(NoticeOf(notification).ok());
  CHECK(NoticeOf(notification)->price_micros == 1'500'000);
  CHECK_FALSE(NoticeOf(notification)->reference_micros.has_value());
  CHECK(NoticeOf(notification)->user_id == "1");
  notification.set_price("cheap");
  CHECK_FALSE(NoticeOf(notification).ok());
  notification.Clear();
  notification.set_name("users/1/notifications/n");
  notification.set_kind(notification_v1::Notification::KIND_THROTTLED);
  notification.set_folded_count(12);
  REQUIRE(NoticeOf(notification).ok());
  CHECK(NoticeOf(notification)->type == message::Type::kThrottled);
  CHECK(NoticeOf(notification)->folded_count == 12);
  notification.set_kind(notification_v1::Notification::KIND_DESTINATION);
  notification.set_destination("users/1/destinations/d");
  notification.set_destination_disabled(true);
  REQUIRE(NoticeOf(notification).ok());
  CHECK(NoticeOf(notification)->type == message::Type::kDestination);
  CHECK(NoticeOf(notification)->destination_id == "d");
  CHECK(NoticeOf(notification)->destination_disabled);
  notification.Clear();
  notification.set_name("users/1/notifications/n");
  notification.set_kind(notification_v1::Notification::KIND_SPLIT);
  CHECK_FALSE(NoticeOf(notification).ok());
  notification.set_symbol("AAPL");
  notification.mutable_split()->set_name("tickers/AAPL/splits/3");
  CHECK_FALSE(NoticeOf(notification).ok());
  notification.mutable_split()->set_numerator(4);
  notification.mutable_split()->set_denominator(1);
  notification.mutable_split()->set_alert_count(2);
  notification.mutable_split()->mutable_effective_time()->set_seconds(5);
  REQUIRE(NoticeOf(notification).ok());
  CHECK(NoticeOf(notification)->type == message::Type::kSplit);
  CHECK(NoticeOf(notification)->split == message::SplitNews{3, {4, 1}, 5'000'000, 2});
}

}  // namespace
}  // namespace stockalert::client
