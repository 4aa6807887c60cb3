#include "services/notifier/delivery/kinds/hide_secrets.h"

#include <catch2/catch.hpp>

namespace stockalert::notifier {
namespace {

TEST_CASE("what a service repeats of a destination's secrets is not shown") {
  struct Case {
    const char* settings;
    const char* shown;
    const char* answer;
    const char* hidden;
  };
  const Case cases[] = {
      {R"({"bot_token":"123456:secret-secret-secret","chat_id":"-1001234567"})", R"({"chat_id":"-1001234567"})",
       "no such path: /bot123456:secret-secret-secret/sendMessage (-1001234567)",
       "no such path: /bot***/sendMessage (-1001234567)"},
      {R"({"webhook_url":"https://hooks.slack.com/services/T1/B2/secret"})",
       R"({"url_shown":"https://hooks.slack.com/…"})", "POST /services/T1/B2/secret HTTP/1.1, Host: hooks.slack.com",
       "POST *** HTTP/1.1, Host: hooks.slack.com"},
      {R"({"url":"https://example.com/","headers":[{"name":"Authorization","value":"Bearer abcdefgh"}],"method":"POST"})",
       R"({"headers":[{"name":"Authorization"}],"method":"POST"})",
       R"({"Authorization": "Bearer abcdefgh", "token": "abcdefgh", "method": "POST"})",
       R"({"Authorization": "***", "token": "***", "method": "POST"})"},
      {R"({"urls":["tgram://123456:AAF-secret/42","slack://tokenA12/tokenB34/x"]})", R"({"urls_shown":["tgram://…"]})",
       "could not reach tgram://123456:AAF-secret/42 (AAF-secret), tokenA12-tokenB34",
       "could not reach *** (***), ***-***"},
      {R"({"topic":"t","access_token":"short"})", R"({"topic":"t"})", "a short word", "a short word"},
      {"no JSON", "{}", "no JSON", "no JSON"},
      {R"({"access_token":"tk_secret"})", "{}", "", ""},
  };
  for (const Case& one : cases) {
    INFO(one.answer);
    CHECK(HideSecrets(one.answer, one.settings, one.shown) == one.hidden);
  }
}

}  // namespace
}  // namespace stockalert::notifier
