#include "services/notifier/delivery/kinds/http_verdict.h"

#include <cmath>

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

TEST_CASE("what a status means") {
  for (int status = 100; status <= 999; ++status) {
    INFO(status);
    const VerdictKind wanted = status >= 200 && status < 300 ? VerdictKind::kDelivered
                               : status == 410               ? VerdictKind::kGone
                                                             : VerdictKind::kRetry;
    const Verdict verdict = JudgeHttp({.status = status, .headers = {}, .body = ""}, kTestNowUs);
    CHECK(verdict.kind == wanted);
    CHECK(verdict.error.empty() == (wanted == VerdictKind::kDelivered));
    CHECK((verdict.error.find("redirect") != std::string::npos) == (status / 100 == 3));
  }
}

TEST_CASE("Retry-After counts with 429 and 503, as seconds and as a date") {
  const auto after = [](int status, const std::string& value) {
    return JudgeHttp({.status = status, .headers = {{"retry-after", value}}, .body = ""}, kTestNowUs).retry_after;
  };
  CHECK(after(429, "120") == absl::Minutes(2));
  CHECK(after(503, "Mon, 23 Nov 2026 14:40:00 GMT") == absl::Minutes(10));
  CHECK(after(429, "99999999999999999999") == absl::Hours(24));
  CHECK_FALSE(after(429, "soon").has_value());
  CHECK_FALSE(after(500, "120").has_value());
}

TEST_CASE("seconds of a JSON number") {
  CHECK(SecondsOf(0.0001) == absl::Milliseconds(1));
  CHECK(SecondsOf(2.5) == absl::Milliseconds(2500));
  CHECK(SecondsOf(1e9) == absl::Hours(24));
  CHECK_FALSE(SecondsOf(-1).has_value());
  CHECK_FALSE(SecondsOf(std::nan("")).has_value());
}

TEST_CASE("what a service said fits into a line") {
  CHECK(AnsweredText(400, "") == "answered 400");
  CHECK(AnsweredText(400, "a\r\nb") == "answered 400: a  b");
  CHECK(AnsweredText(400, std::string(500, 'x')).size() == std::string("answered 400: ").size() + 200);
}

}  // namespace
}  // namespace stockalert::notifier
