#include "services/domain/message/mail_message.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace stockalert::message {
namespace {

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("the text of a mail") {
  const MailMessage mail =
      MailMessageOf({"AAPL at 150.25", "AAPL at or above 150.\nSell half", {{"Price", "150.25"}, {"Time", "now"}}},
                    "Sent to this address.");
  CHECK(mail.subject == "AAPL at 150.25");
  CHECK(mail.text ==
        "AAPL at 150.25\r\n\r\nAAPL at or above 150.\r\nSell half\r\n\r\nPrice: 150.25\r\nTime: now\r\n\r\n-- \r\n"
        "Sent to this address.\r\n");
}

TEST_CASE("the HTML of a mail has the words, the fields as a table, and styles inline") {
  const std::string html =
      MailMessageOf({"AAPL at 150.25", "One.\nTwo", {{"Price", "150.25"}, {"Time", "now"}}}, "Foot").html;
  CHECK(Contains(html, ">AAPL at 150.25</h1>"));
  CHECK(Contains(html, ">One.<br>\r\nTwo</p>"));
  CHECK(Contains(html, ">Price</th><td style=\"padding:2px 0\">150.25</td></tr>"));
  CHECK(Contains(html, ">Foot</p>"));
  for (const char* banned : {"<style", "<script", "<link", "<img", "class=", "http"})
    CHECK_FALSE(Contains(html, banned));
  CHECK_FALSE(Contains(MailMessageOf({"a", "b", {}}, "").html, "<table"));
  CHECK_FALSE(Contains(MailMessageOf({"a", "b", {}}, "").text, "-- "));
}

TEST_CASE("an image stands between the words and the fields, and nothing in it is markup") {
  const NotificationText words = {"AAPL at 150.25", "One.", {{"Price", "150.25"}}};
  const MailMessage plain = MailMessageOf(words, "Foot");
  const MailMessage mail = MailMessageOf(
      words, "Foot", MailImage{.url = "cid:a.b@example.org", .alt = "\"><b>\r\n&", .width = 600, .height = 300});
  CHECK(mail.text == plain.text);
  CHECK(Contains(mail.html,
                 "One.</p>\r\n<p style=\"margin:0 0 16px\"><img src=\"cid:a.b@example.org\" "
                 "alt=\"&quot;&gt;&lt;b&gt; &amp;\" width=\"600\" height=\"300\" "
                 "style=\"display:block;max-width:100%;height:auto;border:0\"></p>\r\n<table"));
}

TEST_CASE("no words are markup, and none add a line where there is one") {
  const std::string evil = "</td></p><script>alert('x')</script>\r\n<b>&amp;\" onload=\"y\n\n--\r.";
  const MailMessage mail = MailMessageOf({evil, evil, {{evil, evil}}}, evil);
  const MailMessage plain = MailMessageOf({"a", "b", {{"c", "d"}}}, "e");
  const auto count = [](const std::string& text, const std::string& part) {
    int found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  };
  // Five line breaks are in the text alone.
  CHECK(count(mail.html, "<br>") == 4);
  CHECK(count(mail.html, "<") == count(plain.html, "<") + 4);
  CHECK(count(mail.html, "\"") == count(plain.html, "\""));
  CHECK(Contains(mail.html, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
  CHECK(Contains(mail.html, "&amp;amp;&quot; onload=&quot;y"));
  CHECK_FALSE(Contains(mail.subject, "\n"));
  CHECK(count(mail.text, "\r\n") == count(plain.text, "\r\n") + 4);
  CHECK(count(mail.text, "\n") == count(mail.text, "\r\n"));
  CHECK(count(mail.text, "\r") == count(mail.text, "\r\n"));
}

TEST_CASE("control characters and invalid UTF-8 are left out, and long texts are cut") {
  const MailMessage mail = MailMessageOf({std::string("a\0\x1b\x7f\tb\xff", 7), "\xe2\x82\xac\xe2\x82", {}}, "");
  CHECK(mail.subject == "a b");
  CHECK(Contains(mail.text, "\r\n\xe2\x82\xac\r\n"));
  CHECK(MailMessageOf({"a", std::string(100'000, '<'), {}}, "").html.size() < 40'000);
}

}  // namespace
}  // namespace stockalert::message
