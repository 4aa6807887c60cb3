#include "services/common/base/failure_kind.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/types/optional.h"

namespace stockalert::base {
namespace {

constexpr char kPayload[] = "type.stockalert.dev/failure.kind";

}  // namespace

absl::Status WithFailureKind(absl::Status status, FailureKind kind) {
  const char* const name = kind == FailureKind::kPassing    ? "passing"
                           : kind == FailureKind::kOfRecord ? "record"
                                                            : "unclear";
  status.SetPayload(kPayload, absl::Cord(name));
  return status;
}

absl::Status WithFailureKindOf(absl::Status made, const absl::Status& cause) {
  return WithFailureKind(std::move(made), FailureKindOf(cause));
}

FailureKind FailureKindOf(const absl::Status& status) {
  if (const absl::optional<absl::Cord> mark = status.GetPayload(kPayload)) {
    return *mark == "passing"  ? FailureKind::kPassing
           : *mark == "record" ? FailureKind::kOfRecord
                               : FailureKind::kUnclear;
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return FailureKind::kPassing;
    default:
      return FailureKind::kUnclear;
  }
}

}  // namespace stockalert::base
