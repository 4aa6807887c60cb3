#include "services/common/mail/smtp_reply.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace stockalert::mail {
namespace {

SmtpReply ReplyOf(const std::vector<std::string>& lines) {
  SmtpReply reply;
  for (const std::string& line : lines) reply.AddLine(line);
  return reply;
}

TEST_CASE("a reply is its last line's code and all lines' texts") {
  const SmtpReply reply = ReplyOf({"550-5.1.1 no such\r\n", "550 user\r\n"});
  CHECK(reply.code() == 550);
  CHECK(reply.text() == "5.1.1 no such\nuser");
  CHECK(reply.enhanced_code() == "5.1.1");
  CHECK(ReplyOf({"250-a\r\n"}).code() == 0);
  CHECK(ReplyOf({}).code() == 0);
  CHECK(ReplyOf({"nonsense", "12", ""}).code() == 0);
  CHECK(ReplyOf({"354"}).code() == 354);
  CHECK(ReplyOf({"354 go on\r\n", "250 ok\r\n"}).text() == "ok");
  CHECK(ReplyOf({"250 " + std::string(5000, 'x')}).text().size() == 1024);
  CHECK(ReplyOf({std::string("250 a\0b\xff", 8)}).text() == "ab");
}

TEST_CASE("an enhanced code is one at the beginning of the text") {
  for (const std::string text : {"no such user", "5.1", "5.1.", "55.1.1 x", "5..1 x", "a 5.1.1", "5.1.1.1 x", ""}) {
    CAPTURE(text);
    CHECK(ReplyOf({"550 " + text}).enhanced_code().empty());
  }
  CHECK(ReplyOf({"550 5.7.130 x"}).enhanced_code() == "5.7.130");
}

TEST_CASE("what a reply means depends on what it answers") {
  using Stage = SmtpStage;
  using Outcome = MailOutcome;
  struct Case {
    Stage stage;
    std::string reply;  // Empty: the connection broke, or time ran out.
    Outcome outcome;
  };
  for (const Case& one : std::vector<Case>{{Stage::kSession, "", Outcome::kServerFault},
                                           {Stage::kSession, "554 no", Outcome::kServerFault},
                                           {Stage::kSession, "535 5.7.8 bad password", Outcome::kServerFault},
                                           {Stage::kSender, "", Outcome::kServerFault},
                                           {Stage::kSender, "550 5.7.1 not your address", Outcome::kServerFault},
                                           {Stage::kSender, "451 later", Outcome::kServerFault},
                                           {Stage::kRecipient, "", Outcome::kServerFault},
                                           {Stage::kRecipient, "421 bye", Outcome::kServerFault},
                                           {Stage::kRecipient, "450 4.2.1 busy", Outcome::kDeferred},
                                           {Stage::kRecipient, "451 greylisted", Outcome::kDeferred},
                                           {Stage::kRecipient, "530 5.7.0 log in", Outcome::kServerFault},
                                           {Stage::kRecipient, "550 no such user", Outcome::kNoMailbox},
                                           {Stage::kRecipient, "550 5.1.1 no such user", Outcome::kNoMailbox},
                                           {Stage::kRecipient, "550 5.2.1 disabled", Outcome::kNoMailbox},
                                           {Stage::kRecipient, "551 not here", Outcome::kNoMailbox},
                                           {Stage::kRecipient, "553 5.1.3 syntax", Outcome::kNoMailbox},
                                           {Stage::kRecipient, "552 5.2.2 full", Outcome::kRefused},
                                           {Stage::kRecipient, "550 5.7.1 no relaying", Outcome::kRefused},
                                           {Stage::kRecipient, "554 5.7.1 no relaying", Outcome::kRefused},
                                           {Stage::kRecipient, "554 no", Outcome::kRefused},
                                           {Stage::kContent, "", Outcome::kDeferred},
                                           {Stage::kContent, "354 go on", Outcome::kDeferred},
                                           {Stage::kContent, "421 bye", Outcome::kServerFault},
                                           {Stage::kContent, "452 4.3.1 no room", Outcome::kDeferred},
                                           {Stage::kContent, "550 5.7.1 spam", Outcome::kRefused},
                                           {Stage::kContent, "554 5.6.0 content", Outcome::kRefused}}) {
    CAPTURE(static_cast<int>(one.stage), one.reply);
    CHECK(JudgeReply(one.stage, one.reply.empty() ? SmtpReply() : ReplyOf({one.reply})) == one.outcome);
  }
}

}  // namespace
}  // namespace stockalert::mail
