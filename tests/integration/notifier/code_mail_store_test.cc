// The mails of codes in Postgres: queued with the batch that asks for them, sent by one instance at a time.
#include <catch2/catch.hpp>

#include "services/common/base/ids.h"
#include "services/notifier/code_mail/postgres_code_mail_store.h"
#include "services/notifier/postgres_notification_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::notifier {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;

struct Bench {
  Bench() { database.Migrate("notifier"); }
  int64_t Queue(std::vector<NewCodeMail> mails, std::vector<UserDeletion> deletions = {}) {
    IntakeBatch batch;
    batch.code_mails = std::move(mails);
    batch.deletions = std::move(deletions);
    const auto result = notifications.StoreBatch(batch, kNow);
    INFO(result.status());
    REQUIRE(result.ok());
    return result->code_mails;
  }
  std::vector<QueuedCodeMail> Claim(int64_t now_us, int limit = 10) {
    const auto due = store.ClaimDue(limit, now_us + 60, now_us);
    INFO(due.status());
    REQUIRE(due.ok());
    return *due;
  }

  const testing::TestDatabase database;
  const std::unique_ptr<postgres::Pool> pool = database.NewPool(4);
  PostgresNotificationStore notifications{*pool};
  PostgresCodeMailStore store{*pool};
  const std::string ann = base::SystemIdSource().NewUuid();
  const std::string bob = base::SystemIdSource().NewUuid();
};

TEST_CASE("a code is queued once, and a later one replaces it") {
  Bench bench;
  CHECK(bench.Queue({{bench.ann, "first, \"quoted\"", kNow + 1000}, {bench.bob, "b", kNow + 1000}}) == 2);
  CHECK(bench.Queue({{bench.ann, "first again", kNow + 1000}}) == 0);
  CHECK(bench.Claim(kNow, 1).size() == 1);
  CHECK(bench.Claim(kNow).size() == 1);
  CHECK(bench.Claim(kNow + 59).empty());
  CHECK(bench.Queue({{bench.ann, "older", kNow + 999},
                     {bench.ann, "second", kNow + 2000},
                     {bench.ann, "between", kNow + 1500}}) == 1);
  const std::vector<QueuedCodeMail> due = bench.Claim(kNow + 1);
  REQUIRE(due.size() == 1);
  CHECK(due[0].user_id == bench.ann);
  CHECK(due[0].sealed_content == "second");
  CHECK(due[0].expire_time_us == kNow + 2000);
  CHECK(due[0].attempt_count == 1);
  // What comes back of the older one changes nothing.
  REQUIRE(bench.store.Finish({bench.ann, "", kNow + 1000, 1}).ok());
  REQUIRE(bench.store.PutBack({bench.ann, "", kNow + 1000, 1}, kNow + 3).ok());
  CHECK(bench.Claim(kNow + 3).empty());
  CHECK(bench.Claim(kNow + 61).size() == 2);
}

TEST_CASE("what is put back is due then; what is finished never again, though its event is read again") {
  Bench bench;
  bench.Queue({{bench.ann, "content", kNow + 1000}});
  QueuedCodeMail mail = bench.Claim(kNow).at(0);
  REQUIRE(bench.store.PutBack(mail, kNow + 5).ok());
  CHECK(bench.Claim(kNow + 4).empty());
  mail = bench.Claim(kNow + 5).at(0);
  CHECK(mail.attempt_count == 2);
  CHECK(mail.sealed_content == "content");
  REQUIRE(bench.store.Finish(mail).ok());
  REQUIRE(bench.store.PutBack(mail, kNow + 6).ok());
  CHECK(bench.Queue({{bench.ann, "content", kNow + 1000}}) == 0);
  CHECK(bench.Claim(kNow + 999).empty());
  // It is forgotten once it has expired.
  CHECK(bench.Claim(kNow + 1000).empty());
  CHECK(bench.Queue({{bench.ann, "content", kNow + 1000}}) == 1);
}

TEST_CASE("an expired code is not mailed, and a deleted user gets none") {
  Bench bench;
  bench.Queue({{bench.ann, "a", kNow + 10}, {bench.bob, "b", kNow + 10}});
  CHECK(bench.Queue({}, {{bench.bob, kNow}}) == 0);
  CHECK(bench.Queue({{bench.bob, "b", kNow + 500}}) == 0);
  CHECK(bench.Claim(kNow + 10).empty());
}

}  // namespace
}  // namespace stockalert::notifier
