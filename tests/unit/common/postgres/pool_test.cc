// What the pool does without a database. tests/integration/postgres has the rest.
#include <catch2/catch.hpp>

#include "absl/time/clock.h"
#include "services/common/postgres/pool.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::postgres {
namespace {

TEST_CASE("an unreadable URL is refused without quoting it") {
  PoolOptions options;
  options.url = "postgresql://user:secret@[bad";
  const auto pool = Pool::Create(options);
  REQUIRE(absl::IsInvalidArgument(pool.status()));
  CHECK(std::string(pool.status().message()).find("secret") == std::string::npos);
}

TEST_CASE("a pool starts without its database, and its calls say so in time") {
  PoolOptions options;
  options.url = "postgresql://user:secret@127.0.0.1:1/none";
  auto pool = Pool::Create(options);
  REQUIRE(pool.ok());
  const absl::Time begin = absl::Now();
  CHECK(absl::IsUnavailable((*pool)->Ready()));
  int runs = 0;
  const absl::Status status = Transact(**pool, "test.nothing", Idempotency::kIdempotent, [&](Connection&) {
    ++runs;
    return absl::OkStatus();
  });
  CHECK(absl::IsUnavailable(status));
  CHECK(IsDatabaseUnavailable(status));
  CHECK(runs == 0);
  CHECK(absl::Now() - begin < absl::Seconds(5));
  CHECK(status.ToString().find("secret") == std::string::npos);
}

}  // namespace
}  // namespace stockalert::postgres
