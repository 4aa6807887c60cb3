#include "services/ticker/postgres_failure.h"

#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/failure_kind.h"
#include "services/common/postgres/transaction.h"
#include "services/ticker/ticker_store.h"

namespace stockalert::ticker {

absl::Status StoreFailure(const absl::Status& status) {
  if (status.ok() || base::FindErrorDetails(status)) return status;
  if (postgres::IsDatabaseUnavailable(status) || absl::IsAborted(status)) {
    return base::WithFailureKindOf(
        base::Unavailable(kReasonDatabaseUnavailable, "the database does not answer; try again"), status);
  }
  return base::WithFailureKindOf(base::Internal(base::ToStd(status.message())), status);
}

}  // namespace stockalert::ticker
