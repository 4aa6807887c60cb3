#include "services/notifier/delivery/kinds/slack_kind.h"

#include "services/notifier/delivery/kinds/text_fit.h"
#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

KindFixture Slack() {
  return KindFixture(KindId::kSlack, {{"webhook_url", "https://hooks.slack.com/services/T0/B0/secret"}});
}

TEST_CASE("Slack: only its own hosts, over TLS; the URL is not shown") {
  const KindFixture f = Slack();
  const CheckedSettings checked = f.Checked();
  CHECK(checked.host == "hooks.slack.com:443");
  CHECK(checked.spacing == absl::Seconds(1));
  CHECK(checked.shown.find("secret") == std::string::npos);
  CHECK(Json::parse(checked.shown)["url_shown"] == "https://hooks.slack.com/…");
  for (const char* wrong : {"", "https://example.com/services/T0/B0/s", "http://hooks.slack.com/services/T0/B0/s",
                            "https://hooks.slack.com.example.com/x", "https://hooks.slack.com@example.com/x",
                            "https://hooks.slack.com:444/services/x", "https://127.0.0.1/"}) {
    INFO(wrong);
    CHECK(f.Fault("webhook_url", wrong) == "destination.slack.webhook_url");
  }
  CHECK(f.Fault("webhook_url", "https://HOOKS.SLACK.COM/services/T0/B0/s").empty());
}

TEST_CASE("Slack: nothing in a note or symbol is markup or a mention") {
  const OutgoingHttp request = Slack().Compose(TriggerNotice("<!channel> & <@U1> *b*", "<!here>"));
  CHECK(request.method == http::HttpMethod::kPost);
  CHECK(request.url == "https://hooks.slack.com/services/T0/B0/secret");
  CHECK(request.body.find("<!") == std::string::npos);
  CHECK(request.body.find("<@") == std::string::npos);
  const Json body = Json::parse(request.body);
  CHECK(body["mrkdwn"] == false);
  CHECK(body["link_names"] == false);
  CHECK(body["text"].get<std::string>().find("&lt;!channel&gt; &amp; &lt;@U1&gt;") != std::string::npos);
  for (const Json& block : body["blocks"]) {
    if (block.contains("text")) CHECK(block["text"]["type"] == "plain_text");
  }
}

TEST_CASE("Slack: long texts are cut to the limits, escaped characters as a whole") {
  const Json body = Slack().Body(TriggerNotice(std::string(5000, '&'), std::string(300, '<')));
  const auto units = [](const Json& text) { return text.get<std::string>().size(); };
  CHECK(units(body["blocks"][0]["text"]["text"]) <= 150 + 2);  // "…" has three bytes.
  CHECK(units(body["blocks"][1]["text"]["text"]) <= 3000 + 2);
  CHECK(units(body["text"]) <= 3000 + 2);
  const std::string text = body["blocks"][1]["text"]["text"];
  CHECK(text.ends_with("&amp;…"));
}

TEST_CASE("Slack: what its answers mean") {
  const KindFixture f = Slack();
  CHECK(f.Judge(200, "ok").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(200, "ok\n").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(200, R"({"ok":true})").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(200, "invalid_payload").kind == VerdictKind::kRetry);
  CHECK(f.Judge(200, R"({"ok":false,"error":"no_service"})").kind == VerdictKind::kGone);
  CHECK(f.Judge(400, "invalid_payload").kind == VerdictKind::kRefused);
  CHECK(f.Judge(400, "user_not_found").kind == VerdictKind::kGone);
  CHECK(f.Judge(403, "action_prohibited").kind == VerdictKind::kRetry);
  CHECK(f.Judge(403, "invalid_token").kind == VerdictKind::kGone);
  CHECK(f.Judge(404, "channel_not_found").kind == VerdictKind::kGone);
  CHECK(f.Judge(410, "channel_is_archived").kind == VerdictKind::kGone);
  CHECK(f.Judge(500, "rollup_error").kind == VerdictKind::kRetry);
  const Verdict busy = f.Judge(429, "rate_limited", {{"retry-after", "30"}});
  CHECK(busy.kind == VerdictKind::kRetry);
  CHECK(busy.retry_after == absl::Seconds(30));
  CHECK(busy.error == "answered 429: rate_limited");
  CHECK_FALSE(f.Judge(500, "", {{"retry-after", "30"}}).retry_after.has_value());
}

TEST_CASE("Slack: a verification has its code") {
  CHECK(Slack().Compose(CodeNotice("ABCD2345")).body.find("ABCD2345") != std::string::npos);
}

}  // namespace
}  // namespace stockalert::notifier
