#include "services/notifier/delivery/kinds/email_kind.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

OutgoingMail ComposeOutgoing(const message::Notice& notice) {
  const KindFixture f(KindId::kEmail, {{"address", "Ann@Example.ORG"}});
  Parcel parcel;
  parcel.settings = f.Checked().settings;
  parcel.notice = notice;
  parcel.id = "msg_1";
  parcel.destination_id = "7";
  parcel.now_us = kTestNowUs + 3'600'000'000;
  const auto request = f.kind.Compose(parcel);
  INFO(request.status());
  REQUIRE(request.ok());
  return std::get<OutgoingMail>(*request);
}

mail::Mail Compose(const message::Notice& notice) { return ComposeOutgoing(notice).mail; }

TEST_CASE("email: one address, shown as it is") {
  const KindFixture f(KindId::kEmail, {{"address", "Ann@Example.ORG"}});
  const CheckedSettings checked = f.Checked();
  CHECK(checked.address == "Ann@example.org");
  CHECK(Json::parse(checked.shown) == Json{{"address", "Ann@example.org"}});
  CHECK(checked.shown == checked.settings);
  CHECK(f.kind.traits().proof == Proof::kCode);
  for (const char* wrong : {"", "ann", "Ann <ann@example.org>", "ann@example.org\r\nBcc: eve@example.org",
                            "ann@example.org,bob@example.org",
                            "ann@b\xc3\xbc"
                            "cher.example"}) {
    INFO(wrong);
    CHECK(f.Fault("address", wrong) == "destination.email.address");
  }
  CHECK(f.Fault("address", 1) == "destination.email.address");
}

TEST_CASE("email: one mailbox is one target, with any tag and however it is written") {
  const auto target = [](const char* address) {
    return KindFixture(KindId::kEmail, {{"address", address}}).Checked().target;
  };
  CHECK(target("Ann+Stocks@Example.ORG") == "ann@example.org");
  CHECK(target("ann@example.org") == "ann@example.org");
  CHECK(target("+ann@example.org") == "+ann@example.org");
  CHECK(target("ann@example.org") != target("bob@example.org"));
}

TEST_CASE("email: the same mail at each attempt, with what stops it") {
  const mail::Mail mail = Compose(TriggerNotice("note\r\nBcc: eve@example.org\n<b>"));
  CHECK(mail.head.from == "alerts@example.org");
  CHECK(mail.head.from_name == "StockAlert");
  CHECK(mail.head.to == "Ann@example.org");
  CHECK(mail.head.subject == "AAPL at 150.25");
  CHECK(mail.head.id == "msg_1");
  CHECK(mail.head.date_us == kTestNowUs);
  CHECK(mail.head.unsubscribe == "stop@example.org");
  CHECK(mail.head.unsubscribe_subject == "unsubscribe 7");
  CHECK(mail.text.find("note\r\nBcc: eve@example.org\r\n<b>\r\n") != std::string::npos);
  CHECK(mail.html.find("note<br>\r\nBcc: eve@example.org<br>\r\n&lt;b&gt;</p>") != std::string::npos);
  CHECK(mail.html.find("150.25</td>") != std::string::npos);
  CHECK(mail.text.find("has verified it") != std::string::npos);
  CHECK(mail::HeaderLines(mail.head).ok());
}

TEST_CASE("email: a mail about a trigger asks for a picture, and is whole without it") {
  message::Notice notice = TriggerNotice("note <b>");
  const OutgoingMail outgoing = ComposeOutgoing(notice);
  REQUIRE(outgoing.picture);
  const OutgoingPicture& picture = *outgoing.picture;
  CHECK(picture.chart.symbol == "AAPL");
  CHECK(picture.chart.title == "AAPL at or above 150");
  CHECK(picture.chart.trigger_micros == 150'250'000);
  CHECK(picture.chart.trigger_us == kTestNowUs);
  CHECK(picture.chart.lines_micros == std::vector<int64_t>{150'000'000});
  CHECK(picture.chart.bars.empty());
  CHECK(mail::PartHeaderLines(outgoing.mail.head, picture.part).ok());
  CHECK(outgoing.mail.parts.empty());
  CHECK(outgoing.mail.html.find("<img") == std::string::npos);
  const std::string image =
      "<img src=\"cid:chart.msg_1@example.org\" alt=\"Chart of the last prices of AAPL, with the trigger at 150.25 and "
      "the reference of 150.00\" width=\"600\" height=\"300\"";
  CHECK(picture.html.find(image) != std::string::npos);
  // But for the picture it is the same.
  const size_t begin = picture.html.find("<p style=\"margin:0 0 16px\"><img");
  REQUIRE(begin != std::string::npos);
  const size_t end = picture.html.find("</p>\r\n", begin) + 6;
  CHECK(picture.html.substr(0, begin) + picture.html.substr(end) == outgoing.mail.html);
  REQUIRE(absl::LoadTimeZone("Asia/Tokyo", &notice.style.time_zone));
  notice.style.price_decimals = 1;
  CHECK(ComposeOutgoing(notice).picture->chart.zone.name() == "Asia/Tokyo");
  CHECK(ComposeOutgoing(notice).picture->chart.price_decimals == 1);
  CHECK(ComposeOutgoing(notice).picture->html.find("trigger at 150.2 and") != std::string::npos);
  notice.style.price_decimals.reset();
  notice.reference_micros.reset();
  CHECK(ComposeOutgoing(notice).picture->chart.lines_micros.empty());
  CHECK(ComposeOutgoing(notice).picture->html.find("trigger at 150.25\" width") != std::string::npos);
}

TEST_CASE("email: no other mail has a picture") {
  for (const message::Type type :
       {message::Type::kThrottled, message::Type::kVerification, message::Type::kTest, message::Type::kDestination}) {
    message::Notice notice = TriggerNotice("");
    notice.type = type;
    CHECK_FALSE(ComposeOutgoing(notice).picture);
  }
}

TEST_CASE("email: a code goes to an address of which nobody says yet that it is verified") {
  const mail::Mail mail = Compose(CodeNotice("ABCD2345"));
  CHECK(mail.text.find("ABCD2345") != std::string::npos);
  CHECK(mail.html.find("ABCD2345") != std::string::npos);
  CHECK(mail.head.subject.find("ABCD2345") == std::string::npos);
  CHECK(mail.text.find("has verified it") == std::string::npos);
}

TEST_CASE("email: what the server's answers mean") {
  const KindFixture f(KindId::kEmail, {{"address", "ann@example.org"}});
  const auto judge = [&](int code, const std::string& text, mail::MailOutcome outcome) {
    ServiceReply reply;
    reply.status = code;
    reply.body = text;
    reply.mail_outcome = outcome;
    return f.kind.Judge(reply, Delivery(), kTestNowUs);
  };
  CHECK(judge(250, "ok", mail::MailOutcome::kAccepted).kind == VerdictKind::kDelivered);
  CHECK(judge(450, "later", mail::MailOutcome::kDeferred).kind == VerdictKind::kRetry);
  CHECK(judge(554, "spam", mail::MailOutcome::kRefused).kind == VerdictKind::kRefused);
  const Verdict gone = judge(550, "5.1.1 no such\nuser", mail::MailOutcome::kNoMailbox);
  CHECK(gone.kind == VerdictKind::kGone);
  CHECK(gone.error == "the mail server answered 550: 5.1.1 no such user");
}

TEST_CASE("email: without a mail server it is off") {
  const Kinds kinds{EgressGuard(), KindHosts()};
  const DestinationKind& kind = *kinds.Find(KindId::kEmail);
  const absl::Status status = kind.Check(Json{{"address", "ann@example.org"}}).status();
  CHECK(absl::IsFailedPrecondition(status));
  CHECK(base::ReasonOf(status) == "MAIL_OFF");
  CHECK(absl::IsFailedPrecondition(kind.Compose(Parcel()).status()));
}

TEST_CASE("email: with a public URL a link unsubscribes, and the mail is the same at each attempt") {
  MailIdentity identity{"alerts@example.org", "StockAlert", "stop@example.org"};
  identity.unsubscribe_url = [](const std::string& user_id, const std::string& destination_id,
                                const std::string& address) {
    return "https://alerts.example.org/unsubscribe/" + user_id + "/" + destination_id + "/" + address;
  };
  const auto kind = MakeEmailKind(identity);
  Parcel parcel;
  parcel.settings = R"({"address":"ann@example.org"})";
  parcel.notice = TriggerNotice("");
  parcel.notice.user_id = "u";
  parcel.id = "msg_1";
  parcel.destination_id = "7";
  CHECK(std::get<OutgoingMail>(*kind->Compose(parcel)).mail.head.unsubscribe_url ==
        "https://alerts.example.org/unsubscribe/u/7/ann@example.org");
  CHECK(Compose(TriggerNotice("")).head.unsubscribe_url.empty());
}

TEST_CASE("email: the mailbox in the form in which users' addresses are compared") {
  CHECK(KindFixture(KindId::kEmail, {{"address", "Ann+x@Example.ORG"}}).Checked().mailbox == "ann+x@example.org");
  CHECK(KindFixture(KindId::kEmail, {{"address", "a@b.example"}}).kind.traits().has_mailbox);
}

}  // namespace
}  // namespace stockalert::notifier
