#include "services/notifier/delivery/kinds/webhook_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

TEST_CASE("webhook: its URL is checked, and shown without what may be secret") {
  const KindFixture f(KindId::kWebhook, {{"url", "https://hooks.example.com/in?token=secret"}});
  CHECK(f.Checked().host == "hooks.example.com:443");
  CHECK(f.Checked().spacing == absl::ZeroDuration());
  CHECK(f.Checked().shown.find("secret") == std::string::npos);
  CHECK(f.Fault("url", "") == "destination.webhook.url");
  CHECK(f.Fault("url", "https://127.0.0.1/") == "destination.webhook.url");
  CHECK(f.kind.traits().proof == Proof::kChallenge);
  CHECK(f.kind.traits().has_keys);
}

TEST_CASE("webhook: a verification that is answered without its challenge has not succeeded") {
  const KindFixture f(KindId::kWebhook, {{"url", "https://hooks.example.com/"}});
  Delivery verification;
  verification.kind = DeliveryKind::kVerification;
  verification.challenge = "proof";
  const auto judge = [&](const std::string& body) {
    return f.kind.Judge({.status = 200, .headers = {}, .body = body}, verification, kTestNowUs).kind;
  };
  CHECK(judge(R"({"challenge":"proof"})") == VerdictKind::kDelivered);
  CHECK(judge(R"({"challenge":"other"})") == VerdictKind::kRetry);
  CHECK(judge("ok") == VerdictKind::kRetry);
  // Beyond the first KiB it does not count.
  CHECK(judge(std::string(1024, ' ') + R"({"challenge":"proof"})") == VerdictKind::kRetry);
  CHECK(f.Judge(200, "ok").kind == VerdictKind::kDelivered);
}

}  // namespace
}  // namespace stockalert::notifier
