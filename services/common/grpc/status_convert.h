// The one place where an absl::Status becomes a grpc::Status with google.rpc details, and the other way for clients.
//
// Namespace rpc, not grpc: inside `stockalert` the latter would hide gRPC's own. Pure and thread-safe.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace stockalert::rpc {

inline constexpr char kErrorDomain[] = "stockalert.dev";

// Always carries ErrorInfo; BadRequest and RetryInfo where the status has violations or a delay. INTERNAL, UNKNOWN and DATA_LOSS, and
// UNAVAILABLE, ABORTED and the like that base/error.h's factories did not make, say a fixed text: no exception's or database's words.
::grpc::Status ToGrpc(const absl::Status& status);

// With reason, metadata, violations and delay as base::FindErrorDetails finds them. A status without ErrorInfo (gRPC's own: a broken
// connection, a deadline) comes back with its code and message alone.
absl::Status FromGrpc(const ::grpc::Status& status);

}  // namespace stockalert::rpc
