// The one place where an absl::Status becomes a grpc::Status with google.rpc details, and the other way for clients.
//
// Namespace rpc, not grpc: inside `stockalert` the latter would hide gRPC's own. Pure and thread-safe.
#pragma once

#include <grpcpp/support/status.h>

#include <cstddef>

#include "absl/status/status.h"

namespace stockalert::rpc {

inline constexpr char kErrorDomain[] = "stockalert.dev";

// How much of a call's trailing headers an error may use for its message and details, as sent (percent-encoded,
// base64). gRPC's C core turns more than 8 KiB in all into RESOURCE_EXHAUSTED, and proxies have limits of their own.
inline constexpr size_t kErrorBytesMax = 4096;
inline constexpr size_t kViolationsMax = 20;

// Always carries ErrorInfo; also BadRequest and RetryInfo where the status has violations or a delay. INTERNAL, UNKNOWN
// and DATA_LOSS, and UNAVAILABLE, ABORTED and the like that base/error.h's factories did not make, get a fixed text, so
// that no exception's or database's text reaches a client. The result always fits kErrorBytesMax: the message is the
// first violation, BadRequest has as many as fit and ends with "and 32 more"; long texts end in "...".
::grpc::Status ToGrpc(const absl::Status& status);

// With reason, metadata, violations and delay as base::FindErrorDetails finds them. A status without ErrorInfo (gRPC's
// own: a broken connection, a deadline) comes back with its code and message alone.
absl::Status FromGrpc(const ::grpc::Status& status);

}  // namespace stockalert::rpc
