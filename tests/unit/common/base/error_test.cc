#include "services/common/base/error.h"

#include <catch2/catch.hpp>

#include "services/common/base/abseil.h"

namespace stockalert::base {
namespace {

TEST_CASE("each factory has its code and keeps its reason") {
  struct Row {
    absl::Status status;
    absl::StatusCode code;
    const char* reason;
  };
  const Row rows[] = {
      {InvalidField("email", "is required"), absl::StatusCode::kInvalidArgument, "INVALID_FIELD"},
      {InvalidField("symbol", "is not known", "UNKNOWN_SYMBOL"), absl::StatusCode::kInvalidArgument, "UNKNOWN_SYMBOL"},
      {InvalidArgument("REQUEST_ID_REUSED", "m"), absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"},
      {NotFound("USER_NOT_FOUND", "m"), absl::StatusCode::kNotFound, "USER_NOT_FOUND"},
      {AlreadyExists("EMAIL_TAKEN", "m"), absl::StatusCode::kAlreadyExists, "EMAIL_TAKEN"},
      {FailedPrecondition("X", "m"), absl::StatusCode::kFailedPrecondition, "X"},
      {Unauthenticated("X", "m"), absl::StatusCode::kUnauthenticated, "X"},
      {PermissionDenied("X", "m"), absl::StatusCode::kPermissionDenied, "X"},
      {Unavailable("X", "m"), absl::StatusCode::kUnavailable, "X"},
      {DeadlineExceeded("X", "m"), absl::StatusCode::kDeadlineExceeded, "X"},
      {EtagMismatch(), absl::StatusCode::kAborted, "ETAG_MISMATCH"},
      {ResourceExhausted("X", "m", absl::Seconds(2)), absl::StatusCode::kResourceExhausted, "X"},
      {Internal("m"), absl::StatusCode::kInternal, "INTERNAL"},
  };
  for (const Row& row : rows) {
    INFO(row.status.ToString());
    CHECK(row.status.code() == row.code);
    CHECK(ReasonOf(row.status) == row.reason);
  }
}

TEST_CASE("details come back as they went in, whatever characters they hold") {
  const ErrorDetails details{"REASON",
                             {{"key", "va:lue"}, {"", ""}, {"3:abc", std::string("\0x", 2)}},
                             {{"a.b", "must be 1:2"}, {"", "12:"}},
                             absl::Milliseconds(1500)};
  const absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, "message", details);
  const std::optional<ErrorDetails> found = FindErrorDetails(status);
  REQUIRE(found);
  CHECK(found->reason == details.reason);
  CHECK(found->metadata == details.metadata);
  CHECK(found->violations == details.violations);
  CHECK(found->retry_delay == details.retry_delay);
}

TEST_CASE("statuses that the factories did not make have no details") {
  CHECK_FALSE(FindErrorDetails(absl::OkStatus()));
  CHECK_FALSE(FindErrorDetails(absl::NotFoundError("x")));
  CHECK(ReasonOf(absl::NotFoundError("x")).empty());
}

TEST_CASE("violations are collected and reported together") {
  FieldViolations violations;
  CHECK(violations.ToStatus().ok());
  CHECK(violations.Check(true, "a", "never said"));
  CHECK_FALSE(violations.Check(false, "email", "is required"));
  violations.Merge(absl::OkStatus());
  violations.Merge(InvalidField("price", "must be above 0", "PRICE"), "", "condition.price_target");
  violations.Merge(absl::InvalidArgumentError("not a decimal"), "percent", "condition");
  const absl::Status status = violations.ToStatus();
  CHECK(ToStd(status.message()) ==
        "email: is required; condition.price_target.price: must be above 0; condition.percent: not a decimal");
  const std::optional<ErrorDetails> details = FindErrorDetails(status);
  REQUIRE(details);
  CHECK(details->reason == "INVALID_FIELD");
  CHECK(details->violations == std::vector<FieldViolation>{{"email", "is required"},
                                                           {"condition.price_target.price", "must be above 0"},
                                                           {"condition.percent", "not a decimal"}});
}

}  // namespace
}  // namespace stockalert::base
