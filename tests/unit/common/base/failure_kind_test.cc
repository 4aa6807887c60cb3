#include "services/common/base/failure_kind.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"

namespace stockalert::base {
namespace {

TEST_CASE("the mark of a failure is kept when the failure is reworded") {
  const absl::Status cause = WithFailureKind(absl::InvalidArgumentError("bytes"), FailureKind::kOfRecord);
  const absl::Status told = WithFailureKindOf(Internal("the store refused"), cause);
  CHECK(FailureKindOf(told) == FailureKind::kOfRecord);
  CHECK(FindErrorDetails(told));
  CHECK(told.code() == absl::StatusCode::kInternal);
}

TEST_CASE("without a mark the code decides, and never for the dead letters") {
  CHECK(FailureKindOf(absl::UnavailableError("")) == FailureKind::kPassing);
  CHECK(FailureKindOf(absl::DeadlineExceededError("")) == FailureKind::kPassing);
  CHECK(FailureKindOf(absl::AbortedError("")) == FailureKind::kPassing);
  CHECK(FailureKindOf(absl::ResourceExhaustedError("")) == FailureKind::kPassing);
  for (const absl::Status& status :
       {absl::InternalError(""), absl::InvalidArgumentError(""), absl::FailedPreconditionError(""),
        absl::UnknownError(""), absl::AlreadyExistsError("")}) {
    CHECK(FailureKindOf(status) == FailureKind::kUnclear);
  }
}

}  // namespace
}  // namespace stockalert::base
