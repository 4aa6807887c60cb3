#include "services/notifier/delivery/kinds/teams_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

KindFixture Teams() {
  return KindFixture(KindId::kTeams,
                     {{"webhook_url", "https://prod-1.westeurope.logic.azure.com:443/workflows/1?sig=secret"}});
}

TEST_CASE("Teams: only hosts of workflows and connectors") {
  const KindFixture f = Teams();
  CHECK(f.Checked().host == "prod-1.westeurope.logic.azure.com:443");
  CHECK(f.Checked().shown.find("secret") == std::string::npos);
  for (const char* right :
       {"https://default1.a.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/1?sig=s",
        "https://contoso.webhook.office.com/webhookb2/1/IncomingWebhook/2"}) {
    INFO(right);
    CHECK(f.Fault("webhook_url", right).empty());
  }
  for (const char* wrong :
       {"", "https://logic.azure.com/x", "https://evil-logic.azure.com.example.com/x", "https://xlogic.azure.com/",
        "http://prod-1.westeurope.logic.azure.com/", "https://prod-1.westeurope.logic.azure.com:444/"}) {
    INFO(wrong);
    CHECK(f.Fault("webhook_url", wrong) == "destination.teams.webhook_url");
  }
}

TEST_CASE("Teams: an adaptive card whose texts are no Markdown") {
  const Json body = Teams().Body(TriggerNotice("**b** <at>all</at>\nsecond"));
  CHECK(body["type"] == "message");
  CHECK(body["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive");
  const Json& card = body["attachments"][0]["content"];
  CHECK(card["type"] == "AdaptiveCard");
  CHECK_FALSE(card["msteams"].contains("entities"));
  for (const Json& block : card["body"]) {
    CHECK(block["type"] == "RichTextBlock");
    for (const Json& run : block["inlines"]) CHECK(run["text"].get<std::string>().find('\n') == std::string::npos);
  }
}

TEST_CASE("Teams: the whole request fits, whatever the text") {
  for (const std::string& note :
       {std::string(20'000, 'x'), std::string(20'000, '\n'), std::string(20'000, '\x01'), std::string(20'000, '"')}) {
    const OutgoingHttp request = Teams().Compose(TriggerNotice(note));
    CHECK(request.body.size() <= 14'000);
    CHECK(Json::accept(request.body));
  }
}

TEST_CASE("Teams: what its answers mean") {
  const KindFixture f = Teams();
  CHECK(f.Judge(202).kind == VerdictKind::kDelivered);
  CHECK(f.Judge(200, "1").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(200, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429")
            .kind == VerdictKind::kRetry);
  CHECK(f.Judge(200, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413")
            .kind == VerdictKind::kRefused);
  const Verdict gone = f.Judge(404, R"({"error":{"code":"WorkflowNotFound","message":"m"}})");
  CHECK(gone.kind == VerdictKind::kGone);
  CHECK(gone.error.find("WorkflowNotFound") != std::string::npos);
  CHECK(f.Judge(400, R"({"error":{"code":"WorkflowTriggerIsNotEnabled"}})").kind == VerdictKind::kRetry);
  CHECK(f.Judge(429, "", {{"retry-after", "10"}}).retry_after == absl::Seconds(10));
  CHECK(f.Judge(413).kind == VerdictKind::kRefused);
  CHECK(f.Judge(400, R"({"error":"text"})").kind == VerdictKind::kRetry);
}

}  // namespace
}  // namespace stockalert::notifier
