#include "services/notifier/delivery/kinds/pushover_kind.h"

#include "absl/strings/str_cat.h"
#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

const std::string kToken(30, 'a');
const std::string kUser(30, 'u');

KindFixture Pushover() { return KindFixture(KindId::kPushover, {{"app_token", kToken}, {"user_key", kUser}}); }

// The value of a field of a form, still encoded.
std::string Field(const std::string& form, const std::string& name) {
  const size_t begin = absl::StrCat("&", form).find(absl::StrCat("&", name, "="));
  if (begin == std::string::npos) return "absent";
  const size_t value = begin + name.size() + 1;
  return form.substr(value, form.find('&', value) - value);
}

TEST_CASE("Pushover: keys and a device; the keys are not shown") {
  const KindFixture f = Pushover();
  CHECK(f.Checked().host == "api.pushover.net:443");
  CHECK(f.Checked().shown == R"({"device":""})");
  for (const std::string& wrong :
       {std::string(), std::string(29, 'a'), std::string(31, 'a'), std::string(29, 'a') + "&"}) {
    INFO(wrong);
    CHECK(f.Fault("app_token", wrong) == "destination.pushover.app_token");
    CHECK(f.Fault("user_key", wrong) == "destination.pushover.user_key");
  }
  CHECK(f.Fault("device", "my phone") == "destination.pushover.device");
  CHECK(f.Fault("device", std::string(26, 'x')) == "destination.pushover.device");
}

TEST_CASE("Pushover: the request, encoded, with its priority") {
  KindFixture f = Pushover();
  const OutgoingHttp request = f.Compose(TriggerNotice("a&b=c"));
  CHECK(request.url == "https://api.pushover.net/1/messages.json");
  CHECK(request.headers.front() == "Content-Type: application/x-www-form-urlencoded");
  CHECK(Field(request.body, "token") == kToken);
  CHECK(Field(request.body, "user") == kUser);
  CHECK(Field(request.body, "title") == "AAPL+at+150.25");
  CHECK(Field(request.body, "message").find("a%26b%3Dc") != std::string::npos);
  CHECK(Field(request.body, "priority") == "0");
  CHECK(Field(request.body, "device") == "absent");
  CHECK(Field(request.body, "html") == "absent");
  f.asked["device"] = "phone";
  CHECK(Field(f.Compose(CriticalNotice()).body, "priority") == "1");
  CHECK(Field(f.Compose(TriggerNotice("")).body, "device") == "phone");
}

TEST_CASE("Pushover: 1,024 characters of a message, 250 of a title") {
  const OutgoingHttp request = Pushover().Compose(TriggerNotice(std::string(3000, 'x'), std::string(999, 'S')));
  // "…" is %E2%80%A6: nine bytes for one character.
  CHECK(Field(request.body, "title").size() == 249 + 9);
  CHECK(Field(request.body, "message").ends_with("%E2%80%A6"));
}

TEST_CASE("Pushover: what its answers mean; 4xx is never repeated") {
  const KindFixture f = Pushover();
  CHECK(f.Judge(200, R"({"status":1,"request":"r"})").kind == VerdictKind::kDelivered);
  CHECK(f.Judge(200, R"({"status":0,"errors":["x"]})").kind == VerdictKind::kRefused);
  CHECK(f.Judge(200, "<html>").kind == VerdictKind::kRetry);
  const Verdict invalid = f.Judge(400, R"({"user":"invalid","errors":["user identifier is invalid"],"status":0})");
  CHECK(invalid.kind == VerdictKind::kGone);
  CHECK(invalid.error == "answered 400: user identifier is invalid");
  CHECK(f.Judge(400, R"({"token":"invalid","errors":["application token is invalid"],"status":0})").kind ==
        VerdictKind::kGone);
  CHECK(f.Judge(400, R"({"message":"cannot be blank","errors":["message cannot be blank"],"status":0})").kind ==
        VerdictKind::kRefused);
  CHECK(f.Judge(413).kind == VerdictKind::kRefused);
  const Verdict quota = f.Judge(429, R"({"errors":["application is over its quota"],"status":0})",
                                {{"x-limit-app-reset", std::to_string(kTestNowUs / 1'000'000 + 7200)}});
  CHECK(quota.kind == VerdictKind::kRetry);
  CHECK(quota.retry_after == absl::Hours(2));
  CHECK(f.Judge(500).retry_after == absl::Seconds(5));
}

}  // namespace
}  // namespace stockalert::notifier
