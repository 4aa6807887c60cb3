#include "services/notifier/delivery/kinds/ntfy_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

KindFixture Ntfy(Json more = Json::object()) {
  Json asked = {{"topic", "my_topic-1"}};
  asked.update(more);
  return KindFixture(KindId::kNtfy, asked);
}

TEST_CASE("ntfy: a topic, on ntfy.sh or on a server that the guard allows") {
  CHECK(Ntfy().Checked().host == "ntfy.sh:443");
  CHECK(Json::parse(Ntfy().Checked().shown) == Json{{"server_url", "https://ntfy.sh"}, {"topic", "my_topic-1"}});
  CHECK(Ntfy({{"server_url", "https://ntfy.example.com:8443/"}}).Checked().host == "ntfy.example.com:8443");
  const KindFixture f = Ntfy();
  for (const char* wrong :
       {"https://127.0.0.1", "http://ntfy.sh", "https://ntfy.sh/topic", "https://ntfy.sh/?x", "x"}) {
    INFO(wrong);
    CHECK(f.Fault("server_url", wrong) == "destination.ntfy.server_url");
  }
  for (const std::string& wrong : {std::string(), std::string("a b"), std::string("a/b"), std::string(65, 'a')}) {
    INFO(wrong);
    CHECK(f.Fault("topic", wrong) == "destination.ntfy.topic");
  }
  CHECK(f.Fault("access_token", "a\r\nX: y") == "destination.ntfy.access_token");
  CHECK(f.Fault("access_token", "tk_0").empty());
}

TEST_CASE("ntfy: the request, with its token and its priority") {
  const OutgoingHttp plain = Ntfy().Compose(TriggerNotice("note"));
  CHECK(plain.url == "https://ntfy.sh/");
  CHECK(plain.headers == std::vector<std::string>{"Content-Type: application/json"});
  const Json body = Json::parse(plain.body);
  CHECK(body["topic"] == "my_topic-1");
  CHECK(body["title"] == "AAPL at 150.25");
  CHECK(body["priority"] == 3);
  CHECK(body["message"].get<std::string>().find("note\nPrice: 150.25") != std::string::npos);
  const KindFixture secret = Ntfy({{"access_token", "tk_secret"}});
  CHECK(secret.Checked().shown.find("tk_secret") == std::string::npos);
  CHECK(secret.Compose(TriggerNotice("")).headers.back() == "Authorization: Bearer tk_secret");
  CHECK(secret.Body(CriticalNotice())["priority"] == 5);
}

TEST_CASE("ntfy: 4,096 bytes, cut at the border of a character") {
  std::string euros;
  for (int i = 0; i < 3000; ++i) euros += "€";
  const Json body = Ntfy().Body(TriggerNotice(euros, euros));
  const std::string message = body["message"];
  CHECK(message.size() <= 4096);
  CHECK(message.size() >= 4090);
  CHECK(message.ends_with("€…"));
  CHECK(body["title"].get<std::string>().size() <= 1024);
}

TEST_CASE("ntfy: what its answers mean") {
  const KindFixture f = Ntfy();
  CHECK(f.Judge(200, R"({"id":"x"})").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(400, R"({"code":40009,"http":400,"error":"invalid request: topic invalid"})").kind ==
        VerdictKind::kRefused);
  CHECK(f.Judge(413).kind == VerdictKind::kRefused);
  const Verdict forbidden = f.Judge(403, R"({"code":40301,"http":403,"error":"forbidden"})");
  CHECK(forbidden.kind == VerdictKind::kRetry);
  CHECK(forbidden.error == "answered 403: forbidden");
  CHECK(f.Judge(429, R"({"code":42901})", {{"retry-after", "60"}}).retry_after == absl::Minutes(1));
  CHECK(f.Judge(507).kind == VerdictKind::kRetry);
}

}  // namespace
}  // namespace stockalert::notifier
