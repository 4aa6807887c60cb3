#include "services/notifier/delivery/kinds/apprise_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr char kDiscord[] = "discord://123456789012345678/secret-token";
constexpr char kTelegram[] = "tgram://123456:AAF-secret/42";

KindFixture Apprise(Json urls = {kDiscord}) { return KindFixture(KindId::kApprise, {{"urls", std::move(urls)}}); }

TEST_CASE("apprise: services that the operator allows, and nothing of their URLs is shown") {
  const CheckedSettings checked = Apprise({kTelegram, kDiscord}).Checked();
  CHECK(Json::parse(checked.shown) == Json{{"urls_shown", {"tgram://…", "discord://…"}}});
  CHECK(checked.address == "tgram://…, discord://…");
  CHECK(checked.host == "apprise:8000");
  CHECK(checked.target == Apprise({kDiscord, kTelegram}).Checked().target);
  const KindFixture f = Apprise();
  CHECK(f.kind.traits().proof == Proof::kCode);
  CHECK(f.Fault("urls", Json::array()) == "destination.apprise.urls");
  CHECK(f.Fault("urls", "discord://x") == "destination.apprise.urls");
  CHECK(f.Fault("urls", std::vector<std::string>(11, kDiscord)) == "destination.apprise.urls");
  CHECK(f.Fault("urls", std::vector<std::string>(10, kDiscord)).empty());
  CHECK(f.Fault("urls", Json{kDiscord, ""}) == "destination.apprise.urls[1]");
}

TEST_CASE("apprise: no URL leads into the operator's network, or to files of the server") {
  const KindFixture f = Apprise();
  for (const char* wrong : {"json://10.0.0.1/",
                            "jsons://user@internal/",
                            "xml://localhost",
                            "form://127.0.0.1:6379",
                            "apprise://host/key",
                            "mailto://user:pass@host",
                            "gotify://host/token",
                            "ntfy://host/topic",
                            "matrix://host",
                            "file:///etc/passwd",
                            "https://hooks.slack.com/services/x",
                            "http://169.254.169.254/",
                            "syslog://",
                            "dbus://",
                            "discord:/a/b",
                            "discord",
                            "://x",
                            "Discord ://x",
                            "discord://a/b json://10.0.0.1",
                            "discord://a/b,json://10.0.0.1",
                            "discord://a/b\njson://10.0.0.1",
                            "discord://a/b\tjson://10.0.0.1",
                            "discord://a/b?template=/etc/passwd",
                            "discord://a/b?TEMPLATE=x",
                            "discord://a/b?%74emplate=/etc/passwd",
                            "discord://caf\xc3\xa9"}) {
    INFO(wrong);
    CHECK(f.Fault("urls", Json{wrong}) == "destination.apprise.urls[0]");
  }
  CHECK(f.Fault("urls", Json{"DISCORD://a/b?avatar=no"}).empty());
  CHECK(f.Fault("urls", Json{"discord://" + std::string(2000, 'a')}) == "destination.apprise.urls[0]");
}

TEST_CASE("apprise: the message of an error holds nothing of a URL") {
  const KindFixture f = Apprise();
  const absl::Status status = f.kind.Check({{"urls", {"json://10.0.0.1/very-secret"}}}).status();
  CHECK(status.ToString().find("very-secret") == std::string::npos);
  CHECK(status.ToString().find("discord, ") != std::string::npos);
}

TEST_CASE("apprise: the request goes to the operator's server alone, as plain text without mentions") {
  const OutgoingHttp request = Apprise({kTelegram, kDiscord}).Compose(TriggerNotice("<!channel> @everyone"));
  CHECK(request.trusted_by_operator);
  CHECK(request.method == http::HttpMethod::kPost);
  CHECK(request.url == "http://apprise:8000/notify/");
  CHECK(request.headers == std::vector<std::string>{"Content-Type: application/json", "Accept: application/json"});
  const Json body = Json::parse(request.body);
  CHECK(body["urls"] == Json{kTelegram, kDiscord});
  CHECK(body["title"] == "AAPL at 150.25");
  CHECK(body["type"] == "info");
  CHECK(body["format"] == "text");
  const std::string text = body["body"];
  CHECK(text.find("Price: 150.25") != std::string::npos);
  CHECK(text.find("<!") == std::string::npos);
  CHECK(text.find("@e") == std::string::npos);
  CHECK(Apprise().Body(CriticalNotice())["type"] == "warning");
  const Json long_one = Apprise().Body(TriggerNotice(std::string(9000, 'x'), std::string(900, 'S')));
  CHECK(long_one["body"].get<std::string>().size() <= 4002);
  CHECK(long_one["title"].get<std::string>().size() <= 252);
}

TEST_CASE("apprise: no other kind is trusted") {
  for (const auto& [id, asked] :
       std::map<KindId, Json>{{KindId::kSlack, {{"webhook_url", "https://hooks.slack.com/services/a/b/c"}}},
                              {KindId::kNtfy, {{"topic", "mine"}}},
                              {KindId::kHttp, {{"url", "https://example.com/"}}}}) {
    CHECK_FALSE(KindFixture(id, asked).Compose(TriggerNotice("")).trusted_by_operator);
  }
}

TEST_CASE("apprise: a service that is allowed no more is not sent to; without a server there is none") {
  const std::string settings = Apprise().Checked().settings;
  Parcel parcel;
  parcel.settings = settings;
  parcel.notice = TriggerNotice("");
  const Kinds fewer(EgressGuard(), KindHosts(), std::nullopt, AppriseServer::Parse("http://a", "tgram").value());
  CHECK(absl::IsFailedPrecondition(fewer.Find(KindId::kApprise)->Compose(parcel).status()));
  const Kinds none{EgressGuard(), KindHosts()};
  CHECK(base::ReasonOf(none.Find(KindId::kApprise)->Check({{"urls", {kDiscord}}}).status()) == "APPRISE_OFF");
  CHECK(absl::IsFailedPrecondition(none.Find(KindId::kApprise)->Compose(parcel).status()));
}

TEST_CASE("apprise: what the server's answers mean") {
  const KindFixture f = Apprise();
  CHECK(f.Judge(200, R"({"error":null})").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(204).kind == VerdictKind::kRefused);
  const Verdict wrong = f.Judge(400, R"({"error":"Payload lacks minimum requirements"})");
  CHECK(wrong.kind == VerdictKind::kRefused);
  CHECK(wrong.error == "the Apprise server answered 400: Payload lacks minimum requirements");
  CHECK(f.Judge(424, R"({"error":"One or more notification could not be sent."})").kind == VerdictKind::kRetry);
  CHECK(f.Judge(429, "", {{"retry-after", "60"}}).retry_after == absl::Minutes(1));
  for (const int status : {401, 403, 404, 405, 500, 502}) {
    INFO(status);
    CHECK(f.Judge(status).kind == VerdictKind::kRetry);
  }
}

TEST_CASE("apprise: the server's URL") {
  CHECK(AppriseServer::Parse("https://tools.example.com/apprise/", "discord, tgram")->notify_url ==
        "https://tools.example.com/apprise/notify/");
  CHECK(AppriseServer::Parse("http://10.0.0.7:8000", "discord")->host == "10.0.0.7:8000");
  CHECK(AppriseServer::Parse("http://a", kDefaultAppriseSchemes)->schemes.size() == 16);
  for (const char* wrong : {"", "apprise:8000", "ftp://a", "http://", "http:///x", "http://:80", "http://u@a",
                            "http://a?x", "http://a b"}) {
    INFO(wrong);
    CHECK_FALSE(AppriseServer::Parse(wrong, "discord").ok());
  }
  for (const char* wrong : {"", " , ", "Discord", "a-b", "discord://"}) {
    INFO(wrong);
    CHECK_FALSE(AppriseServer::Parse("http://a", wrong).ok());
  }
}

}  // namespace
}  // namespace stockalert::notifier
