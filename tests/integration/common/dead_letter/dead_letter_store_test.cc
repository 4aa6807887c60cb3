#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "services/common/base/failure_kind.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::dead_letter {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr char kOpen[] = "SELECT count(*) FROM stockalert_alert.dead_letters WHERE replay_time_us IS NULL";

// Every byte that there is.
std::string AllBytes() {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  return bytes;
}

DeadLetter Letter(int64_t offset, const std::string& value = AllBytes()) {
  DeadLetter letter;
  letter.place = {"alert-events", 3};
  letter.offset = offset;
  letter.key = std::string("k\0\xff", 3);
  letter.value = value;
  letter.headers = {{"traceparent", "\xff\xfe"}, {"empty", ""}, {std::string("na\xffme"), AllBytes()}};
  letter.log_time_us = 7;
  letter.cause = std::string("a cause\0\xff with bytes", 20);
  return letter;
}

struct Bench {
  Bench() { database.Migrate("alert"); }
  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool();
  PostgresDeadLetterStore store{*pool, "stockalert_alert", "test 1", {.letters_max = 5, .bytes_max = 100'000}};
};

TEST_CASE("a letter keeps every byte, once however often it comes") {
  Bench bench;
  REQUIRE(bench.store.Add({Letter(1), Letter(2)}, kNow).ok());
  REQUIRE(bench.store.Add({Letter(2), Letter(1), Letter(1)}, kNow + 1).ok());
  CHECK(*bench.store.CountOpen() == 2);
  CHECK(*bench.store.Has(Letter(1)));
  CHECK_FALSE(*bench.store.Has(Letter(3)));
  CHECK_FALSE(*bench.store.Has(Letter(1, "another cluster's")));
  std::string hex;
  for (const char byte : AllBytes()) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<unsigned char>(byte) >> 4];
    hex += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  CHECK(bench.database.Count(
            "SELECT count(*) FROM stockalert_alert.dead_letters WHERE encode(value, 'hex') = '" + hex +
            "' AND encode(key, 'hex') = '6b00ff' AND encode(header_names[3], 'hex') = '6e61ff6d65' AND"
            " encode(header_values[1], 'hex') = 'fffe' AND encode(header_values[3], 'hex') = '" +
            hex +
            "' AND cause = 'a cause with bytes' AND version = 'test 1' AND log_time_us = 7 AND create_time_us = " +
            std::to_string(kNow)) == 2);
  // Other bytes at the same place are another cluster's record.
  REQUIRE(bench.store.Add({Letter(1, "other")}, kNow).ok());
  CHECK(*bench.store.CountOpen() == 3);
}

TEST_CASE("an empty record can be a dead letter") {
  Bench bench;
  DeadLetter letter;
  letter.place = {"triggers", 0};
  REQUIRE(bench.store.Add({letter}, kNow).ok());
  CHECK(*bench.store.CountOpen() == 1);
}

TEST_CASE("no more are kept than there is room for, and what is there already needs none") {
  Bench bench;
  REQUIRE(bench.store.Add({Letter(1), Letter(2), Letter(3), Letter(4)}, kNow).ok());
  const absl::Status full = bench.store.Add({Letter(5), Letter(6)}, kNow);
  CHECK(absl::IsResourceExhausted(full));
  // So that whoever asked holds the partition, instead of trying the whole batch for ever.
  CHECK(base::FailureKindOf(full) == base::FailureKind::kUnclear);
  CHECK(*bench.store.CountOpen() == 4);
  REQUIRE(bench.store.Add({Letter(5)}, kNow).ok());
  REQUIRE(bench.store.Add({Letter(1), Letter(5)}, kNow).ok());
  CHECK(absl::IsResourceExhausted(bench.store.Add({Letter(7)}, kNow)));
  bench.database.Execute("UPDATE stockalert_alert.dead_letters SET replay_time_us = 1 WHERE log_offset = 3");
  REQUIRE(bench.store.Add({Letter(7)}, kNow).ok());
  CHECK(absl::IsResourceExhausted(bench.store.Add({Letter(8)}, kNow)));
}

TEST_CASE("the bytes of open dead letters are bounded, too") {
  Bench bench;
  REQUIRE(bench.store.Add({Letter(1, std::string(60'000, '\0'))}, kNow).ok());
  CHECK(absl::IsResourceExhausted(bench.store.Add({Letter(2, std::string(60'000, '\0'))}, kNow)));
  REQUIRE(bench.store.Add({Letter(3, "small")}, kNow).ok());
}

TEST_CASE("what was replayed is forgotten after a month, and is not there anew when it is read again before") {
  Bench bench;
  REQUIRE(bench.store.Add({Letter(1)}, kNow).ok());
  bench.database.Execute("UPDATE stockalert_alert.dead_letters SET replay_time_us = " + std::to_string(kNow));
  REQUIRE(bench.store.Add({Letter(1)}, kNow).ok());
  CHECK(bench.database.Count(kOpen) == 0);
  REQUIRE(bench.store.Add({Letter(2)}, kNow + kReplayedKeptUs + 1).ok());
  CHECK(bench.database.Count("SELECT count(*) FROM stockalert_alert.dead_letters") == 1);
}

TEST_CASE("two instances keep the bound on open dead letters together") {
  Bench bench;
  std::vector<std::thread> threads;
  std::vector<int> kept(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&bench, &kept, t] {
      for (int i = 0; i < 5; ++i)
        kept[static_cast<size_t>(t)] += bench.store.Add({Letter(t * 100 + i)}, kNow).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(kept[0] + kept[1] + kept[2] + kept[3] == 5);
  CHECK(bench.database.Count(kOpen) == 5);
}

TEST_CASE("every service that reads records has the table") {
  const testing::TestDatabase database;
  for (const char* service : {"alert", "notifier", "ticker"}) {
    database.Migrate(service);
    const auto pool = database.NewPool();
    PostgresDeadLetterStore store(*pool, std::string("stockalert_") + service, "test");
    REQUIRE(store.Add({Letter(1)}, kNow).ok());
    CHECK(*store.CountOpen() == 1);
  }
}

TEST_CASE("a missing table is the installation's fault, and passes") {
  const testing::TestDatabase database;
  const auto pool = database.NewPool();
  PostgresDeadLetterStore store(*pool, "stockalert_alert", "test");
  CHECK(base::FailureKindOf(store.Add({Letter(1)}, kNow)) == base::FailureKind::kPassing);
}

}  // namespace
}  // namespace stockalert::dead_letter
