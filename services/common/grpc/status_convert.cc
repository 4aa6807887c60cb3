#include "services/common/grpc/status_convert.h"

#include <google/protobuf/any.pb.h>

#include <string>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"

namespace stockalert::rpc {
namespace {

constexpr char kInternalText[] = "an internal error; the service's log says more";

struct Said {
  std::string reason;
  std::string message;
};

// What a status says that no factory of ours made: from a library, or with a system's own words.
Said Plain(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable: return {"UNAVAILABLE", "a part of the mesh does not answer: try again"};
    case absl::StatusCode::kAborted: return {"CONFLICT", "another change came between: try again"};
    case absl::StatusCode::kDeadlineExceeded: return {"DEADLINE_EXCEEDED", "the call's deadline has passed"};
    case absl::StatusCode::kCancelled: return {"CANCELLED", "the call was cancelled"};
    case absl::StatusCode::kResourceExhausted: return {"OVERLOADED", "too much at once: try again later"};
    case absl::StatusCode::kInvalidArgument: return {"INVALID_ARGUMENT", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kNotFound: return {"NOT_FOUND", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kAlreadyExists: return {"ALREADY_EXISTS", "it exists already"};
    case absl::StatusCode::kPermissionDenied: return {"PERMISSION_DENIED", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kUnauthenticated: return {"UNAUTHENTICATED", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kFailedPrecondition: return {"FAILED_PRECONDITION", "not possible in the present state"};
    case absl::StatusCode::kOutOfRange: return {"OUT_OF_RANGE", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kUnimplemented: return {"UNIMPLEMENTED", std::string(base::ToStd(status.message()))};
    default: return {"INTERNAL", kInternalText};
  }
}

bool IsInternal(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown || code == absl::StatusCode::kDataLoss;
}

}  // namespace

::grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return ::grpc::Status::OK;
  Said said = Plain(status);
  const std::optional<base::ErrorDetails> details = base::FindErrorDetails(status);
  const bool internal = IsInternal(status.code());
  if (details && !internal) {
    said.message = std::string(base::ToStd(status.message()));
    if (!details->reason.empty()) said.reason = details->reason;
  }
  const auto code = static_cast<::grpc::StatusCode>(internal ? absl::StatusCode::kInternal : status.code());

  google::rpc::Status wire;
  wire.set_code(code);
  wire.set_message(said.message);
  google::rpc::ErrorInfo info;
  info.set_reason(said.reason);
  info.set_domain(kErrorDomain);
  if (details && !internal) {
    for (const auto& [key, value] : details->metadata) (*info.mutable_metadata())[key] = value;
  }
  wire.add_details()->PackFrom(info);
  if (details && !internal && !details->violations.empty()) {
    google::rpc::BadRequest bad_request;
    for (const base::FieldViolation& violation : details->violations) {
      google::rpc::BadRequest::FieldViolation& added = *bad_request.add_field_violations();
      added.set_field(violation.field);
      added.set_description(violation.description);
    }
    wire.add_details()->PackFrom(bad_request);
  }
  if (details && details->retry_delay) {
    google::rpc::RetryInfo retry;
    const int64_t delay_us = absl::ToInt64Microseconds(*details->retry_delay);
    retry.mutable_retry_delay()->set_seconds(delay_us / 1'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay_us % 1'000'000) * 1000);
    wire.add_details()->PackFrom(retry);
  }
  return ::grpc::Status(code, said.message, wire.SerializeAsString());
}

absl::Status FromGrpc(const ::grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  google::rpc::Status wire;
  base::ErrorDetails details;
  bool found = false;
  if (!status.error_details().empty() && wire.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : wire.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad_request;
      google::rpc::RetryInfo retry;
      if (any.Is<google::rpc::ErrorInfo>() && any.UnpackTo(&info)) {
        found = true;
        details.reason = info.reason();
        for (const auto& [key, value] : info.metadata()) details.metadata[key] = value;
      } else if (any.Is<google::rpc::BadRequest>() && any.UnpackTo(&bad_request)) {
        for (const auto& violation : bad_request.field_violations()) {
          details.violations.push_back({violation.field(), violation.description()});
        }
      } else if (any.Is<google::rpc::RetryInfo>() && any.UnpackTo(&retry)) {
        details.retry_delay = absl::Seconds(retry.retry_delay().seconds()) + absl::Nanoseconds(retry.retry_delay().nanos());
      }
    }
  }
  if (!found) return absl::Status(code, base::ToAbsl(status.error_message()));
  return base::MakeError(code, status.error_message(), details);
}

}  // namespace stockalert::rpc
