#include "services/common/mail/mail_headers.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"

namespace stockalert::mail {
namespace {

constexpr char kEmoji[] = "\xf0\x9f\x9a\x80";  // A rocket.

MailHead Head() {
  return {.from = "alerts@example.org",
          .from_name = "StockAlert",
          .to = "ann@example.net",
          .subject = "AAPL at 150.25",
          .id = "msg_0123-ab",
          .date_us = 1'795'444'200'000'000,
          .unsubscribe = "stop@example.org",
          .unsubscribe_subject = "unsubscribe 0123"};
}

std::vector<std::string> LinesOf(const std::string& field) { return absl::StrSplit(field, "\r\n"); }

// What a reader of encoded words shows.
std::string Decoded(const std::string& text) {
  std::string decoded;
  for (std::string word : LinesOf(text)) {
    if (!word.empty() && word.front() == ' ') word.erase(0, 1);
    if (word.rfind("=?UTF-8?B?", 0) != 0) {
      decoded += word;
      continue;
    }
    REQUIRE(word.size() <= 75);
    REQUIRE(word.substr(word.size() - 2) == "?=");
    std::string bytes;
    REQUIRE(absl::Base64Unescape(word.substr(10, word.size() - 12), &bytes));
    // Whole characters only.
    CHECK((static_cast<unsigned char>(bytes.front()) & 0xc0) != 0x80);
    decoded += bytes;
  }
  return decoded;
}

TEST_CASE("the fields of a mail") {
  const auto lines = HeaderLines(Head());
  REQUIRE(lines.ok());
  CHECK(*lines == std::vector<std::string>{"Date: Mon, 23 Nov 2026 14:30:00 +0000",
                                           "From: StockAlert <alerts@example.org>", "To: <ann@example.net>",
                                           "Subject: AAPL at 150.25", "Message-ID: <msg_0123-ab@example.org>",
                                           "Auto-Submitted: auto-generated",
                                           "List-Unsubscribe: <mailto:stop@example.org?subject=unsubscribe%200123>"});
  MailHead head = Head();
  head.unsubscribe.clear();
  CHECK(HeaderLines(head)->size() == 6);
  head.from_name.clear();
  CHECK((*HeaderLines(head))[1] == "From: <alerts@example.org>");
}

TEST_CASE("with a URL one click unsubscribes (RFC 8058)") {
  MailHead head = Head();
  head.unsubscribe_url = "https://alerts.example.org/unsubscribe/abc";
  const auto lines = HeaderLines(head);
  REQUIRE(lines.ok());
  REQUIRE(lines->size() == 8);
  CHECK((*lines)[6] ==
        "List-Unsubscribe: <mailto:stop@example.org?subject=unsubscribe%200123>,\r\n "
        "<https://alerts.example.org/unsubscribe/abc>");
  CHECK((*lines)[7] == "List-Unsubscribe-Post: List-Unsubscribe=One-Click");
  for (const std::string& wrong :
       {std::string("http://example.org/"), std::string("https://example.org/\r\nBcc: eve@example.org"),
        std::string("https://example.org/>, <https://evil.example/"), "https://" + std::string(900, 'a')}) {
    CAPTURE(wrong);
    head.unsubscribe_url = wrong;
    CHECK(absl::IsInvalidArgument(HeaderLines(head).status()));
  }
}

TEST_CASE("what has a meaning in the link to unsubscribe is escaped") {
  MailHead head = Head();
  head.unsubscribe = "a&b?c%d#e+f@example.org";
  head.unsubscribe_subject = "a&body=b\r\n<x>";
  CHECK(HeaderLines(head)->back() ==
        "List-Unsubscribe: <mailto:a%26b%3fc%25d%23e%2bf@example.org?subject=a%26body%3db%20%20%3cx%3e>");
}

TEST_CASE("no value adds a field, a line or a recipient") {
  for (const std::string& evil : std::vector<std::string>{
           "x\r\nBcc: eve@example.org", "x\nBcc: eve@example.org", "x\rBcc: eve@example.org", "\r\n\r\nbody",
           "x\r\n\tfolded: y", std::string("x\0\r\nBcc: y", 11), "x\v\f\x1b[31m", "x\x7f",
           "\r\n.\r\nMAIL FROM:<eve@example.org>",
           "=?UTF-8?B?DQpCY2M6IGV2ZUBleGFtcGxlLm9yZw==?=", "=?us-ascii?q?=0d=0aBcc:_x?=", "\"<eve@example.org>\"",
           "eve@example.org, ", "(comment", "\\", "x\xe2\x80\xa8y", "\xff\xfe\r\nBcc: y"}) {
    CAPTURE(evil);
    MailHead head = Head();
    head.subject = head.from_name = head.unsubscribe_subject = evil;
    const auto lines = HeaderLines(head);
    REQUIRE(lines.ok());
    REQUIRE(lines->size() == 7);
    for (const std::string& field : *lines) {
      const std::vector<std::string> split = LinesOf(field);
      for (size_t i = 0; i < split.size(); ++i) {
        CHECK(std::all_of(split[i].begin(), split[i].end(), [](char c) { return c >= 0x20 && c <= 0x7e; }));
        // What is folded begins with a space: it is no field of its own.
        if (i > 0) CHECK(split[i].front() == ' ');
      }
    }
    // Beside the sender there is a phrase that is no address.
    const std::string from = (*lines)[1];
    CHECK(std::count(from.begin(), from.end(), '@') == 1);
    CHECK(std::count(from.begin(), from.end(), '<') == 1);
    for (std::string MailHead::* field : {&MailHead::from, &MailHead::to, &MailHead::id, &MailHead::unsubscribe}) {
      MailHead bad = Head();
      bad.*field = evil;
      CHECK(absl::IsInvalidArgument(HeaderLines(bad).status()));
      bad.*field += "@example.org";
      CHECK(absl::IsInvalidArgument(HeaderLines(bad).status()));
    }
  }
}

TEST_CASE("a subject is what it was once it is decoded") {
  std::string rockets;
  for (int i = 0; i < 80; ++i) rockets += kEmoji;
  for (const std::string& text : std::vector<std::string>{
           "AAPL at 150.25", std::string(kEmoji) + " AAPL at 150.25", "AAPL \xe2\x86\x91", rockets, "x" + rockets,
           "xy" + rockets, "xyz" + rockets, std::string(300, 'x'), "a =?UTF-8?B?eA==?= b", "\xc3\xa4", ""}) {
    CAPTURE(text);
    for (const size_t used : {0, 6, 9, 30}) {
      const std::string encoded = EncodedText(text, used);
      CHECK(Decoded(encoded) == text);
      const std::vector<std::string> lines = LinesOf(encoded);
      CHECK(lines.front().size() + used <= 76);
      for (const std::string& line : lines) CHECK(line.size() <= 76);
    }
  }
}

TEST_CASE("a subject is cleaned and cut to 400 bytes") {
  CHECK(EncodedText(" \t a\r\nb \n", 9) == "a  b");
  CHECK(EncodedText("\r\n", 9).empty());
  std::string rockets;
  for (int i = 0; i < 101; ++i) rockets += kEmoji;
  CHECK(Decoded(EncodedText(rockets, 9)) == rockets.substr(4));
}

TEST_CASE("a phrase with specials is encoded") {
  CHECK(EncodedPhrase("Stock Alert 2", 6) == "Stock Alert 2");
  for (const std::string text : {"A, B", "A <a@example.org>", "A \"B\"", "\xc3\xa4", "a.b", "a@b"}) {
    CAPTURE(text);
    CHECK(EncodedPhrase(text, 6).rfind("=?UTF-8?B?", 0) == 0);
    CHECK(Decoded(EncodedPhrase(text, 6)) == text);
  }
}

TEST_CASE("an id of other characters, or none, is refused") {
  for (const std::string id : {"", "a b", "a@b", "a>", "a\r\nb", "\xc3\xa4", "a.b"}) {
    MailHead head = Head();
    head.id = id;
    CHECK(absl::IsInvalidArgument(HeaderLines(head).status()));
  }
}

}  // namespace
}  // namespace stockalert::mail
