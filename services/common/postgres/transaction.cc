#include "services/common/postgres/transaction.h"

#include <libpq-fe.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <random>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/failure_kind.h"
#include "services/common/log/log.h"
#include "services/common/postgres/sqlstate.h"

namespace stockalert::postgres {
namespace {

constexpr char kConstraintPayload[] = "type.stockalert.dev/postgres.constraint";
constexpr char kUnavailablePayload[] = "type.stockalert.dev/postgres.unavailable";
constexpr int kConflictRunsMax = 3;

// What went wrong, in the terms of a decision.
struct Failure {
  enum class Kind { kConnection, kConflict, kOther };
  Kind kind = Kind::kOther;
  std::string sqlstate;
  absl::Status status;
};

// The name in `violates ... constraint "name"`. The rest of Postgres' text holds values.
std::string ConstraintIn(absl::string_view text) {
  constexpr absl::string_view kMark = "constraint \"";
  const size_t begin = text.find(kMark);
  if (begin == absl::string_view::npos) return "";
  const size_t end = text.find('"', begin + kMark.size());
  if (end == absl::string_view::npos) return "";
  return std::string(text.substr(begin + kMark.size(), end - begin - kMark.size()));
}

absl::Status DatabaseUnavailable(const char* operation, absl::string_view what, absl::string_view sqlstate) {
  absl::Status status = absl::UnavailableError(absl::StrCat(operation, ": ", what, " (SQLSTATE ", sqlstate, ")"));
  status.SetPayload(kUnavailablePayload, absl::Cord("1"));
  return status;
}

Failure Classify(const char* operation, const std::string& sqlstate, const char* text, bool connection_is_dead) {
  Failure failure;
  failure.sqlstate = sqlstate;
  const std::string suffix = absl::StrCat(" (SQLSTATE ", sqlstate, ")");
  const std::string prefix = absl::StrCat(operation, ": ");
  if (connection_is_dead || absl::StartsWith(sqlstate, "08") || absl::StartsWith(sqlstate, "57P")) {
    failure.kind = Failure::Kind::kConnection;
    if (sqlstate.empty()) failure.sqlstate = "08006";
    failure.status = DatabaseUnavailable(operation, "the connection to the database was lost", failure.sqlstate);
  } else if (sqlstate == "40001" || sqlstate == "40P01") {
    failure.kind = Failure::Kind::kConflict;
    failure.status = absl::AbortedError(absl::StrCat(prefix, "conflicting transactions; try again", suffix));
  } else if (absl::StartsWith(sqlstate, "23")) {
    const std::string constraint = ConstraintIn(text);
    failure.status =
        sqlstate == "23505"
            ? absl::AlreadyExistsError(absl::StrCat(prefix, "there is one already, says ", constraint, suffix))
            : absl::FailedPreconditionError(absl::StrCat(prefix, "against the constraint ", constraint, suffix));
    failure.status.SetPayload(kConstraintPayload, absl::Cord(constraint));
  } else if (sqlstate == "57014" || sqlstate == "55P03") {
    failure.status = absl::DeadlineExceededError(absl::StrCat(prefix, "the database took too long", suffix));
    failure.status.SetPayload(kUnavailablePayload, absl::Cord("1"));
  } else if (absl::StartsWith(sqlstate, "53")) {
    failure.status = DatabaseUnavailable(operation, "the database is out of a resource", sqlstate);
  } else if (sqlstate == "25006" || absl::StartsWith(sqlstate, "58")) {
    failure.status =
        DatabaseUnavailable(operation, "the database takes no writes, or cannot read what it has", sqlstate);
  } else if (absl::StartsWith(sqlstate, "22")) {
    failure.status = absl::InvalidArgumentError(absl::StrCat(prefix, "data that the database cannot hold", suffix));
  } else {
    failure.status = absl::InternalError(absl::StrCat(prefix, "the database refused", suffix));
  }
  failure.status = base::WithFailureKind(std::move(failure.status), failure.kind == Failure::Kind::kConnection
                                                                        ? base::FailureKind::kPassing
                                                                        : FailureKindOfSqlState(sqlstate));
  return failure;
}

bool IsDead(soci::session& sql) {
  auto* backend = static_cast<soci::postgresql_session_backend*>(sql.get_backend());
  return backend == nullptr || backend->conn_ == nullptr || PQstatus(backend->conn_) != CONNECTION_OK;
}

absl::Duration Jittered(absl::Duration base) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return base * std::uniform_real_distribution<double>(0.5, 1.5)(random);
}

}  // namespace

std::string ViolatedConstraint(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kConstraintPayload);
  return payload ? std::string(*payload) : "";
}

bool IsDatabaseUnavailable(const absl::Status& status) { return status.GetPayload(kUnavailablePayload).has_value(); }

namespace internal {

TransactionRunner::TransactionRunner(Pool& pool, const char* operation, Idempotency idempotency, bool read_only)
    : pool_(pool), operation_(operation), idempotency_(idempotency), read_only_(read_only) {}

absl::Status TransactionRunner::Run(absl::Status (*body)(void*, Connection&), void* context) {
  const absl::Time started = absl::Now();
  bool healed = false;
  absl::Status result;
  for (int run = 1;; ++run) {
    absl::StatusOr<Lease> lease = pool_.Acquire();
    if (!lease.ok()) {
      result = DatabaseUnavailable(operation_, lease.status().message(), "08001");
      break;
    }
    soci::session& sql = lease->sql();
    bool committing = false;
    Failure failure;
    try {
      sql << (read_only_ ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN");
      absl::Status status = body(context, lease->connection());
      if (status.ok()) {
        committing = true;  // NOLINT(clang-analyzer-deadcode.DeadStores): read where COMMIT throws.
        sql << "COMMIT";
      } else {
        sql << "ROLLBACK";
      }
      result = status;
      break;
    } catch (const soci::postgresql_soci_error& error) {
      std::string sqlstate = error.sqlstate();
      if (sqlstate == "     ") sqlstate.clear();
      failure = Classify(operation_, sqlstate, error.what(), IsDead(sql));
    } catch (const std::exception& error) {
      // SOCI's own: a NULL where none was expected, a wrong type. Its text may hold values.
      failure = Classify(operation_, "", "", IsDead(sql));
    }
    pool_.CountError(operation_, failure.sqlstate.empty() ? "none" : failure.sqlstate);
    result = failure.status;
    if (failure.kind == Failure::Kind::kConnection) {
      lease->Discard();
      pool_.DropIdle();
      const bool safe = !committing || read_only_ || idempotency_ == Idempotency::kIdempotent;
      if (safe && !healed) {
        healed = true;
        pool_.CountRetry(operation_);
        continue;
      }
      if (!safe) {
        result = DatabaseUnavailable(
            operation_, "the connection was lost at the commit: whether it took place is unknown", failure.sqlstate);
      }
      log::Warning("Postgres: work failed; the caller decides whether to try again", {{"status", result}});
      break;
    }
    try {
      sql << "ROLLBACK";
      lease->connection().DropKeptStatements();
    } catch (const std::exception&) {
      lease->Discard();
    }
    if (failure.kind == Failure::Kind::kConflict && run < kConflictRunsMax) {
      pool_.CountRetry(operation_);
      absl::SleepFor(Jittered(absl::Milliseconds(5) * run));
      continue;
    }
    if (!absl::IsAlreadyExists(result)) log::Warning("Postgres: work failed and was rolled back", {{"status", result}});
    break;
  }
  pool_.ObserveTransaction(operation_, absl::Now() - started);
  return result;
}

}  // namespace internal
}  // namespace stockalert::postgres
