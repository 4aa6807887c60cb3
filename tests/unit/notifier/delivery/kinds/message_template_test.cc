#include "services/notifier/delivery/kinds/message_template.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

std::string Render(const std::string& text, TemplateEscape escape = TemplateEscape::kNone,
                   const std::string& note = "note") {
  message::Notice notice = TriggerNotice(note);
  notice.critical = true;
  const auto rendered = RenderTemplate(text, escape, notice, "msg_1");
  INFO(rendered.status());
  REQUIRE(rendered.ok());
  return *rendered;
}

TEST_CASE("the fields of a webhook's message are there by name") {
  CHECK(Render("{{type}} {{symbol}} {{price}} {{price_before}} {{reference}} {{summary}} {{title}}") ==
        "alert.triggered AAPL 150.25 149.9 150 AAPL at or above 150 AAPL at 150.25");
  CHECK(Render("{{id}} {{event_time}} {{#critical}}!{{/critical}}{{#late}}late{{/late}}{{^late}}on time{{/late}}") ==
        "msg_1 2026-11-23T14:30:00Z !on time");
  CHECK(Render("{{trigger}}").find("/triggers/3") != std::string::npos);
  CHECK(Render("[{{absent}}{{folded_count}}{{> partial}}]") == "[]");
  CHECK(Render("{{#note}}has {{note}}{{/note}}") == "has note");
  CHECK(Render("{{^note}}none{{/note}}", TemplateEscape::kNone, "") == "none");
  CHECK(Render("plain") == "plain");
}

TEST_CASE("a field is never a template: a note that names itself renders nothing") {
  CHECK(Render("[{{>note}}]", TemplateEscape::kNone, "{{title}}") == "[]");
  CHECK(Render("[{{>note}}]", TemplateEscape::kNone, "{{>note}}{{>note}}") == "[]");
  CHECK(Render("{{=<< >>=}}[<<>note>>]", TemplateEscape::kNone, "{{>note}}") == "[]");
}

TEST_CASE("a verification has its code") {
  CHECK(*RenderTemplate("{{type}} {{code}}", TemplateEscape::kNone, CodeNotice("ABCD2345"), "msg_1") ==
        "destination.verification ABCD2345");
}

TEST_CASE("values are escaped as the content type needs, unless in three braces") {
  const std::string note = "a\"b\\\n<&> ä";
  const std::string json = Render(R"({"n":"{{note}}"})", TemplateEscape::kJson, note);
  CHECK(nlohmann::json::parse(json)["n"] == note);
  CHECK(Render("n={{note}}", TemplateEscape::kForm, note) == "n=a%22b%5C%0A%3C%26%3E+%C3%A4");
  CHECK(Render("{{note}}", TemplateEscape::kMarkup, note) == "a&quot;b\\\n&lt;&amp;&gt; ä");
  CHECK(Render("{{note}}", TemplateEscape::kNone, note) == note);
  CHECK(Render("{{{note}}}{{&note}}", TemplateEscape::kJson, "\"") == "\"\"");
}

TEST_CASE("how values are escaped follows from the content type") {
  CHECK(EscapeFor("application/json") == TemplateEscape::kJson);
  CHECK(EscapeFor("Application/JSON; charset=utf-8") == TemplateEscape::kJson);
  CHECK(EscapeFor("application/vnd.x+json") == TemplateEscape::kJson);
  CHECK(EscapeFor("application/x-www-form-urlencoded") == TemplateEscape::kForm);
  CHECK(EscapeFor("text/html") == TemplateEscape::kMarkup);
  CHECK(EscapeFor("application/atom+xml") == TemplateEscape::kMarkup);
  CHECK(EscapeFor("text/plain") == TemplateEscape::kNone);
}

TEST_CASE("a value is text, not a template") {
  CHECK(Render("{{note}}", TemplateEscape::kNone, "{{symbol}} {{=<% %>=}}") == "{{symbol}} {{=<% %>=}}");
}

TEST_CASE("what does not parse is refused, and says where") {
  for (const char* wrong :
       {"{{", "{{#a}}", "{{/a}}", "{{#a}}{{/b}}", "{{{a}}", "{{=<%}}", "{{=}}", "x{{#a}}{{#b}}{{/a}}{{/b}}"}) {
    INFO(wrong);
    CHECK(absl::IsInvalidArgument(CheckTemplate(wrong)));
    CHECK(absl::IsInvalidArgument(RenderTemplate(wrong, TemplateEscape::kNone, {}, "i").status()));
  }
}

TEST_CASE("no template of the allowed length takes long or much") {
  std::string nested;
  std::string closing;
  while (nested.size() + closing.size() < kTemplateMax - 20) {
    nested += "{{#late}}";
    closing += "{{/late}}";
  }
  CHECK(CheckTemplate(nested + closing).ok());
  std::string open;
  for (int i = 0; i < 1200; ++i) open += "{{#late}}";
  CHECK_FALSE(CheckTemplate(open).ok());
  std::string repeated;
  while (repeated.size() < kTemplateMax - 20) repeated += "{{note}}";
  const auto rendered = RenderTemplate(repeated, TemplateEscape::kJson, TriggerNotice(std::string(2000, '\x01')), "i");
  CHECK(absl::IsResourceExhausted(rendered.status()));
}

}  // namespace
}  // namespace stockalert::notifier
