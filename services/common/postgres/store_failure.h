// What a store says of a transaction that failed: the one way from a status of Transact and Read to an error of the
// API.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::postgres {

inline constexpr char kReasonDatabaseUnavailable[] = "DATABASE_UNAVAILABLE";

// Errors of base/error.h, which the transaction's body made, pass. DATABASE_UNAVAILABLE: the database does not answer,
// or conflicts outlast the retries. INTERNAL: the rest, a fault of ours, with no SQL and no values. Marked as the cause
// is (base::FailureKindOf). Pure and thread-safe.
absl::Status StoreFailure(const absl::Status& status);

template <typename T>
absl::StatusOr<T> StoreFailure(absl::StatusOr<T> result) {
  if (!result.ok()) return StoreFailure(result.status());
  return result;
}

}  // namespace stockalert::postgres
