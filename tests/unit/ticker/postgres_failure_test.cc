#include "services/ticker/postgres_failure.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "services/common/base/failure_kind.h"
#include "services/ticker/ticker_store.h"

namespace stockalert::ticker {
namespace {

TEST_CASE(
    "a conflict that lasts is a database that does not answer, what is the caller's passes, and the rest is a fault of "
    "ours") {
  CHECK(StoreFailure(absl::OkStatus()).ok());
  CHECK(base::ReasonOf(StoreFailure(base::NotFound(kReasonTickerNotFound, "none"))) == kReasonTickerNotFound);
  const absl::Status conflict = StoreFailure(absl::AbortedError("conflicts that outlast the retries"));
  CHECK(conflict.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(conflict) == kReasonDatabaseUnavailable);
  const absl::Status fault =
      StoreFailure(base::WithFailureKind(absl::InternalError("a column is gone"), base::FailureKind::kOfRecord));
  CHECK(fault.code() == absl::StatusCode::kInternal);
  CHECK(base::FailureKindOf(fault) == base::FailureKind::kOfRecord);
}

}  // namespace
}  // namespace stockalert::ticker
