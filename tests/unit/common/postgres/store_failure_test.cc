#include "services/common/postgres/store_failure.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "services/common/base/failure_kind.h"

namespace stockalert::postgres {
namespace {

TEST_CASE(
    "a conflict that lasts is a database that does not answer, what is the caller's passes, and the rest is a fault of "
    "ours") {
  CHECK(StoreFailure(absl::OkStatus()).ok());
  CHECK(base::ReasonOf(StoreFailure(base::NotFound("TICKER_NOT_FOUND", "none"))) == "TICKER_NOT_FOUND");
  const absl::Status conflict = StoreFailure(absl::AbortedError("conflicts that outlast the retries"));
  CHECK(conflict.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(conflict) == kReasonDatabaseUnavailable);
  const absl::Status fault =
      StoreFailure(base::WithFailureKind(absl::InternalError("a column is gone"), base::FailureKind::kOfRecord));
  CHECK(fault.code() == absl::StatusCode::kInternal);
  CHECK(base::FailureKindOf(fault) == base::FailureKind::kOfRecord);
}

}  // namespace
}  // namespace stockalert::postgres
