// Runs a body in one transaction and turns what can go wrong into a Status: the only place where SOCI's exceptions end.
//
//   absl::StatusOr<int64_t> count = postgres::Transact(pool, "alert.count", postgres::Idempotency::kIdempotent,
//       [&](postgres::Connection& connection) -> absl::StatusOr<int64_t> {
//         int64_t n = 0;
//         connection.sql() << "SELECT count(*) FROM stockalert_alert.alerts", soci::into(n);
//         return n;
//       });
//
// The body returns absl::Status or absl::StatusOr<T>; anything but OK rolls back. The body may run more than once and
// must not keep effects outside of the transaction from a run that failed. Bounded: 3 runs for serialization failures
// and deadlocks; one more after a dead connection, where the transaction cannot have been committed or the caller says
// that it is idempotent.
//
// Statuses: ALREADY_EXISTS unique violation (ViolatedConstraint names it) · FAILED_PRECONDITION foreign key, check and
// not-null violations (ViolatedConstraint likewise) · ABORTED conflicts that outlast the retries · UNAVAILABLE no
// connection, or it died; where the outcome of a commit is unknown the message says so · DEADLINE_EXCEEDED statement or
// lock timeout · INVALID_ARGUMENT data that Postgres cannot hold · INTERNAL the rest. No message holds SQL text or
// values. Each is marked with whether trying again can help (base::FailureKindOf, by the table of sqlstate.h).
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/postgres/pool.h"

namespace stockalert::postgres {

enum class Idempotency {
  kIdempotent,     // Running it again after a commit of unknown outcome does no harm.
  kNotIdempotent,  // It is run again only where it was certainly rolled back.
};

// The constraint that a status of Transact is about; empty where none.
std::string ViolatedConstraint(const absl::Status& status);

// True where the database itself could not be reached or did not answer (the service says DATABASE_UNAVAILABLE to its
// client).
bool IsDatabaseUnavailable(const absl::Status& status);

namespace internal {

// One attempt after another of begin → body → commit or rollback. `body` must not throw anything but SOCI's and std's
// exceptions.
class TransactionRunner {
 public:
  TransactionRunner(Pool& pool, const char* operation, Idempotency idempotency, bool read_only);
  // Calls `body(context, connection)`; its status decides about commit and rollback.
  absl::Status Run(absl::Status (*body)(void*, Connection&), void* context);

 private:
  Pool& pool_;
  const char* operation_;
  Idempotency idempotency_;
  bool read_only_;
};

inline absl::Status ToStatus(const absl::Status& status) { return status; }
template <typename T>
absl::Status ToStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

template <typename Body>
auto Run(TransactionRunner runner, Body& body) -> std::invoke_result_t<Body&, Connection&> {
  using Result = std::invoke_result_t<Body&, Connection&>;
  struct Context {
    Body& body;
    Result result;
  } context{body, Result(absl::UnknownError("the transaction's body did not run"))};
  absl::Status status = runner.Run(
      [](void* opaque, Connection& connection) {
        auto* self = static_cast<Context*>(opaque);
        self->result = self->body(connection);
        return ToStatus(self->result);
      },
      &context);
  if (!status.ok()) return status;
  return std::move(context.result);
}

}  // namespace internal

// `operation` names the work in metrics and logs, as in "alert.create"; a literal.
template <typename Body>
auto Transact(Pool& pool, const char* operation, Idempotency idempotency, Body&& body)
    -> std::invoke_result_t<Body&, Connection&> {
  return internal::Run(internal::TransactionRunner(pool, operation, idempotency, false), body);
}

// The same for reading: one consistent view (READ ONLY, REPEATABLE READ), always safe to run again.
template <typename Body>
auto Read(Pool& pool, const char* operation, Body&& body) -> std::invoke_result_t<Body&, Connection&> {
  return internal::Run(internal::TransactionRunner(pool, operation, Idempotency::kIdempotent, true), body);
}

}  // namespace stockalert::postgres
