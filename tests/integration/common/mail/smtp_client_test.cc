// Mails sent to a real mail server, and what it does to them.
#include "services/common/mail/smtp_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <future>
#include <latch>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/mutex.h"
#include "services/domain/message/mail_message.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/mail_server/mail_server.h"

namespace stockalert::mail {
namespace {

using testing::HeaderOf;
using testing::MailServer;

constexpr char kPassword[] = "pass word/+%";

// A server's identity, and the file by which a client trusts it.
struct Trust {
  explicit Trust(const std::string& name = "mail") : authority(name) {}
  testing::Authority authority;
  testing::SwappedFolder folder{{{"ca.pem", authority.certificate()}}};
  std::string file() const { return folder.Path("ca.pem"); }
};

Mail MailTo(const std::string& to) {
  return {.head = {.from = "alerts@example.org",
                   .from_name = "StockAlert",
                   .to = to,
                   .subject = "AAPL \xf0\x9f\x9a\x80 at 150.25",
                   .id = "msg_1",
                   .date_us = 1'795'444'200'000'000,
                   .unsubscribe = "alerts@example.org",
                   .unsubscribe_subject = "unsubscribe 7"},
          .text = "Text\r\n",
          .html = "<p>HTML</p>\r\n"};
}

InlinePart Image(std::string bytes) { return {.name = "chart", .type = "image/png", .bytes = std::move(bytes)}; }

class Results {
 public:
  SmtpClient::Done Collector(const std::string& name) {
    return [this, name](MailResult result) {
      base::MutexLock lock(mutex_);
      results_[name].push_back(std::move(result));
    };
  }
  size_t count() const {
    base::MutexLock lock(mutex_);
    size_t all = 0;
    for (const auto& [name, results] : results_) all += results.size();
    return all;
  }
  MailResult One(const std::string& name) const {
    base::MutexLock lock(mutex_);
    REQUIRE(results_.contains(name));
    REQUIRE(results_.at(name).size() == 1);
    return results_.at(name).front();
  }

 private:
  mutable base::Mutex mutex_;
  std::map<std::string, std::vector<MailResult>> results_ ABSL_GUARDED_BY(mutex_);
};

MailResult SendOne(SmtpClient& client, const Mail& mail) {
  auto results = std::make_shared<Results>();
  client.Send(mail, results->Collector("one"));
  REQUIRE(testing::Eventually([&] { return results->count() == 1; }));
  return results->One("one");
}

SmtpOptions OptionsFor(const MailServer& server, const Trust* trust) {
  SmtpOptions options;
  options.host = "localhost";
  options.port = server.port();
  options.tls = trust != nullptr ? SmtpTls::kStartTls : SmtpTls::kNone;
  if (trust != nullptr) options.authorities_file = trust->file();
  return options;
}

TEST_CASE("a mail arrives with all of its parts, over STARTTLS and with a login") {
  const Trust trust;
  MailServer server({.identity = trust.authority.Issue(), .user = "ann", .password = kPassword});
  SmtpOptions options = OptionsFor(server, &trust);
  options.user = "ann";
  options.password = kPassword;
  const base::SystemMonotonicClock clock;
  SmtpClient client(options, clock);
  Mail mail = MailTo("Bob+x@example.net");
  const message::MailMessage content =
      message::MailMessageOf({"AAPL \xf0\x9f\x9a\x80",
                              "Up.\n.\n..dots\r\nFrom me <b>&\n\n" + std::string(3000, 'x'),
                              {{"Price", "150.25 \xe2\x82\xac"}}},
                             "Foot");
  mail.text = content.text;
  mail.html = content.html;
  const MailResult result = SendOne(client, mail);
  CHECK(result.error.empty());
  CHECK(result.outcome == MailOutcome::kAccepted);
  CHECK(result.code == 250);
  CHECK(result.reply == "2.0.0 kept");
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 1; }));
  const nlohmann::json got = server.mails().front();
  CHECK(got["from"] == "alerts@example.org");
  CHECK(got["to"] == nlohmann::json::array({"Bob+x@example.net"}));
  CHECK(got["defects"].empty());
  CHECK(got["bare_line_ends"] == 0);
  CHECK(got["ascii"] == true);
  CHECK(got["line_bytes_max"] <= 200);
  CHECK(HeaderOf(got, "From") == "StockAlert <alerts@example.org>");
  CHECK(HeaderOf(got, "To") == "Bob+x@example.net");
  CHECK(HeaderOf(got, "Subject") == mail.head.subject);
  CHECK(HeaderOf(got, "Date") == "Mon, 23 Nov 2026 14:30:00 +0000");
  CHECK(HeaderOf(got, "Message-ID") == "<msg_1@example.org>");
  CHECK(HeaderOf(got, "Auto-Submitted") == "auto-generated");
  CHECK(HeaderOf(got, "List-Unsubscribe") == "<mailto:alerts@example.org?subject=unsubscribe%207>");
  CHECK(HeaderOf(got, "MIME-Version") + HeaderOf(got, "Mime-Version") == "1.0");
  CHECK(got["headers"].size() == 9);
  CHECK(got["types"] == nlohmann::json::array({"multipart/mixed", "multipart/alternative", "text/plain", "text/html"}));
  const auto text_of = [&](const char* part) {
    std::string text = got[part]["text"];
    text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());
    return text;
  };
  const auto sent = [](std::string text) {
    text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());
    return text;
  };
  CHECK(text_of("plain") == sent(mail.text));
  CHECK(text_of("html") == sent(mail.html));
  CHECK(got["plain"]["encoding"] == "quoted-printable");
  CHECK(got["plain"]["type"] == "text/plain; charset=\"utf-8\"");
  CHECK(got["html"]["type"] == "text/html; charset=\"utf-8\"");
}

std::string EveryByte() {
  std::string bytes;
  for (int i = 0; i < 40'000; ++i) bytes += static_cast<char>(i * 7 % 256);
  return bytes;
}

TEST_CASE("a part that is made when the mail's turn has come arrives beside the HTML that shows it") {
  MailServer server;
  const base::SystemMonotonicClock clock;
  SmtpClient client(OptionsFor(server, nullptr), clock);
  Mail mail = MailTo("ann@example.net");
  mail.parts = {Image("")};
  Results results;
  client.Send(mail, results.Collector("ann"), [](Mail& begun) {
    begun.parts[0].bytes = EveryByte();
    begun.html = "<img src=\"" + UrlOfPart(begun.head, "chart") + "\">\r\n";
  });
  REQUIRE(testing::Eventually([&] { return results.count() == 1; }));
  CHECK(results.One("ann").outcome == MailOutcome::kAccepted);
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 1; }));
  const nlohmann::json got = server.mails().front();
  CHECK(got["types"] == nlohmann::json::array({"multipart/mixed", "multipart/alternative", "text/plain",
                                               "multipart/related", "text/html", "image/png"}));
  CHECK(got["defects"].empty());
  CHECK(got["bare_line_ends"] == 0);
  CHECK(got["ascii"] == true);
  CHECK(got["line_bytes_max"] <= 200);
  CHECK(got["plain"]["text"] == "Text\r\n");
  CHECK(got["html"]["text"] == "<img src=\"cid:chart.msg_1@example.org\">\r\n");
  REQUIRE(got["others"].size() == 1);
  const nlohmann::json part = got["others"][0];
  CHECK(part["id"] == "<chart.msg_1@example.org>");
  CHECK(part["disposition"] == "inline");
  CHECK(part["file_name"] == "chart.png");
  CHECK(part["encoding"] == "base64");
  std::string bytes;
  REQUIRE(absl::Base64Unescape(part["base64"].get<std::string>(), &bytes));
  CHECK(bytes == EveryByte());
  CHECK(HeaderOf(got, "List-Unsubscribe") == "<mailto:alerts@example.org?subject=unsubscribe%207>");
}

TEST_CASE("a part that was not made is left out, and one that would add a field is refused") {
  MailServer server;
  const base::SystemMonotonicClock clock;
  SmtpClient client(OptionsFor(server, nullptr), clock);
  Mail mail = MailTo("ann@example.net");
  mail.parts = {Image("")};
  CHECK(SendOne(client, mail).outcome == MailOutcome::kAccepted);
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 1; }));
  CHECK(server.mails().front()["types"].size() == 4);
  mail.parts[0].name = "chart>\r\nBcc: eve@example.org";
  CHECK(SendOne(client, mail).outcome == MailOutcome::kInvalid);
}

TEST_CASE("what makes a part holds up no other mail, and is not asked for one that is given back") {
  auto server = std::make_unique<MailServer>();
  const base::SystemMonotonicClock clock;
  SmtpOptions options = OptionsFor(*server, nullptr);
  options.in_flight_max = 2;
  SmtpClient client(options, clock);
  std::latch begun(1);
  // Whatever ends this test ends the wait, too.
  std::promise<void> may_go;
  std::atomic<int> asked = 0;
  Results results;
  client.Send(MailTo("first@example.net"), results.Collector("first"), [&, go = may_go.get_future().share()](Mail&) {
    ++asked;
    begun.count_down();
    go.wait();
  });
  begun.wait();
  CHECK(SendOne(client, MailTo("ann@example.net")).outcome == MailOutcome::kAccepted);
  may_go.set_value();
  REQUIRE(testing::Eventually([&] { return results.count() == 1; }));
  CHECK(results.One("first").outcome == MailOutcome::kAccepted);
  server.reset();
  CHECK(SendOne(client, MailTo("ann@example.net")).outcome == MailOutcome::kServerFault);
  client.Send(MailTo("ann@example.net"), results.Collector("second"), [&](Mail&) { ++asked; });
  CHECK(results.One("second").outcome == MailOutcome::kServerFault);
  CHECK(asked == 1);
}

TEST_CASE("mails share a connection") {
  const Trust trust;
  MailServer server({.identity = trust.authority.Issue()});
  const base::SystemMonotonicClock clock;
  SmtpClient client(OptionsFor(server, &trust), clock);
  for (int i = 0; i < 5; ++i) CHECK(SendOne(client, MailTo(absl::StrCat("u", i, "@example.net"))).error.empty());
  CHECK(server.connections() == 1);
}

TEST_CASE("a server that speaks TLS from the first byte on") {
  const Trust trust;
  MailServer server({.identity = trust.authority.Issue(), .implicit_tls = true});
  const base::SystemMonotonicClock clock;
  SmtpOptions options = OptionsFor(server, &trust);
  options.tls = SmtpTls::kImplicit;
  SmtpClient client(options, clock);
  CHECK(SendOne(client, MailTo("ann@example.net")).error.empty());
}

TEST_CASE("more mails than may be in flight arrive once each") {
  MailServer server;
  const base::SystemMonotonicClock clock;
  SmtpOptions options = OptionsFor(server, nullptr);
  options.in_flight_max = 3;
  options.waiting_max = 40;
  Results results;
  std::map<std::string, int> sent, got;
  {
    SmtpClient client(options, clock);
    for (int i = 0; i < 40; ++i) {
      const std::string to = absl::StrCat("u", i, "@example.net");
      sent[to] = 1;
      client.Send(MailTo(to), results.Collector(to));
    }
    REQUIRE(testing::Eventually([&] { return results.count() == 40; }));
  }
  for (const auto& [to, times] : sent) CHECK(results.One(to).outcome == MailOutcome::kAccepted);
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 40; }));
  for (const nlohmann::json& mail : server.mails()) ++got[mail["to"][0].get<std::string>()];
  CHECK(got == sent);
  CHECK(server.connections() <= 3);
}

TEST_CASE("what a server refuses is told apart") {
  MailServer server;
  const base::SystemMonotonicClock clock;
  struct Case {
    std::string to;
    MailOutcome outcome;
    int code;
  };
  for (const Case& one : std::vector<Case>{{"defer@example.net", MailOutcome::kDeferred, 450},
                                           {"nomailbox@example.net", MailOutcome::kNoMailbox, 550},
                                           {"policy@example.net", MailOutcome::kRefused, 554},
                                           {"closing@example.net", MailOutcome::kServerFault, 421},
                                           {"later@example.net", MailOutcome::kDeferred, 451},
                                           {"spam@example.net", MailOutcome::kRefused, 554},
                                           {"bye@example.net", MailOutcome::kServerFault, 421},
                                           {"drop@example.net", MailOutcome::kDeferred, 0}}) {
    CAPTURE(one.to);
    SmtpClient client(OptionsFor(server, nullptr), clock);
    const MailResult result = SendOne(client, MailTo(one.to));
    CHECK(result.outcome == one.outcome);
    CHECK((one.code == 0 ? result.code < 400 : result.code == one.code));
    CHECK_FALSE(result.error.empty());
    if (one.code > 0) CHECK(result.error.find(std::to_string(one.code)) != std::string::npos);
    CHECK((result.retry_after > absl::ZeroDuration()) == (one.outcome == MailOutcome::kServerFault));
    // The next mail is not held up by it, unless it was the server's fault.
    const MailResult next = SendOne(client, MailTo("ann@example.net"));
    CHECK(next.outcome ==
          (one.outcome == MailOutcome::kServerFault ? MailOutcome::kServerFault : MailOutcome::kAccepted));
  }
}

TEST_CASE("no mail goes to a server that cannot be trusted, or does not let us in") {
  const Trust trust, other("another");
  const base::SystemMonotonicClock clock;
  const auto outcome_of = [&](const testing::MailServerOptions& wanted,
                              const std::function<void(SmtpOptions&)>& change) {
    MailServer server(wanted);
    SmtpOptions options = OptionsFor(server, &trust);
    options.user = "ann";
    options.password = kPassword;
    change(options);
    SmtpClient client(options, clock);
    const MailResult result = SendOne(client, MailTo("ann@example.net"));
    CHECK(result.outcome == MailOutcome::kServerFault);
    CHECK(result.error.find(kPassword) == std::string::npos);
    CHECK(server.mails().empty());
    return result.error;
  };
  const testing::MailServerOptions good = {.identity = trust.authority.Issue(), .user = "ann", .password = kPassword};
  const auto as_is = [](SmtpOptions&) {};
  testing::MailServerOptions other_name = good;
  other_name.identity = trust.authority.Issue({.dns_names = {"mail.example.org"}, .ip_addresses = {}});
  CHECK(outcome_of(other_name, as_is).find("certificate") != std::string::npos);
  testing::MailServerOptions other_authority = good;
  other_authority.identity = other.authority.Issue();
  CHECK(outcome_of(other_authority, as_is).find("certificate") != std::string::npos);
  testing::MailServerOptions old = good;
  old.identity = trust.authority.Issue({.end = absl::Now() - absl::Minutes(1)});
  CHECK(outcome_of(old, as_is).find("certificate") != std::string::npos);
  CHECK(outcome_of({}, as_is).find("STARTTLS") != std::string::npos);
  CHECK(outcome_of(good, [](SmtpOptions& options) { options.password = "wrong"; }).find("535") != std::string::npos);
  CHECK(outcome_of(good, [](SmtpOptions& options) { options.user.clear(); }).find("530") != std::string::npos);
  outcome_of(good, [](SmtpOptions& options) { options.tls = SmtpTls::kImplicit; });
  outcome_of(good, [](SmtpOptions& options) { options.tls = SmtpTls::kNone; });
}

TEST_CASE("a server that does not answer costs no more than the time limit") {
  MailServer server;
  const base::SystemMonotonicClock clock;
  SmtpOptions options = OptionsFor(server, nullptr);
  options.timeout = absl::Seconds(3);
  SmtpClient client(options, clock);
  // It may have the mail by then.
  CHECK(SendOne(client, MailTo("slow@example.net")).outcome == MailOutcome::kDeferred);
  const MailResult next = SendOne(client, MailTo("ann@example.net"));
  INFO(next.error);
  CHECK(next.outcome == MailOutcome::kAccepted);
}

// Takes connections and never says a word.
class SilentServer {
 public:
  SilentServer() : file_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    REQUIRE(bind(file_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(file_, 64) == 0);
    REQUIRE(getsockname(file_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { close(file_); }
  int port() const { return port_; }

 private:
  int file_;
  int port_ = 0;
};

TEST_CASE("a server that says nothing is the server's fault, and the client ends beside it") {
  SilentServer server;
  const base::SystemMonotonicClock clock;
  SmtpOptions options;
  options.host = "127.0.0.1";
  options.port = server.port();
  options.tls = SmtpTls::kNone;
  options.timeout = absl::Milliseconds(300);
  {
    SmtpClient client(options, clock);
    const MailResult result = SendOne(client, MailTo("ann@example.net"));
    CHECK(result.outcome == MailOutcome::kServerFault);
    CHECK(result.error.find("300ms") != std::string::npos);
  }
  options.timeout = absl::Seconds(60);
  Results results;
  {
    SmtpClient client(options, clock);
    client.Send(MailTo("ann@example.net"), results.Collector("ann"));
  }
  CHECK(results.One("ann").outcome == MailOutcome::kNotTried);
}

TEST_CASE("a server that is away is not asked for each mail, and has all of them when it is back") {
  testing::FakeMonotonicClock clock;
  auto server = std::make_unique<MailServer>();
  SmtpOptions options = OptionsFor(*server, nullptr);
  options.host = "127.0.0.1";
  options.pauses.jitter = 0;
  const int port = server->port();
  SmtpClient client(options, clock);
  CHECK(SendOne(client, MailTo("first@example.net")).outcome == MailOutcome::kAccepted);
  server.reset();
  absl::Duration waited;
  int tries = 0;
  while (waited < absl::Hours(1)) {
    const MailResult result = SendOne(client, MailTo("waits@example.net"));
    REQUIRE(result.outcome == MailOutcome::kServerFault);
    // Meanwhile others are given back without a word to the server.
    const MailResult other = SendOne(client, MailTo("other@example.net"));
    REQUIRE(other.outcome == MailOutcome::kServerFault);
    REQUIRE(other.retry_after == result.retry_after);
    REQUIRE(other.error.find("last tried") != std::string::npos);
    ++tries;
    clock.Advance(result.retry_after);
    waited += result.retry_after;
  }
  CHECK(tries <= 67);
  server = std::make_unique<MailServer>(testing::MailServerOptions{.port = port});
  CHECK(SendOne(client, MailTo("waits@example.net")).outcome == MailOutcome::kAccepted);
  CHECK(SendOne(client, MailTo("other@example.net")).outcome == MailOutcome::kAccepted);
  REQUIRE(testing::Eventually([&] { return server->mails().size() == 2; }));
}

TEST_CASE("what waits is bounded, and what is no mail is given back") {
  SilentServer server;
  const base::SystemMonotonicClock clock;
  SmtpOptions options;
  options.host = "127.0.0.1";
  options.port = server.port();
  options.tls = SmtpTls::kNone;
  options.in_flight_max = 1;
  options.waiting_max = 2;
  Results results;
  {
    SmtpClient client(options, clock);
    for (int i = 0; i < 6; ++i) client.Send(MailTo("ann@example.net"), results.Collector(std::to_string(i)));
    CHECK(testing::Eventually([&] { return results.count() >= 3; }));
    client.Send(MailTo("ann@example.net\r\nBcc: eve@example.net"), results.Collector("evil"));
    CHECK(results.One("evil").outcome == MailOutcome::kInvalid);
  }
  CHECK(results.count() == 7);
  for (int i = 0; i < 6; ++i) CHECK(results.One(std::to_string(i)).outcome == MailOutcome::kNotTried);
}

}  // namespace
}  // namespace stockalert::mail
