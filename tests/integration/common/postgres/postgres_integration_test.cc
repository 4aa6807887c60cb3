// Pool, transactions and migrations against a real server: dead connections, conflicts, constraints.
#include <soci/soci.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <latch>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/migration.h"
#include "services/common/postgres/pool.h"
#include "services/common/postgres/transaction.h"
#include "services/common/postgres/write_probe.h"
#include "tests/support/flaky_proxy/flaky_proxy.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::postgres {
namespace {

testing::TestDatabase& Database() {
  static testing::TestDatabase database;
  static const bool prepared = [] {
    database.Execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL CONSTRAINT t_name_short CHECK (length(name) < 10), "
        "CONSTRAINT t_name_once UNIQUE (name))");
    return true;
  }();
  static_cast<void>(prepared);
  return database;
}

absl::Status Insert(Pool& pool, int64_t id, const std::string& name) {
  return Transact(pool, "test.insert", Idempotency::kNotIdempotent, [&](Connection& connection) {
    connection.sql() << "INSERT INTO t VALUES (:id, :name)", soci::use(id), soci::use(name);
    return absl::OkStatus();
  });
}

int64_t Rows(Pool& pool) {
  const auto count = Read(pool, "test.count", [](Connection& connection) -> absl::StatusOr<int64_t> {
    int64_t rows = 0;
    connection.sql() << "SELECT count(*) FROM t", soci::into(rows);
    return rows;
  });
  REQUIRE(count.ok());
  return *count;
}

TEST_CASE("constraints become statuses that name them, and no value") {
  auto pool = Database().NewPool();
  Database().Execute("DELETE FROM t");
  REQUIRE(Insert(*pool, 1, "secret").ok());
  const absl::Status twice = Insert(*pool, 2, "secret");
  CHECK(absl::IsAlreadyExists(twice));
  CHECK(ViolatedConstraint(twice) == "t_name_once");
  CHECK(ViolatedConstraint(Insert(*pool, 1, "other")) == "t_pkey");
  CHECK(twice.ToString().find("secret") == std::string::npos);
  const absl::Status long_name = Insert(*pool, 3, "much too long a name");
  CHECK(absl::IsFailedPrecondition(long_name));
  CHECK(ViolatedConstraint(long_name) == "t_name_short");
  CHECK(long_name.ToString().find("much") == std::string::npos);
  CHECK(absl::IsInvalidArgument(Transact(*pool, "test.bad", Idempotency::kIdempotent, [](Connection& connection) {
    int64_t n = 0;
    connection.sql() << "SELECT CAST('secret' AS bigint)", soci::into(n);
    return absl::OkStatus();
  })));
  CHECK(Rows(*pool) == 1);
}

TEST_CASE("a body that does not return OK is rolled back") {
  auto pool = Database().NewPool();
  Database().Execute("DELETE FROM t");
  CHECK(absl::IsNotFound(Transact(*pool, "test.refuse", Idempotency::kIdempotent, [](Connection& connection) {
    connection.sql() << "INSERT INTO t VALUES (1, 'a')";
    return absl::NotFoundError("no");
  })));
  CHECK(Rows(*pool) == 0);
}

TEST_CASE("conflicts are retried a bounded number of times") {
  auto pool = Database().NewPool();
  Database().Execute("DELETE FROM t");
  REQUIRE(Insert(*pool, 1, "one").ok());
  REQUIRE(Insert(*pool, 2, "two").ok());
  // Two transactions lock the two rows the other way round; each goes on once both hold one. Postgres ends one of them.
  std::latch both_hold_one(2);
  const auto swap = [&](int64_t first, int64_t second, int* runs, absl::Status* status) {
    *status = Transact(*pool, "test.swap", Idempotency::kIdempotent, [&](Connection& connection) {
      connection.sql() << "SELECT 1 FROM t WHERE id = :id FOR UPDATE", soci::use(first);
      if (++*runs == 1) both_hold_one.arrive_and_wait();
      connection.sql() << "SELECT 1 FROM t WHERE id = :id FOR UPDATE", soci::use(second);
      return absl::OkStatus();
    });
  };
  int runs_a = 0, runs_b = 0;
  absl::Status a, b;
  std::thread other([&] { swap(2, 1, &runs_b, &b); });
  swap(1, 2, &runs_a, &a);
  other.join();
  CHECK(a.ok());
  CHECK(b.ok());
  CHECK(runs_a + runs_b == 3);
  int runs = 0;
  const absl::Status always = Transact(*pool, "test.always", Idempotency::kIdempotent, [&](Connection& connection) {
    ++runs;
    connection.sql() << "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$";
    return absl::OkStatus();
  });
  CHECK(absl::IsAborted(always));
  CHECK(runs == 3);
}

TEST_CASE("a dead connection is healed, and the work run again where that is safe") {
  testing::FlakyProxy proxy(Database().port());
  auto pool = testing::TestDatabase::NewPoolAt(Database().UrlAtPort(proxy.port()));
  Database().Execute("DELETE FROM t");
  REQUIRE(Insert(*pool, 1, "one").ok());
  // The server ends all sessions, as its restart does.
  Database().Execute(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stockalert-test' AND "
      "datname = current_database()");
  CHECK(Insert(*pool, 2, "two").ok());
  proxy.Cut();
  absl::SleepFor(absl::Milliseconds(50));
  const absl::Time begin = absl::Now();
  const absl::Status away = Insert(*pool, 3, "three");
  CHECK(absl::IsUnavailable(away));
  CHECK(IsDatabaseUnavailable(away));
  CHECK_FALSE(pool->Ready().ok());
  CHECK(absl::Now() - begin < absl::Seconds(8));
  proxy.Mend();
  CHECK(pool->Ready().ok());
  CHECK(Insert(*pool, 3, "three").ok());
  CHECK(Rows(*pool) == 3);
}

TEST_CASE("an exhausted pool fails within the lease timeout") {
  PoolOptions options;
  options.url = Database().url();
  options.connections_max = 1;
  options.lease_timeout = absl::Milliseconds(100);
  auto pool = *Pool::Create(options);
  {
    auto lease = pool->Acquire();
    REQUIRE(lease.ok());
    CHECK(absl::IsResourceExhausted(pool->Acquire().status()));
  }
  CHECK(pool->Acquire().ok());
}

TEST_CASE("a statement that takes too long is ended") {
  PoolOptions options;
  options.url = Database().url();
  options.statement_timeout = absl::Milliseconds(200);
  auto pool = *Pool::Create(options);
  const absl::Status status = Transact(*pool, "test.sleep", Idempotency::kIdempotent, [](Connection& connection) {
    connection.sql() << "SELECT 1 FROM pg_sleep(10)";
    return absl::OkStatus();
  });
  CHECK(absl::IsDeadlineExceeded(status));
  CHECK(IsDatabaseUnavailable(status));
}

TEST_CASE("a frozen server delays no caller beyond the limit, and is used again afterwards") {
  testing::FlakyProxy proxy(Database().port());
  PoolOptions options;
  options.url = Database().UrlAtPort(proxy.port());
  options.statement_timeout = absl::Milliseconds(200);
  options.answer_grace = absl::Milliseconds(300);
  auto pool = *Pool::Create(options);
  const auto read = [&] {
    return Read(*pool, "test.read", [](Connection& connection) -> absl::StatusOr<int> {
      int one = 0;
      connection.sql() << "SELECT 1", soci::into(one);
      return one;
    });
  };
  REQUIRE(read().ok());
  proxy.Freeze();
  const absl::StatusOr<int> frozen = read();
  CHECK(IsDatabaseUnavailable(frozen.status()));
  proxy.Thaw();
  CHECK(read().ok());
  // One that is long, and speaks, is left alone.
  const absl::Status spoke = Transact(*pool, "test.long", Idempotency::kIdempotent, [&](Connection& connection) {
    for (int i = 0; i < 8; ++i) connection.sql() << "SELECT 1 FROM pg_sleep(0.1)";
    return absl::OkStatus();
  });
  CHECK(spoke.ok());
}

TEST_CASE("kept statements serve again and again, also after a failure") {
  struct Sum {
    explicit Sum(soci::session& sql)
        : statement((sql.prepare << "SELECT COALESCE(sum(n), 0) FROM unnest(CAST(:numbers AS bigint[])) AS n",
                     soci::use(numbers), soci::into(sum))) {}
    std::string numbers;
    int64_t sum = 0;
    soci::statement statement;
  };
  auto pool = Database().NewPool(1);
  for (const char* numbers : {"{1,2,3}", "{}", "no array", "{4}"}) {
    const auto sum =
        Transact(*pool, "test.kept", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
          Sum& kept = connection.KeptStatement<Sum>();
          kept.numbers = numbers;
          kept.statement.execute(true);
          return kept.sum;
        });
    const std::string text = numbers;
    if (text == "no array") {
      CHECK(absl::IsInvalidArgument(sum.status()));
    } else {
      REQUIRE(sum.ok());
      CHECK(*sum == (text == "{1,2,3}" ? 6 : text == "{4}" ? 4 : 0));
    }
  }
}

TEST_CASE("arrays and bytes arrive as they were sent") {
  auto pool = Database().NewPool(1);
  const std::vector<std::string> texts = {"plain", "quo\"te", "back\\slash", "", "NULL", "co,mma", "{brace}", "Zürich"};
  const std::string bytes("\x00\x01\xff\\\"", 5);
  std::string joined, hex;
  REQUIRE(Transact(*pool, "test.arrays", Idempotency::kIdempotent, [&](Connection& connection) {
            const std::string array = TextArray(texts);
            const std::string blob = ByteaLiteral(bytes);
            const std::string blobs = ByteaArray({bytes, ""});
            connection.sql() << "SELECT array_to_string(CAST(:texts AS text[]), '|'), encode(CAST(:blob AS bytea) || "
                                "(CAST(:blobs AS bytea[]))[1], 'hex')",
                soci::use(array), soci::use(blob), soci::use(blobs), soci::into(joined), soci::into(hex);
            return absl::OkStatus();
          }).ok());
  CHECK(joined == "plain|quo\"te|back\\slash||NULL|co,mma|{brace}|Zürich");
  CHECK(*BytesFromHex(hex) == bytes + bytes);
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / testing::UniqueName("migrations")) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST_CASE("migrations are applied once, in order, and watched") {
  auto pool = Database().NewPool();
  const std::string schema = testing::UniqueName("m");
  const Folder folder;
  CHECK(absl::IsNotFound(ReadMigrations(folder.path() + "/none").status()));
  CHECK(absl::IsNotFound(ReadMigrations(folder.path()).status()));
  folder.Write("0001_first.sql", "CREATE TABLE " + schema + ".a (at timestamptz DEFAULT '2026-01-01 10:30:00');");
  folder.Write("0002_second.sql",
               "ALTER TABLE " + schema + ".a ADD b bigint; INSERT INTO " + schema + ".a (b) VALUES (1);");
  const auto apply = [&]() -> absl::StatusOr<std::vector<std::string>> {
    const auto migrations = ReadMigrations(folder.path());
    if (!migrations.ok()) return migrations.status();
    return ApplyMigrations(*pool, schema, *migrations);
  };
  CHECK(*apply() == std::vector<std::string>{"0001_first.sql", "0002_second.sql"});
  CHECK(apply()->empty());
  SECTION("one that fails changes nothing") {
    folder.Write("0003_third.sql", "INSERT INTO " + schema + ".a (b) VALUES (2); SELECT nonsense;");
    CHECK(absl::IsInternal(apply().status()));
    CHECK(Database().Count("SELECT count(*) FROM " + schema + ".a") == 1);
    folder.Write("0003_third.sql", "INSERT INTO " + schema + ".a (b) VALUES (2);");
    CHECK(*apply() == std::vector<std::string>{"0003_third.sql"});
  }
  SECTION("a changed file is refused") {
    folder.Write("0001_first.sql", "CREATE TABLE " + schema + ".a (at date);");
    CHECK(absl::IsFailedPrecondition(apply().status()));
  }
  SECTION("an older program changes nothing, where its own files agree") {
    std::filesystem::remove(folder.path() + "/0002_second.sql");
    const auto applied = apply();
    REQUIRE(applied.ok());
    CHECK(applied->empty());
    CHECK(Database().Count("SELECT count(*) FROM mesh.migrations WHERE schema_name = '" + schema + "'") == 2);
    folder.Write("0001_first.sql", "CREATE TABLE " + schema + ".a (at date);");
    CHECK(absl::IsFailedPrecondition(apply().status()));
  }
  SECTION("numbers have no gap") {
    folder.Write("0004_fourth.sql", "SELECT 1;");
    CHECK(absl::IsInvalidArgument(apply().status()));
  }
  SECTION("names are numbered") {
    folder.Write("third.sql", "SELECT 1;");
    CHECK(absl::IsInvalidArgument(apply().status()));
  }
  SECTION("two at once apply each file once") {
    folder.Write("0003_third.sql", "INSERT INTO " + schema + ".a (b) VALUES (3);");
    absl::StatusOr<std::vector<std::string>> first, second;
    std::thread other([&] { second = apply(); });
    first = apply();
    other.join();
    REQUIRE(first.ok());
    REQUIRE(second.ok());
    CHECK(first->size() + second->size() == 1);
    CHECK(Database().Count("SELECT count(*) FROM " + schema + ".a") == 2);
  }
}

// A schema whose tables refuse, while disk.is_full says so, as a full disk does: reads go on, and rows that need no
// more room are written.
struct FullDisk {
  FullDisk() {
    database.Execute("CREATE SCHEMA s");
    database.Execute("CREATE TABLE s.write_probe (id smallint PRIMARY KEY, payload text NOT NULL)");
    database.Execute("CREATE TABLE s.disk (is_full boolean NOT NULL, room bigint NOT NULL)");
    database.Execute("INSERT INTO s.disk VALUES (false, 0)");
    database.Execute("CREATE TABLE s.rows (id bigint)");
    database.Execute(
        "CREATE FUNCTION s.extend() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN"
        " IF (SELECT is_full AND (TG_TABLE_NAME <> 'write_probe' OR length(to_jsonb(NEW)->>'payload') > room) FROM "
        "s.disk) THEN"
        "  RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END IF; RETURN NEW; END $f$");
    for (const char* table : {"write_probe", "rows"}) {
      database.Execute(absl::StrCat("CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON s.", table,
                                    " FOR EACH ROW EXECUTE FUNCTION s.extend()"));
    }
  }
  void Set(bool full, int64_t room) const {
    database.Execute(absl::StrCat("UPDATE s.disk SET is_full = ", full ? "true" : "false", ", room = ", room));
  }
  absl::Status InsertRow(Pool& pool) const {
    return Transact(pool, "test.insert", Idempotency::kNotIdempotent, [&](Connection& connection) {
      connection.sql() << "INSERT INTO s.rows VALUES (1)";
      return absl::OkStatus();
    });
  }
  testing::TestDatabase database;
};

void AwaitTrue(const std::function<bool()>& condition) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() < give_up);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST_CASE("a full disk is seen though reads go on, and that there is room again") {
  const FullDisk disk;
  auto pool = disk.database.NewPool();
  std::atomic<int> writable{-1};
  WriteProbe probe(*pool, {.schema = "s", .interval = absl::Milliseconds(5), .refused_for = absl::Milliseconds(300)},
                   [&writable](bool now) { writable = now ? 1 : 0; });
  AwaitTrue([&] { return disk.database.Count("SELECT count(*) FROM s.write_probe") == 1; });
  CHECK(writable == -1);
  disk.Set(true, 0);
  AwaitTrue([&] { return writable == 0; });
  CHECK(pool->Ready().ok());
  CHECK(IsDatabaseUnavailable(disk.InsertRow(*pool)));
  disk.Set(false, 0);
  AwaitTrue([&] { return writable == 1; });
  CHECK(disk.InsertRow(*pool).ok());
}

TEST_CASE(
    "where the probe's own row still fits, the service's refused writes tell; and little room is not enough to take it "
    "back") {
  const FullDisk disk;
  auto pool = disk.database.NewPool();
  std::atomic<int> writable{-1};
  WriteProbe probe(*pool, {.schema = "s", .interval = absl::Milliseconds(5), .refused_for = absl::Milliseconds(300)},
                   [&writable](bool now) { writable = now ? 1 : 0; });
  disk.Set(true, 100'000);
  CHECK(!disk.InsertRow(*pool).ok());
  AwaitTrue([&] { return writable == 0; });
  // For several times as long as a refusal counts.
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  CHECK(writable == 0);
  disk.Set(false, 0);
  AwaitTrue([&] { return writable == 1; });
}

TEST_CASE("a database that is read-only takes no writes; one that is away is neither") {
  const FullDisk disk;
  std::atomic<int> writable{-1};
  {
    auto pool = testing::TestDatabase::NewPoolAt(disk.database.url() +
                                                 (disk.database.url().find('?') == std::string::npos ? "?" : "&") +
                                                 "options=-c%20default_transaction_read_only%3Don");
    WriteProbe probe(*pool, {.schema = "s", .interval = absl::Milliseconds(5)},
                     [&writable](bool now) { writable = now ? 1 : 0; });
    AwaitTrue([&] { return writable == 0; });
    CHECK(pool->Ready().ok());
  }
  writable = -1;
  auto away = testing::TestDatabase::NewPoolAt(disk.database.UrlAtPort(1));
  WriteProbe probe(*away, {.schema = "s", .interval = absl::Milliseconds(5)},
                   [&writable](bool now) { writable = now ? 1 : 0; });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(writable == -1);
}

}  // namespace
}  // namespace stockalert::postgres
