#include "services/notifier/delivery/kinds/telegram_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr char kToken[] = "123456:AAF-very_secret-0123456789abcdef";

KindFixture Telegram(const std::string& chat_id = "42") {
  return KindFixture(KindId::kTelegram, {{"bot_token", kToken}, {"chat_id", chat_id}});
}

TEST_CASE("Telegram: a token and a chat; groups and channels get fewer messages") {
  const KindFixture f = Telegram();
  CHECK(f.Checked().spacing == absl::Seconds(1));
  CHECK(Telegram("-100123").Checked().spacing == absl::Seconds(3));
  CHECK(Telegram("@channel").Checked().spacing == absl::Seconds(3));
  CHECK(f.Checked().host == "api.telegram.org:443");
  CHECK(f.Checked().shown == R"({"chat_id":"42"})");
  for (const char* wrong : {"", "123456", ":AAF-0123456789abcdef01234", "12x:AAF-0123456789abcdef01234", "1:short",
                            "1:AAF-0123456789abcdef01234/../x"}) {
    INFO(wrong);
    CHECK(f.Fault("bot_token", wrong) == "destination.telegram.bot_token");
  }
  for (const char* wrong : {"", "-", "x", "@", "@a b", "1 2", "--1", "1234567890123456789"}) {
    INFO(wrong);
    CHECK(f.Fault("chat_id", wrong) == "destination.telegram.chat_id");
  }
}

TEST_CASE("Telegram: the token is in the URL; markup and mentions are text") {
  const OutgoingHttp request = Telegram().Compose(TriggerNotice("<b>x</b> & @all", "<i>"));
  CHECK(request.url == std::string("https://api.telegram.org/bot") + kToken + "/sendMessage");
  const Json body = Json::parse(request.body);
  CHECK(body["chat_id"] == "42");
  CHECK(body["parse_mode"] == "HTML");
  CHECK(body["link_preview_options"]["is_disabled"] == true);
  const std::string text = body["text"];
  CHECK(text.starts_with("<b>&lt;i&gt; at 150.25</b>\n"));
  CHECK(text.find("&lt;b&gt;x&lt;/b&gt; &amp; @\xe2\x81\xa0") != std::string::npos);
}

TEST_CASE("Telegram: the text is cut as it is counted, after entities") {
  const std::string text = Telegram().Body(TriggerNotice(std::string(9000, '&')))["text"];
  size_t characters = 0;
  for (size_t i = 0; i < text.size(); ++characters) {
    if (text.compare(i, 5, "&amp;") == 0) {
      i += 5;
    } else {
      const auto byte = static_cast<unsigned char>(text[i]);
      i += byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    }
  }
  CHECK(characters - std::string("<b></b>").size() <= 4096);
  CHECK(characters > 3800);
  CHECK(text.find("…") != std::string::npos);
}

TEST_CASE("Telegram: what its answers mean") {
  const KindFixture f = Telegram();
  CHECK(f.Judge(200, R"({"ok":true,"result":{}})").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(200, "<html>a proxy</html>").kind == VerdictKind::kRetry);
  CHECK(f.Judge(401, R"({"ok":false,"description":"Unauthorized"})").kind == VerdictKind::kGone);
  CHECK(f.Judge(403, R"({"ok":false,"description":"Forbidden: bot was blocked by the user"})").kind ==
        VerdictKind::kGone);
  CHECK(f.Judge(404, R"({"ok":false,"description":"Not Found"})").kind == VerdictKind::kGone);
  CHECK(f.Judge(400, R"({"ok":false,"description":"Bad Request: chat not found"})").kind == VerdictKind::kGone);
  CHECK(f.Judge(400, R"({"ok":false,"description":"Bad Request: message is too long"})").kind == VerdictKind::kRefused);
  const Verdict moved = f.Judge(400, R"({"ok":false,"description":"Bad Request: group chat was upgraded",)"
                                     R"("parameters":{"migrate_to_chat_id":-1001}})");
  CHECK(moved.kind == VerdictKind::kGone);
  CHECK(moved.error.find("-1001") != std::string::npos);
  const Verdict busy =
      f.Judge(429, R"({"ok":false,"description":"Too Many Requests","parameters":{"retry_after":35}})");
  CHECK(busy.retry_after == absl::Seconds(35));
  CHECK(f.Judge(429, R"({"ok":false,"parameters":7})").kind == VerdictKind::kRetry);
  CHECK(f.Judge(502, "bad gateway").kind == VerdictKind::kRetry);
}

}  // namespace
}  // namespace stockalert::notifier
