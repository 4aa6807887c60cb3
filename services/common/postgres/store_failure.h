// Turns the status of a failed transaction (Transact, Read) into an error of the API, the same way in every store.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::postgres {

inline constexpr char kReasonDatabaseUnavailable[] = "DATABASE_UNAVAILABLE";

// Errors of base/error.h, made by the transaction's body, are returned unchanged. DATABASE_UNAVAILABLE: the database
// does not answer, or conflicts outlast the retries. INTERNAL: everything else, a bug of ours, without SQL and values.
// Keeps the cause's mark (base::FailureKindOf). Pure and thread-safe.
absl::Status StoreFailure(const absl::Status& status);

template <typename T>
absl::StatusOr<T> StoreFailure(absl::StatusOr<T> result) {
  if (!result.ok()) return StoreFailure(result.status());
  return result;
}

}  // namespace stockalert::postgres
