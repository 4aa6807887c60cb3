#include "services/notifier/delivery/kinds/discord_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

KindFixture Discord() {
  return KindFixture(KindId::kDiscord, {{"webhook_url", "https://discord.com/api/webhooks/1/secret"}});
}

TEST_CASE("Discord: only its own API, over TLS; the URL is not shown") {
  const KindFixture f = Discord();
  CHECK(f.Checked().spacing == absl::Milliseconds(500));
  CHECK(f.Checked().shown.find("secret") == std::string::npos);
  for (const char* wrong : {"", "https://discord.com/login", "https://example.com/api/webhooks/1/s",
                            "http://discord.com/api/webhooks/1/s", "https://discord.com/x/api/webhooks/1/s"}) {
    INFO(wrong);
    CHECK(f.Fault("webhook_url", wrong) == "destination.discord.webhook_url");
  }
  for (const char* right : {"https://discordapp.com/api/webhooks/1/s", "https://ptb.discord.com/api/webhooks/1/s",
                            "https://discord.com/api/v10/webhooks/1/s?thread_id=7"}) {
    INFO(right);
    CHECK(f.Fault("webhook_url", right).empty());
  }
}

TEST_CASE("Discord: it answers once the message is stored, whatever the URL had") {
  KindFixture f = Discord();
  CHECK(f.Compose(TriggerNotice("")).url == "https://discord.com/api/webhooks/1/secret?wait=true");
  f.asked["webhook_url"] = "https://discord.com/api/webhooks/1/secret?thread_id=7";
  CHECK(f.Compose(TriggerNotice("")).url == "https://discord.com/api/webhooks/1/secret?thread_id=7&wait=true");
}

TEST_CASE("Discord: nobody is mentioned, and Markdown is text") {
  const Json body = Discord().Body(TriggerNotice("@everyone <@1> **b** [x](y) `c` #h", "@here"));
  CHECK(body["allowed_mentions"] == Json{{"parse", Json::array()}});
  CHECK(body["content"].get<std::string>().starts_with("\\@here"));
  CHECK(body["embeds"][0]["description"].get<std::string>().find(
            "\\@everyone \\<\\@1\\> \\*\\*b\\*\\* \\[x\\](y) \\`c\\` \\#h") != std::string::npos);
}

TEST_CASE("Discord: long texts are cut to the limits") {
  // Each character becomes two, and each of these is one unit.
  const Json body = Discord().Body(TriggerNotice(std::string(9000, '*'), std::string(3000, '_')));
  CHECK(body["content"].get<std::string>().size() <= 2000 + 2);
  const Json& embed = body["embeds"][0];
  CHECK(embed["description"].get<std::string>().size() <= 4096 + 2);
  size_t all = embed["description"].get<std::string>().size();
  for (const Json& field : embed["fields"]) {
    all += field["name"].get<std::string>().size() + field["value"].get<std::string>().size();
  }
  CHECK(all <= 6000);
  CHECK(embed["fields"].size() == 5);
}

TEST_CASE("Discord: what its answers mean") {
  const KindFixture f = Discord();
  CHECK(f.Judge(200, R"({"id":"1"})").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(204).kind == VerdictKind::kDelivered);
  CHECK(f.Judge(404, R"({"message":"Unknown Webhook","code":10015})").kind == VerdictKind::kGone);
  CHECK(f.Judge(401, R"({"message":"Invalid Webhook Token","code":50027})").kind == VerdictKind::kGone);
  CHECK(f.Judge(404, "<html>").kind == VerdictKind::kRetry);
  CHECK(f.Judge(400, R"({"message":"Invalid Form Body","code":50035})").kind == VerdictKind::kRefused);
  const Verdict busy = f.Judge(429, R"({"message":"You are being rate limited.","retry_after":1.3371,"global":false})",
                               {{"retry-after", "9"}});
  CHECK(busy.kind == VerdictKind::kRetry);
  CHECK(busy.retry_after == absl::Milliseconds(1338));
  CHECK(f.Judge(429, "cloudflare", {{"retry-after", "9"}}).retry_after == absl::Seconds(9));
  CHECK(f.Judge(429, R"({"retry_after":-1})").kind == VerdictKind::kRetry);
  CHECK(f.Judge(429, R"({"retry_after":1e300})").retry_after == absl::Hours(24));
  CHECK(f.Judge(502).kind == VerdictKind::kRetry);
}

}  // namespace
}  // namespace stockalert::notifier
