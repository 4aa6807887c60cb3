#include "services/common/grpc/status_convert.h"

#include <catch2/catch.hpp>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "services/common/base/error.h"
#include "services/common/grpc/channel.h"

namespace stockalert::rpc {
namespace {

google::rpc::Status Wire(const ::grpc::Status& status) {
  google::rpc::Status wire;
  REQUIRE(wire.ParseFromString(status.error_details()));
  return wire;
}

TEST_CASE("every error carries an ErrorInfo, the same code and message inside and outside") {
  const absl::Status statuses[] = {base::NotFound("USER_NOT_FOUND", "no", {{"name", "users/1"}}), absl::UnavailableError("libpq: host db1"),
                                   absl::InternalError("SELECT * FROM users"), absl::UnknownError("bad_alloc"), base::Internal("secret"),
                                   absl::AbortedError("SQLSTATE 40001"), base::EtagMismatch()};
  for (const absl::Status& status : statuses) {
    const ::grpc::Status sent = ToGrpc(status);
    const google::rpc::Status wire = Wire(sent);
    INFO(status.ToString());
    CHECK(wire.code() == sent.error_code());
    CHECK(wire.message() == sent.error_message());
    google::rpc::ErrorInfo info;
    REQUIRE(wire.details_size() >= 1);
    REQUIRE(wire.details(0).UnpackTo(&info));
    CHECK(info.domain() == "stockalert.dev");
    CHECK_FALSE(info.reason().empty());
    for (const char* leak : {"SELECT", "libpq", "bad_alloc", "secret", "40001"}) {
      CHECK(sent.error_message().find(leak) == std::string::npos);
    }
  }
  CHECK(ToGrpc(absl::OkStatus()).ok());
  CHECK(ToGrpc(absl::UnknownError("x")).error_code() == ::grpc::StatusCode::INTERNAL);
}

TEST_CASE("violations, metadata and delays survive the way there and back") {
  base::FieldViolations violations;
  violations.Add("email", "is required");
  violations.Add("display_name", "must have 1 to 100 characters");
  const absl::Status statuses[] = {
      violations.ToStatus(), base::ResourceExhausted("RATE_LIMITED", "too many", absl::Milliseconds(1500), {{"limit", "5"}}),
      base::Unavailable("TICKER_SERVICE_UNAVAILABLE", "down"), base::AlreadyExists("EMAIL_TAKEN", "taken")};
  for (const absl::Status& status : statuses) {
    const absl::Status back = FromGrpc(ToGrpc(status));
    CHECK(back.code() == status.code());
    CHECK(back.message() == status.message());
    const auto expected = base::FindErrorDetails(status);
    const auto found = base::FindErrorDetails(back);
    REQUIRE(found);
    CHECK(found->reason == expected->reason);
    CHECK(found->metadata == expected->metadata);
    CHECK(found->violations == expected->violations);
    CHECK(found->retry_delay == expected->retry_delay);
  }
  google::rpc::BadRequest bad_request;
  REQUIRE(Wire(ToGrpc(statuses[0])).details(1).UnpackTo(&bad_request));
  CHECK(bad_request.field_violations_size() == 2);
}

TEST_CASE("gRPC's own errors come back without a reason") {
  const absl::Status status = FromGrpc(::grpc::Status(::grpc::StatusCode::UNAVAILABLE, "failed to connect"));
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(status).empty());
  CHECK(FromGrpc(::grpc::Status(::grpc::StatusCode::INTERNAL, "x", "garbage\xff")).code() == absl::StatusCode::kInternal);
}

TEST_CASE("what a failing peer means for the caller") {
  CHECK(PeerFailure(absl::OkStatus(), "R", "ticker service").ok());
  const absl::Status unknown = base::InvalidField("symbol", "unknown", "UNKNOWN_SYMBOL");
  CHECK(PeerFailure(unknown, "R", "ticker service") == unknown);
  for (const absl::Status& status : {absl::UnavailableError("x"), absl::DeadlineExceededError("x"), absl::InternalError("x"),
                                     base::Unauthenticated("MESH_TOKEN_INVALID", "x"), absl::NotFoundError("x")}) {
    const absl::Status failure = PeerFailure(status, "TICKER_SERVICE_UNAVAILABLE", "ticker service");
    CHECK(failure.code() == absl::StatusCode::kUnavailable);
    CHECK(base::ReasonOf(failure) == "TICKER_SERVICE_UNAVAILABLE");
  }
}

}  // namespace
}  // namespace stockalert::rpc
