#include "services/notifier/code_mail/code_mailer.h"

#include <catch2/catch.hpp>
#include <map>

#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::notifier {
namespace {

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";

class MemoryCodeMails final : public CodeMailStore {
 public:
  absl::StatusOr<std::vector<QueuedCodeMail>> ClaimDue(int limit, int64_t until_us, int64_t now_us) override {
    if (!failure.ok()) return failure;
    std::vector<QueuedCodeMail> due;
    for (auto& [user, row] : rows) {
      if (row.done || row.next_us > now_us || row.mail.expire_time_us <= now_us) continue;
      if (static_cast<int>(due.size()) == limit) break;
      row.next_us = until_us;
      ++row.mail.attempt_count;
      due.push_back(row.mail);
    }
    return due;
  }
  absl::Status PutBack(const QueuedCodeMail& mail, int64_t next_attempt_us) override {
    if (failure.ok()) rows.at(mail.user_id).next_us = next_attempt_us;
    return failure;
  }
  absl::Status Finish(const QueuedCodeMail& mail) override {
    if (failure.ok()) rows.at(mail.user_id).done = true;
    return failure;
  }

  struct Row {
    QueuedCodeMail mail;
    int64_t next_us = 0;
    bool done = false;
  };
  std::map<std::string, Row> rows;
  absl::Status failure;
};

struct Bench {
  void Queue(const std::string& address, absl::Duration life = absl::Hours(24)) {
    MemoryCodeMails::Row& row = store.rows[kUser];
    row.mail = {.user_id = kUser,
                .sealed_content = SealCodeMail(secrets, kUser, address, "ABCD-EFGH"),
                .expire_time_us = clock.NowUs() + absl::ToInt64Microseconds(life)};
  }
  void Answer(mail::MailOutcome outcome, absl::Duration retry_after = absl::ZeroDuration()) {
    REQUIRE_FALSE(held.empty());
    std::vector<mail::SmtpClient::Done> all;
    all.swap(held);
    for (const auto& done : all) done({.outcome = outcome, .retry_after = retry_after});
    mailer.RunOnce();
  }
  void Pass(absl::Duration time) {
    clock.Advance(time);
    mailer.RunOnce();
  }

  testing::FakeClock clock;
  SecretBox secrets = SecretBox::FromText("k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").value();
  MemoryCodeMails store;
  std::vector<mail::Mail> sent;
  std::vector<mail::SmtpClient::Done> held;
  CodeMailer mailer{{.from = "alerts@example.org", .from_name = "StockAlert"},
                    store,
                    secrets,
                    clock,
                    [this](const mail::Mail& mail, mail::SmtpClient::Done done) {
                      sent.push_back(mail);
                      held.push_back(std::move(done));
                    }};
};

TEST_CASE("a code is mailed once, to its address, and no link stops it") {
  Bench bench;
  bench.Queue("ann@example.org");
  bench.mailer.RunOnce();
  bench.mailer.RunOnce();
  REQUIRE(bench.sent.size() == 1);
  const mail::Mail& mail = bench.sent[0];
  CHECK(mail.head.to == "ann@example.org");
  CHECK(mail.head.from == "alerts@example.org");
  CHECK(mail.head.unsubscribe.empty());
  CHECK(mail.text.find("ABCD-EFGH") != std::string::npos);
  CHECK(mail.html.find("ABCD-EFGH") != std::string::npos);
  CHECK(mail.head.subject.find("ABCD") == std::string::npos);
  CHECK(mail.head.id.find(kUser) == std::string::npos);
  CHECK(mail::HeaderLines(mail.head).ok());
  bench.Answer(mail::MailOutcome::kAccepted);
  CHECK(bench.store.rows[kUser].done);
  bench.Pass(absl::Hours(1));
  CHECK(bench.sent.size() == 1);
}

TEST_CASE("a mail that is deferred comes again with growing pauses, under the same id, until its code expires") {
  Bench bench;
  bench.Queue("ann@example.org", absl::Minutes(30));
  bench.mailer.RunOnce();
  for (const int seconds : {5, 60, 300}) {
    bench.Answer(mail::MailOutcome::kDeferred);
    const size_t before = bench.sent.size();
    bench.Pass(absl::Seconds(seconds - 1));
    CHECK(bench.sent.size() == before);
    bench.Pass(absl::Seconds(1));
    REQUIRE(bench.sent.size() == before + 1);
    CHECK(bench.sent.back().head.id == bench.sent.front().head.id);
  }
  bench.Answer(mail::MailOutcome::kDeferred);
  bench.Pass(absl::Hours(24));
  CHECK(bench.sent.size() == 4);
}

TEST_CASE("while the mail server is away a code waits; what is refused is not tried again") {
  Bench bench;
  bench.Queue("ann@example.org");
  bench.mailer.RunOnce();
  for (int i = 0; i < 60; ++i) {
    bench.Answer(mail::MailOutcome::kServerFault, absl::Seconds(60));
    bench.Pass(absl::Seconds(60));
    REQUIRE(bench.sent.size() == static_cast<size_t>(i) + 2);
  }
  bench.Answer(mail::MailOutcome::kNoMailbox);
  CHECK(bench.store.rows[kUser].done);
}

TEST_CASE("a result is kept while the database is away") {
  Bench bench;
  bench.Queue("ann@example.org");
  bench.mailer.RunOnce();
  bench.store.failure = absl::UnavailableError("down");
  bench.Answer(mail::MailOutcome::kAccepted);
  CHECK_FALSE(bench.store.rows[kUser].done);
  bench.store.failure = absl::OkStatus();
  bench.mailer.RunOnce();
  CHECK(bench.store.rows[kUser].done);
  CHECK(bench.sent.size() == 1);
}

TEST_CASE("what cannot be decrypted is given up") {
  Bench bench;
  bench.Queue("ann@example.org");
  bench.store.rows[kUser].mail.sealed_content = "k9.x";
  bench.mailer.RunOnce();
  bench.mailer.RunOnce();
  CHECK(bench.sent.empty());
  CHECK(bench.store.rows[kUser].done);
}

}  // namespace
}  // namespace stockalert::notifier
