#include "services/notifier/delivery/kinds/http_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

KindFixture Http(Json more = Json::object()) {
  Json asked = {{"url", "https://api.example.com/in?key=secret"}};
  asked.update(more);
  return KindFixture(KindId::kHttp, asked);
}

Json Header(const std::string& name, const std::string& value) {
  return Json::array({{{"name", name}, {"value", value}}});
}

TEST_CASE("http: what is not given has its default; secrets are not shown") {
  const CheckedSettings checked = Http({{"headers", Header("X-Key", "secret")}}).Checked();
  const Json shown = Json::parse(checked.shown);
  CHECK(shown["method"] == "METHOD_POST");
  CHECK(shown["content_type"] == "application/json");
  CHECK(shown["headers"] == Json::array({{{"name", "X-Key"}}}));
  CHECK(checked.shown.find("secret") == std::string::npos);
  const OutgoingHttp request = Http().Compose(TriggerNotice("n"));
  CHECK(Json::parse(request.body)["type"] == "alert.triggered");
  CHECK(request.headers == std::vector<std::string>{"Content-Type: application/json"});
}

TEST_CASE("http: method, headers, content type and body are the user's") {
  const OutgoingHttp request = Http({{"method", "METHOD_PUT"},
                                     {"headers", Header("Authorization", "Bearer x")},
                                     {"content_type", "text/plain; charset=utf-8"},
                                     {"body_template", "{{symbol}}: {{note}}"}})
                                   .Compose(TriggerNotice("a \"b\""));
  CHECK(request.method == http::HttpMethod::kPut);
  CHECK(request.headers ==
        std::vector<std::string>{"Content-Type: text/plain; charset=utf-8", "Authorization: Bearer x"});
  CHECK(request.body == "AAPL: a \"b\"");
  CHECK(Http({{"method", "METHOD_PATCH"}}).Compose(TriggerNotice("")).method == http::HttpMethod::kPatch);
}

TEST_CASE("http: no header can end, forge or bend the request") {
  const KindFixture f = Http();
  for (const char* name : {"",
                           "Host",
                           "host",
                           "Content-Length",
                           "Transfer-Encoding",
                           "Connection",
                           "Keep-Alive",
                           "TE",
                           "Trailer",
                           "Upgrade",
                           "Proxy-Authorization",
                           "Proxy-Connection",
                           "Content-Type",
                           "Expect",
                           "User-Agent",
                           "HTTP2-Settings",
                           "X Y",
                           "X:",
                           "X\r\nY",
                           "X;",
                           "\xc3\xa4"}) {
    INFO(name);
    CHECK(f.Fault("headers", Header(name, "v")) == "destination.http.headers[0]");
  }
  CHECK(f.Fault("headers", Header(std::string(101, 'x'), "v")) == "destination.http.headers[0]");
  for (const std::string& value :
       {std::string(), std::string("a\r\nX: y"), std::string("a\n"), std::string("a\0b", 3), std::string(" a"),
        std::string("a "), std::string("\xc3\xa4"), std::string(2001, 'x')}) {
    INFO(value);
    CHECK(f.Fault("headers", Header("X", value)) == "destination.http.headers[0]");
  }
  CHECK(f.Fault("headers", Json::array({{{"name", "X"}, {"value", "1"}}, {{"name", "x"}, {"value", "2"}}})) ==
        "destination.http.headers[1]");
  Json many = Json::array();
  for (int i = 0; i < 21; ++i) many.push_back({{"name", "X" + std::to_string(i)}, {"value", "v"}});
  CHECK(f.Fault("headers", many) == "destination.http.headers");
}

TEST_CASE("http: other faults name their field") {
  const KindFixture f = Http();
  CHECK(f.Fault("url", "https://10.0.0.1/") == "destination.http.url");
  CHECK(f.Fault("method", "METHOD_DELETE") == "destination.http.method");
  for (const char* wrong : {"json", "text/", "/plain", "text/plain\r\nX: y", "a b/c"}) {
    INFO(wrong);
    CHECK(f.Fault("content_type", wrong) == "destination.http.content_type");
  }
  CHECK(f.Fault("body_template", "{{#late}}never closed") == "destination.http.body_template");
  CHECK(f.Fault("body_template", "{{unclosed") == "destination.http.body_template");
  CHECK(f.Fault("body_template", std::string(10'001, 'x')) == "destination.http.body_template");
}

TEST_CASE("http: a body that would grow too big is not sent") {
  std::string body_template;
  while (body_template.size() < 9'900) body_template += "{{note}}";
  const KindFixture f = Http({{"body_template", body_template}});
  Parcel parcel;
  parcel.settings = f.Checked().settings;
  parcel.notice = TriggerNotice(std::string(1000, 'x'));
  const auto request = f.kind.Compose(parcel);
  CHECK(absl::IsFailedPrecondition(request.status()));
}

TEST_CASE("http: its answers are judged by their status") {
  const KindFixture f = Http();
  CHECK(f.Judge(204).kind == VerdictKind::kDelivered);
  CHECK(f.Judge(410).kind == VerdictKind::kGone);
  CHECK(f.Judge(400).kind == VerdictKind::kRetry);
  CHECK(f.Judge(503, "", {{"retry-after", "7"}}).retry_after == absl::Seconds(7));
}

}  // namespace
}  // namespace stockalert::notifier
