#include "services/common/postgres/store_failure.h"

#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/failure_kind.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::postgres {

absl::Status StoreFailure(const absl::Status& status) {
  if (status.ok() || base::FindErrorDetails(status)) return status;
  if (IsDatabaseUnavailable(status) || absl::IsAborted(status)) {
    // What Postgres and the pool say of it is in the log and the metrics; callers are told what to do.
    return base::WithFailureKindOf(base::Unavailable(kReasonDatabaseUnavailable,
                                                     "the database does not answer: look whether it was done, or try "
                                                     "again, with the same request_id where there is one"),
                                   status);
  }
  return base::WithFailureKindOf(base::Internal(base::ToStd(status.message())), status);
}

}  // namespace stockalert::postgres
