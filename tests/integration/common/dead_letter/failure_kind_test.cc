// What a real Postgres says, and what is made of it.
#include "services/common/base/failure_kind.h"

#include <soci/soci.h>

#include <catch2/catch.hpp>
#include <string>

#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::postgres {
namespace {

using base::FailureKind;

absl::Status Run(Pool& pool, const std::string& sql) {
  return Transact(pool, "test", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
    connection.sql() << sql;
    return absl::OkStatus();
  });
}

absl::Status Insert(Pool& pool, const std::string& text) {
  const std::string array = TextArray({"sound", text});
  return Transact(pool, "test", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
    connection.sql() << "INSERT INTO t (name) SELECT * FROM unnest(CAST(:names AS text[]))", soci::use(array, "names");
    return absl::OkStatus();
  });
}

TEST_CASE("bytes that no text can hold are the record's own fault; a lost table, a full disk, a standby are not") {
  const testing::TestDatabase database;
  const auto pool = database.NewPool();
  database.Execute("CREATE TABLE t (name text, number smallint CHECK (number > 0))");
  REQUIRE(Insert(*pool, "more").ok());
  for (const std::string& text : {std::string("\xff"), std::string("a\0b", 3), std::string("\xed\xa0\x80")}) {
    CHECK(base::FailureKindOf(Insert(*pool, text)) == FailureKind::kOfRecord);
  }
  CHECK(base::FailureKindOf(Run(*pool, "INSERT INTO t (number) VALUES (100000)")) == FailureKind::kOfRecord);
  CHECK(base::FailureKindOf(Run(*pool, "INSERT INTO t (number) VALUES (0)")) == FailureKind::kOfRecord);
  database.Execute("CREATE INDEX ON t (name)");
  // Random, so that it does not compress: larger than a page of the index.
  CHECK(base::FailureKindOf(Run(
            *pool, "INSERT INTO t (name) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 1000)")) ==
        FailureKind::kOfRecord);
  CHECK(base::FailureKindOf(Run(*pool, "INSERT INTO elsewhere VALUES (1)")) == FailureKind::kPassing);
  CHECK(base::FailureKindOf(Run(*pool, "INSERT INTO t (column_to_come) VALUES (1)")) == FailureKind::kPassing);
  CHECK(base::FailureKindOf(Run(*pool, "DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END $$")) ==
        FailureKind::kPassing);
  CHECK(base::FailureKindOf(Run(*pool, "SELEC")) == FailureKind::kUnclear);
  const absl::Status read_only = Run(*pool, "SET TRANSACTION READ ONLY; INSERT INTO t (number) VALUES (1)");
  CHECK(base::FailureKindOf(read_only) == FailureKind::kPassing);
  CHECK(IsDatabaseUnavailable(read_only));
  const auto nowhere = testing::TestDatabase::NewPoolAt("postgresql://nobody@127.0.0.1:1/none");
  CHECK(base::FailureKindOf(Run(*nowhere, "SELECT 1")) == FailureKind::kPassing);
}

}  // namespace
}  // namespace stockalert::postgres
